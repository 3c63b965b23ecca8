"""What is state among the variables: found, moved along, proved, and not fitted to."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
import zoo

from linconn_jax import permutation as pm
from linconn_jax.permutation import Axes, Units

KEY = jax.random.key(0)
VARIABLES = {
    "w": jnp.zeros((3, 5)),
    "scale": jnp.ones((1, 5)),
    "bias": jnp.zeros((1, 5)),
    "mean": jnp.zeros((1, 5)),
    "var": jnp.ones((1, 5)),
    "v": jnp.zeros((5, 2)),
}
IMAGES = jax.random.normal(KEY, (6, 3))
UNITS = Units("w", 5)
SPEC = {
    "w": Axes(None, UNITS),
    "v": Axes(UNITS, None),
    **{name: Axes(None, UNITS) for name in ("scale", "bias", "mean", "var")},
}


def hidden(p, x, mean, var):
    return jax.nn.relu((x - mean) * jax.lax.rsqrt(var + 1e-5) * p["scale"] + p["bias"])


def evaluated(p, x):
    return hidden(p, x @ p["w"], p["mean"], p["var"]) @ p["v"]


def divided(p, x):
    h = (x @ p["w"] - p["mean"]) / jnp.sqrt(1e-5 + p["var"])
    return jnp.tanh(h * p["scale"] + p["bias"]) @ p["v"]


def trained(p, x):
    h = x @ p["w"]
    mean, var = (f(h, axis=0, keepdims=True) for f in (jnp.mean, jnp.var))
    new = {"mean": 0.9 * p["mean"] + 0.1 * mean, "var": 0.9 * p["var"] + 0.1 * var}
    return hidden(p, h, mean, var) @ p["v"], new


def state_of(spec):
    return {name for name, axes in spec.items() if axes.state}


def handed_on(p, x):
    return evaluated(p, x), {"mean": p["mean"], "var": p["var"]}


def everything(p, x):
    logits, new = trained(p, x)
    return logits, {**p, **new}


@pytest.mark.parametrize(
    "apply",
    [evaluated, jax.jit(evaluated), divided, trained, jax.jit(trained), handed_on]
    + [everything],
)
def test_statistics_are_state_and_move_along(apply):
    spec = pm.discover(apply, VARIABLES, IMAGES)
    assert spec == SPEC
    assert state_of(spec) == {"mean", "var"}
    report = pm.verify(apply, spec, VARIABLES, IMAGES)
    assert report.ok, report
    assert report.complete, report
    assert report.left_behind == ()
    wrong = {**SPEC, "mean": Axes(None, None)}
    assert not pm.verify(apply, wrong, VARIABLES, IMAGES, seconds=0).ok


@pytest.mark.parametrize("name", ["nnx-resnet", "haiku-depthwise", "resnet20-batch"])
@pytest.mark.usefixtures("x64")
def test_statistics_of_libraries_are_state(name):
    (case,) = (case for case in zoo.CASES if case.name == name)
    variables = case.variables(jnp.float64)
    spec = pm.discover(case.apply, variables, *case.inputs(jnp.float64))
    bound = pm.bind(spec, variables)
    state = {x for x, a in zip(bound.paths, bound.axes, strict=True) if a.state}
    named = {x for x in bound.paths if {"mean", "var"} & {*re.split("[/_]", x)}}
    scalars = {x for x in bound.paths if x.endswith("counter")}  # nothing reads them
    assert state == named | scalars
    assert named


def test_the_state_of_equinox_moves_along():
    def make(key):
        return eqx.nn.Linear(3, 5, key=key), eqx.nn.BatchNorm(5, "all", mode="batch")

    (dense, norm), state = eqx.nn.make_with_state(make)(jax.random.key(0))
    (arrays, rest), w = eqx.partition((dense, norm), eqx.is_array), jnp.ones((5, 2))

    def apply(v, x):
        (arrays, w), state = v

        def one(x):
            dense, norm = eqx.combine(arrays, rest)
            h, new = norm(dense(x), state)
            return jnp.tanh(h) @ w, new

        return jax.vmap(one, axis_name="all", out_axes=(0, None))(x)

    variables = ((arrays, w), state)
    spec = pm.discover(apply, variables, IMAGES)
    assert spec[0][1].labels[0].size == 5
    running = [axes for axes in jax.tree.leaves(spec[1], is_leaf=is_axes) if axes.ndim]
    assert running == [Axes(spec[0][1].labels[0])] * 2
    assert all(axes.state for axes in running)


def is_axes(x):
    return isinstance(x, Axes)


def test_an_output_without_the_name_of_a_variable_stays():
    def apply(p, x):
        logits, new = trained(p, x)
        return logits, (new["mean"], new["var"])

    spec = pm.discover(apply, VARIABLES, IMAGES)
    assert not any(any(axes.labels) for axes in spec.values())
    found = pm.examine(lambda p, x: (p["v"], {"w": x}), VARIABLES, IMAGES)
    assert found.returned == {}  # of another shape, and without a name


def test_new_values_must_move_as_the_variables_do():
    def apply(p, x):
        logits, new = trained(p, x)
        return logits, {**new, "mean": jnp.sort(new["mean"])}

    found = pm.examine(apply, VARIABLES, IMAGES)
    assert not any(any(axes.labels) for axes in found.spec.values())
    assert not pm.verify(apply, SPEC, VARIABLES, IMAGES).ok


def test_a_step_of_training_moves_its_parameters_and_calls_none_state():
    variables = {name: VARIABLES[name] for name in ("w", "v")}
    spec = {name: SPEC[name] for name in variables}

    def loss(p, x):
        return (jnp.tanh(x @ p["w"]) @ p["v"] * jnp.arange(2.0)[None]).sum()

    def step(p, x):
        return jax.tree.map(lambda a, b: a - 0.1 * b, p, jax.grad(loss)(p, x))

    found = pm.discover(step, variables, IMAGES)
    assert found == spec
    assert state_of(found) == set()
    assert pm.verify(step, found, variables, IMAGES).ok
    for name in variables:
        wrong = {**spec, name: Axes(None, None)}
        assert not pm.verify(step, wrong, variables, IMAGES).ok


def test_learned_centres_and_scales_are_no_state():
    def apply(p, x):
        h = (x @ p["w"] - p["mean"]) * jnp.exp(p["var"]) * p["scale"] + p["bias"]
        h = h / jnp.sqrt((p["w"] ** 2).sum(axis=0, keepdims=True))
        return jnp.tanh(h) @ p["v"]

    assert state_of(pm.discover(apply, VARIABLES, IMAGES)) == set()


@pytest.mark.parametrize(
    "scale", [jnp.sqrt, lambda g: jnp.sqrt(2 * g), lambda g: g**0.5]
)
def test_a_scale_under_a_bare_root_is_no_variance(scale):
    """Of running variances the root is taken once a constant is added."""

    def apply(p, x):
        h = (x @ p["w"] - p["mean"]) * scale(p["var"]) * p["scale"] + p["bias"]
        return jnp.tanh(h) @ p["v"]

    assert state_of(pm.discover(apply, VARIABLES, IMAGES)) == set()


def test_under_params_nothing_is_state():
    """Not even what is read as statistics are."""
    learned = {n: x for n, x in VARIABLES.items() if n != "mean"}
    variables = {"params": learned, "stats": {"mean": VARIABLES["mean"]}}
    spec = pm.discover(
        lambda v, x: evaluated(v["params"] | v["stats"], x), variables, IMAGES
    )
    assert state_of(spec["params"]) == set()
    assert state_of(spec["stats"]) == {"mean"}
    assert "var" in state_of(pm.discover(evaluated, VARIABLES, IMAGES))


def test_leaves_that_nothing_reads_move_with_those_beside_them():
    variables = {
        "net": VARIABLES,
        "more": {"net": {"a": jnp.ones((1, 5)), "b": jnp.ones(4)}},
        "ema": {"hidden": jnp.ones((1, 5)), "average": jnp.ones((1, 5))},
    }

    def apply(v, x):
        return evaluated({**v["net"], "mean": v["ema"]["average"]}, x)

    found = pm.examine(apply, variables, IMAGES)
    # `net/mean` beside its norm, `ema/hidden` beside `ema/average`; of `more` nothing.
    assert found.unread == {
        "ema/hidden": "ema/average",
        "more/net/a": None,
        "more/net/b": None,
        "net/mean": "net/bias",
    }
    moving = Axes(None, Units("net", 5))
    assert found.spec["ema"]["hidden"] == moving == found.spec["net"]["mean"]
    assert found.spec["ema"]["hidden"].state
    report = pm.verify(apply, found.spec, variables, IMAGES)
    assert report.ok
    assert report.left_behind == ("more/net/a", "more/net/b")
    assert (
        "does not read more/net/a, more/net/b: a permuted network must not go on"
        in (report.verdict)
    )
    del variables["more"]
    spec = {name: found.spec[name] for name in variables}
    assert pm.verify(apply, spec, variables, IMAGES).left_behind == ()
    spec["ema"] = {**spec["ema"], "hidden": Axes(None, None)}
    wrong = pm.verify(apply, spec, variables, IMAGES)
    assert wrong.left_behind == ("ema/hidden",)
    assert "must not go on training" in str(wrong)
