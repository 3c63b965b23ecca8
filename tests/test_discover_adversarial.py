"""Functions where a careless tracer goes wrong: what is found must be a symmetry."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from zoo.case import draw, found_groups, random_element, structs
from zoo.traps import TRAPS

from linconn_jax import permutation

pytestmark = pytest.mark.usefixtures("x64")
every_trap = pytest.mark.parametrize("trap", TRAPS, ids=str)


@functools.cache
def prepare(trap):
    """Random variables, and the function of them on five batches of eight inputs."""
    batches = jnp.asarray(np.random.default_rng(1).normal(size=(5, 8, 4)))
    variables = draw(structs(trap.all_shapes()), jnp.float64)
    variables = jax.tree.map(np.asarray, variables)

    @jax.jit
    def outputs(variables):
        both = jax.lax.map(lambda x: trap.apply(variables, x), batches)
        return jnp.concatenate(both, axis=-1)

    with warnings.catch_warnings():  # primitives without a rule are expected here
        warnings.filterwarnings("ignore", "no rule for the primitives")
        spec = permutation.discover(trap.apply, variables, batches[0])
    return spec, variables, outputs


def change(outputs, variables, moved):
    before, after = outputs(variables), outputs(moved)
    return float(np.max(np.abs(before - after)) / np.max(np.abs(before)))


def moved_naively(trap, variables, rng):
    """Every group of careless labels moved by a random permutation."""
    moved = {name: np.array(leaf) for name, leaf in variables.items()}
    for group in trap.naive:
        p = None
        for key, axis in group.items():
            name, *place = key.split("/")
            part = moved[name][int(place[0])] if place else moved[name]
            p = rng.permutation(part.shape[axis]) if p is None else p
            part[...] = np.take(part, p, axis=axis)
    return moved


@every_trap
def test_what_is_found_is_a_symmetry(trap):
    spec, variables, outputs = prepare(trap)
    for seed in range(4):
        p = random_element(spec, variables, seed)
        moved = permutation.permute(spec, p, variables)
        assert change(outputs, variables, moved) < 1e-9, str(spec)


@every_trap
def test_what_is_harmless_is_found(trap):
    spec, variables, _ = prepare(trap)
    found = found_groups(spec, variables)
    for group in trap.least:
        assert found[group] >= trap.least.count(group), found


@every_trap
def test_careless_labels_change_the_function(trap):
    _, variables, outputs = prepare(trap)
    rng = np.random.default_rng(0)
    changes = [
        change(outputs, variables, moved_naively(trap, variables, rng))
        for _ in range(4)
    ]
    assert max(changes) > 1e-3


def test_a_primitive_without_a_rule_is_told():
    (trap,) = (t for t in TRAPS if t.name == "callback_on_the_host")
    _, variables, _ = prepare(trap)
    x = jnp.zeros((8, 4))
    with pytest.warns(UserWarning, match=r"callback.*units\.py"):
        permutation.discover(trap.apply, variables, x)
