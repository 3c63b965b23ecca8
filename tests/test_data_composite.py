"""The composited colour set: deterministic, prefix-stable, backgrounds kept apart."""

import importlib.util
import sys

import numpy as np
import pytest
import synthetic_sets

from linconn_jax import data
from linconn_jax.data import archives, composite

WIDTH, BORDER = 200, 160
needs_photos = pytest.mark.skipif(
    importlib.util.find_spec("skimage") is None, reason="needs the extra 'colour'"
)


@pytest.fixture
def garments():
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (150, 28, 28, 1), np.uint8)


@pytest.fixture
def photos():
    """Photos whose red channel is the column and whose green one tells them apart."""
    columns = np.broadcast_to(np.arange(WIDTH, dtype=np.uint8), (50, WIDTH))
    return [
        np.stack([columns, np.full_like(columns, 20 * i), columns * 0], axis=-1)
        for i in range(3)
    ]


def test_splitmix_against_its_published_stream():
    assert composite.uniform(np.asarray([0]), 0, "test")[0] == (
        (0xE220A8397B1DCDAF >> 11) * 2.0**-53
    )
    draws = [
        composite.uniform(np.arange(1000), draw, split)
        for draw in range(5)
        for split in ("train", "test")
    ]
    assert len(np.unique(np.stack(draws))) == 10_000
    for draw in draws:
        assert abs(draw.mean() - 0.5) < 0.05
        assert draw.min() >= 0
        assert draw.max() < 1


def test_tints_are_the_hsv_model():
    import colorsys

    rng = np.random.default_rng(0)
    hue, saturation = rng.random((2, 50))
    expected = [
        colorsys.hsv_to_rgb(h, s, 1.0) for h, s in zip(hue, saturation, strict=True)
    ]
    np.testing.assert_allclose(composite.tints(hue, saturation), expected, atol=1e-12)


@pytest.mark.parametrize("split", ["train", "test"])
def test_prefix_of_a_longer_set(split, garments, photos):
    whole = composite.compose(garments, split, photos)
    some = composite.compose(garments[:30], split, photos)
    np.testing.assert_array_equal(some, whole[:30])
    assert whole.shape == (150, 32, 32, 3)


def test_splits_share_no_background(garments, photos):
    nothing = np.zeros_like(garments)  # transparent everywhere
    train = composite.compose(nothing, "train", photos)
    test = composite.compose(nothing, "test", photos)
    assert train[..., 0].max() < BORDER <= test[..., 0].min()
    assert test[..., 0].max() == WIDTH - 1
    assert set(np.unique(train[..., 1])) == {0, 20, 40}
    whole = np.arange(32)
    assert (np.diff(test[..., 0].astype(int), axis=2) == 1).all()
    assert (train[:, 0, :, 0] - train[:, 0, :1, 0] == whole).all()


def test_bright_garments_hide_the_background_and_dark_ones_do_not(garments, photos):
    bright = composite.compose(np.full_like(garments, 255), "train", photos)
    inside = bright[:, 2:30, 2:30]
    assert (inside == inside[:, :1, :1]).all()  # one tint, no photo
    assert (inside.max(-1) == 255).all()  # full value
    assert len(np.unique(inside[:, 0, 0], axis=0)) > 140
    border = bright[:, 0, :, 0]
    assert (np.diff(border.astype(int), axis=1) == 1).all()


def test_garments_are_opaque_from_a_quarter_of_full_brightness(garments, photos):
    for grey, opaque in ((64, True), (40, False)):
        image = composite.compose(np.full_like(garments, grey), "train", photos)
        inside = image[:, 2:30, 2:30]
        assert (inside == inside[:, :1, :1]).all() == opaque


@needs_photos
def test_load(garments, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    _, official = synthetic_sets.write_mnist(tmp_path / "archives")
    monkeypatch.setattr(archives, "official", lambda name: official)
    options = {"folder": tmp_path / "archives", "data_dir": tmp_path / "data"}
    whole = data.load("fashion_photos", **options)
    assert whole.train.images.shape == (40, 32, 32, 3)
    assert whole.test.images.shape == (20, 32, 32, 3)
    assert "NOT CIFAR" in whole.note
    some = data.load("fashion_photos", train_examples=8, test_examples=3, **options)
    np.testing.assert_array_equal(some.train.images, whole.train.images[:8])
    np.testing.assert_array_equal(some.test.labels, whole.test.labels[:3])
    plain = data.load("fashion_mnist", **options)
    np.testing.assert_array_equal(plain.train.labels, whole.train.labels)
    assert "skimage" not in sys.modules or whole.digest  # read as files


@needs_photos
def test_the_ten_photos():
    found = composite.photos()
    assert len(found) == 10
    for photo in found:
        assert photo.shape[0] >= 32
        assert photo.shape[1] * 0.2 >= 32
        assert photo.shape[2] == 3


def test_missing_extra_names_the_line_to_run(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "skimage" else find(n)
    )
    with pytest.raises(ValueError, match=r"pip install 'linconn_jax\[colour\]'"):
        data.load("fashion_photos", data_dir=tmp_path)
