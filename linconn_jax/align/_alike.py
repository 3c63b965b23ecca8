"""How alike the units of networks are by their activations on the same inputs."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from linconn_jax import checks
from linconn_jax.align._activations import Similarities
from linconn_jax.align._examples import check_arrays, check_function
from linconn_jax.align._families import Parents, children
from linconn_jax.align._moments import SIMILARITIES, moments, similarities, square
from linconn_jax.align._shared import Shared
from linconn_jax.permutation import BoundSpec
from linconn_jax.typing import Array, Variables


def alike(
    bound: BoundSpec,
    networks: Sequence[Variables],
    inputs: Array,
    read: Callable[[Variables, Array], dict[str, Array]],
    similarity: str,
    batch_size: int,
    *,
    parents: Parents | None = None,
    balanced: bool = False,
) -> dict[tuple[int, int], Similarities]:
    """Similarities of the units of each name, for each pair i < j of k networks.

    `parents` are of the names that are compared, all by default. `balanced` says that
    each name counts alike: its similarities are divided by the mean square of its
    activations, over the networks.

    Raises:
      ValueError: as `activation_matching`.
    """
    check_inputs(inputs, similarity, batch_size)
    check_function(read)
    for network in networks:
        check_arrays(bound, network)
    parents = bound.parents if parents is None else parents
    with jax.default_matmul_precision("float32"):  # whatever a device's own is
        if isinstance(read, Shared):
            shapes, found = read.moments(networks, inputs, batch_size)
        else:
            shapes = jax.eval_shape(read, networks[0], inputs[:batch_size])
            found = None  # which it takes long to find
        _check_activations(shapes, bound, parents)
        found = found or moments(networks, inputs, read, batch_size)
    sizes = {name: 1.0 for name in found}
    if balanced:
        each = range(len(networks))
        sizes = {x: np.mean([square(m, i) for i in each]) for x, m in found.items()}
    return {
        (i, j): {
            name: similarities(name, found[name], similarity, i, j)
            / (sizes[name] or 1.0)
            for name in parents
            if name in found
        }
        for i, j in itertools.combinations(range(len(networks)), 2)
    }


def check_inputs(inputs: Any, similarity: Any, batch_size: Any) -> None:
    """Refuses with a ValueError what no activations can be read from."""
    checks.check("similarity", similarity, checks.one_of(*SIMILARITIES))
    if not isinstance(inputs, np.ndarray | jax.Array) or not inputs.ndim:
        raise ValueError(
            f"inputs is a {type(inputs).__name__}; it must be an array [examples, ...] "
            "(of a list, give numpy.stack(inputs))"
        )
    if not len(inputs):
        raise ValueError("there are no inputs to read activations from; give some")
    checks.check("batch_size", batch_size, checks.whole(1))


def _check_activations(shapes: Any, bound: BoundSpec, parents: Parents) -> None:
    if not isinstance(shapes, dict):
        raise ValueError(
            f"activations returned {type(shapes).__name__}; it must return a dict "
            "{axis name: [samples, units]}"
        )
    inner = {x for x in parents if children(x, parents)}
    missing = sorted(parents.keys() - shapes.keys() - inner)
    if missing:
        raise ValueError(
            f"activations has no key for the axis names {missing} of the spec; it must "
            "return [samples, units] for every axis name that is aligned"
        )
    for name in parents.keys() & shapes.keys():
        array, units = shapes[name], bound.shape(name)
        if array.shape[1:] != units or np.issubdtype(array.dtype, np.complexfloating):
            raise ValueError(
                f"activations has shape {array.shape} and dtype {array.dtype} for "
                f"{name!r}; it must be real, [samples, {', '.join(map(str, units))}]: "
                "inputs and positions along the first axis, then the units as in the "
                "spec"
            )
