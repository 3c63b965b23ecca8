"""What an entry of the zoo is, and how its random variables and inputs are made."""

import collections
import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax import permutation

PyTree = Any
Group = tuple[int, int]
POSITIVE = re.compile(r"(?<![a-z])(scale|var)(?![a-z])")  # names of leaves


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A function with the permutation symmetries that it is known to have.

    Attributes:
      name: of the model, and the parameter id of its tests.
      apply: `apply(variables, *inputs) -> outputs`, pure.
      variables: `variables(dtype)`: every leaf random, none as initialised.
      inputs: `inputs(dtype)`: a tuple.
      groups: the answer, whatever the axes are called: `(units, copies)` for each set of
        units that permute freely among themselves. `copies` counts the units of whatever
        it is nested under: two attention heads of three dimensions are (2, 1) for the
        heads and (3, 2) for the dimensions inside each. Layers stacked along an axis
        that does not itself permute count one by one, as if they were not stacked.
      note: where the answer comes from.
      silent: ends of the paths of leaves that the function does not depend on. Adding
        the same vector to all keys of an attention adds the same number to all scores of
        a query, which its softmax takes off again: key biases do nothing.
    """

    name: str
    apply: Callable[..., Any]
    variables: Callable[..., PyTree]
    inputs: Callable[..., tuple]
    groups: list[Group]
    note: str
    silent: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    @property
    def expected(self) -> collections.Counter:
        """The groups as a multiset."""
        return collections.Counter(self.groups)


def found_groups(spec: PyTree, variables: PyTree) -> collections.Counter:
    """The groups of a spec, counted as `Case.groups` are; single units left out."""
    layout = permutation.bind(spec, variables)
    groups = collections.Counter()
    for name, parents in layout.parents.items():
        copies = [layout.sizes[x] for x in parents if x in layout.parents]
        stacked = [layout.sizes[x] for x in parents if x not in layout.parents]
        groups[layout.sizes[name], math.prod(copies)] += math.prod(stacked)
    return collections.Counter({g: n for g, n in groups.items() if g[0] > 1})


def random_element(spec: PyTree, variables: PyTree, seed: int) -> Any:
    """A random permutation of the spec's group, drawn on the host: nothing to compile."""
    rng, layout = np.random.default_rng(seed), permutation.bind(spec, variables)
    indices = {
        name: rng.permuted(np.indices(layout.shape(name))[-1], axis=-1)
        for name in layout.parents
    }
    return permutation.from_indices(spec, variables, indices)


def draw(shapes: PyTree, dtype: Any = jnp.float32, *, seed: int = 0) -> PyTree:
    """Random leaves for a tree of shapes: scales and variances positive, others normal.

    Kernels are scaled by their fan-in, whatever axis comes last, so that signals keep
    their size through deep networks and nothing saturates.
    """
    rng = np.random.default_rng(seed)

    def one(path: tuple, leaf: Any) -> jax.Array:
        value = rng.normal(size=leaf.shape)
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.asarray(np.abs(4 * value), leaf.dtype)
        if POSITIVE.search(jax.tree_util.keystr(path[-2:])):
            value = 0.5 + np.abs(value)
        elif len(leaf.shape) > 1:
            value *= (max(leaf.shape) / math.prod(leaf.shape)) ** 0.5
        else:
            value *= 0.5
        return jnp.asarray(value, dtype)

    return jax.tree_util.tree_map_with_path(one, shapes)


def normal(*shape: int) -> Callable[..., tuple]:
    """Inputs: one normal array."""
    return lambda dtype=jnp.float32: (
        jnp.asarray(np.random.default_rng(1).normal(size=shape), dtype),
    )


def tokens(n: int, length: int, vocabulary: int) -> Callable[..., tuple]:
    """Inputs: one array of token ids in which every id occurs, if they fit."""
    ids = np.arange(n * length) % vocabulary
    ids = np.random.default_rng(1).permutation(ids).reshape(n, length)
    return lambda dtype=jnp.float32: (jnp.asarray(ids, jnp.int32),)


class Shape:
    """A leaf's shape, `Shape(3, 4)`: a plain tuple would be a node of the tree."""

    def __init__(self, *axes: int):
        self.axes = axes


def from_shapes(
    name: str,
    apply: Callable[..., Any],
    shapes: PyTree,
    inputs: Callable[..., tuple],
    groups: list[Group],
    note: str,
) -> Case:
    """A case whose variables are given as a tree of `Shape`s."""
    return from_structs(name, apply, lambda: structs(shapes), inputs, groups, note)


def structs(shapes: PyTree) -> PyTree:
    """A tree of `ShapeDtypeStruct`s for one of `Shape`s."""
    return jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.axes, jnp.float32),
        shapes,
        is_leaf=lambda x: isinstance(x, Shape),
    )


def from_structs(
    name: str,
    apply: Callable[..., Any],
    make: Callable[[], PyTree],
    inputs: Callable[..., tuple],
    groups: list[Group],
    note: str,
    silent: tuple[str, ...] = (),
) -> Case:
    """A case with a function that makes the tree of its arrays, or of their structs."""

    def variables(dtype: Any = jnp.float32) -> PyTree:
        return draw(make(), dtype)

    return Case(name, apply, variables, inputs, groups, note, silent)


def from_linen(
    name: str,
    module: Any,
    inputs: Callable[..., tuple],
    groups: list[Group],
    note: str,
    silent: tuple[str, ...] = (),
) -> Case:
    """A case of a linen module, all its collections being variables."""

    def make() -> PyTree:
        return jax.eval_shape(module.init, jax.random.key(0), *inputs())

    return from_structs(name, module.apply, make, inputs, groups, note, silent)
