"""The function under test, compiled once, with random networks to run it on."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation.spec import Spec, flatten
from linconn_jax.permutation.verify.draws import (
    HOW,
    as_given,
    draw_input,
    draw_leaf,
    is_array,
    is_inexact,
    is_known,
    positive,
)
from linconn_jax.permutation.verify.outputs import Outputs, bend, numeric
from linconn_jax.permutation.verify.precision import Precision, narrowest
from linconn_jax.typing import PyTree

Leaves = dict[int, Any]
"""Arrays by their number among all leaves of the variables."""

SAMPLE = 16
"""So many leaves are tried on whether they matter, for each way of drawing."""


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Computes in float64; float32 constants of a model are promoted."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


class Probe:
    """`apply`, compiled once in float64, and random networks of the given shapes.

    Attributes:
      paths, leaves, axes: of all leaves of the variables, None among them.
      numbers: which of them are arrays.
      runs: how often the function ran.
    """

    def __init__(
        self,
        apply: Callable[..., PyTree],
        spec: Spec,
        variables: PyTree,
        inputs: tuple,
        *,
        seed: int,
    ):
        entries, self.structure = flatten(spec, variables)
        self.paths = [path for path, _, _ in entries]
        self.leaves = [leaf for _, leaf, _ in entries]
        self.axes = [axes for _, _, axes in entries]
        self.numbers = [i for i, leaf in enumerate(self.leaves) if is_array(leaf)]
        if not self.numbers:
            raise ValueError(
                "variables has no array leaves; pass the tree of parameters that apply "
                "takes as its first argument"
            )
        self.rng = np.random.default_rng(seed)
        self.runs = 0
        self._given, structure = jax.tree.flatten(inputs)
        self._given = [draw_input(self.rng, x) for x in self._given]
        self._arrays = [i for i, x in enumerate(self._given) if is_array(x)]
        self._inputs_structure = structure
        self._apply = apply
        self._run = jax.jit(self._of_arrays)

    def tree(self, leaves: Leaves) -> PyTree:
        """Variables with these arrays in them."""
        whole = [leaves.get(i, leaf) for i, leaf in enumerate(self.leaves)]
        return jax.tree.unflatten(self.structure, whole)

    def draw(self) -> Leaves:
        """A random network, on the host."""
        return self._draw(self.how)

    def draw_leaf(self, number: int) -> np.ndarray:
        """Another draw of one leaf."""
        return self._draw_leaf(number, self.how)

    def given(self) -> Leaves:
        """The given variables in float64, on the host.

        Raises:
          ValueError: leaves have no values.
        """
        empty = [self.paths[i] for i in self.numbers if not is_known(self.leaves[i])]
        if empty:
            raise ValueError(
                f"{empty[0]} has a shape but no values; pass the arrays of a network"
            )
        return {i: draw_input(self.rng, self.leaves[i]) for i in self.numbers}

    def run(self, *leaves: Leaves) -> Outputs:
        """The outputs for these arrays; later dicts replace leaves of earlier ones."""
        self.runs += 1
        merged = {number: x for one in leaves for number, x in one.items()}
        with float64():
            outputs = self._run([merged[i] for i in self.numbers], self._inputs())
            return numeric(outputs)

    def function(self) -> tuple[Callable[..., PyTree], list]:
        """`f(arrays, inputs) -> outputs`, and the inputs."""
        return self._of_arrays, self._inputs()

    def _inputs(self) -> list:
        return [self._given[i] for i in self._arrays]

    def _of_arrays(self, arrays: list, inputs: list) -> PyTree:
        given = list(self._given)
        for i, x in zip(self._arrays, inputs, strict=True):
            given[i] = x
        tree = self.tree(dict(zip(self.numbers, arrays, strict=True)))
        return self._apply(tree, *jax.tree.unflatten(self._inputs_structure, given))

    def _draw(self, how: str) -> Leaves:
        return {i: self._draw_leaf(i, how) for i in self.numbers}

    def _draw_leaf(self, number: int, how: str) -> Any:
        leaf = self.leaves[number]
        if not is_inexact(leaf):
            return as_given(self.rng, leaf)
        now = how == HOW[2] or (how == HOW[1] and positive(self.paths[number], leaf))
        return draw_leaf(self.rng, leaf, positive=now)

    @functools.cached_property
    def how(self) -> str:
        """The way of drawing with finite outputs that depend on the most leaves.

        Finite outputs alone do not tell: a compiled ReLU may turn NaN into 0.

        Raises:
          ValueError: outputs are not finite whatever way.
        """
        found = {}
        for how in HOW:
            finite = min(self.run(self._draw(how)).finite for _ in range(2))
            idle = self._idle(how) if finite else SAMPLE
            if finite == 1 and not idle:
                return how
            found[how] = (finite, -idle)
        best = max(found, key=found.get)
        if not found[best][0]:
            raise ValueError(
                "the outputs are not finite for any random variables (drawn normal; "
                "positive where the given ones are; all positive), so that nothing can "
                "be tested: give arrays for variables that must be positive, or wrap "
                "apply so that it maps real numbers to those that the model wants"
            )
        return best

    def _idle(self, how: str) -> int:
        """How many of some leaves another draw of does not change the outputs."""
        network = self._draw(how)
        base, device = self.run(network), put(network)
        numbers = [i for i in self.numbers if is_inexact(self.leaves[i])]
        some = numbers[:: max(1, len(numbers) // SAMPLE)][:SAMPLE]
        others = (self.run(device, {i: self._draw_leaf(i, how)}) for i in some)
        return sum(base.distance(other) < 1e-12 for other in others)

    @functools.cached_property
    def precision(self) -> Precision:
        """What the function computes in, and the differences that are rounding."""
        network, inputs = self.draw(), self._inputs()
        with float64():
            traced = jax.make_jaxpr(self._of_arrays)(
                [network[i] for i in self.numbers], inputs
            )
        dtype, place = narrowest(traced)
        if not place:
            return Precision(dtype, place)
        step = jnp.finfo(dtype).eps
        ways = {
            i: step * self.rng.normal(size=np.shape(x))
            for i, x in network.items()
            if is_inexact(x)
        }
        runs = [
            self.run(network, {i: network[i] * (1 + k * u) for i, u in ways.items()})
            for k in range(3)
        ]
        return Precision.measured(dtype, place, bend(*runs))


def put(leaves: Mapping[int, Any]) -> Leaves:
    """The same arrays on the device, so that many runs share them."""
    with float64():
        return {number: jnp.asarray(x) for number, x in leaves.items()}
