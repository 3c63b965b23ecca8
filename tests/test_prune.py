"""Pruning: exact counts, nested masks, ties, chance, and masks on disk."""

import base64
import hashlib
import itertools
import json
import math
import os

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from linconn_jax import files, models, prune
from linconn_jax import permutation as pm
from linconn_jax.prune import removal

HEAD = ("*/head/kernel",)
MLP = {"name": "mlp", "width": 8, "depth": 2, "norm": "batch"}
VGG = {"name": "vgg", "width": 4, "depth": 11}


def network(name, **options):
    shape = (8, 8, 3) if name == "vgg" else (5, 4, 1)
    channels = shape[-1]
    return models.build(
        name,
        image_shape=shape,
        classes=10,
        mean=[0.5] * channels,
        std=[0.5] * channels,
        **options,
    )


def distinct(model, seed=0):
    """Variables no two of which are of one magnitude."""
    rng = np.random.default_rng(seed)
    leaves, structure = jax.tree.flatten(model.shapes)
    sizes = [math.prod(leaf.shape) for leaf in leaves]
    values = rng.permutation(sum(sizes)) + 1.0
    values *= rng.choice([-1, 1], len(values))
    parts = np.split(values.astype(np.float32), np.cumsum(sizes)[:-1])
    return structure.unflatten(
        [x.reshape(leaf.shape) for x, leaf in zip(parts, leaves, strict=True)]
    )


