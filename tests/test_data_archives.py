"""Official archives: parsed, verified, prepared as tfds would, refused when wrong."""

import gzip
import shutil
import sys
import types

import numpy as np
import pytest
import synthetic_sets
import tensorflow_datasets as tfds

from linconn_jax import data
from linconn_jax.data import archives, formats, reading, standard, tfrecord

NAMES = ("mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100", "svhn_cropped")


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No set of this machine is seen."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setattr(archives, "SYSTEM", tmp_path / "nothing")


@pytest.fixture
def own_copy(tmp_path, monkeypatch):
    """Writes a synthetic set and makes its archives the official ones."""

    def write(name, **options):
        folder = tmp_path / "archives"
        splits, official = (
            synthetic_sets.write_mnist(folder, **options)
            if options
            else synthetic_sets.write(name, folder)
        )
        monkeypatch.setattr(archives, "official", lambda asked: official)
        return folder, splits

    return write


@pytest.mark.parametrize("name", NAMES)
def test_archives_in_a_folder_become_the_set(name, own_copy, tmp_path):
    folder, splits = own_copy(name)
    loaded = data.load(name, folder=folder, data_dir=tmp_path / "data")
    for split in ("train", "test"):
        images, labels = splits[split]
        images = images[..., None] if images.ndim == 3 else images
        got = getattr(loaded, split)
        assert synthetic_sets.sorted_rows(got.images, got.labels) == (
            synthetic_sets.sorted_rows(images, labels)
        )
        assert got.images.dtype == np.uint8
        assert got.labels.dtype == np.int32
    assert loaded.classes == (100 if name == "cifar100" else 10)
    assert "tensorflow" not in sys.modules


def test_prepared_set_needs_no_archives_and_keeps_tfds_layout(own_copy, tmp_path):
    folder, _ = own_copy("cifar10")
    first = data.load("cifar10", folder=folder, data_dir=tmp_path / "data")
    shutil.rmtree(folder)
    again = data.load("cifar10", data_dir=tmp_path / "data")
    assert again.digest == first.digest
    builder = tfds.builder_from_directory(tmp_path / "data" / "cifar10" / "3.0.2")
    standard_features = tfds.builder("cifar10", data_dir=tmp_path).info.features
    assert repr(builder.info.features) == repr(standard_features)
    assert builder.info.features["label"].names[:2] == ["label_0", "label_1"]
    assert builder.as_data_source("test")[0]["id"].startswith(b"test_")


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100", "svhn_cropped"])
def test_records_are_those_of_tfds_own_reader(name, own_copy, monkeypatch):
    """tfds's own generator, given `open` for TensorFlow's, is the oracle."""
    folder, _ = own_copy(name)
    files = {a.file: folder / a.file for a in archives.official(name)}
    base = tfds.builder_cls(name)
    fake = types.SimpleNamespace(
        io=types.SimpleNamespace(gfile=types.SimpleNamespace(GFile=open))
    )
    monkeypatch.setattr(sys.modules[base.__module__], "tf", fake)
    oracle = base(data_dir=folder / "oracle", file_format="array_record")
    expected = list(_tfds_examples(name, oracle, folder))

    splits = (
        formats.read_cifar(name, files)[0]
        if "cifar" in name
        else formats.read_svhn(files)
        if name == "svhn_cropped"
        else formats.read_idx_set(files)
    )
    found = list(enumerate(standard._rows(splits["test"])))
    assert len(found) == len(expected) == synthetic_sets.TEST
    for (key, row), (true_key, true_row) in zip(found, expected, strict=True):
        assert key == true_key
        assert row.keys() == true_row.keys()
        image = np.asarray(row.pop("image"))
        true_image = np.asarray(true_row.pop("image"))
        np.testing.assert_array_equal(image, true_image.reshape(image.shape))
        assert row == {
            k: getattr(v, "item", lambda v=v: v)() for k, v in true_row.items()
        }


def _tfds_examples(name, oracle, folder):
    if "cifar" in name:
        layout = formats._CIFAR[name]
        shutil.unpack_archive(folder / layout["archive"], folder, filter="data")
        paths = [folder / layout["folder"] / f for f in layout["test"]]
        return oracle._generate_examples("test_", map(str, paths))
    if name == "svhn_cropped":
        return oracle._generate_examples("test_", str(folder / "test_32x32.mat"))
    paths = []
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        raw = folder / f"t10k-{kind}"
        raw.write_bytes(gzip.decompress((folder / f"{raw.name}.gz").read_bytes()))
        paths.append(str(raw))
    return oracle._generate_examples(synthetic_sets.TEST, *paths)


