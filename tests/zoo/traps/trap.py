"""What a trap is: a function that looks more symmetric than it is."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax import numpy as jnp

from zoo.case import Group, Shape, structs

UNITS = 6
HIDDEN = {"w1": Shape(3, UNITS), "b1": Shape(UNITS), "w2": Shape(UNITS, 2)}
BEFORE, AFTER = (5, 1), (7, 1)
Moves = Mapping[str, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Trap:
    """A function between two harmless layers, with labels that a careless tracer gives.

    Attributes:
      name: of the function, and the parameter id of its tests.
      function: `function(v, x)` from `[n, 3]` to `[n, outputs]`.
      shapes: of its variables.
      naive: for each group of careless labels, `{leaf: axis}`, or `{"leaf/0": axis}` for
        a slice of a stack. Moving the axes of each group together must change the
        function, or it is no trap.
      least: groups that must be found, those of the layers before and after among them.
    """

    name: str
    function: Callable[[Mapping[str, jax.Array], jax.Array], jax.Array]
    shapes: Mapping[str, Shape]
    naive: Sequence[Moves]
    least: Sequence[Group]

    def __str__(self) -> str:
        return self.name

    def apply(self, v: Mapping[str, jax.Array], x: jax.Array) -> tuple:
        """5 hidden units before the function, and 7 after, which read its outputs."""
        x = jnp.tanh(x @ v["before_in"]) @ v["before_out"]
        y = self.function(v, x)
        return y, jnp.tanh(y @ v["after_in"]) @ v["after_out"]

    def all_shapes(self) -> dict[str, Shape]:
        """Shapes of all variables, of the layers before and after too."""
        x = jax.ShapeDtypeStruct((8, 3), jnp.float32)
        outputs = jax.eval_shape(self.function, structs(self.shapes), x).shape[-1]
        return {
            **{"before_in": Shape(4, 5), "before_out": Shape(5, 3)},
            **self.shapes,
            **{"after_in": Shape(outputs, 7), "after_out": Shape(7, 2)},
        }


TRAPS: list[Trap] = []


def trap(
    *naive: Moves, least: Sequence[Group] = (), **shapes: Shape
) -> Callable[[Callable], Callable]:
    """Registers `function(v, x)` with variables of these shapes."""

    def register(function: Callable) -> Callable:
        found = [BEFORE, AFTER, *least]
        TRAPS.append(Trap(function.__name__, function, shapes, naive, found))
        return function

    return register


def between(
    least: Sequence[Group] = (), reads: Moves | None = None, **shapes: Shape
) -> Callable[[Callable], Callable]:
    """Registers `middle(h, v)`, put between the two dense layers of an MLP.

    Careless labels are those of the MLP: 6 hidden units, written by w1 and b1, read by
    w2. `reads` says what reads them if not w2.
    """
    shapes = HIDDEN | shapes
    naive = {"w1": 1, "b1": 0} | ({"w2": 0} if reads is None else reads)

    def register(middle: Callable) -> Callable:
        def function(v: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
            h = middle(hidden(v, x), v)
            return jnp.tanh(h) @ v["w2"]

        function.__name__ = middle.__name__
        trap(naive, least=least, **shapes)(function)
        return middle

    return register


def hidden(v: Mapping[str, Any], x: jax.Array) -> jax.Array:
    """The 6 hidden units."""
    return jnp.tanh(x @ v["w1"] + v["b1"][None])