def toy(seed=0, dtype=np.float32, values=5):
    """Two kernels and an exempt one, with many equal magnitudes, biases and state."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return (rng.integers(-values, values + 1, shape) / 8).astype(dtype)

    layers = {
        "conv": {"kernel": draw(2, 2, 1, 3), "bias": draw(3)},
        "dense": {"kernel": draw(3, 4), "bias": draw(4)},
        "head": {"kernel": draw(4, 2), "bias": draw(2)},
    }
    return {"params": layers, "batch_stats": {"mean": draw(4, 4)}}


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def kept(masks, exclude=()):
    paths = prune.prunable(masks, exclude=exclude)
    return sum(int(leaf_of(masks, path).sum()) for path in paths)


def leaf_of(tree, path):
    for name in path.split("/"):
        tree = tree[name]
    return tree


# ---- what may be pruned ----


def test_what_may_be_pruned():
    tree = toy()
    conv, dense, head = (f"params/{x}/kernel" for x in ("conv", "dense", "head"))
    assert prune.prunable(tree) == (conv, dense, head)  # not the matrix of the state
    assert prune.prunable(tree, exclude=HEAD) == (conv, dense)
    assert prune.prunable(prune.dense(tree), exclude=["*conv*", HEAD[0]]) == (dense,)
    assert prune.prunable(tree["params"]["conv"]) == ("kernel",)
    shapes = network(**VGG).shapes
    assert len(prune.prunable(shapes)) == 9
    same(prune.dense(shapes), jax.tree.map(lambda x: np.ones(x.shape, bool), shapes))


@pytest.mark.parametrize(
    ("exclude", "words"),
    [
        (("head",), "'head' matches none of the kernels .*'params/head/kernel'"),
        (("*/bias",), "matches none"),
        (("*/HEAD/*",), "matches none"),  # on every machine
        (("*",), "leaves nothing to prune"),
        ("*/head/kernel", "must be a tuple of names"),
    ],
)
def test_patterns_that_are_refused(exclude, words):
    with pytest.raises(ValueError, match=words):
        prune.prunable(toy(), exclude=exclude)


# ---- magnitude ----


@pytest.mark.parametrize(("network_of", "exclude"), [(MLP, ()), (VGG, ()), (VGG, HEAD)])
def test_twenty_levels(network_of, exclude):
    """Exact to one weight, nested, and exempt leaves untouched."""
    variables = distinct(network(**network_of))
    masks = prune.dense(variables)
    start = left = kept(masks)
    for level in range(1, 21):
        new = prune.magnitude(variables, masks, 0.2, exclude=exclude)
        left -= -(-left // 5)
        assert kept(new) == left  # whatever is exempt
        assert abs(left - start * 0.8**level) < 5  # rounding adds up to 1 / fraction
        found = prune.densities(new)
        assert found.overall == left / start
        for path, leaf in jax.tree_util.tree_leaves_with_path(new):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            if name not in prune.prunable(new, exclude=exclude):
                assert leaf.all()
        assert not any(
            (x & ~y).any()
            for x, y in zip(jax.tree.leaves(new), jax.tree.leaves(masks), strict=True)
        )
        removed = [
            np.abs(w)[before & ~after]
            for w, before, after in zip(
                *map(jax.tree.leaves, (variables, masks, new)), strict=True
            )
        ]
        stays = [
            np.abs(leaf_of(variables, path))[leaf_of(new, path)]
            for path in prune.prunable(new, exclude=exclude)
        ]
        assert np.concatenate(stays).min() > np.concatenate(removed).max()
        masks = new


def brute(variables, masks, fraction, scope, exclude):
    """Of all entries in a list: sorted by magnitude, leaf and place."""
    new = jax.tree.map(np.copy, masks)
    paths = prune.prunable(variables)
    may = prune.prunable(variables, exclude=exclude)
    for group in [may] if scope == "global" else [[path] for path in may]:
        total = sum(
            bool(x)
            for path in (paths if scope == "global" else group)
            for x in leaf_of(masks, path).flat
        )
        entries = [
            (abs(float(w)), i, j)
            for i, path in enumerate(group)
            for j, (w, m) in enumerate(
                zip(
                    leaf_of(variables, path).flat,
                    leaf_of(masks, path).flat,
                    strict=True,
                )
            )
            if m
        ]
        per_cent = round(100 * fraction)
        for _, i, j in sorted(entries)[: -(-total * per_cent // 100)]:
            leaf_of(new, group[i]).flat[j] = False
    return new


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize(
    "dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
)
def test_as_a_sorted_list_says(scope, dtype):
    for seed, exclude in itertools.product(range(5), ((), HEAD)):
        variables = toy(seed, dtype, values=seed + 1)
        masks = prune.dense(variables)
        for fraction in (0.07, 0.2, 0.3):
            wanted = brute(variables, masks, fraction, scope, exclude)
            options = {"scope": scope, "exclude": exclude}
            masks = prune.magnitude(variables, masks, fraction, **options)
            same(masks, wanted)


def test_exempt_entries_are_counted():
    variables = {"body": np.arange(1.0, 11).reshape(2, 5), "head": np.ones((3, 5))}
    masks = prune.dense(variables)
    new = prune.magnitude(variables, masks, 0.2, exclude=("head",))
    assert [x.sum() for x in new.values()] == [5, 15]  # a fifth of 25, from 10
    new = prune.magnitude(variables, masks, 0.2, exclude=("head",), scope="layer")
    assert [x.sum() for x in new.values()] == [8, 15]


def test_the_count_is_that_of_the_paper():
    """ceil(.2 n) of floats, as the authors' code has it; other decimals are exact."""
    n = np.r_[1:1000, 10**6 : 10**6 + 50, 15_000_000:15_000_020]
    np.testing.assert_array_equal(np.ceil(0.2 * n).astype(int), -(-n // 5))
    variables = {"w": np.arange(100.0).reshape(10, 10)}
    assert math.ceil(0.07 * 100) == 8
    assert kept(prune.magnitude(variables, prune.dense(variables), 0.07)) == 93


def test_magnitudes_are_compared_exactly():
    """Neighbours among float32 and float64, zeros with a sign, the tiniest floats."""
    one = np.float32(1)
    weights = [np.nextafter(one, 2, dtype=np.float32), one, 3, 2]
    new = prune.magnitude(
        {"w": np.array([weights], np.float32)}, {"w": np.ones((1, 4), bool)}, 0.25
    )
    assert new["w"].tolist() == [[True, False, True, True]]
    tree = {"a": np.full((1, 2), 1, np.float32), "b": np.full((1, 2), 1 - 1e-16)}
    new = prune.magnitude(tree, prune.dense(tree), 0.5)
    assert [x.sum() for x in new.values()] == [2, 0]
    tiny = np.array([[1e-45, -0.0, -1e-45, 0.0, np.inf, -np.inf]], np.float32)
    new = prune.magnitude({"w": tiny}, {"w": np.ones((1, 6), bool)}, 1 / 3)
    assert new["w"].tolist() == [[True, False, True, False, True, True]]


def test_ties_are_broken_by_place_alone():
    """Of equal ones the first go, however arrays lie in memory."""
    variables = {"a": np.ones((6, 4), np.float32), "b": -np.ones((4, 4), np.float32)}
    masks = prune.dense(variables)
    wanted = np.arange(40) >= 8
    for change in (np.asfortranarray, jnp.asarray, lambda x: x[::-1][::-1]):
        new = prune.magnitude(
            *(jax.tree.map(change, x) for x in (variables, masks)), 0.2
        )
        assert np.concatenate([new["a"].ravel(), new["b"].ravel()]).tolist() == list(
            wanted
        )
        assert all(type(x) is np.ndarray for x in new.values())


def test_smallest_of_many_equal():
    rng = np.random.default_rng(0)
    for n, k in itertools.product((1, 7, 50), (1, 3, 100)):
        values = rng.integers(0, k, n).astype(np.uint32)
        for count in range(n + 1):
            order = np.argsort(values, kind="stable")[:count]
            assert np.flatnonzero(removal.smallest(values, count)).tolist() == sorted(
                order
            )


@pytest.mark.parametrize(("network_of", "exclude"), [(MLP, ()), (VGG, HEAD)])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_pruning_commutes_with_permuting(network_of, exclude, scope):
    model = network(**network_of)
    variables = distinct(model)
    p = pm.random(jax.random.key(3), model.spec, variables)
    moved = pm.permute(model.spec, p, variables)
    here, there = prune.dense(variables), prune.dense(moved)
    for _ in range(4):
        here = prune.magnitude(variables, here, 0.3, scope=scope, exclude=exclude)
        there = prune.magnitude(moved, there, 0.3, scope=scope, exclude=exclude)
        same(pm.permute(model.spec, p, here), there)
        same(
            pm.permute(model.spec, p, prune.apply(here, variables)),
            prune.apply(there, moved),
        )
    assert prune.overlap(here, there, exclude=exclude).overall < 0.5  # they were moved
    assert prune.densities(here) == prune.densities(there)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, math.nan, True, "0.2"])
