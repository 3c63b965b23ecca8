"""`data.load`: the embedded set, mocks, prefixes, the decoded copy, and bad requests."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import sklearn.datasets
import synthetic_sets

from linconn_jax import data, machine
from linconn_jax.data import archives, cache, digits, reading
from linconn_jax.data.dataset import channel_statistics

DIGITS_DIGEST = "0d0753c47736"


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No set of this machine is seen."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(archives, "SYSTEM", tmp_path / "nothing")


def python(code, **options):
    """A fresh interpreter, where warnings are errors."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_digits(tmp_path):
    loaded = data.load("digits", data_dir=tmp_path)
    assert loaded.train.images.shape == (1437, 8, 8, 1)
    assert loaded.test.images.shape == (360, 8, 8, 1)
    assert loaded.image_shape == loaded.test.image_shape == (8, 8, 1)
    assert (loaded.train.examples, loaded.test.examples) == (1437, 360)
    assert loaded.train.labels.dtype == np.int32
    assert loaded.classes == 10
    assert loaded.digest.startswith(DIGITS_DIGEST)
    mean, std = channel_statistics(loaded.train.images)
    np.testing.assert_allclose(loaded.mean + loaded.std, mean + std, atol=1e-4)


def test_digits_are_scikit_learns_and_no_example_is_in_both_splits(tmp_path):
    loaded = data.load("digits", data_dir=tmp_path)
    theirs = sklearn.datasets.load_digits()
    both = [
        np.concatenate([getattr(s, part) for s in (loaded.train, loaded.test)])
        for part in ("images", "labels")
    ]
    values = np.rint(both[0][..., 0] * (16 / 255)).astype(np.uint8)
    assert synthetic_sets.sorted_rows(values, both[1]) == (
        synthetic_sets.sorted_rows(theirs.images.astype(np.uint8), theirs.target)
    )
    train = {image.tobytes() for image in loaded.train.images}
    test = {image.tobytes() for image in loaded.test.images}
    assert not train & test
    assert len(train) + len(test) == 1797


def test_digits_split_is_stratified_and_follows_the_written_rule():
    _, labels = digits.raw()
    test = digits.is_test(labels)
    assert test.sum() == 360
    share = np.bincount(labels[test]) / np.bincount(labels)
    assert share.min() > 0.19
    assert share.max() < 0.21
    ordered = sorted(range(len(labels)), key=lambda i: (labels[i], i))
    assert set(np.flatnonzero(test)) == set(ordered[::5])


def test_grey_values_stay_distinct():
    values = digits.grey(np.arange(17))
    assert list(values[[0, 1, 8, 16]]) == [0, 16, 128, 255]
    assert len(set(values.tolist())) == 17


def test_other_digits_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="not the digits that this library knows"):
        data.load("digits", data_dir=tmp_path)


def test_arrays_cannot_be_changed(tmp_path):
    loaded = data.load("digits", data_dir=tmp_path)
    with pytest.raises(ValueError, match="read-only"):
        loaded.train.images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        loaded.test.labels[0] = 0


def test_prefixes_are_prefixes(tmp_path):
    whole = data.load("digits", data_dir=tmp_path)
    some = data.load("digits", data_dir=tmp_path, train_examples=100, test_examples=7)
    np.testing.assert_array_equal(some.train.images, whole.train.images[:100])
    np.testing.assert_array_equal(some.test.labels, whole.test.labels[:7])
    assert some.digest != whole.digest
    assert (some.mean, some.std) == (whole.mean, whole.std)
    np.testing.assert_array_equal(whole.test.first(7).images, some.test.images)


@pytest.mark.parametrize("asked", [0, -1, 1438])
def test_more_examples_than_there_are(asked, tmp_path):
    with pytest.raises(ValueError, match=f"train_examples is {asked} .* holds 1437"):
        data.load("digits", data_dir=tmp_path, train_examples=asked)


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("digits", (8, 8, 1), 10),
        ("mnist", (28, 28, 1), 10),
        ("cifar100", (32, 32, 3), 100),
        ("svhn_cropped", (32, 32, 3), 10),
        ("fashion_photos", (32, 32, 3), 10),
        ("cifar10_corrupted/fog_3", (32, 32, 3), 10),
    ],
)
def test_mock(name, shape, classes, tmp_path):
    loaded = data.load(name, mock=12, data_dir=tmp_path, test_examples=5)
    assert loaded.train.images.shape == (12, *shape)
    assert loaded.test.images.shape == (5, *shape)
    assert loaded.classes == classes
    assert loaded.note.startswith("MOCK")
    assert loaded.train.labels.max() < classes
    train = {image.tobytes() for image in loaded.train.images}
    assert len(train) == 12
    assert not train & {image.tobytes() for image in loaded.test.images}
    assert not list(tmp_path.glob("*/"))
    assert data.load(name, mock=12, test_examples=5).digest == loaded.digest


