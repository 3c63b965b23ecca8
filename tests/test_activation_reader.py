"""Activations read from traced programs: the same as written by hand, in any library."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from zoo import CASES
from zoo.case import draw, random_element
from zoo.in_equinox import Attention, Conv
from zoo.in_nnx import Encoder, Residual

from linconn_jax import align, models
from linconn_jax import permutation as pm
from linconn_jax.align._moments import moments, similarities
from linconn_jax.models.resnet import Block, ResNet
from linconn_jax.permutation import ActivationReader, Axes, Concat, Stacked

ZOO = {case.name: case for case in CASES}
QUICK = ("mlp-mixer", "gpt-scanned", "gru")
compiled = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def rows(x, units=1):
    """Channels last: all other axes are samples."""
    return x.reshape(-1, *x.shape[-units:])


def mlp_by_hand(v, x):
    (w0, b0), (w1, b1), _ = v
    first = jax.nn.relu(x @ w0 + b0[None])
    return {"0/0": first, "1/0": jax.nn.relu(first @ w1 + b1[None])}


RESNET = ResNet(width=4, depth=14, norm="layer", classes=5)


def resnet(variables, images):
    return RESNET.apply(variables, images)


def resnet_by_hand(variables, images):
    """The stream after each block; inside of a block its first norm, through ReLU."""

    def kept(module, _):
        return isinstance(module, Block | nn.LayerNorm)

    _, kept = RESNET.apply(variables, images, capture_intermediates=kept)
    kept, stream = kept["intermediates"], "stem"
    found = {"stem": [jax.nn.relu(kept["stem_norm"]["__call__"][0])]}
    for block in sorted(x for x in kept if x != "stem_norm"):
        inside = kept[block]["norm_1"]["__call__"][0]
        found[f"{block}/conv_1"] = [jax.nn.relu(inside)]
        if "shortcut_norm" in kept[block]:
            stream = f"{block}/conv_2"
        found.setdefault(stream, []).append(kept[block]["__call__"][0])
    return {name: jnp.concatenate(list(map(rows, x))) for name, x in found.items()}


def nnx_by_hand(module):
    graph, _ = nnx.split(nnx.eval_shape(lambda: module(nnx.Rngs(0))))

    def called(function):
        return lambda state, x: function(nnx.merge(graph, state), x)

    return called


@nnx_by_hand(Residual)
def residual_by_hand(net, x):
    stem = nnx.relu(net.stem(x))
    inside = nnx.relu(net.norm_1(net.conv_1(stem)))
    stream = nnx.relu(net.norm_2(net.conv_2(inside)) + net.shortcut(stem))
    return {"stem": rows(stem), "conv_1": rows(inside), "conv_2": rows(stream)}


@nnx_by_hand(Encoder)
def encoder_by_hand(net, x):
    """Of a stream what layers read: both norms' outputs, and what is averaged."""
    x = net.first(x)
    y = net.norm_1(x)
    q, k, v = (getattr(net.attention, name)(y) for name in ("query", "key", "value"))
    mixed = nnx.dot_product_attention(q, k, v)
    x = x + net.attention.out(mixed)
    z = net.norm_2(x)
    up = nnx.gelu(net.up(z))
    last = x + net.down(up)
    return {
        "first": jnp.concatenate([rows(y), rows(z), rows(last)]),
        "attention/query/inside": jnp.concatenate([rows(q, 2), rows(k, 2)]),
        "attention/value": rows(mixed, 2),
        "up": rows(up),
    }


def equinox_by_hand(module):
    made = eqx.filter_eval_shape(module, jax.random.key(0))
    _, rest = eqx.partition(made, lambda x: isinstance(x, jax.ShapeDtypeStruct))

    def called(function):
        return lambda arrays, x: jax.tree.map(
            lambda a: a.reshape(-1, *a.shape[2:]),  # examples and positions
            jax.vmap(lambda one: function(eqx.combine(arrays, rest), one))(x),
        )

    return called


@equinox_by_hand(Conv)
def equinox_conv_by_hand(net, x):
    first = jax.nn.relu(net.norm(net.conv_1(x)))
    second = jax.nn.relu(net.conv_2(first))
    flat = net.pool(second).reshape(-1)
    one = jax.nn.relu(net.dense.layers[0](flat))
    return {
        "conv_1/inside": first.reshape(2, 3, -1).transpose(2, 0, 1),
        "conv_2": second.reshape(5, -1).T,
        "dense/layers/0": one[None],
        "dense/layers/1": jax.nn.relu(net.dense.layers[1](one))[None],
    }


@equinox_by_hand(Attention)
def equinox_attention_by_hand(net, x):
    x = jax.vmap(net.first)(x)
    y = jax.vmap(net.norm)(x)
    projections = (
        getattr(net.attention, f"{n}_proj") for n in ("query", "key", "value")
    )
    q, k, v = (jax.vmap(p)(y).reshape(len(y), 2, -1) for p in projections)
    scores = jnp.einsum("qhd,khd->hqk", q, k) / 3**0.5
    mixed = jnp.einsum("hqk,khd->qhd", jax.nn.softmax(scores), v)
    return {
        "first": jnp.concatenate([y, x + net.attention(y, y, y)]),
        "attention/query_proj/inside": jnp.concatenate([q, k]),
        "attention/value_proj": mixed,
    }


