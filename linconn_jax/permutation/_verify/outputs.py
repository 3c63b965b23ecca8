"""The outputs of one run, how far they are from another's, and what of it is rounding."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core, source_info_util

from linconn_jax.permutation._verify.draws import is_key, wide
from linconn_jax.typing import PyTree

Outputs = list[np.ndarray]
"""Leaves of the outputs in float64 or complex128, on the host."""


def outputs_of(tree: PyTree) -> Outputs:
    """What a function returned, as numbers."""
    return [
        wide(jax.random.key_data(x) if is_key(x) else x) for x in jax.tree.leaves(tree)
    ]


def finite(outputs: Outputs) -> float:
    """The share of all entries that is finite."""
    total = sum(array.size for array in outputs)
    return sum(int(np.isfinite(x).sum()) for x in outputs) / total if total else 0.0


def varying(outputs: Outputs, others: Outputs) -> list[np.ndarray]:
    """Which entries of two networks differ: not those that a mask fills with -1e9."""
    return [a != b for a, b in zip(outputs, others, strict=True)]


def distance(outputs: Outputs, others: Outputs, among: list[np.ndarray]) -> float:
    """The largest difference, relative to the largest entry `among` the same output.

    Entries that are not finite must not be so in the same way, else the distance is
    infinite.
    """
    return max(map(_distance, outputs, others, among), default=0.0)


def bend(runs: Sequence[Outputs], among: list[np.ndarray]) -> float:
    """How far three outputs of equal steps are from a line, relative to their scale."""
    bends = [0.0]
    for a, b, c, some in zip(*runs, among, strict=True):
        finite = np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
        bent = a[finite] - 2 * b[finite] + c[finite]
        bends.append(_relative(bent, a[finite & some]))
    return max(bends)


def _distance(a: np.ndarray, b: np.ndarray, among: np.ndarray) -> float:
    finite = np.isfinite(a)
    alike = np.array_equal(a[~finite], b[~finite], equal_nan=True)
    if not alike or not np.isfinite(b[finite]).all():
        return np.inf
    return _relative(a[finite] - b[finite], a[finite & among])


def _relative(difference: np.ndarray, scale: np.ndarray) -> float:
    scale = np.abs(scale).max(initial=0.0) or 1.0
    return float(np.abs(difference).max(initial=0.0) / scale)


FLOAT64 = jnp.dtype(jnp.float64)


@dataclasses.dataclass(frozen=True)
class Precision:
    """What a function computes in, and what it makes of that.

    Attributes:
      dtype: the narrowest float dtype whose rounding reaches the outputs.
      place: where in the code it is, if it is narrower than float64.
      noise: rounding that was seen in the outputs, relative to their scale.
    """

    dtype: Any = FLOAT64
    place: str = ""
    noise: float = 0.0

    @property
    def tolerance(self) -> float:
        """Relative differences of outputs up to this are rounding."""
        eps = float(jnp.finfo(self.dtype).eps)
        return min(max(eps ** (2 / 3), 30 * self.noise), eps ** (1 / 2))

    def __str__(self) -> str:
        if self.dtype == FLOAT64:
            return "float64"
        return (
            f"{self.dtype.name} inside the function ({self.place}), although variables "
            "and inputs are float64, which makes the tests weaker"
        )


def narrowest(program: core.ClosedJaxpr) -> Precision:
    """The narrowest float dtype that a program computes, and where it first does.

    Args:
      program: traced with float64 variables and inputs.
    """
    found = Precision()
    for eqn in _equations(program.jaxpr):
        for var in eqn.outvars:
            dtype = getattr(var.aval, "dtype", None)
            if dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
                continue
            if jnp.finfo(dtype).eps > jnp.finfo(found.dtype).eps:
                place = source_info_util.summarize(eqn.source_info)
                found = Precision(jnp.dtype(jnp.finfo(dtype).dtype), place)
    return found


def _equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jax.tree.leaves(list(eqn.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            if isinstance(inner, core.Jaxpr):
                yield from _equations(inner)
