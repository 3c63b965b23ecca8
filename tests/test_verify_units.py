"""Units that cannot be known are flagged, others are not, and recovery is fair."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from verify_cases import CASES

from linconn_jax import permutation as pm
from linconn_jax.extras import recovered, unidentifiable
from linconn_jax.permutation import Axes, Units

BY_NAME = {case.name: case for case in CASES}


def network(case, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=x.shape).astype(np.float32)
        for name, x in case.variables.items()
    }


def flags_of(case, variables):
    rng = np.random.default_rng(9)
    inputs = [rng.normal(size=x.shape).astype(np.float32) for x in case.inputs]
    return unidentifiable(case.apply, case.spec, variables, *inputs)


def assert_flags(flags, **expected):
    """Flags of all names: `dead={"conv": [1]}`, nothing else."""
    for kind in ("dead", "no_outgoing", "constant", "duplicate"):
        found = {
            name: np.argwhere(getattr(each, kind)).squeeze(-1).tolist()
            if each.dead.ndim == 1
            else np.argwhere(getattr(each, kind)).tolist()
            for name, each in flags.items()
            if getattr(each, kind).any()
        }
        assert found == expected.get(kind, {}), kind


@pytest.mark.parametrize("case", CASES, ids=str)
def test_random_networks_have_no_such_units(case):
    flags = flags_of(case, network(case))
    # Half of the ReLU units would be off if their bias were random: keep them on.
    if case.name != "conv":
        assert_flags(flags)
        assert all(each.identifiable.all() for each in flags.values())


def relu_mlp(v, x):
    return jax.nn.relu(x @ v["w1"] + v["b1"][None]) @ v["w2"]


MLP = {"w1": Axes(None, "u"), "b1": Axes("u"), "w2": Axes("u", None)}


def planted():
    rng = np.random.default_rng(0)
    v = {
        "w1": rng.normal(size=(4, 8)),
        "b1": 0.1 * rng.normal(size=8),
        "w2": rng.normal(size=(8, 3)),
    }
    v["b1"][1] = -100  # never on
    v["w2"][3] = 0  # nothing reads it
    v["b1"][6] = -100
    for name, axis in (("w1", 1), ("b1", 0), ("w2", 0)):  # 7 is 2 again
        rows = np.moveaxis(v[name], axis, 0)
        rows[7] = rows[2]
    return v, rng.normal(size=(32, 4))


def test_planted_units_are_flagged_and_no_others():
    v, x = planted()
    flags = unidentifiable(relu_mlp, MLP, v, x)
    assert_flags(
        flags,
        dead={"u": [1, 6]},
        no_outgoing={"u": [3]},
        duplicate={"u": [2, 7]},
    )
    assert flags["u"].twin[7] == 2
    assert flags["u"].classes.tolist() == [0, -1, 2, -1, 4, 5, -1, 2]
    # Half a twin is none.
    v["w2"][7, 0] += 1
    assert_flags(
        unidentifiable(relu_mlp, MLP, v, x), dead={"u": [1, 6]}, no_outgoing={"u": [3]}
    )


def test_nothing_depends_on_how_leaves_are_scaled():
    v, x = planted()
    v = {**v, "s": np.array(1e-14), "mask": np.array([0, -1e30]), "c": np.zeros(3)}
    spec = {**MLP, "s": Axes(), "mask": Axes(None), "c": Axes(None)}

    def scaled(v, x):
        seen = jax.nn.softmax(v["mask"])[0]
        return seen * v["s"] * relu_mlp(v, x) + v["c"][None]

    found = {"dead": {"u": [1, 6]}, "duplicate": {"u": [2, 7]}}
    v["b1"][5] = 0  # of one unit
    assert_flags(unidentifiable(scaled, spec, v, x), no_outgoing={"u": [3]}, **found)
    v["w2"] = 0 * v["w2"]  # nothing reads any, and they are on all the same
    everything = {"no_outgoing": {"u": [0, 2, 3, 4, 5, 7]}, "dead": {"u": [1, 6]}}
    twins = {"duplicate": {"u": [2, 7]}}
    assert_flags(unidentifiable(scaled, spec, v, x), **everything, **twins)


def hidden(v, x):
    return {"u": jax.nn.relu(x @ v["w1"] + v["b1"][None])}


def test_constant_units_are_told_by_their_activations():
    v, x = planted()
    v["w1"][:, [0, 4]], v["b1"][[0, 4]] = 0, (1, 2)  # on for all inputs alike
    planted_ones = {"dead": {"u": [1, 6]}, "no_outgoing": {"u": [3]}}
    twins = {"duplicate": {"u": [2, 7]}}
    assert_flags(unidentifiable(relu_mlp, MLP, v, x), **planted_ones, **twins)
    flags = unidentifiable(relu_mlp, MLP, v, x, activations=hidden)
    assert_flags(flags, constant={"u": [0, 4]}, **planted_ones, **twins)
    assert flags["u"].classes.tolist() == [-1, -1, 2, -1, -1, 5, -1, 2]
    assert flags["u"].identifiable.tolist() == [i == 5 for i in range(8)]


def test_saturated_units_are_constant():
    v, x = planted()
    v["b1"][5] = 100

    def tanh(v, x):
        return {"u": jnp.tanh(x @ v["w1"] + v["b1"][None])}

    flags = unidentifiable(
        lambda v, x: tanh(v, x)["u"] @ v["w2"], MLP, v, x, activations=tanh
    )
    assert flags["u"].constant.tolist() == [i in (1, 5, 6) for i in range(8)]


@pytest.mark.parametrize(
    ("activations", "match"),
    [
        (lambda v, x: {"u": x}, r"must be \[samples, 8\] with"),
        (lambda v, x: {"u": hidden(v, x)["u"][:1]}, "at least 2 samples"),
        (lambda v, x: {"other": hidden(v, x)["u"]}, "no axis name of the spec"),
    ],
)
def test_activations_that_do_not_fit_are_errors(activations, match):
    v, x = planted()
    with pytest.raises(ValueError, match=match):
        unidentifiable(relu_mlp, MLP, v, x, activations=activations)


@pytest.mark.parametrize(
    ("apply", "match"),
    [
        (lambda v, x: relu_mlp(v, x).argmax(1), "no real or complex numbers"),
        (lambda v, x: jnp.sqrt(relu_mlp(v, 0 * x) * 0), "is not finite"),
    ],
)
def test_without_gradients_nothing_is_called_dead(apply, match):
    v, x = planted()
    with pytest.raises(ValueError, match=match):
        unidentifiable(apply, MLP, v, x)


def test_flags_of_another_network_are_errors():
    v, x = planted()
    flags = unidentifiable(relu_mlp, MLP, v, x)
    p = pm.identity(MLP, {"w1": v["w1"][:, :3], "b1": v["b1"][:3], "w2": v["w2"][:3]})
    with pytest.raises(ValueError, match="flags has no classes of shape"):
        recovered(p, p, flags)


def test_dead_is_said_of_the_inputs():
    v, x = planted()
    flags = unidentifiable(relu_mlp, MLP, v, 1000 * x)
    assert not flags["u"].dead.any()


def test_recovery_is_judged_modulo_what_cannot_be_known():
    v, x = planted()
    flags = unidentifiable(relu_mlp, MLP, v, x)
    base = np.array([5, 4, 3, 2, 1, 0, 7, 6])

    def element(index):
        return pm.from_indices(MLP, v, {"u": np.asarray(index)})

    def exchanged(i, j):
        swap = np.arange(8)
        swap[[i, j]] = j, i
        return element(swap[base])

    p = element(base)
    assert recovered(p, p, flags)["u"] == 1
    assert recovered(p, exchanged(2, 7), flags)["u"] == 1  # twins
    assert recovered(p, exchanged(1, 6), flags)["u"] == 1  # both dead
    assert recovered(p, exchanged(1, 3), flags)["u"] == 1  # dead, and not read
    assert recovered(p, exchanged(0, 4), flags)["u"] == 0.75
    assert recovered(p, exchanged(1, 2), flags)["u"] == 0.75
    assert float(pm.agreement(p, exchanged(2, 7))["u"]) == 0.75


def test_names_without_units_agree():
    v = {"w1": np.zeros((4, 0)), "b1": np.zeros(0), "w2": np.zeros((0, 3))}
    p, x = pm.identity(MLP, v), np.ones((2, 4))
    assert pm.agreement(p, p)["u"] == 1
    assert recovered(p, p, unidentifiable(relu_mlp, MLP, v, x)) == {"u": 1.0}


def test_twins_of_a_recurrent_kernel():
    """A unit that reads itself: its twin must read itself as it does."""
    case = BY_NAME["dense"]
    v = network(case)
    for name, axis, width in (("head", 0, 0), ("start", 1, 0), ("input", 1, 5),
                              ("hidden", 0, 0)):  # fmt: skip
        rows = np.moveaxis(v[name], axis, 0)
        rows[4] = rows[1]
        if width:
            rows[4 + width] = rows[1 + width]
    for gate in (0, 5):
        v["hidden"][:, 4 + gate] = v["hidden"][:, 1 + gate]
    assert_flags(flags_of(case, v), duplicate={"h": [1, 4]})
    v["hidden"][[1, 4], [1, 4]] += 1  # each weighs itself more, alike: still twins
    assert_flags(flags_of(case, v), duplicate={"h": [1, 4]})
    v["hidden"][4, 4] += 1
    assert_flags(flags_of(case, v))


def test_nested_units_and_whole_heads():
    case = BY_NAME["attention"]
    v = network(case)
    v["wo"][1, 2] = 0
    assert_flags(flags_of(case, v), no_outgoing={"vo": [[1, 2]]})
    v = network(case)
    v["wo"][0] = 0  # nothing reads head 0: its scores do not matter at all
    flags = flags_of(case, v)
    assert_flags(
        flags,
        dead={"qk": [[0, 0], [0, 1], [0, 2]]},
        no_outgoing={"heads": [0], "vo": [[0, 0], [0, 1], [0, 2]]},
    )
    assert flags["qk"].classes.tolist()[0] == [-1, -1, -1]
    v = network(case)
    for name in "qkv":
        v[f"w{name}"][:, 1], v[f"b{name}"][1] = v[f"w{name}"][:, 0], v[f"b{name}"][0]
    v["wo"][1] = v["wo"][0]
    flags = flags_of(case, v)
    assert_flags(flags, duplicate={"heads": [0, 1]})
    assert np.array_equal(flags["vo"].classes[0], flags["vo"].classes[1])
    p = pm.identity(case.spec, v)
    q = p.replace({**p.indices, "heads": jnp.array([1, 0])})
    assert all(share == 1 for share in recovered(p, q, flags).values())
    assert float(pm.agreement(p, q)["vo"]) == 0


def test_shapes_are_no_network():
    case = BY_NAME["mlp"]
    with pytest.raises(ValueError, match="has a shape but no values"):
        unidentifiable(case.apply, case.spec, case.variables, *case.inputs)


def test_units_under_units_of_another_name():
    spec = {
        "a": Axes("g", Units("u", under="g")),
        "b": Axes("g", Units("u", under="g")),
    }
    rng = np.random.default_rng(0)
    v = {"a": rng.normal(size=(3, 4)), "b": rng.normal(size=(3, 4))}
    v["a"][:, 3], v["b"][:, 3] = v["a"][:, 1], v["b"][:, 1]
    flags = unidentifiable(lambda v: (v["a"] * v["b"]).sum(1).prod(), spec, v)
    assert_flags(flags, duplicate={"u": [[g, i] for g in range(3) for i in (1, 3)]})
