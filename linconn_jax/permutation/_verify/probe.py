"""The function under test, compiled once, with random networks to run it on."""

import contextlib
import dataclasses
import functools
import math
import operator
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation._verify.precision import Precision, narrowest
from linconn_jax.permutation._verify.random_inputs import (
    ALL_POSITIVE,
    LIKE_GIVEN,
    is_array,
    is_inexact,
    is_key,
    random_input,
    random_leaf,
    wide,
)
from linconn_jax.permutation.spec import Spec, bind_leaves
from linconn_jax.typing import PyTree

Arrays = dict[int, Any]
"""Arrays by number: leaves of the variables are counted first, then those of the inputs."""

Outputs = list[np.ndarray]
"""Leaves of what a function returned, in float64 or complex128, on the host."""


class Probe:
    """`apply`, compiled once in float64, and random networks of the given shapes.

    Attributes:
      paths, leaves, axes: of all leaves of the variables, None among them.
      structure: of the variables.
      numbers: those of the leaves that are arrays.
      inputs: those of the inputs that are arrays.
      runs: how often the function ran.
      seconds: time of the fastest run.
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
        bound, leaves = bind_leaves(spec, variables)
        self.structure, self.leaves = bound.structure, tuple(leaves)
        self.paths, self.axes = bound.paths, bound.axes
        self.numbers = [i for i, leaf in enumerate(leaves) if is_array(leaf)]
        if not self.numbers:
            raise ValueError(
                "variables has no array leaves; pass the tree of parameters that apply "
                "takes as its first argument"
            )
        self.rng = np.random.default_rng(seed)
        self.runs, self.seconds = 0, math.inf
        flat, self._inputs = jax.tree.flatten(inputs)
        self._given = [*self.leaves, *flat]
        self.inputs = {
            i: random_input(self.rng, x)
            for i, x in enumerate(flat, len(leaves))
            if is_array(x)
        }
        self._apply, self._compiled = apply, jax.jit(self.function)

    def arguments(self, arrays: Arrays) -> tuple[PyTree, ...]:
        """`(variables, *inputs)` with these arrays in them, all else as given."""
        flat = [arrays.get(i, x) for i, x in enumerate(self._given)]
        n = len(self.leaves)
        variables = self.structure.unflatten(flat[:n])
        return variables, *self._inputs.unflatten(flat[n:])

    def function(self, arrays: Arrays) -> PyTree:
        """`apply` of these arrays."""
        return self._apply(*self.arguments(arrays))

    def draw(self, how: str | None = None) -> Arrays:
        """The variables of a random network, on the host."""
        return {i: self.draw_leaf(i, how) for i in self.numbers}

    def draw_leaf(self, number: int, how: str | None = None) -> Any:
        """Another random leaf."""
        path, leaf = self.paths[number], self.leaves[number]
        return random_leaf(self.rng, path, leaf, how or self.how)

    def run(self, *arrays: Arrays) -> Outputs:
        """The outputs for these variables; later dicts replace leaves of earlier ones."""
        began = time.perf_counter()
        merged = functools.reduce(operator.or_, (self.inputs, *arrays))
        with float64():
            outputs = jax.tree.leaves(self._compiled(put(merged)))
            outputs = [
                wide(jax.random.key_data(x) if is_key(x) else x) for x in outputs
            ]
        self.runs += 1
        self.seconds = min(self.seconds, time.perf_counter() - began)
        return outputs

    def distance(self, outputs: Outputs, others: Outputs) -> float:
        """The largest difference of two runs, relative to the scale of the outputs.

        Infinite unless the same entries of both are finite, and the others equal.
        """

        def one(a: np.ndarray, b: np.ndarray, varies: np.ndarray) -> float:
            finite = np.isfinite(a)
            alike = np.array_equal(a[~finite], b[~finite], equal_nan=True)
            if not alike or not np.isfinite(b[finite]).all():
                return np.inf
            return _relative(a[finite] - b[finite], a[finite & varies])

        return max(map(one, outputs, others, self._varies), default=0.0)

    @functools.cached_property
    def _varies(self) -> list[np.ndarray]:
        """Which entries two networks compute differently: not what a mask fills with -1e9.

        Only these tell the scale of the outputs.
        """
        runs = self.run(self.draw()), self.run(self.draw())
        return [a != b for a, b in zip(*runs, strict=True)]

    @functools.cached_property
    def how(self) -> str:
        """The way of drawing variables with which more of the outputs are finite.

        Raises:
          ValueError: none of them is, whatever way.
        """
        shares = {
            how: min(_finite_share(self.run(self.draw(how))) for _ in range(2))
            for how in (LIKE_GIVEN, ALL_POSITIVE)
        }
        best = max(shares, key=shares.get)
        if not shares[best]:
            raise ValueError(
                "the outputs are not finite for any random variables (positive where the "
                "given ones are, else normal; all positive), so that nothing can be "
                "tested: give arrays for variables that must be positive, or wrap apply "
                "so that it maps real numbers to those that the model wants"
            )
        return best

    @functools.cached_property
    def precision(self) -> Precision:
        """What the function computes in, and the differences that are rounding.

        A narrow mask or table of exact numbers does no harm: steps of one rounding unit
        in the variables still lead to outputs on a line, but for the square of the step.
        """
        network = self.draw()
        with float64():
            program = jax.make_jaxpr(self.function)(self.inputs | network)
        found = narrowest(program)
        if found == Precision():
            return found
        step = {
            i: found.eps * self.rng.normal(size=np.shape(x))
            for i, x in network.items()
            if is_inexact(x)
        }
        runs = [
            self.run(network, {i: network[i] * (1 + k * u) for i, u in step.items()})
            for k in range(3)
        ]
        noise = 0.0
        for a, b, c, varies in zip(*runs, self._varies, strict=True):
            finite = np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
            bend = a[finite] - 2 * b[finite] + c[finite]
            noise = max(noise, _relative(bend, a[finite & varies]))
        narrow = noise >= 1e-2 * Precision().tolerance
        return dataclasses.replace(found, noise=noise) if narrow else Precision()


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Computes in float64; float32 constants of a model are promoted."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def put(arrays: Arrays) -> Arrays:
    """The same arrays on the device, so that many runs share them."""
    with float64():
        return {
            i: x if isinstance(x, jax.Array) else jnp.asarray(x)
            for i, x in arrays.items()
        }


def _relative(difference: np.ndarray, scale: np.ndarray) -> float:
    scale = np.abs(scale).max(initial=0.0) or 1.0
    return float(np.abs(difference).max(initial=0.0) / scale)


def _finite_share(outputs: Outputs) -> float:
    total = sum(array.size for array in outputs)
    return sum(int(np.isfinite(x).sum()) for x in outputs) / total if total else 0.0
