"""Networks of torch as trees, and back: one made by torch itself, and torchvision's."""

import gzip
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from linconn_jax import interchange, permutation
from linconn_jax.interchange import (
    batch_norm,
    conv,
    dense,
    embedding,
    layouts,
    leaf,
    norm,
    patterns,
    tied,
    unread,
)

DATA = Path(__file__).parent / "data"
NET = [conv("{m}", "{m}"), batch_norm("bn", "bn"), dense("fc", "fc", flattened=(3, 2))]


@pytest.fixture
def state():
    return interchange.load(DATA / "net.pth")


@pytest.fixture
def stored():
    """Inputs [n, channels, height, width], and what torch made of them."""
    with np.load(DATA / "net.npz") as file:
        return jnp.asarray(file["inputs"]), file["outputs"]


def convolve(x, kernel, bias, layout, stride=1, groups=1):
    letters = {"tree": ("NHWC", "HWIO", "NHWC"), "torch": ("NCHW", "OIHW", "NCHW")}
    shape = {"tree": (1, 1, 1, -1), "torch": (1, -1, 1, 1)}[layout]
    y = jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(1, 1), (1, 1)],
        dimension_numbers=letters[layout],
        feature_group_count=groups,
    )
    return y if bias is None else y + bias.reshape(shape)


def apply_tree(variables, images):
    """The net of tests/data/make_torch.py on the layout of a tree."""
    params, stats = variables["params"], variables["batch_stats"]["bn"]
    x = jnp.moveaxis(images, 1, -1)
    x = convolve(x, params["conv"]["kernel"], params["conv"]["bias"], "tree")
    scale = params["bn"]["scale"] / jnp.sqrt(stats["var"] + 1e-5)
    x = (x - stats["mean"][None, None, None]) * scale[None, None, None]
    x = jax.nn.relu(x + params["bn"]["bias"][None, None, None])
    x = jax.nn.relu(convolve(x, params["depthwise"]["kernel"], None, "tree", groups=4))
    grouped = params["grouped"]
    x = convolve(x, grouped["kernel"], grouped["bias"], "tree", stride=2, groups=2)
    x = x.reshape(x.shape[0], -1)
    return x @ params["fc"]["kernel"] + params["fc"]["bias"][None]


def apply_torch(state, x):
    """The same net on the flat dict of torch, in the layout of torch."""

    def units(name):
        return state[name].reshape(1, -1, 1, 1)

    x = convolve(x, state["conv.weight"], state["conv.bias"], "torch")
    scale = units("bn.weight") / jnp.sqrt(units("bn.running_var") + 1e-5)
    x = (x - units("bn.running_mean")) * scale + units("bn.bias")
    x = convolve(jax.nn.relu(x), state["depthwise.weight"], None, "torch", groups=4)
    kernel, bias = state["grouped.weight"], state["grouped.bias"]
    x = convolve(jax.nn.relu(x), kernel, bias, "torch", stride=2, groups=2)
    return x.reshape(x.shape[0], -1) @ state["fc.weight"].T + state["fc.bias"][None]


def assert_same(state, other):
    assert list(state) == list(other)
    for key, array in state.items():
        assert array.dtype == other[key].dtype, key
        assert array.shape == other[key].shape, key
        assert array.tobytes() == other[key].tobytes(), key


# A net that torch made.


def test_logits_equal_those_of_torch_in_both_layouts(state, stored):
    inputs, outputs = stored
    tree = interchange.from_torch(state, NET)
    np.testing.assert_allclose(apply_tree(tree, inputs), outputs, atol=1e-5)
    arrays = jax.tree.map(jnp.asarray, state)
    np.testing.assert_allclose(apply_torch(arrays, inputs), outputs, atol=1e-5)


def test_the_order_of_a_flattened_map_matters(state, stored):
    inputs, outputs = stored
    wrong = [*NET[:2], dense("fc", "fc")]
    tree = interchange.from_torch(state, wrong)
    assert np.abs(apply_tree(tree, inputs) - outputs).max() > 0.1


def test_a_permuted_tree_goes_back_and_computes_the_same(state, stored, tmp_path):
    inputs, outputs = stored
    tree = jax.tree.map(jnp.asarray, interchange.from_torch(state, NET))
    spec = permutation.discover(apply_tree, tree, inputs)
    moved = permutation.random(jax.random.key(1), spec, tree)
    back = interchange.to_torch(permutation.permute(spec, moved, tree), NET, like=state)
    interchange.save(tmp_path / "net.safetensors", back)
    again = interchange.load(tmp_path / "net.safetensors")
    arrays = jax.tree.map(jnp.asarray, again)
    np.testing.assert_allclose(apply_torch(arrays, inputs), outputs, atol=1e-5)
    assert not np.array_equal(again["conv.weight"], state["conv.weight"])
    assert not np.array_equal(again["fc.weight"], state["fc.weight"])
    assert again["bn.num_batches_tracked"] == 7


