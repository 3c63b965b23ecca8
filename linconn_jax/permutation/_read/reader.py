"""`ActivationReader`: the activations of any function that JAX can trace."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from linconn_jax import checks
from linconn_jax.permutation._read.plan import Kept, is_array, plan
from linconn_jax.permutation.spec import BoundSpec, Spec, bind
from linconn_jax.typing import Array, Float, PyTree

READS = ("linear", "norm", "relu", "all")
"""Where activations are read; `places` says what each means."""


@dataclasses.dataclass(frozen=True, init=False)
class ActivationReader:
    """The activations of a function with a spec, `reader(variables, *inputs)`.

    The function is traced, and the axis names of the spec are followed through its
    program: so it is known which values have which units along which axes. Readers of one
    function and spec are equal, so that they are compiled once.

        read = permutation.ActivationReader(spec, apply, variables)
        read(variables, images)  # {"dense_1": [samples, 64], ...}

    Attributes:
      spec: bound to the shapes of the variables.
      apply: `apply(variables, *inputs)`, pure.
      at: where units are read: "linear" after the linear maps that make them (bias
        included), "norm" after the norms (after the linear map where there is none),
        "relu" after the nonlinearity, whichever it is: what the next layer sums over, or
        "all" of these.
    """

    spec: BoundSpec
    apply: Callable[..., PyTree]
    at: str = "relu"

    def __init__(
        self,
        spec: Spec | BoundSpec,
        apply: Callable[..., PyTree],
        variables: PyTree = None,
        *,
        at: str = "relu",
    ):
        """Takes a spec and the variables or their shapes, or a bound spec alone.

        Raises:
          ValueError: `apply` is no function, `at` is unknown, or the variables do not fit
            the spec.
        """
        if not callable(apply):
            raise ValueError(
                f"apply={apply!r:.80}; it must be a function (variables, *inputs) that "
                "JAX can trace"
            )
        object.__setattr__(self, "spec", bind(spec, variables))
        object.__setattr__(self, "apply", apply)
        object.__setattr__(self, "at", checks.check("at", at, checks.one_of(*READS)))

    def __call__(
        self, variables: PyTree, *inputs: Any
    ) -> dict[str, Float[Array, "samples *parents units"]]:
        """The activations of every name that no other lies under.

        Samples are examples and positions: all axes (and parts of axes) of a value but
        those of the units and their parents. A name that is read at several places
        (residual streams) has the samples of all of them, one after the other.

        Pure, and can be jitted.

        Raises:
          ValueError: the variables do not fit the spec, or the program holds no value
            with the units of a name, or not where it is to be read.
        """
        leaves = self.spec.leaves(variables)
        flat, structure = jax.tree.flatten(inputs)
        kept = tuple(None if is_array(x) else Kept(x) for x in (*leaves, *flat))
        arrays = [x for x in (*leaves, *flat) if is_array(x)]
        structs = tuple(jax.eval_shape(lambda *given: given, *arrays))
        settings = jax.config.jax_default_matmul_precision, jax.config.jax_enable_x64
        found = plan(self, kept, structs, structure, settings)
        return found(list(map(jnp.asarray, arrays)))