BY_HAND = {
    "mlp": (ZOO["mlp"].apply, ZOO["mlp"].variables, (300, 3), mlp_by_hand),
    "resnet": (
        resnet,
        lambda: jax.eval_shape(RESNET.init, jax.random.key(0), normal(2, 8, 8, 3)),
        (40, 8, 8, 3),
        resnet_by_hand,
    ),
    **{
        name: (ZOO[name].apply, ZOO[name].variables, shape, by_hand)
        for name, shape, by_hand in (
            ("nnx-resnet", (40, 6, 6, 3), residual_by_hand),
            ("nnx-encoder", (60, 5, 3), encoder_by_hand),
            ("equinox-cnn", (40, 2, 6, 6), equinox_conv_by_hand),
            ("equinox-attention", (60, 5, 3), equinox_attention_by_hand),
        )
    },
}


@pytest.mark.parametrize(
    "name",
    [
        x if x in ("mlp", "nnx-encoder") else pytest.param(x, marks=pytest.mark.slow)
        for x in BY_HAND
    ],
)
def test_the_permutation_is_that_of_activations_by_hand(name):
    apply, make, shape, by_hand = BY_HAND[name]
    a, b = (draw(make(), seed=seed) for seed in (1, 2))
    x = normal(*shape)
    spec = pm.discover(apply, a, x[:2])
    read = compiled(ActivationReader(spec, apply, a))(a, x)
    hand = compiled(by_hand)(a, x)
    assert read.keys() == hand.keys()
    for axis, values in hand.items():
        assert read[axis].shape == values.shape
        # The same samples, wherever they stand: in another order, their sums differ.
        ours, theirs = (np.sort(np.asarray(v), axis=0) for v in (read[axis], values))
        np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=1e-4)
    for similarity in align.SIMILARITIES:
        found, wanted = (
            align.activation_matching(spec, *given, x, similarity=similarity, **options)
            for given, options in (
                ((apply, a, b), {}),
                ((None, a, b), {"activations": by_hand}),
            )
        )
        assert found.permutation == wanted.permutation
        assert found.objective == pytest.approx(wanted.objective, rel=1e-5)


def test_where_activations_are_read_matters():
    apply, make, shape, _ = BY_HAND["mlp"]
    a, b = (draw(make(), seed=seed) for seed in (1, 2))
    x = normal(*shape)
    spec = pm.discover(apply, a, x[:2])
    of = [
        align.activation_matching(spec, apply, a, b, x, at=at) for at in pm.READS[::2]
    ]
    assert of[0].permutation != of[1].permutation


def moves_along(case, at):
    """Activations of a permuted network are those of the network, permuted."""
    variables, inputs = case.variables(jnp.float64), case.inputs(jnp.float64)
    spec = pm.discover(case.apply, variables, *inputs)
    p = random_element(spec, variables, 0)
    read = compiled(ActivationReader(spec, case.apply, variables, at=at))
    before = read(variables, *inputs)
    after = read(pm.permute(spec, p, variables), *inputs)
    parents = pm.parents(spec)
    inner = parents.keys() - {x for above in parents.values() for x in above}
    assert before.keys() == inner
    for name, values in before.items():
        flat, moved = (np.asarray(x).reshape(len(x), -1) for x in (values, after[name]))
        assert flat.std(axis=0).max() > 0
        np.testing.assert_allclose(
            flat[:, pm.points(p, name)], moved, atol=1e-9 * np.abs(flat).max()
        )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", QUICK)
def test_activations_move_with_their_network(name):
    moves_along(ZOO[name], "all")


UNREAD = ("hypernetwork", "low-rank")  # names that no value from the inputs holds


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("at", ["linear", "relu"])
@pytest.mark.parametrize("name", [x for x in ZOO if x not in UNREAD])
def test_activations_of_the_whole_zoo_move_with_their_network(name, at):
    moves_along(ZOO[name], at)


def stacked(layers, x, *, reverse=False):
    def layer(x, w):
        return x + jnp.tanh(x @ w[0]) @ w[1], None

    x, _ = jax.lax.scan(layer, x @ layers["in"], layers["w"], reverse=reverse)
    return x @ layers["out"]


@pytest.mark.parametrize("reverse", [False, True])
def test_layers_of_a_loop_are_told_apart(reverse):
    apply = functools.partial(stacked, reverse=reverse)
    v = {"in": normal(3, 4), "w": (normal(2, 4, 5), normal(2, 5, 4, seed=1))}
    v, x = {**v, "out": normal(4, 2)}, normal(6, 3)
    read = ActivationReader(pm.discover(apply, v, x), apply, v)(v, x)
    stream = x @ v["in"]
    for i in (1, 0) if reverse else (0, 1):
        hidden = np.tanh(stream @ v["w"][0][i])
        np.testing.assert_allclose(read[f"w/0[{i}]"], hidden, rtol=1e-4, atol=1e-5)
        stream = stream + hidden @ v["w"][1][i]
    np.testing.assert_allclose(read["in"][-6:], stream, rtol=1e-4, atol=1e-5)
    assert len(read["in"]) == 18