@pytest.mark.parametrize("layout", ["raw", "dotted", "subfolder", "recompressed"])
def test_other_forms_of_the_same_content_are_accepted(layout, own_copy, tmp_path):
    folder, splits = own_copy("mnist", compressed=layout not in ("raw", "dotted"))
    if layout == "dotted":
        for file in folder.iterdir():
            file.rename(folder / file.name.replace("-idx", ".idx"))
    if layout == "subfolder":
        folder.rename(tmp_path / "mnist")
        folder = tmp_path
    if layout == "recompressed":
        for file in folder.iterdir():
            content = gzip.decompress(file.read_bytes())
            file.write_bytes(gzip.compress(content, compresslevel=1, mtime=7))
    loaded = data.load("mnist", folder=folder, data_dir=tmp_path / "data")
    assert sorted(loaded.test.labels) == sorted(splits["test"][1])


def _flip(path, position=-100):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        ("mnist", _flip, "damaged or cut short|is not the official"),
        ("mnist", _cut, "damaged or cut short"),
        ("cifar10", _flip, "has sha256"),
        ("svhn_cropped", _cut, "bytes, it must have"),
    ],
)
def test_damaged_archive_is_named_and_never_used(
    name, harm, message, own_copy, tmp_path
):
    folder, _ = own_copy(name)
    victim = folder / archives.official(name)[0].file
    harm(victim)
    with pytest.raises(ValueError, match=message) as caught:
        data.load(name, folder=folder, data_dir=tmp_path / "data")
    assert victim.name in str(caught.value)
    assert "127.0.0.1" in str(caught.value)  # where the official one is
    assert not (tmp_path / "data" / name).exists()


def test_archives_of_another_set_are_refused(own_copy, tmp_path, monkeypatch):
    folder, _ = own_copy("mnist")
    _, official = synthetic_sets.write_mnist(tmp_path / "other", seed=1)
    monkeypatch.setattr(archives, "official", lambda name: official)
    with pytest.raises(ValueError, match="is not the official train-images"):
        data.load("mnist", folder=folder, data_dir=tmp_path / "data")


def test_folder_without_the_archives(own_copy, tmp_path):
    folder, _ = own_copy("cifar10")
    (folder / "cifar-10-binary.tar.gz").rename(folder / "cifar-10-python.tar.gz")
    with pytest.raises(ValueError, match="lacks cifar-10-binary.tar.gz") as caught:
        data.load("cifar10", folder=folder, data_dir=tmp_path / "data")
    assert "cifar-10-python.tar.gz" in str(caught.value)


def test_folder_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="which is no folder"):
        data.load("mnist", folder=tmp_path / "typo", data_dir=tmp_path)


def test_interrupted_preparation_leaves_nothing_half_done(
    own_copy, tmp_path, monkeypatch
):
    folder, _ = own_copy("mnist")
    rows = standard._rows

    def breaks(columns):
        for i, row in enumerate(rows(columns)):
            if i == 5:
                raise KeyboardInterrupt
            yield row

    with monkeypatch.context() as patched:
        patched.setattr(standard, "_rows", breaks)
        with pytest.raises(KeyboardInterrupt):
            data.load("mnist", folder=folder, data_dir=tmp_path / "data")
    assert not list((tmp_path / "data").glob("mnist/3*"))
    loaded = data.load("mnist", folder=folder, data_dir=tmp_path / "data")
    assert loaded.train.examples == synthetic_sets.TRAIN


def test_system_copy_is_used_when_whole(own_copy, tmp_path, monkeypatch):
    folder, _ = own_copy("mnist")
    (tmp_path / "system").mkdir()
    folder.rename(tmp_path / "system" / "mnist")
    monkeypatch.setattr(archives, "SYSTEM", tmp_path / "system")
    assert data.load("mnist", data_dir=tmp_path / "data").train.examples == 40
    _flip(tmp_path / "system" / "mnist" / "train-images-idx3-ubyte.gz")
    assert archives.from_system("mnist") is None


def test_no_copy_and_no_network_is_one_error_in_seconds(own_copy, tmp_path):
    own_copy("cifar10")
    with pytest.raises(FileNotFoundError) as caught:
        data.load("cifar10", data_dir=tmp_path / "data")
    said = str(caught.value)
    for part in ("'cifar10'", str(tmp_path / "data"), "(1)", "(2)", "(3)", "folder="):
        assert part in said