def test_no_tensorflow_no_chatter_and_only_core_dependencies(tmp_path):
    code = f"""
import sys
for name in ("pytest", "beartype", "hypothesis", "skimage"):
    sys.modules[name] = None
from linconn_jax import data
data.load("digits", data_dir={str(tmp_path)!r})
data.load("cifar10", mock=8, data_dir={str(tmp_path)!r})
bad = [m for m, module in sys.modules.items() if module and (
    m.split(".")[0] in ("tensorflow", "torch", "sklearn"))]
sys.exit(f"imported {{bad}}" if bad else 0)
"""
    process = python(code)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "", "")


def test_two_processes_at_once_and_one_killed(tmp_path):
    killed = python(
        f"""
import os, signal
from linconn_jax import data
from linconn_jax.data import digits
generate = digits.Digits._generate_examples
def dies(self, images, labels):
    for i, example in generate(self, images, labels):
        if i == 100:
            os.kill(os.getpid(), signal.SIGKILL)
        yield i, example
digits.Digits._generate_examples = dies
data.load("digits", data_dir={str(tmp_path)!r})
"""
    )
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    leftover = list(tmp_path.glob("digits/incomplete.*"))
    assert leftover
    os.utime(leftover[0], (0, 0))  # long ago
    code = f"""
from linconn_jax import data
print(data.load("digits", data_dir={str(tmp_path)!r}).digest)
"""
    processes = [python(code) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [err for _, err in outputs] == ["", ""]
    assert all(out.startswith(DIGITS_DIGEST) for out, _ in outputs)
    assert [p.name for p in tmp_path.glob("digits/*")] == ["1.0.0"]


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    folder = tmp_path / "archives"
    _, official = synthetic_sets.write_mnist(folder)
    monkeypatch.setattr(archives, "official", lambda name: official)
    monkeypatch.setattr(cache, "_WORTH_KEEPING", 1)
    return folder


def test_decoded_copy_is_used_checked_and_follows_the_set(
    small_mnist, tmp_path, monkeypatch
):
    def load(**options):
        return data.load(
            "mnist", folder=small_mnist, data_dir=tmp_path / "d", **options
        )

    first = load()
    copy = tmp_path / "d" / ".decoded" / "mnist-3.0.1" / "train.npz"
    assert copy.is_file()
    with monkeypatch.context() as patched:
        patched.setattr(reading, "read", None)  # nothing is decoded
        assert load().digest == first.digest
        assert load(train_examples=3).train.examples == 3
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    assert load().digest == first.digest
    assert copy.read_bytes() != bytes(content)  # made again
    copy.write_bytes(b"")
    assert load().digest == first.digest
    record = next((tmp_path / "d" / "mnist" / "3.0.1").glob("*train.array_record*"))
    os.utime(record, ns=(0, 0))
    stale = copy.read_bytes()
    assert load().digest == first.digest
    assert copy.read_bytes() != stale  # another set may have been put there


def test_prefix_leaves_no_decoded_copy(small_mnist, tmp_path):
    data.load("mnist", folder=small_mnist, data_dir=tmp_path / "d", train_examples=5)
    assert not (tmp_path / "d/.decoded/mnist-3.0.1/train.npz").exists()
    assert (tmp_path / "d/.decoded/mnist-3.0.1/test.npz").exists()


def test_sets_prepared_elsewhere_are_found(small_mnist, tmp_path, monkeypatch):
    there = tmp_path / "there"
    expected = data.load("mnist", folder=small_mnist, data_dir=there)
    shutil.rmtree(small_mnist)
    monkeypatch.setenv("TFDS_DATA_DIR", str(there))
    assert data.load("mnist").digest == expected.digest
    assert data.load("mnist", data_dir=tmp_path / "new").digest == expected.digest
    monkeypatch.delenv("TFDS_DATA_DIR")
    home = tmp_path / "home" / "tensorflow_datasets"
    home.mkdir(parents=True)
    (there / "mnist").rename(home / "my_own_set")
    info = home / "my_own_set" / "3.0.1" / "dataset_info.json"
    loaded = data.load("my_own_set")
    assert loaded.train.examples == synthetic_sets.TRAIN
    assert loaded.mean == channel_statistics(loaded.train.images)[0]
    info.write_text(info.read_text().replace('"test"', '"validation"'))
    for file in info.parent.glob("*test*"):
        file.rename(str(file).replace("-test", "-validation"))
    loaded = data.load("my_own_set")
    assert loaded.test.examples == synthetic_sets.TEST
    assert "validation split is the test split" in loaded.note
    info.write_text(info.read_text().replace('"validation"', '"extra"'))
    with pytest.raises(ValueError, match="must have 'train', and 'test'"):
        data.load("my_own_set")


def test_test_split_is_preferred_to_validation(small_mnist, tmp_path):
    expected = data.load("mnist", folder=small_mnist, data_dir=tmp_path / "d")
    info = tmp_path / "d" / "mnist" / "3.0.1" / "dataset_info.json"
    content = json.loads(info.read_text())
    train = next(s for s in content["splits"] if s["name"] == "train")
    content["splits"].append(train | {"name": "validation"})
    info.write_text(json.dumps(content))
    for file in info.parent.glob("*-train*"):
        shutil.copy(file, str(file).replace("-train", "-validation"))
    loaded = data.load("mnist", data_dir=tmp_path / "d")
    assert loaded.digest == expected.digest


def test_default_folder_is_the_cache(tmp_path):
    data.load("digits")
    assert (tmp_path / "home/.cache/linconn_jax/data/digits/1.0.0").is_dir()


@pytest.mark.parametrize("cut", [True, False])
def test_damaged_prepared_set_is_named(cut, tmp_path):
    data.load("digits", data_dir=tmp_path)
    folder = tmp_path / "digits" / "1.0.0"
    record = next(folder.glob("*train.array_record*"))
    content = bytearray(record.read_bytes())
    content[30000] ^= 1
    record.write_bytes(content[:40000] if cut else content)
    with pytest.raises(ValueError, match="is damaged or incomplete") as caught:
        data.load("digits", data_dir=tmp_path)
    assert str(folder) in str(caught.value)
    (folder / "dataset_info.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged or incomplete"):
        data.load("digits", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("cifra10", {}, ValueError, "did you mean 'cifar10'"),
        ("qqqqqqq", {}, ValueError, "unknown data set 'qqqqqqq'. Known"),
        ("qqqqqqq", {"mock": 3}, ValueError, "unknown data set"),
        ("../etc", {}, ValueError, "it must be like 'cifar10'"),
        ("digits", {"mock": 0}, ValueError, "mock=0"),
        (
            "digits",
            {"mock": 3, "train_examples": 4},
            ValueError,
            "mocked digits holds 3",
        ),
        ("digits", {"mock": 10**9}, ValueError, "from 1 to 1000000"),
        ("digits", {"folder": "."}, ValueError, "'digits' is not read from archives"),
        (
            "mnist",
            {"folder": ".", "mock": 3},
            ValueError,
            "no effect, as 3 random images are not read",
        ),
        ("imagenette", {}, FileNotFoundError, "tfds build imagenette"),
        ("imdb_reviews", {"mock": 2}, ValueError, "no image-classification set"),
        ("coco", {"mock": 2}, ValueError, "cannot describe the data set 'coco'"),
    ],
)
def test_bad_requests(name, options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        data.load(name, data_dir=tmp_path, **options)


def test_random_images_that_do_not_fit_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "host_memory", lambda: 10**6)
    with pytest.raises(ValueError, match=r"mock=1000 .*13\.1 MB, .* 1 MB of memory"):
        data.load("cifar10", mock=1000, data_dir=tmp_path)
    data.load("cifar10", mock=10, data_dir=tmp_path)


def test_configuration_of_a_set_must_be_named(small_mnist, tmp_path):
    data.load("mnist", folder=small_mnist, data_dir=tmp_path / "d")
    (tmp_path / "d" / "many").mkdir()
    (tmp_path / "d" / "mnist").rename(tmp_path / "d" / "many" / "blurred")
    with pytest.raises(ValueError, match="configurations; .*: many/blurred"):
        data.load("many", data_dir=tmp_path / "d")
    assert data.load("many/blurred", data_dir=tmp_path / "d").classes == 10


def test_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written to"):
        data.load("digits", data_dir=tmp_path / "file" / "data")