def test_specs_of_ones_own():
    """Other names, names left out, and units apart that the program has on one axis."""
    v = {"in": normal(3, 5), "out": normal(5, 2)}
    x = normal(7, 3)

    def apply(v, x):
        return jax.nn.relu(x @ v["in"]) @ v["out"]

    whole = {"in": Axes(None, "mine"), "out": Axes("mine", None)}
    parts = Concat("a", 2)
    some = {"in": Axes(None, parts), "out": Axes(parts, None)}
    none = {"in": Axes(None, None), "out": Axes(None, None)}
    hidden = np.maximum(x @ v["in"], 0)
    for spec, wanted in ((whole, {"mine": hidden}), (some, {"a": hidden[:, :3]})):
        read = ActivationReader(spec, apply, v)(v, x)
        assert read.keys() == wanted.keys()
        for name, values in wanted.items():
            np.testing.assert_allclose(read[name], values, rtol=1e-5)
    assert ActivationReader(none, apply, v)(v, x) == {}


def test_readers_of_one_function_are_equal_and_compiled_once():
    model = models.build(
        "mlp", image_shape=(4, 4, 1), classes=3, mean=(0.5,), std=(1.0,), width=5
    )
    one, other = (
        ActivationReader(model.spec, model.apply, model.shapes) for _ in range(2)
    )
    assert one == other
    assert hash(one) == hash(other)
    assert one != ActivationReader(model.spec, model.apply, model.shapes, at="all")


def loop(v, x):
    def body(state):
        i, x = state
        return i + 1, jnp.tanh(x @ v["in"]) @ v["back"]

    return jax.lax.while_loop(lambda s: s[0] < 2, body, (0, x))[1]


LOW_RANK = ZOO["low-rank"]


@pytest.mark.parametrize(
    ("apply", "spec", "options", "message"),
    [
        (loop, None, {}, r"of 'in'.* program of loop: .* branch or a loop .*at .*\.py"),
        (LOW_RANK.apply, None, {}, "of 'a'.*no value that depends on the inputs"),
        (stacked, None, dict(at="norm"), "has no norm layers; read at=.linear"),
        (stacked, None, dict(at="relus"), "at='relus'; it must be one of"),
        (
            lambda v, x: jax.nn.relu(x @ v["in"]).reshape(-1, 2, 3).sum(1) @ v["out"],
            {"in": Axes(None, "u"), "out": Axes(None, None)},
            {},
            "of 'u'.* takes the units apart.*verify.*activations=",
        ),
        (
            lambda v, x: x @ (v["w"][0] @ v["w"][1]),
            {"w": Stacked(Axes(None, "u"), Axes("u", None))},
            {},
            "of 'u'.*no value that depends",
        ),
    ],
    ids=["loop", "low-rank", "no norm", "place", "split", "stacked"],
)
def test_what_cannot_be_read_is_explained(apply, spec, options, message):
    v = {
        "split": {"in": normal(3, 6), "out": normal(3, 2)},
        "stacked": {"w": normal(2, 3, 3)},
    }.get("" if spec is None else ("stacked" if "w" in spec else "split"))
    x = normal(4, 3)
    if apply is LOW_RANK.apply:
        v, (x,) = LOW_RANK.variables(), LOW_RANK.inputs()
    elif apply is loop:
        v = {"in": normal(3, 5), "back": normal(5, 3)}
    elif v is None:
        v = {"in": normal(3, 4), "w": (normal(2, 4, 5), normal(2, 5, 4))}
        v["out"] = normal(4, 2)
    spec = pm.discover(apply or stacked, v, x) if spec is None else spec
    with pytest.raises(ValueError, match=message):
        ActivationReader(spec, apply, v, **options)(v, x)


def test_activation_matching_needs_a_function():
    v = {"in": normal(3, 5)}
    with pytest.raises(ValueError, match="needs the model's apply.* or activations="):
        align.activation_matching({"in": Axes(None, "u")}, None, v, v, normal(2, 3))


def test_moments_of_many_networks_in_one_pass():
    nets, x = [normal(3, 4, seed=i) for i in range(3)], normal(50, 3)

    def activations(w, x):
        return {"u": x @ w + 1}

    found = moments(nets, x, activations, 16)["u"]
    h = [np.float64(x @ w + 1) for w in nets]
    for i, j in ((0, 1), (0, 2), (1, 2), (2, 0)):
        raw = h[i].T @ h[j] / 50
        centred = raw - np.outer(h[i].mean(0), h[j].mean(0))
        for name, wanted in (("raw", raw), ("centred", centred)):
            got = similarities("u", found, name, i, j)
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
        two = moments([nets[i], nets[j]], x, activations, 16)["u"]
        pair = similarities("u", two, "raw")
        np.testing.assert_array_equal(pair, similarities("u", found, "raw", i, j))