def test_the_flat_dict_of_torch_can_be_permuted_as_it_is(state, stored):
    inputs, outputs = stored
    arrays = {k: jnp.asarray(v) for k, v in state.items() if v.dtype == np.float32}
    spec = permutation.discover(apply_torch, arrays, inputs)
    units = permutation.sizes(spec, arrays)
    tree = jax.tree.map(jnp.asarray, interchange.from_torch(state, NET))
    other = permutation.sizes(permutation.discover(apply_tree, tree, inputs), tree)
    assert sorted(units.values()) == sorted(other.values())
    moved = permutation.random(jax.random.key(1), spec, arrays)
    permuted = permutation.permute(spec, moved, arrays)
    np.testing.assert_allclose(apply_torch(permuted, inputs), outputs, atol=1e-5)
    assert not np.array_equal(permuted["fc.weight"], arrays["fc.weight"])


def test_the_round_trip_is_exact_and_shares_no_memory(state):
    state["bn.running_var"] = state["bn.running_var"].astype(ml_dtypes.bfloat16)
    state["fc.bias"] = state["fc.bias"].astype(np.float16)
    tree = interchange.from_torch(state, NET)
    assert tree["params"]["fc"]["bias"].dtype == np.float16
    assert tree["params"]["depthwise"]["kernel"].shape == (3, 3, 1, 8)
    assert tree["params"]["grouped"]["kernel"].shape == (3, 3, 4, 6)
    back = interchange.to_torch(tree, NET, like=state)
    assert_same(back, state)
    for array in jax.tree.leaves(tree) + list(back.values()):
        assert array.flags.c_contiguous
        assert not any(np.shares_memory(array, x) for x in state.values())


def test_values_go_back_in_the_dtype_of_the_file(state):
    half = {k: v.astype(ml_dtypes.bfloat16) for k, v in state.items()}
    tree = interchange.from_torch(half, NET)
    wide = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)
    assert_same(interchange.to_torch(wide, NET, like=half), half)


@pytest.mark.parametrize(
    ("value", "dtype", "kept"),
    [
        (np.float32(1e6), np.float16, False),
        (np.float32(0.1), np.float16, True),
        (np.float32(np.inf), np.float16, True),
        (np.float32(1e6), ml_dtypes.float8_e4m3fn, False),
        (np.complex64(1j), np.float32, False),
        (np.complex64(1j), np.complex128, True),
        (np.float32(0.5), np.int32, False),
        (np.int64(2**40), np.int32, False),
        (np.int64(7), np.int32, True),
    ],
)
def test_going_back_rounds_and_loses_no_more(value, dtype, kept):
    tree, like = {"w": np.array([value])}, {"w": np.zeros(1, dtype)}
    if kept:
        back = interchange.to_torch(tree, [leaf("w", "w")], like=like)
        assert_same(back, {"w": tree["w"].astype(dtype)})
        return
    with pytest.raises(ValueError, match=r"w is \w+, with values that the .* of like"):
        interchange.to_torch(tree, [leaf("w", "w")], like=like)


def test_any_tree_can_be_filled(state):
    rules = [
        leaf("{m}.weight", "{m}/0"),
        leaf("{m}.{x}", "{m}/1/{x}"),
        unread("bn.num_batches_tracked"),
    ]
    small = {k: state[k] for k in ("fc.weight", "fc.bias", "bn.num_batches_tracked")}
    like = {"fc": (np.zeros((5, 36)), {"bias": jax.ShapeDtypeStruct((5,), np.float32)})}
    with pytest.raises(ValueError, match=r"taken by several rules: .*fc.weight|weight"):
        interchange.from_torch(small, rules, like=like)
    rules[1] = leaf("{m}.bias", "{m}/1/bias")
    tree = interchange.from_torch(small, rules, like=like)
    assert jax.tree.structure(tree) == jax.tree.structure(like)
    assert np.array_equal(tree["fc"][1]["bias"], state["fc.bias"])
    assert_same(interchange.to_torch(tree, rules, like=small), small)


# What does not fit is said, all at once.


