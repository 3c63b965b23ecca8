"""The function under test, compiled once, with random networks to run it on."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core, source_info_util

from linconn_jax.permutation._verify.occurrences import Occurrence, occurrences_in
from linconn_jax.permutation._verify.random_inputs import (
    WAYS,
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
"""Arrays by number: leaves of the variables are counted first, then the inputs."""

Outputs = list[np.ndarray]
"""Leaves of what a function returned, in float64 or complex128, on the host."""


class Precision(NamedTuple):
    """What a function computes in, in words; up to `tolerance` outputs are the same."""

    text: str
    tolerance: float


FLOAT64 = Precision("float64", float(jnp.finfo(float).eps) ** (2 / 3))


class Probe:
    """`apply`, compiled once in float64, and random networks of the given shapes.

    Args:
      apply, spec, variables, inputs, seed: as of `verify`.
      returned: outputs that move with a leaf, `{number: its path}`, None for one that is
        left out. In the place of each stands its inner product with the leaf, which
        stays if both move alike.

    Attributes:
      bound: the spec bound to the variables.
      leaves: of the variables, None among them.
      numbers: those of the leaves that are arrays.
      inputs: those of the inputs that are arrays.
      occurrences: of all leaves but random keys, whose values cannot be moved about.
      runs: how often the function ran.
      seconds: time of the fastest run.
    """

    def __init__(
        self,
        apply: Callable,
        spec: Spec,
        variables: PyTree,
        inputs: tuple,
        seed: int,
        returned: Mapping[int, str | None] = MappingProxyType({}),
    ):
        self.bound, self.leaves = bind_leaves(spec, variables)
        self.numbers = [i for i, leaf in enumerate(self.leaves) if is_array(leaf)]
        if not self.numbers:
            raise ValueError(
                "variables has no array leaves; pass the tree of parameters that apply "
                "takes as its first argument"
            )
        self.rng = np.random.default_rng(seed)
        self.runs, self.seconds = 0, math.inf
        flat, self._inputs = jax.tree.flatten(inputs)
        self._given = [*self.leaves, *flat]
        arrays = {i: x for i, x in enumerate(flat, len(self.leaves)) if is_array(x)}
        self.inputs = {i: random_input(self.rng, x) for i, x in arrays.items()}
        movable = (i for i in self.numbers if not is_key(self.leaves[i]))
        found = (occurrences_in(self.bound, i, self.leaves[i].shape) for i in movable)
        self.occurrences = [one for each in found for one in each]
        numbers = {None: None} | {x: i for i, x in enumerate(self.bound.paths)}
        self._returned = {k: numbers[path] for k, path in returned.items()}
        self._apply, self._compiled = apply, jax.jit(self.function)

    def arguments(self, arrays: Arrays) -> tuple[PyTree, ...]:
        """`(variables, *inputs)` with these arrays in them, all else as given."""
        flat = [arrays.get(i, x) for i, x in enumerate(self._given)]
        n = len(self.leaves)
        return self.bound.tree(flat[:n]), *self._inputs.unflatten(flat[n:])

    def function(self, arrays: Arrays) -> PyTree:
        """`apply` of these arrays."""
        outputs = self._apply(*self.arguments(arrays))
        if not self._returned:
            return outputs
        found = jax.tree.leaves(outputs)
        for k, i in self._returned.items():
            if i is None or not is_key(found[k]):
                found[k] = jnp.zeros(()) if i is None else jnp.sum(found[k] * arrays[i])
        return found

    def draw(self, how: str | None = None) -> Arrays:
        """The variables of a random network, on the host."""
        return {i: self.draw_leaf(i, how) for i in self.numbers}

    def draw_leaf(self, number: int, how: str | None = None) -> Any:
        """Another random leaf."""
        path, leaf = self.bound.paths[number], self.leaves[number]
        return random_leaf(self.rng, path, leaf, how or self.how)

    def run(self, arrays: Arrays) -> Outputs:
        """The outputs for these variables."""
        began = time.perf_counter()
        with float64():
            found = jax.tree.leaves(self._compiled(put(self.inputs | arrays)))
            found = (jax.random.key_data(x) if is_key(x) else x for x in found)
            outputs = list(map(wide, found))
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
            scale = np.abs(a[finite & varies]).max(initial=0.0) or 1.0
            return float(np.abs(a[finite] - b[finite]).max(initial=0.0) / scale)

        return max(map(one, outputs, others, self._varies), default=0.0)

    @functools.cached_property
    def named(self) -> dict[str, list[Occurrence]]:
        """The occurrences of each permuted name."""
        return {
            name: [x for x in self.occurrences if x.name == name]
            for name in self.bound.parents
        }

    @functools.cached_property
    def _varies(self) -> list[np.ndarray]:
        """Which entries of the outputs differ between networks, and so tell their scale.

        A mask that fills entries with -1e9 does not.
        """
        runs = self.run(self.draw()), self.run(self.draw())
        return [np.asarray(a != b) for a, b in zip(*runs, strict=True)]

    @functools.cached_property
    def how(self) -> str:
        """The way of drawing variables with which more of the outputs are finite.

        Raises:
          ValueError: none of them is, whatever way.
        """

        def finite(how: str) -> int:
            return sum(int(np.isfinite(x).sum()) for x in self.run(self.draw(how)))

        entries = {how: min(finite(how) for _ in range(2)) for how in WAYS}
        best = max(entries, key=entries.get)
        if not entries[best]:
            raise ValueError(
                f"the outputs are not finite for any random variables ({'; '.join(WAYS)}"
                "), so that nothing can be tested: give arrays for variables that must "
                "be positive, or wrap apply so that it maps real numbers to those that "
                "the model wants"
            )
        return best

    @functools.cached_property
    def precision(self) -> Precision:
        """What the function computes in, and the differences that are rounding.

        A narrow mask or table of exact numbers does no harm: steps of one rounding unit
        in the variables still lead to outputs on a line, but for the square of the step.
        """
        network, double = self.draw(), jnp.finfo(float)
        with float64():
            program = jax.make_jaxpr(self.function)(self.inputs | network)
        floats = [
            (jnp.finfo(var.aval.dtype), eqn)
            for eqn in _equations(program.jaxpr)
            for var in eqn.outvars
            if is_array(var.aval) and is_inexact(var.aval)
        ]
        dtype, eqn = max(floats, key=lambda x: x[0].eps, default=(double, None))
        eps = float(dtype.eps)
        if eps <= double.eps:
            return FLOAT64
        real = {i: x for i, x in network.items() if is_inexact(x)}
        step = {i: eps * self.rng.normal(size=np.shape(x)) for i, x in real.items()}
        first, middle, last = (
            self.run(network | {i: x * (1 + k * step[i]) for i, x in real.items()})
            for k in range(3)
        )
        line = [(a + b) / 2 for a, b in zip(first, last, strict=True)]
        noise = 2 * self.distance(middle, line)
        if noise < 1e-2 * FLOAT64.tolerance:
            return FLOAT64
        place = source_info_util.summarize(eqn.source_info)
        return Precision(
            f"{dtype.dtype.name} inside the function ({place}), although variables and "
            "inputs are float64, which makes the tests weaker",
            tolerance=min(max(eps ** (2 / 3), 30 * noise), eps ** (1 / 2)),
        )


def _equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    """Those of a program and of all programs within, in order."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jax.tree.leaves(list(eqn.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            if isinstance(inner, core.Jaxpr):
                yield from _equations(inner)


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Computes in float64; float32 constants of a model are promoted."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def put(arrays: Arrays) -> Arrays:
    """The same arrays on the device, so that many runs share them."""
    with float64():
        return {i: jnp.asarray(x) for i, x in arrays.items()}