def test_fractions_that_are_refused(fraction, unchecked):
    with pytest.raises(ValueError, match="fraction=.* must be a number above 0"):
        unchecked(removal).magnitude(toy(), prune.dense(toy()), fraction)


def test_what_magnitude_refuses():
    variables = toy()
    masks = prune.dense(variables)
    with pytest.raises(
        ValueError, match="scope='all'; it must be one of global, layer"
    ):
        prune.magnitude(variables, masks, 0.2, scope="all")
    with pytest.raises(ValueError, match="they must be alike"):
        prune.magnitude(variables["params"], masks, 0.2)
    with pytest.raises(
        ValueError, match=r"has shape \(4, 4\) in the masks and \(2, 4, 4\)"
    ):
        prune.magnitude(two(variables), masks, 0.2)
    with pytest.raises(ValueError, match="dtype float32; masks are trees of bool"):
        prune.magnitude(variables, variables, 0.2)
    for dtype in (np.int32, np.complex64):
        odd = jax.tree.map(lambda x: x.astype(dtype), variables)  # noqa: B023
        with pytest.raises(ValueError, match="must be floats"):
            prune.magnitude(odd, masks, 0.2)
    with pytest.raises(
        ValueError, match=r"the 32 entries .* 26 .* only 24 of them may"
    ):
        prune.magnitude(variables, masks, 0.8, exclude=HEAD)
    none = jax.tree.map(np.zeros_like, masks)
    for scope in ("global", "layer"):
        with pytest.raises(ValueError, match="nothing is left in any kernel"):
            prune.magnitude(variables, none, 0.2, scope=scope)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float32, np.float64])
def test_nan_is_refused(dtype):
    variables = toy(dtype=dtype)
    masks = prune.dense(variables)
    variables["params"]["dense"]["kernel"][1, 2] = math.nan
    with pytest.raises(ValueError, match="params/dense/kernel holds NaN"):
        prune.magnitude(variables, masks, 0.2)


def test_one_leaf_may_be_emptied_before_others():
    variables = {"a": np.ones((2, 2)), "b": np.full((2, 2), 2.0)}
    masks = prune.dense(variables)
    for scope, left in (("global", [4, 3, 2, 1, 0]), ("layer", [6, 4, 2, 0])):
        one = masks
        found = []
        while kept(one):
            one = prune.magnitude(variables, one, 0.2, scope=scope)
            found.append(kept(one))
        assert found[-len(left) :] == left


# ---- random ----