@pytest.mark.parametrize(
    ("change", "rules", "texts"),
    [
        ({"extra.weight": (3, 3)}, NET, ["keys that no rule takes: ['extra.weight']"]),
        ({"fc.weight": None}, NET, ["missing: 'fc'", "no rule takes: ['fc.bias']"]),
        ({"bn.bias": None}, NET, ["missing key: 'bn.bias', needed by 'bn' -> 'bn'"]),
        ({}, NET[1:], ["'conv.weight'", "'grouped.bias'"]),
        (
            {},
            [*NET, conv("conv", "again")],
            ["'conv.weight' is taken by several rules"],
        ),
        ({}, [*NET, dense("head", "head")], ["missing: 'head'"]),
        ({"fc.weight": (5, 6, 6)}, NET, ["missing: 'fc', or it is of another kind"]),
        ({"conv.bias": None}, [conv("conv", "c", bias=True)], ["key: 'conv.bias'"]),
        ({}, [conv("conv", "c", bias=False)], ["no rule takes: ['conv.bias'"]),
        (
            {"more.weight": (3, 3)},
            [*NET, dense("mor{x}", "fc")],
            ["'params/fc/kernel' would be filled by several keys"],
        ),
        (
            {"x.weight": (3, 3)},
            [*NET, dense("z{x}", "{x}"), conv("y{x}", "{x}")],
            ["rules that take none:", "'z{x}' -> '{x}'", "'y{x}' -> '{x}'"],
        ),
    ],
)
def test_keys_that_do_not_fit_are_listed(state, change, rules, texts):
    for key, shape in change.items():
        state.pop(key, None)
        if shape is not None:
            state[key] = np.zeros(shape, np.float32)
    with pytest.raises(
        ValueError, match="the rules do not fit the state_dict"
    ) as error:
        interchange.from_torch(state, rules)
    for text in texts:
        assert text in str(error.value)


def test_shapes_and_leaves_that_do_not_fit_are_listed(state):
    like = interchange.from_torch(state, NET)
    like["params"]["bn"]["scale"] = np.zeros(5)
    like["params"]["more"] = np.zeros(5)
    del like["params"]["fc"]["bias"]
    with pytest.raises(ValueError, match="do not fit the tree") as error:
        interchange.from_torch(state, NET, like=like)
    for text in (
        "params/bn/scale has shape (4,), not (5,)",
        "nothing fills: ['params/more']",
        "no leaf for: ['params/fc/bias']",
    ):
        assert text in str(error.value)


def test_a_map_that_does_not_divide_is_an_error(state):
    rules = [*NET[:2], dense("fc", "fc", flattened=(5, 7))]
    with pytest.raises(ValueError, match=r"fc.weight of shape \(5, 36\).*36 inputs"):
        interchange.from_torch(state, rules)


@pytest.mark.parametrize("flattened", [(0, 3), (7, -7), 6])
def test_a_map_of_no_lengths_is_an_error(unchecked, flattened):
    with pytest.raises(ValueError, match=r"flattened=.*; it must be the lengths"):
        unchecked(sys.modules[dense.__module__]).dense("fc", "fc", flattened=flattened)
    with pytest.raises(ValueError, match=r"flattened=\(2\.0, 3\); it must be the len"):
        unchecked(layouts).flattened(2.0, 3)


def test_a_tree_that_does_not_fit_cannot_go_back(state):
    tree = interchange.from_torch(state, NET)
    tree["params"]["conv"]["bias"] = np.zeros(5, np.float32)
    with pytest.raises(ValueError, match=r"conv.bias \(5,\), not \(4,\) as in like"):
        interchange.to_torch(tree, NET, like=state)
    tree["params"]["more"] = tree["params"].pop("fc")
    with pytest.raises(ValueError, match="does not fit the rules") as error:
        interchange.to_torch(tree, NET, like=state)
    assert "the tree lacks: ['params/fc/bias', 'params/fc/kernel']" in str(error.value)
    assert "no rule takes: ['params/more/bias'" in str(error.value)


# Other kinds of rules.


