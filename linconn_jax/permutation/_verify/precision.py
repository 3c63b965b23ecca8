"""Which differences of outputs are rounding: the narrowest dtype that a function uses."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core, source_info_util


class Precision(NamedTuple):
    """What a function computes in, in words.

    Relative differences of outputs up to `tolerance` are rounding.
    """

    text: str
    tolerance: float

    def __str__(self) -> str:
        return self.text


FLOAT64 = Precision("float64", float(jnp.finfo(float).eps) ** (2 / 3))


def narrow(dtype: Any, place: str, noise: float) -> Precision:
    """Of a function that computes in a narrower dtype.

    Args:
      dtype: in which it computes.
      place: line of code where it does.
      noise: rounding that was seen in the outputs, relative to their scale.
    """
    eps = float(jnp.finfo(dtype).eps)
    tolerance = min(max(eps ** (2 / 3), 30 * noise), eps ** (1 / 2))
    text = f"{dtype.name} inside the function ({place}), although variables and inputs "
    return Precision(text + "are float64, which makes the tests weaker", tolerance)


def narrowest(program: core.ClosedJaxpr) -> tuple[Any, str]:
    """The narrowest float dtype in a program, and the line of code where it is first.

    Args:
      program: traced with float64 variables and inputs.
    """
    found, place = jnp.dtype(jnp.float64), ""
    for eqn in _equations(program.jaxpr):
        for var in eqn.outvars:
            dtype = getattr(var.aval, "dtype", None)
            if dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
                continue
            if jnp.finfo(dtype).eps > jnp.finfo(found).eps:
                found = jnp.dtype(jnp.finfo(dtype).dtype)
                place = source_info_util.summarize(eqn.source_info)
    return found, place


def _equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jax.tree.leaves(list(eqn.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            if isinstance(inner, core.Jaxpr):
                yield from _equations(inner)