def test_random_masks_keep_as_many_in_each_leaf():
    variables = distinct(network(**VGG))
    masks = prune.magnitude(variables, prune.dense(variables), 0.6, exclude=HEAD)
    drawn = prune.random(masks, key=jax.random.key(0), exclude=HEAD)
    assert prune.densities(drawn) == prune.densities(masks)
    assert drawn["params"]["head"]["kernel"].all()
    same(drawn, prune.random(masks, key=jax.random.key(0), exclude=HEAD))
    other = prune.random(masks, key=jax.random.key(1), exclude=HEAD)
    chance = prune.overlap_by_chance(drawn, masks, exclude=HEAD).overall
    for a, b in itertools.combinations((masks, drawn, other), 2):
        assert prune.overlap(a, b, exclude=HEAD).overall == pytest.approx(
            chance, rel=0.1
        )


def test_random_masks_are_the_same_on_every_machine():
    masks = {
        "a": np.arange(60).reshape(6, 10) < 20,
        "b": np.arange(9).reshape(3, 3) < 4,
    }
    drawn = prune.random(masks, key=jax.random.key(7))
    bits = b"".join(np.packbits(x).tobytes() for x in drawn.values())
    assert hashlib.sha256(bits).hexdigest()[:12] == "601d1d574ae3"
    part = prune.random(masks, key=jax.random.key(7), exclude=("a",))
    same(part, {"a": masks["a"], "b": drawn["b"]})  # a leaf's draw is its own


def test_random_masks_are_uniform():
    masks = {"w": np.arange(20).reshape(4, 5) < 5}
    keys = jax.random.split(jax.random.key(0), 1000)
    drawn = np.stack([prune.random(masks, key=key)["w"].ravel() for key in keys])
    deviation = math.sqrt(0.25 * 0.75 / 1000)
    assert np.abs(drawn.mean(0) - 0.25).max() < 4.5 * deviation
    together = (drawn[:, :, None] & drawn[:, None, :]).mean(0)[~np.eye(20, dtype=bool)]
    both = 5 * 4 / (20 * 19)
    assert np.abs(together - both).max() < 5 * math.sqrt(both / 1000)


@pytest.mark.parametrize("key", [0, None, jax.random.split(jax.random.key(0), 3)])
def test_random_needs_one_key(key, unchecked):
    with pytest.raises(ValueError, match="must be one key"):
        unchecked(removal).random(prune.dense(toy()), key=key)


# ---- apply ----


def test_apply_puts_zeros():
    variables = toy(values=3)
    masks = prune.magnitude(variables, prune.dense(variables), 0.5, exclude=HEAD)
    found = prune.apply(masks, variables)
    same(found, jax.tree.map(lambda m, x: np.abs(m * x) * np.sign(x), masks, variables))
    assert found["params"]["head"] == variables["params"]["head"]  # the same objects
    assert all(type(x) is np.ndarray for x in jax.tree.leaves(found))
    same(prune.apply(masks, found), found)
    broken = jax.tree.map(
        lambda m, x: np.where(m, x, np.float32(np.nan)), masks, variables
    )
    same(prune.apply(masks, broken), found)
    minus = prune.apply({"w": np.zeros((1, 2), bool)}, {"w": -np.ones((1, 2))})
    assert not np.signbit(minus["w"]).any()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_apply_on_devices_stacked_and_traced(dtype):
    on_host = toy(values=3)
    masks = prune.magnitude(on_host, prune.dense(on_host), 0.5)
    variables = jax.tree.map(lambda x: jnp.asarray(x, dtype), on_host)
    found = prune.apply(masks, variables)
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(found))
    assert {x.dtype for x in jax.tree.leaves(found)} == {jnp.dtype(dtype)}
    same(jax.jit(lambda x: prune.apply(masks, x))(variables), found)
    same(jax.jit(prune.apply)(masks, variables), found)  # masks are traced, too
    same(jax.vmap(prune.apply, (None, 0))(masks, two(variables)), two(found))
    same(prune.apply(masks, two(variables)), two(found))
    same(prune.apply(two(masks), two(variables)), two(found))
    same(prune.apply(masks, two(on_host)), two(prune.apply(masks, on_host)))


def two(tree):
    on_host = all(isinstance(x, np.ndarray) for x in jax.tree.leaves(tree))
    stack = np.stack if on_host else jnp.stack
    return jax.tree.map(lambda x: stack([x, x]), tree)


