"""The precision a program computes in, whatever it is given."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core, source_info_util

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