def test_registry_knows_every_archive():
    for name in NAMES:
        for archive in archives.official(name):
            assert archive.size > 4000
            assert len(archive.sha256) == 64
            assert archive.url.endswith(archive.file)
    assert {a.md5 is None for a in archives.official("fashion_mnist")} == {False}


@pytest.mark.skipif(
    not archives.SYSTEM.joinpath("fashion-mnist").is_dir(),
    reason="Debian's dataset-fashion-mnist is not installed",
)
def test_debian_fashion_mnist_is_the_official_one(monkeypatch):
    monkeypatch.undo()
    files = archives.from_system("fashion_mnist")
    splits = formats.read_idx_set(files)
    assert splits["train"]["image"].shape == (60000, 28, 28, 1)
    assert list(splits["train"]["label"][:4]) == [9, 0, 0, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with"),
        (b"<html>", "starts with 3c68746d"),
        (bytes([0, 0, 8, 3]) + b"\0\0", "header"),
        (synthetic_sets.idx_bytes(np.zeros((3, 4), np.uint8))[:-1], "holds 11 bytes"),
    ],
)
def test_idx_that_is_none(content, message):
    with pytest.raises(ValueError, match=message):
        formats.parse_idx(content, "file")


def _as_tfrecord(path):
    """Rewrites a prepared set in tfds's default format."""
    builder = tfds.builder_from_directory(path)
    for split in ("train", "test"):
        file = builder.info.splits[split].filepaths[0]
        source = builder.as_data_source(split, decoders=None).data_source
        with open(str(file).replace("array_record", "tfrecord"), "wb") as stream:
            for i in range(len(source)):
                record = source[i]
                length = len(record).to_bytes(8, "little")
                stream.write(length + _crc(length) + record + _crc(record))
        file.unlink()
    info = path / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    return path


def _crc(content):
    return tfrecord.masked(tfrecord.crc32c(content)).to_bytes(4, "little")


def test_set_prepared_by_tfds_as_tfrecord_is_read_as_it_is(own_copy, tmp_path):
    folder, _ = own_copy("cifar10")
    expected = data.load("cifar10", folder=folder, data_dir=tmp_path / "a")
    path = _as_tfrecord(tmp_path / "a" / "cifar10" / "3.0.2")
    assert reading.open_set(path).info.file_format.value == "tfrecord"
    assert data.load("cifar10", data_dir=tmp_path / "a").digest == expected.digest
    _flip(next(path.glob("*train.tfrecord*")), position=5000)
    with pytest.raises(ValueError, match="a record's checksum is wrong"):
        data.load("cifar10", data_dir=tmp_path / "a")
    _cut(next(path.glob("*test.tfrecord*")))
    with pytest.raises(ValueError, match="cut short"):
        list(tfrecord.records(path.glob("*test.tfrecord*")))


def test_crc32c_against_published_values():
    assert tfrecord.crc32c(b"123456789") == 0xE3069283
    assert tfrecord.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert tfrecord.crc32c(b"\xff" * 32) == 0x62A8AB43
    long = bytes(range(256)) * 40
    reference = 0xFFFFFFFF
    for byte in long:
        reference ^= byte
        for _ in range(8):
            reference = reference >> 1 ^ (0x82F63B78 if reference & 1 else 0)
    assert tfrecord.crc32c(long) == reference ^ 0xFFFFFFFF


@pytest.mark.slow
@pytest.mark.skipif(
    not archives.SYSTEM.joinpath("fashion-mnist").is_dir(),
    reason="Debian's dataset-fashion-mnist is not installed",
)
def test_real_fashion_mnist_end_to_end(tmp_path, monkeypatch):
    monkeypatch.undo()
    first = data.load("fashion_mnist", data_dir=tmp_path)
    again = data.load("fashion_mnist", data_dir=tmp_path)
    assert again.digest == first.digest
    mean, std = data.dataset.channel_statistics(first.train.images)
    np.testing.assert_allclose(first.mean + first.std, mean + std, atol=1e-4)
    photos = data.load("fashion_photos", data_dir=tmp_path)
    mean, std = data.dataset.channel_statistics(photos.train.images)
    np.testing.assert_allclose(photos.mean + photos.std, mean + std, atol=1e-3)
