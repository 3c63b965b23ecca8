"""Augmentation: every output is one of the images that the definition allows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linconn_jax.data import augment

KEY = jax.random.key(3)


def images(dtype=np.uint8, examples=64, height=6, width=5):
    rng = np.random.default_rng(0)
    return rng.integers(1, 256, (examples, height, width, 2)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_flip_gives_each_image_or_its_mirror(dtype):
    before = images(dtype)
    after = np.asarray(jax.jit(augment.flip)(KEY, before))
    assert after.dtype == dtype
    same = (after == before).all((1, 2, 3))
    mirrored = (after == before[:, :, ::-1]).all((1, 2, 3))
    assert (same ^ mirrored).all()
    assert 0 < mirrored.sum() < len(before)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("pad", [0, 1, 2])
def test_crops_are_windows_of_the_padded_image(dtype, pad):
    before = images(dtype, examples=400)
    after = np.asarray(augment.pad_and_crop(KEY, before, pad=pad))
    assert after.shape == before.shape
    assert after.dtype == dtype
    bordered = np.pad(before, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    side = 2 * pad + 1
    count = np.zeros((side, side))
    for image, padded in zip(after, bordered, strict=True):
        match = [
            (y, x)
            for y in range(side)
            for x in range(side)
            if (padded[y : y + 6, x : x + 5] == image).all()
        ]
        assert len(match) == 1
        count[match[0]] += 1
    expected = 400 / side**2
    assert (np.abs(count - expected) < 5 * np.sqrt(expected)).all()


def test_functions_of_the_key_alone():
    change = augment.by_name("flip_crop")
    before = images()
    once, twice = change(KEY, before), change(KEY, before)
    np.testing.assert_array_equal(once, twice)
    other = change(jax.random.key(4), before)
    assert not (np.asarray(once) == np.asarray(other)).all()
    np.testing.assert_array_equal(once, jax.jit(change)(KEY, before))


def test_under_vmap_each_seed_has_its_own():
    change = augment.by_name("flip_crop")
    keys, before = jax.random.split(KEY, 3), jnp.asarray(images())
    together = jax.vmap(change, in_axes=(0, None))(keys, before)
    for key, one in zip(keys, together, strict=True):
        np.testing.assert_array_equal(one, change(key, before))


def test_compose_gives_each_part_its_own_key():
    drawn = []

    def record(key, images):
        drawn.append(jax.random.key_data(key).tolist())
        return images

    augment.compose(record, record)(KEY, jnp.asarray(images()))
    assert drawn[0] != drawn[1]


def test_by_name():
    before = images()
    np.testing.assert_array_equal(augment.by_name("none")(KEY, before), before)
    for name in ("flip", "crop", "flip_crop"):
        assert not (np.asarray(augment.by_name(name)(KEY, before)) == before).all()
    with pytest.raises(ValueError, match="augmentation is 'flips'; .*flip_crop"):
        augment.by_name("flips")


def test_negative_pad():
    with pytest.raises(ValueError, match="pad is -1"):
        augment.pad_and_crop(KEY, images(), pad=-1)
