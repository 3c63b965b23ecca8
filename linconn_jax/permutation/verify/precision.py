"""The precision a program computes in, whatever it is given."""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
from jax.extend import core, source_info_util


def narrowest(program: Any) -> tuple[Any, str]:
    """The narrowest float dtype that a program computes, and where it first does.

    Args:
      program: a closed jaxpr, traced with float64 variables and inputs.

    Returns:
      (dtype, place in the code); (float64, "") if nothing is narrower.
    """
    found, place = jnp.dtype(jnp.float64), ""
    for eqn in _equations(program.jaxpr):
        for var in eqn.outvars:
            dtype = getattr(var.aval, "dtype", None)
            if dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
                continue
            if jnp.finfo(dtype).eps > jnp.finfo(found).eps:
                found = jnp.finfo(dtype).dtype
                place = source_info_util.summarize(eqn.source_info)
    return jnp.dtype(found), place


def tolerance(dtype: Any) -> float:
    """Errors up to the root of the rounding unit count as rounding."""
    return float(jnp.finfo(dtype).eps) ** 0.5


def _equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    for eqn in jaxpr.eqns:
        yield eqn
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if isinstance(inner, core.ClosedJaxpr):
                    yield from _equations(inner.jaxpr)
                elif isinstance(inner, core.Jaxpr):
                    yield from _equations(inner)
