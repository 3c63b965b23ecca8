"""Every model of the zoo: all its symmetries, and no other, found with no hint."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from zoo import CASES, FULL_SIZE
from zoo.case import found_groups, random_element
from zoo.labels import dropped, stand_in

from linconn_jax import permutation
from linconn_jax.permutation import bind
from linconn_jax.permutation.spec import bind_leaves

pytestmark = pytest.mark.usefixtures("x64")
every_case = pytest.mark.parametrize("case", CASES, ids=str)


@functools.cache
def prepare(case):
    """The spec found, random variables on the host, and the function of variables."""
    variables = jax.tree.map(np.asarray, case.variables(jnp.float64))
    inputs = case.inputs(jnp.float64)
    spec = permutation.discover(case.apply, variables, *inputs)
    return spec, variables, jax.jit(lambda v: case.apply(v, *inputs))


def change(a, b):
    return float(np.max(np.abs(a - b)) / np.max(np.abs(a)))


@every_case
def test_the_groups_are_the_known_ones(case):
    spec, variables, _ = prepare(case)
    assert found_groups(spec, variables) == case.expected, case.note


@every_case
def test_the_function_is_unchanged(case):
    spec, variables, outputs = prepare(case)
    before = outputs(variables)
    for seed in range(4):
        moved = permutation.permute(
            spec, random_element(spec, variables, seed), variables
        )
        assert change(before, outputs(moved)) < 1e-9


@every_case
def test_every_label_is_needed(case):
    spec, variables, outputs = prepare(case)
    before, structure = outputs(variables), jax.tree.structure(variables)
    bound, leaves = bind_leaves(spec, variables)
    every = zip(bound.paths, leaves, bound.axes, strict=True)
    entries = [entry for entry in every if entry[1] is not None]
    waiting = {
        (i, wrong): name
        for i, (path, _, axes) in enumerate(entries)
        for wrong, name in dropped(axes)
        if not path.endswith(case.silent)
    }
    assert waiting
    for seed in range(8):
        p = random_element(spec, variables, seed)
        moved = jax.tree.leaves(permutation.permute(spec, p, variables))
        for (i, wrong), name in list(waiting.items()):
            leaf = moved_wrongly(p, name, entries[i][1], wrong)
            tree = jax.tree.unflatten(structure, [*moved[:i], leaf, *moved[i + 1 :]])
            if change(before, outputs(tree)) > 1e-6:
                del waiting[i, wrong]
        if not waiting:
            return
    missed = [f"{entries[i][0]}: {wrong}" for i, wrong in waiting]
    pytest.fail(f"these change nothing: {missed}")


def moved_wrongly(p, name, leaf, wrong):
    """A leaf permuted by labels that have a stand-in, which stays, for `name`."""
    tree, spec = {"leaf": leaf}, {"leaf": wrong}
    names = bind(spec, tree).parents
    original = {stand_in(x): x for x in p}
    indices = {x: p[original.get(x, x)] for x in names}
    indices[stand_in(name)] = np.indices(p[name].shape)[-1]
    moves = permutation.from_indices(spec, tree, indices)
    return permutation.permute(spec, moves, tree)["leaf"]


@pytest.mark.parametrize("case", [c for c in CASES if c.silent], ids=str)
def test_silent_leaves_are_not_seen_by_the_function(case):
    """Their labels cannot be tried: whatever they hold, the outputs are the same."""
    _, variables, outputs = prepare(case)
    silent = []

    def other(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        silent.append(name.endswith(case.silent))
        return leaf + 1 if silent[-1] else leaf

    changed = jax.tree_util.tree_map_with_path(other, variables)
    assert any(silent)
    assert change(outputs(variables), outputs(changed)) < 1e-6  # NNX: float32 inside


@pytest.mark.parametrize("case", FULL_SIZE, ids=str)
def test_full_size_networks_take_seconds(case):
    variables, inputs = case.variables(), case.inputs()
    start = time.process_time()  # whatever else the machine does
    spec = permutation.discover(case.apply, variables, *inputs)
    assert time.process_time() - start < 5
    assert found_groups(spec, variables) == case.expected, case.note
