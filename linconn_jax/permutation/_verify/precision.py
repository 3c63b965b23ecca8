"""Which differences of outputs are rounding: the narrowest dtype that a function uses."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core, source_info_util

FLOAT64 = jnp.dtype(jnp.float64)


@dataclasses.dataclass(frozen=True)
class Precision:
    """What a function computes in, and the rounding that follows.

    Attributes:
      dtype: the narrowest float dtype whose rounding reaches the outputs.
      place: line of code where it is used, if it is narrower than float64.
      noise: rounding that was seen in the outputs, relative to their scale.
    """

    dtype: Any = FLOAT64
    place: str = ""
    noise: float = 0.0

    @property
    def eps(self) -> float:
        """The relative rounding error of one operation."""
        return float(jnp.finfo(self.dtype).eps)

    @property
    def tolerance(self) -> float:
        """Relative differences of outputs up to this are rounding."""
        return min(max(self.eps ** (2 / 3), 30 * self.noise), self.eps ** (1 / 2))

    def __str__(self) -> str:
        if self.dtype == FLOAT64:
            return "float64"
        return (
            f"{self.dtype.name} inside the function ({self.place}), although variables "
            "and inputs are float64, which makes the tests weaker"
        )


def narrowest(program: core.ClosedJaxpr) -> Precision:
    """The narrowest float dtype in a program, and where it is first.

    Args:
      program: traced with float64 variables and inputs.
    """
    found = Precision()
    for eqn in _equations(program.jaxpr):
        for var in eqn.outvars:
            dtype = getattr(var.aval, "dtype", None)
            if dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
                continue
            if jnp.finfo(dtype).eps > found.eps:
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