def test_tied_keys_are_one_leaf_and_written_twice():
    table = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    state = {"head.weight": table, "embed.weight": table.copy()}
    rules = [embedding("embed", "embed"), tied("head.weight", "embed.weight")]
    tree = interchange.from_torch(state, rules)
    assert interchange.leaves(tree).keys() == {"params/embed/embedding"}
    tree["params"]["embed"]["embedding"] = table[:, ::-1]
    back = interchange.to_torch(tree, rules, like=state)
    assert_same(back, dict.fromkeys(state, np.ascontiguousarray(table[:, ::-1])))
    broken = dict.fromkeys(state, np.where(table == 0, np.nan, table))
    assert_same(
        interchange.from_torch(broken, rules)["params"]["embed"],
        {"embedding": broken["embed.weight"]},
    )
    state["head.weight"] = table + 1
    with pytest.raises(ValueError, match="not tied"):
        interchange.from_torch(state, rules)
    rules[1] = tied("head.weight", "none.weight")
    with pytest.raises(ValueError, match="'none.weight', which is no key"):
        interchange.from_torch(state, rules)
    with pytest.raises(ValueError, match="'none.weight', which is no key"):
        interchange.to_torch(tree, rules, like=state)


def test_what_is_tied_to_a_tied_key_is_refused():
    """It would be written with the values of the old file."""
    state = {f"{name}.weight": np.ones((3, 2)) for name in ("embed", "head", "more")}
    rules = [
        embedding("embed", "embed"),
        tied("head.weight", "embed.weight"),
        tied("more.weight", "head.weight"),
    ]
    with pytest.raises(
        ValueError, match=r"'more.weight' is tied to 'head.weight', which"
    ):
        interchange.from_torch(state, rules)
    rules[2] = tied("more.weight", "embed.weight")
    tree = interchange.from_torch(state, rules)
    tree["params"]["embed"]["embedding"] *= 2
    back = interchange.to_torch(tree, rules, like=state)
    assert_same(back, {key: 2 * array for key, array in state.items()})


def test_kinds_tell_modules_of_one_pattern_apart():
    state = {
        "layers.0.weight": np.zeros((4, 3, 5)),
        "layers.1.weight": np.zeros(4),
        "layers.1.bias": np.zeros(4),
        "layers.2.running_mean": np.zeros(4),
        "layers.2.running_var": np.zeros(4),
        "layers.2.num_batches_tracked": np.zeros((), np.int64),
        "layers.3.weight": np.zeros((2, 4)),
        **{f"layers.4.{name}": np.zeros(4) for name in ("weight", "bias")},
        **{f"layers.4.running_{name}": np.zeros(4) for name in ("mean", "var")},
        "table": np.zeros((2, 4)),
    }
    rules = [
        conv("layers.{i}", "conv_{i}"),
        norm("layers.{i}", "norm_{i}"),
        batch_norm("layers.2", "bn_2", affine=False),
        batch_norm("layers.4", "bn_4"),
        dense("layers.{i}", "dense_{i}"),
        leaf("table", "constants/table", layouts.DENSE),
    ]
    tree = interchange.from_torch(state, rules)
    shapes = {name: array.shape for name, array in interchange.leaves(tree).items()}
    assert shapes == {
        "params/conv_0/kernel": (5, 3, 4),
        "params/norm_1/scale": (4,),
        "params/norm_1/bias": (4,),
        "batch_stats/bn_2/mean": (4,),
        "batch_stats/bn_2/var": (4,),
        "params/dense_3/kernel": (4, 2),
        "params/bn_4/scale": (4,),
        "params/bn_4/bias": (4,),
        "batch_stats/bn_4/mean": (4,),
        "batch_stats/bn_4/var": (4,),
        "constants/table": (4, 2),
    }
    assert_same(interchange.to_torch(tree, rules, like=state), state)


def test_an_embedding_is_told_from_a_norm_and_a_convolution():
    shapes = {"e": (3, 2), "n": 2, "c": (2, 3, 1, 1)}
    state = {f"{name}.weight": np.zeros(shape) for name, shape in shapes.items()}
    rules = [kind("{m}", "{m}") for kind in (embedding, conv)]
    tree = interchange.from_torch(state, [*rules, norm("{m}", "{m}", bias=False)])
    assert [list(tree["params"][m]) for m in "enc"] == [
        ["embedding"],
        ["scale"],
        ["kernel"],
    ]


def test_modules_are_counted_in_the_order_of_their_numbers():
    places = [0, 3, 10, 7, 20, 100]
    state = {f"features.{i}.weight": np.full((1, 1, 1, 1), i) for i in places}
    rules = [conv("features.{i}", "conv_{#:2}")]
    tree = interchange.from_torch(dict(sorted(state.items())), rules)
    values = {k: v["kernel"].item() for k, v in tree["params"].items()}
    assert values == {f"conv_{i + 1:02d}": n for i, n in enumerate(sorted(places))}