def test_apply_refuses_what_does_not_fit():
    masks = prune.dense(toy())
    with pytest.raises(ValueError, match="they must be alike"):
        prune.apply(masks, toy()["params"])
    with pytest.raises(ValueError, match=r"kernel has shape \(4, 3\) and its mask"):
        prune.apply(
            masks["params"]["dense"], {"bias": np.ones(4), "kernel": np.ones((4, 3))}
        )
    with pytest.raises(ValueError, match="dtype int8; a mask must be bool"):
        prune.apply({"w": np.ones((2, 2), np.int8)}, {"w": np.ones((2, 2))})


# ---- measures ----


def test_densities_and_overlaps_are_those_of_sets():
    variables = toy()
    masks = prune.magnitude(variables, prune.dense(variables), 0.4, exclude=HEAD)
    other = prune.random(masks, key=jax.random.key(1), exclude=HEAD)
    paths = prune.prunable(masks, exclude=HEAD)
    a, b = (
        {path: set(np.flatnonzero(leaf_of(x, path))) for path in paths}
        for x in (masks, other)
    )
    found = prune.overlap(masks, other, exclude=HEAD)
    assert found.leaves == {x: len(a[x] & b[x]) / len(a[x] | b[x]) for x in paths}
    common = sum(len(a[x] & b[x]) for x in paths)
    assert found.overall == common / sum(len(a[x] | b[x]) for x in paths)
    assert prune.overlap(masks, masks).overall == 1
    densities = prune.densities(masks, exclude=HEAD)
    assert densities.leaves == {x: len(a[x]) / leaf_of(masks, x).size for x in paths}
    assert densities.overall == 11 / 24  # 19 of 32 are kept, 8 of them exempt
    assert prune.densities(masks).overall == 19 / 32


def test_nothing_kept_has_no_overlap():
    none = {"w": np.zeros((2, 2), bool), "v": np.ones((2, 2), bool)}
    for measure in (prune.overlap, prune.overlap_by_chance):
        found = measure(none, none)
        np.testing.assert_equal(found, ({"v": 1.0, "w": math.nan}, 1.0))


def test_overlap_by_chance_is_that_of_random_masks():
    """Of leaves with different densities; of all together another number than of each."""
    a = {"u": np.arange(400).reshape(20, 20) < 40, "w": np.ones((20, 20), bool)}
    a["w"].flat[300:] = False
    b = {"u": a["w"], "w": a["u"]}
    keys = iter(jax.random.split(jax.random.key(0), 400))
    drawn = [
        prune.overlap(prune.random(a, key=next(keys)), prune.random(b, key=next(keys)))
        for _ in range(200)
    ]
    chance = prune.overlap_by_chance(a, b)
    for x in ("u", "w"):
        assert np.mean([d.leaves[x] for d in drawn]) == pytest.approx(
            chance.leaves[x], rel=0.01
        )
    overall = [d.overall for d in drawn]
    assert np.mean(overall) == pytest.approx(chance.overall, rel=0.01)
    wrong = np.mean(list(prune.densities(a).leaves.values())) ** 2
    assert (
        abs(wrong / (0.85 - wrong) - chance.overall) > 0.05
    )  # densities were averaged


def test_how_far_chance_is_from_the_mean_of_the_ratio():
    """Never above it, and below by less than 1/(2n): summed over the hypergeometric."""
    n = 16
    for a, b in itertools.product(range(1, n + 1), repeat=2):
        exact = sum(
            math.comb(a, i)
            * math.comb(n - a, b - i)
            / math.comb(n, b)
            * i
            / (a + b - i)
            for i in range(max(0, a + b - n), min(a, b) + 1)
        )
        masks = ({"w": (np.arange(n) < k).reshape(4, 4)} for k in (a, b))
        less = exact - prune.overlap_by_chance(*masks).overall
        assert -1e-12 < less < 1 / (2 * n)


# ---- on disk ----


def pruned():
    variables = distinct(network(**VGG))
    masks = prune.dense(variables)
    return prune.magnitude(variables, masks, 0.7, exclude=HEAD)


