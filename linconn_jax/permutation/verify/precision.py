"""The precision a program computes in, whatever it is given."""

import dataclasses
from collections.abc import Iterator
from typing import Any

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

    dtype: Any
    place: str
    noise: float = 0.0

    @classmethod
    def measured(cls, dtype: Any, place: str, bend: float) -> "Precision":
        """From how far outputs are from a line for steps of one rounding unit.

        In float64 they are on it but for the square of the step. A narrow mask or table
        of exact numbers does no harm, and is not counted.
        """
        if bend < 1e-2 * cls(FLOAT64, "").tolerance:
            return cls(FLOAT64, "")
        return cls(dtype, place, bend)

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


def narrowest(program: Any) -> tuple[Any, str]:
    """The narrowest float dtype that a program computes, and where it first does.

    Args:
      program: a closed jaxpr, traced with float64 variables and inputs.

    Returns:
      (dtype, place in the code); (float64, "") if nothing is narrower.
    """
    found, place = FLOAT64, ""
    for eqn in _equations(program.jaxpr):
        for var in eqn.outvars:
            dtype = getattr(var.aval, "dtype", None)
            if dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
                continue
            if jnp.finfo(dtype).eps > jnp.finfo(found).eps:
                found = jnp.finfo(dtype).dtype
                place = source_info_util.summarize(eqn.source_info)
    return jnp.dtype(found), place


def _equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    for eqn in jaxpr.eqns:
        yield eqn
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if isinstance(inner, core.ClosedJaxpr):
                    yield from _equations(inner.jaxpr)
                elif isinstance(inner, core.Jaxpr):
                    yield from _equations(inner)