@pytest.mark.parametrize(
    ("read", "write", "name", "filled"),
    [
        ("layer{s}.{b}", "stage_{s}_block_{b+1}", "layer3.10", "stage_3_block_11"),
        ("l{s}", "{s-1:3}/{#}/{#:2}", "l7", "006/4/04"),
        ("{a}.{a}", "{a}", "x.x", "x"),
        ("{a}.{a}", "{a}", "x.y", None),
        ("{a}", "{a}", "x.y", None),
        ("a.b", "c", "aXb", None),
        ("a+", "c", "a+", "c"),
    ],
)
def test_holes(read, write, name, filled):
    match = patterns.compile(read).fullmatch(name)
    if filled is None:
        assert match is None
    else:
        assert patterns.fill(write, match.groupdict(), 4) == filled


@pytest.mark.parametrize(
    "read", ["{}", "{#}", "{a+1}", "{a", "a}", "{a:2}", "{1}", "{a b}"]
)
def test_malformed_holes_to_read(read):
    with pytest.raises(ValueError, match="plain name|brace that is no hole"):
        patterns.compile(read)


@pytest.mark.parametrize(
    ("write", "match"),
    [
        ("{b}", "not in the torch pattern"),
        ("{a+1}", "'x' is not a number"),
        ("{a", "a brace"),
    ],
)
def test_malformed_holes_to_write(write, match):
    with pytest.raises(ValueError, match=match):
        patterns.fill(write, {"a": "x"}, 1)


# torchvision.

SHAPES = json.loads(gzip.decompress((DATA / "torchvision.json.gz").read_bytes()))


def shrunk(name):
    """A state_dict with torchvision's keys, channels divided by 32, values random."""
    rng = np.random.default_rng(0)
    return {
        key: rng.normal(size=[n if n < 8 else n // 32 for n in shape])
        for key, shape in SHAPES[name].items()
    }


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_torchvision_networks_by_name(name):
    state, rules = shrunk(name), interchange.torchvision.mapping(name)
    tree = interchange.from_torch(state, rules)
    counted = sum(key.endswith("num_batches_tracked") for key in state)
    assert len(jax.tree.leaves(tree)) == len(state) - counted
    assert_same(interchange.to_torch(tree, rules, like=state), state)
    last = next(key for key in reversed(state) if key.endswith(".weight"))
    assert np.array_equal(tree["params"]["head"]["kernel"], state[last].T)


def test_every_known_name_was_compared_with_torchvision():
    assert set(interchange.torchvision.NAMES) == set(SHAPES)
    with pytest.raises(ValueError, match=r"'alexnet' is unknown.*'resnet18'"):
        interchange.torchvision.mapping("alexnet")


def test_a_checkpoint_of_another_depth_is_refused():
    with pytest.raises(ValueError, match=r"no rule takes: \['layer1.2.conv1.weight'"):
        interchange.from_torch(
            shrunk("resnet34"), interchange.torchvision.mapping("resnet18")
        )
    with pytest.raises(ValueError, match=r"missing: 'layer1.2.conv1'"):
        interchange.from_torch(
            shrunk("resnet18"), interchange.torchvision.mapping("resnet34")
        )


def test_a_vgg_of_torchvision_in_five_lines():
    state = shrunk("vgg16_bn")
    rules = [
        conv("features.{i}", "conv_{#:2}"),
        batch_norm("features.{i}", "norm_{#:2}"),
        dense("classifier.0", "dense_1", flattened=(7, 7)),
        dense("classifier.3", "dense_2"),
        dense("classifier.6", "head"),
    ]
    tree = interchange.from_torch(state, rules)
    named = interchange.from_torch(state, interchange.torchvision.mapping("vgg16_bn"))
    assert_same(interchange.leaves(tree), interchange.leaves(named))


def test_a_resnet_of_torchvision_in_seven_lines():
    state = shrunk("resnet50")
    block = "stage_{s}_block_{b+1}"
    rules = [
        conv("conv1", "stem"),
        batch_norm("bn1", "stem_norm"),
        conv("layer{s}.{b}.conv{c}", block + "/conv_{c}"),
        batch_norm("layer{s}.{b}.bn{c}", block + "/norm_{c}"),
        conv("layer{s}.{b}.downsample.0", block + "/shortcut"),
        batch_norm("layer{s}.{b}.downsample.1", block + "/shortcut_norm"),
        dense("fc", "head"),
    ]
    tree = interchange.from_torch(state, rules)
    named = interchange.from_torch(state, interchange.torchvision.mapping("resnet50"))
    assert_same(interchange.leaves(tree), interchange.leaves(named))