def test_saved_and_loaded(tmp_path):
    masks = pruned()
    path = tmp_path / "new" / "masks.json"
    prune.save(
        path, masks, level=np.int64(3), density=0.3, loss=math.nan, scope="global"
    )
    for like in (masks, network(**VGG).shapes, distinct(network(**VGG))):
        loaded = prune.load(path, like)
        same(loaded, masks)
        assert {x.dtype for x in jax.tree.leaves(loaded)} == {np.dtype(bool)}
    about = prune.about(path)
    assert math.isnan(about.pop("loss"))
    assert about == {"level": 3, "density": 0.3, "scope": "global"}
    bits = kept(
        prune.dense(masks), exclude=HEAD
    )  # a bit for each, and little beside it
    assert path.stat().st_size < bits / 8 * 4 / 3 + 200 * len(jax.tree.leaves(masks))
    prune.save(path, prune.dense(masks))
    assert path.stat().st_size < 200 * len(jax.tree.leaves(masks))
    same(prune.load(path, masks), prune.dense(masks))


def test_sizes_that_fill_no_byte_and_words_for_numbers(tmp_path):
    path = tmp_path / "masks.json"
    rng = np.random.default_rng(0)
    for n in (*range(20), 48):
        masks = {"w": rng.random((1, n)) < 0.5}
        prune.save(path, masks)
        same(prune.load(path, masks), masks)
    infinity = np.frombuffer(base64.b64decode("Infinity"), np.uint8)
    masks = {"w": np.unpackbits(infinity).astype(bool).reshape(6, 8)}
    prune.save(path, masks)
    assert "Infinity" in path.read_text()
    same(prune.load(path, masks), masks)


def test_damage_is_noticed(tmp_path):
    masks = {"w": np.eye(9, dtype=bool)}
    path = tmp_path / "masks.json"
    prune.save(path, masks, level=1)
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        with pytest.raises(ValueError, match="is damaged or holds no masks"):
            prune.load(path, masks)
    for end in (0, 10, len(whole) - 1):
        path.write_bytes(whole[:end])
        for read in (prune.about, lambda x: prune.load(x, masks)):
            with pytest.raises(ValueError, match="is damaged or holds no masks"):
                read(path)
    with pytest.raises(FileNotFoundError):
        prune.load(tmp_path / "none", masks)
    with pytest.raises(ValueError, match="it is a folder"):
        prune.load(tmp_path, masks)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"masks": 3},
        {"masks": [{"leaf": "w", "shape": [9, 9]}]},
        {"masks": [{"leaf": "w", "shape": [9, 9], "bits": 5}]},
        {"masks": [{"leaf": "w", "shape": [9, 9], "bits": "base64:AAA"}]},
        {"masks": [{"leaf": "w", "shape": [9, 9], "bits": "base64:AAAA"}]},
        {"masks": [{"leaf": "w", "shape": [9, 9], "bits": "base64:é"}]},
    ],
    ids=json.dumps,
)
def test_other_files_are_refused(tmp_path, content):
    files.write_sealed(tmp_path / "masks.json", content)
    with pytest.raises(ValueError, match="is damaged or holds no masks"):
        prune.load(tmp_path / "masks.json", {"w": np.ones((9, 9))})


def test_masks_of_another_network_are_refused(tmp_path):
    path = tmp_path / "masks.json"
    prune.save(path, pruned())
    wider = network(**VGG | {"width": 8}).shapes
    with pytest.raises(
        ValueError, match=r"another network: .*\(4,\)\) where .*\(8,\)\) is"
    ):
        prune.load(path, wider)
    fewer = {"params": {"conv_1": wider["params"]["conv_1"]}}
    with pytest.raises(ValueError, match="another network"):
        prune.load(path, fewer)
    prune.save(path, prune.dense({"a": np.ones(2)}))
    with pytest.raises(ValueError, match="nothing where .*b.* is needed"):
        prune.load(path, {"a": np.ones(2), "b": np.ones(2)})


def test_what_save_refuses(tmp_path):
    masks = prune.dense(toy())
    with pytest.raises(ValueError, match=r"\['masks'\] is said about the masks"):
        prune.save(tmp_path / "a", masks, masks=1)
    with pytest.raises(ValueError, match="must be JSON"):
        prune.save(tmp_path / "a", masks, what=object())
    with pytest.raises(ValueError, match="masks are trees of bool arrays"):
        prune.save(tmp_path / "a", toy())
    assert not list(tmp_path.iterdir())


def test_a_kill_leaves_the_old_masks(tmp_path, monkeypatch):
    path = tmp_path / "masks.json"
    masks = pruned()
    prune.save(path, masks)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        prune.save(path, prune.dense(masks))
    same(prune.load(path, masks), masks)
