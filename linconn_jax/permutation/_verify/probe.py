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

from linconn_jax.permutation._verify import draws
from linconn_jax.permutation._verify.draws import is_array, is_inexact, is_known
from linconn_jax.permutation._verify.outputs import (
    Outputs,
    Precision,
    bend,
    distance,
    finite,
    narrowest,
    outputs_of,
    varying,
)
from linconn_jax.permutation.spec import Spec, bind_leaves
from linconn_jax.typing import PyTree

Leaves = dict[int, Any]
"""Arrays by their number among all leaves of the variables."""


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
      inputs: those that are arrays, by number.
      runs: how often the function ran.
      seconds: that the fastest of them took.
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
        given, structure = jax.tree.flatten(inputs)
        self.inputs = {
            i: draws.draw_input(self.rng, x) for i, x in enumerate(given) if is_array(x)
        }
        self._given, self._inputs, self._apply = given, structure, apply
        self._compiled = jax.jit(self.function)

    def function(self, leaves: Leaves, inputs: Leaves) -> PyTree:
        """`apply` of these arrays."""
        return self._apply(*self.arguments(leaves, inputs))

    def arguments(self, leaves: Leaves, inputs: Leaves) -> tuple[PyTree, ...]:
        """Variables and inputs with these arrays in them."""
        whole = [inputs.get(i, x) for i, x in enumerate(self._given)]
        return self.tree(leaves), *jax.tree.unflatten(self._inputs, whole)

    def tree(self, leaves: Leaves) -> PyTree:
        """Variables with these arrays in them."""
        whole = [leaves.get(i, leaf) for i, leaf in enumerate(self.leaves)]
        return jax.tree.unflatten(self.structure, whole)

    def draw(self, how: str | None = None) -> Leaves:
        """A random network, on the host."""
        return {i: self.draw_leaf(i, how) for i in self.numbers}

    def draw_leaf(self, number: int, how: str | None = None) -> Any:
        """Another draw of one leaf."""
        leaf, path = self.leaves[number], self.paths[number]
        return draws.draw(self.rng, path, leaf, how or self.how)

    def given(self) -> Leaves:
        """The given variables in float64, on the host.

        Raises:
          ValueError: leaves have no values.
        """
        for i in self.numbers:
            if not is_known(self.leaves[i]):
                raise ValueError(
                    f"{self.paths[i]} has a shape but no values; pass the arrays of a "
                    "network"
                )
        return {i: draws.draw_input(self.rng, self.leaves[i]) for i in self.numbers}

    def run(self, *leaves: Leaves) -> Outputs:
        """The outputs for these arrays; later dicts replace leaves of earlier ones."""
        began = time.perf_counter()
        merged = functools.reduce(operator.or_, leaves)
        with float64():
            outputs = outputs_of(self._compiled(put(merged), self.inputs))
        self.runs += 1
        self.seconds = min(self.seconds, time.perf_counter() - began)
        return outputs

    def distance(self, outputs: Outputs, others: Outputs) -> float:
        """The largest difference of two runs, relative to the scale of the outputs."""
        return distance(outputs, others, self._varies)

    @functools.cached_property
    def _varies(self) -> list[np.ndarray]:
        return varying(self.run(self.draw()), self.run(self.draw()))

    @functools.cached_property
    def how(self) -> str:
        """The way of drawing variables with which more of the outputs are finite.

        Raises:
          ValueError: none of them is, whatever way.
        """
        shares = {
            how: min(finite(self.run(self.draw(how))) for _ in range(2))
            for how in (draws.LIKE_GIVEN, draws.POSITIVE)
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
            found = narrowest(jax.make_jaxpr(self.function)(network, self.inputs))
        if found == Precision():
            return found
        eps = float(jnp.finfo(found.dtype).eps)
        way = {
            i: eps * self.rng.normal(size=np.shape(x))
            for i, x in network.items()
            if is_inexact(x)
        }
        runs = [
            self.run(network, {i: network[i] * (1 + k * u) for i, u in way.items()})
            for k in range(3)
        ]
        noise = bend(runs, self._varies)
        narrow = noise >= 1e-2 * Precision().tolerance
        return dataclasses.replace(found, noise=noise) if narrow else Precision()


def put(leaves: Leaves) -> Leaves:
    """The same arrays on the device, so that many runs share them."""
    with float64():
        return {
            number: x if isinstance(x, jax.Array) else jnp.asarray(x)
            for number, x in leaves.items()
        }
