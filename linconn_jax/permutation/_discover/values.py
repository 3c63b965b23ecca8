"""What is known of the arrays of a traced program: one term for each axis."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import jax
import numpy as np

from linconn_jax.permutation._discover.joining import join
from linconn_jax.permutation._discover.terms import (
    Term,
    atom,
    freeze,
    wild,
)

MOST_SLICES = 512
"""Leading axes up to this length are taken apart, one set of atoms for each slice."""


class Leaf:
    """The atoms of a leaf of the variables, made when it is first used.

    A leaf whose leading axis is taken apart (layers stacked for a scan) has atoms of its
    own in each slice; once it is used as a whole, all slices share theirs.
    """

    def __init__(self, path: str, shape: tuple[int, ...]):
        self.path, self.shape = path, shape
        self.whole: tuple[Term, ...] | None = None
        self.slices: list[tuple[Term, ...]] | None = None

    def can_be_taken_apart(self) -> bool:
        """Whether slices of the leading axis may have atoms of their own."""
        wanted = self.shape and self.shape[0] <= MOST_SLICES
        return self.whole is None and bool(wanted)

    def slice(self, index: int) -> "Value":
        """`leaf[index]`, of a leaf that can be taken apart."""
        if self.slices is None:
            each = self.shape[1:]
            self.slices = [tuple(map(atom, each)) for _ in range(self.shape[0])]
        return Value(self.slices[index], origin=f"{self.path}[{index}]")

    def terms(self) -> tuple[Term, ...]:
        """Terms of the leaf used as a whole."""
        if self.whole is None:
            if self.slices is None:
                self.whole = tuple(map(atom, self.shape))
            else:
                shared = functools.reduce(_join_all, self.slices)
                why = f"slices of {self.path} are used one by one"
                self.whole = (atom(self.shape[0], frozen=why), *shared)
        return self.whole


@dataclasses.dataclass(frozen=True)
class Value:
    """An array of the program.

    Attributes:
      known: the terms of its axes, or None for a leaf of the variables.
      leaf: the leaf that it is.
      origin: path of the leaf of which it is a rearrangement or slice, to name its units.
    """

    known: tuple[Term, ...] | None
    leaf: Leaf | None = None
    origin: str | None = None

    @property
    def terms(self) -> tuple[Term, ...]:
        """One term for each axis."""
        return self.leaf.terms() if self.known is None else self.known

    @property
    def ndim(self) -> int:
        """Number of axes; a leaf that is only asked for it may be taken apart still."""
        return len(self.leaf.shape if self.known is None else self.known)

    @property
    def path(self) -> str | None:
        """Path of the leaf that it is or comes from."""
        return self.origin if self.leaf is None else self.leaf.path

    def moved(self, terms: Iterable[Term]) -> "Value":
        """A rearrangement of this array, with these terms."""
        return Value(tuple(terms), origin=self.path)


class Trace:
    """What a pass over a program gathers beside the terms.

    Attributes:
      seen: terms of every array and of every intermediate sum, each a set of axes whose
        units are in one place together: from them `nesting` reads what may depend on
        what.
      written: (path of a leaf, term) in the order in which units come into being.
      unknown: primitives without a rule, and where they were called.
      why: reason to freeze, of the primitive at hand.
      place: where in the code the primitive at hand was called.
    """

    def __init__(self):
        self.seen: list[tuple[Term, ...]] = []
        self.written: list[tuple[str, Term]] = []
        self.unknown: list[str] = []
        self.why = "an input"
        self.place = ""

    def see(self, terms: Iterable[Term]) -> None:
        """Notes that these axes belong to one array."""
        self.seen.append(tuple(terms))

    def stay(self, terms: Sequence[Term], *axes: int) -> None:
        """Freezes axes whose places matter to the primitive at hand.

        It may also mix the places: what moves along the other axes must then do so alike
        at all of them.
        """
        for axis in axes:
            freeze(terms[axis], self.why)
        if axes:
            self.see(term for axis, term in enumerate(terms) if axis not in axes)

    def mixed(
        self, terms: Sequence[Term], axes: Sequence[int], shape: Sequence[int]
    ) -> tuple[Term, ...]:
        """`stay`, and the terms of what comes out: along these axes other places.

        Not the axes that came in: what was constant along them need not be so any more.
        """
        self.stay(terms, *axes)
        return tuple(
            self.places(shape[axis]) if axis in axes else term
            for axis, term in enumerate(terms)
        )

    def places(self, size: int) -> Term:
        """A new axis whose places stay."""
        return atom(size, frozen=self.why)

    def join(self, values: Sequence[Sequence[Term]]) -> tuple[Term, ...]:
        """Terms of an array computed element by element from arrays of one shape."""
        return functools.reduce(functools.partial(_join_all, why=self.why), values)


def constant(array: object) -> Value:
    """A constant: its axes stay, or are wild where all slices are equal bit by bit.

    Random keys, and arrays of a program within which this one is traced, have no bits to
    look at: all of their axes stay.
    """
    shape = np.shape(array)
    if isinstance(array, jax.core.Tracer) or _is_key(array):
        why = "a constant whose values cannot be seen"
        return Value(tuple(atom(size, frozen=why) for size in shape))
    # Not the numbers: 0.0 == -0.0, and functions tell them apart.
    bits = np.asarray(array)[..., None].view(np.uint8)
    terms = []
    for axis, size in enumerate(shape):
        first = np.take(bits, [0], axis=axis) if size else bits
        why = "a constant that differs from place to place"
        alike = bool(np.all(bits == first))
        terms.append(wild(size) if alike else atom(size, frozen=why))
    return Value(tuple(terms))


def _is_key(array: object) -> bool:
    dtype = getattr(array, "dtype", None)
    return dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)


def _join_all(
    a: Sequence[Term], b: Sequence[Term], why: str = "used in one place"
) -> tuple[Term, ...]:
    # An axis of length 1 goes with any.
    pairs = zip(a, b, strict=True)
    return tuple(join(p, q, why) if p and q else p or q for p, q in pairs)
