"""`ActivationReader`: the activations of any function that JAX can trace."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from linconn_jax import checks
from linconn_jax.permutation._read.graph import Graph
from linconn_jax.permutation._read.named import NamedValues
from linconn_jax.permutation._read.plan import READS, Plan, plan
from linconn_jax.permutation._read.programs import traced
from linconn_jax.permutation.spec import BoundSpec, Spec, bind
from linconn_jax.typing import Array, Float, PyTree


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
        kept = tuple(None if _is_array(x) else _Kept(x) for x in (*leaves, *flat))
        arrays = [x for x in (*leaves, *flat) if _is_array(x)]
        structs = tuple(jax.eval_shape(lambda *given: given, *arrays))
        settings = jax.config.jax_default_matmul_precision, jax.config.jax_enable_x64
        found = _planned(self, kept, structs, structure, settings)
        return found(list(map(jnp.asarray, arrays)))


class _Kept:
    """A leaf that is no array; it need not be hashable."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Kept) or type(self.value) is not type(other.value):
            return False
        return self.value is other.value or bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(type(self.value))


@functools.lru_cache(maxsize=16)
def _planned(
    reader: ActivationReader,
    kept: tuple[_Kept | None, ...],
    structs: tuple[jax.ShapeDtypeStruct, ...],
    structure: jax.tree_util.PyTreeDef,
    settings: tuple[Any, ...],
) -> Plan:
    """The plan for arguments of these shapes, found once."""
    bound = reader.spec

    def function(*arrays: Array) -> PyTree:
        given = iter(arrays)
        every = [next(given) if x is None else x.value for x in kept]
        variables = bound.tree(every[: len(bound.paths)])
        inputs = jax.tree.unflatten(structure, every[len(bound.paths) :])
        return reader.apply(variables, *inputs)

    program = traced(function, structs)
    which = [i for i, x in enumerate(kept[: len(bound.paths)]) if x is None]
    leaves = [
        (bound.paths[i], x.shape, bound.axes[i])
        for i, x in zip(which, structs, strict=False)
    ]
    graph = Graph(program, NamedValues(bound, program, leaves), len(leaves))
    found, missing = plan(program, graph, bound, reader.at)
    if missing:
        called = getattr(reader.apply, "__qualname__", reader.apply)
        name, why = next(iter(missing.items()))
        others = f" (nor of {sorted({*missing} - {name})})" if len(missing) > 1 else ""
        raise ValueError(
            f"the activations of {name!r}{others} cannot be read at={reader.at!r} from "
            f"the program of {called!s:.80}: {why}; or give "
            "activations=, a function of your own (variables, inputs) -> "
            "{axis name: [samples, *parents, units]}"
        )
    return found


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")
