"""What methods that run the networks need: a function, arrays as leaves, examples."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from linconn_jax import metrics
from linconn_jax.permutation import BoundSpec
from linconn_jax.typing import PyTree

ARRAYS = (np.ndarray, np.generic, jax.Array, bool, int, float)


def check_loss(
    bound: BoundSpec,
    apply: Any,
    networks: Sequence[PyTree],
    inputs: Any,
    labels: Any,
) -> None:
    """Refuses what no loss can be computed of.

    Raises:
      ValueError: `apply` is no function of JAX's, or returns no logits `[examples,
        classes]`; a leaf of a network is no array; inputs and labels are no arrays, do
        not fit each other, or labels are no classes of the logits.
    """
    check_function(apply)
    for network in networks:
        check_arrays(bound, network)
    for name, x in (("inputs", inputs), ("labels", labels)):
        if not isinstance(x, np.ndarray | jax.Array) or not x.ndim:
            raise ValueError(
                f"{name} is a {type(x).__name__}; it must be an array [examples, ...] "
                f"(of a list, give numpy.array({name}))"
            )
    logits = jax.eval_shape(apply, networks[0], inputs[:1])
    shape = getattr(logits, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != len(inputs[:1]):
        told = type(logits).__name__ if shape is None else f"an array {list(shape)}"
        raise ValueError(
            f"apply returned {told} for one input; it must return logits [examples, "
            "classes] alone (of (logits, state), give lambda v, x: apply(v, x)[0])"
        )
    metrics.check_examples(inputs, labels, classes=shape[-1])


def check_function(apply: Any) -> None:
    """Refuses what cannot be the function of a compiled program.

    Raises:
      ValueError: it cannot be called, or JAX cannot know it again.
    """
    if not callable(apply):
        raise ValueError(
            f"apply is a {type(apply).__name__}; it must be a function (variables, "
            "inputs) -> outputs"
        )
    try:
        hash(apply)
    except TypeError as error:
        raise ValueError(
            f"apply is a {type(apply).__name__} without a hash, by which JAX would know "
            "it again; give a function, such as lambda v, x: apply(v, x)"
        ) from error


def check_arrays(bound: BoundSpec, network: PyTree) -> None:
    """Refuses networks with leaves that no compiled program takes.

    Raises:
      ValueError: naming the first leaf that is no array.
    """
    for path, leaf in zip(bound.paths, bound.leaves(network), strict=True):
        if leaf is not None and not isinstance(leaf, ARRAYS):
            raise ValueError(
                f"leaf {path} is a {type(leaf).__name__}, no array; give the arrays of "
                "the network alone, and put it together again in apply (of Equinox: "
                "eqx.partition(model, eqx.is_array) and eqx.combine)"
            )
