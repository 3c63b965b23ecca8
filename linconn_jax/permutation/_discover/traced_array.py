"""The arrays of a traced program, with a symbol for each axis."""

import functools
from collections.abc import Iterable

import jax
import numpy as np

from linconn_jax.permutation._discover.axis_symbols import Symbol, size, uniform, units
from linconn_jax.permutation._discover.unify import tie

MOST_SLICES = 512
"""Leading axes up to this length get symbols slice by slice."""


class TracedArray:
    """An array of the program.

    Attributes:
      symbols: one for each axis.
      path: of the leaf of the variables that it is, or of which it is a rearrangement or
        slice; None for any other array.
      moves: whether it is known to depend on the inputs of the function.
    """

    moves = False

    def __init__(self, symbols: Iterable[Symbol], path: str | None = None):
        self.symbols, self.path = tuple(symbols), path

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(map(size, self.symbols))

    def rearranged(self, symbols: Iterable[Symbol]) -> "TracedArray":
        """The same numbers in another arrangement, whose axes have these symbols."""
        return TracedArray(symbols, self.path)


class Leaf(TracedArray):
    """A leaf of the variables. Its symbols are made when the program first asks for them.

    A leaf that the program takes slice by slice (layers stacked for a scan) has symbols
    of its own for each slice; once it is used as a whole, all slices share theirs.
    """

    def __init__(self, path: str, shape: tuple[int, ...]):
        self.path, self.shape = path, shape
        self.whole: tuple[Symbol, ...] | None = None
        self.slices: list[tuple[Symbol, ...]] = []

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """One for each axis, of the leaf used as a whole."""
        if self.whole is None and not self.slices:
            self.whole = self.new_whole()
        elif self.whole is None:
            why = f"slices of {self.path} are used one by one"
            shared = tie_axes(self.slices, "used in one place")
            self.whole = (units(self.shape[0], why), *shared)
        return self.whole

    @property
    def each(self) -> list[tuple[Symbol, ...]]:
        """The symbols of the whole, or of each slice, or nothing for an unused leaf."""
        return self.slices if self.whole is None else [self.whole]

    def has_slices(self) -> bool:
        """Whether slices along the leading axis can have symbols of their own."""
        return self.whole is None and bool(self.shape) and self.shape[0] <= MOST_SLICES

    def slice(self, index: int) -> TracedArray:
        """`leaf[index]`, of a leaf that `has_slices`."""
        if not self.slices:
            self.slices = self.new_slices()
        return TracedArray(self.slices[index], f"{self.path}[{index}]")

    def new_whole(self) -> tuple[Symbol, ...]:
        """The symbols of a leaf that nothing is known of yet."""
        return tuple(map(units, self.shape))

    def new_slices(self) -> list[tuple[Symbol, ...]]:
        """Those of each of its slices."""
        return [tuple(map(units, self.shape[1:])) for _ in range(self.shape[0])]


def tie_axes(arrays: Iterable[tuple[Symbol, ...]], reason: str) -> tuple[Symbol, ...]:
    """The symbols of an array computed element by element from arrays of one shape."""
    axes = zip(*arrays, strict=True)
    return tuple(
        functools.reduce(lambda a, b: tie(a, b, reason), axis) for axis in axes
    )


def constant(array: object) -> TracedArray:
    """A constant: uniform along axes where all slices are equal bit by bit, else frozen.

    Random keys, and arrays of a program within which this one is traced, have no bits to
    look at: all of their axes are frozen.
    """
    shape, dtype = np.shape(array), getattr(array, "dtype", None)
    is_key = dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)
    if is_key or isinstance(array, jax.core.Tracer):
        why = "a constant whose values cannot be seen"
        return TracedArray(units(length, why) for length in shape)
    # Not the numbers: 0.0 == -0.0, and functions tell them apart.
    bits = np.asarray(array)[..., None].view(np.uint8)
    symbols = []
    for axis, length in enumerate(shape):
        first = np.take(bits, [0], axis=axis) if length else bits
        why = "a constant that differs from place to place"
        equal = np.all(bits == first)
        symbols.append(uniform(length) if equal else units(length, why))
    return TracedArray(symbols)
