"""Occurrences: the single places of a spec where units lie, and moves of one at a time.

An occurrence is one factor of one term of one axis of one leaf (or of one slice of a
stack): finer than a label, which may be a product or a sum. What `permute` does to a whole
tree is done here occurrence by occurrence, on the host and in another way, so that one can
be left out.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from linconn_jax.permutation._verify.probe import Probe
from linconn_jax.permutation._verify.random_inputs import is_key
from linconn_jax.permutation.axis_layout import Factor, Term, leaf_terms
from linconn_jax.permutation.infer_sizes import slices
from linconn_jax.permutation.labels import Axes, Stacked, Units
from linconn_jax.permutation.spec import BoundSpec
from linconn_jax.typing import Array, Int

Parent = str | int
"""A name that others lie under, or the length of an axis that stays."""


class Move(NamedTuple):
    """New entry i of a flattened leaf is old entry `gather[i]`; not always one to one."""

    leaf: int
    gather: Int[np.ndarray, " entries"]


class Piece(NamedTuple):
    """Part of an occurrence: one term of each other axis of the leaf.

    Attributes:
      entries: number of each entry in the flattened leaf, `[*beside, units]`.
      beside: what the other axes of `entries` are: names, or lengths of axes that stay.
    """

    entries: Int[np.ndarray, "*beside units"]
    beside: tuple[Parent, ...]

    def under(
        self, parents: Sequence[Parent]
    ) -> Int[np.ndarray, "*parents rest units"]:
        """The entries with the axes of these parents in front, the others flattened."""
        n, old = len(parents), [self.beside.index(x) for x in parents]
        entries = np.moveaxis(self.entries, old, range(n))
        shape = entries.shape
        return entries.reshape(*shape[:n], math.prod(shape[n:-1]), shape[-1])


@dataclasses.dataclass(frozen=True, eq=False)
class Occurrence:
    """One place where units lie, or positions that stay.

    Attributes:
      leaf, axis: number of the leaf, and its axis.
      name: of units that are permuted, else None.
      size: how many units.
      where: `params/dense/kernel axis 1`, for people; no two are the same.
      entries: number of entries of the whole leaf.
      pieces: the entries that lie here.
      reading: ` as 4x3` where positions that stay are read as a product.
    """

    leaf: int
    axis: int
    name: str | None
    size: int
    where: str
    entries: int
    pieces: list[Piece]
    reading: str = ""

    def __str__(self) -> str:
        return self.where + self.reading

    def divided(self, size: int, *, slow: bool) -> "Occurrence":
        """The same entries read as a product of `size` units and something else.

        Args:
          size: a divisor of the length.
          slow: whether units are the slower factor (channels before positions).
        """
        times = self.size // size
        shape, axis = ((size, times), -2) if slow else ((times, size), -1)
        pieces = []
        for entries, beside in self.pieces:
            product = entries.reshape(*entries.shape[:-1], *shape)
            pieces.append(Piece(np.moveaxis(product, axis, -1), (*beside, times)))
        reading = " as {}x{}".format(*shape)
        return dataclasses.replace(self, size=size, pieces=pieces, reading=reading)

    def possible_parents(self) -> set[Parent]:
        """What the units could lie under: what is beside them, once, in all pieces."""
        return set.intersection(
            *(
                {x for x in beside if isinstance(x, int) or beside.count(x) == 1}
                for _, beside in self.pieces
            )
        ) - {1, self.name}

    def move(
        self, index: Int[np.ndarray, "*parents units"], parents: Sequence[Parent] = ()
    ) -> Move:
        """New unit i is old unit `index[i]`, in each of the parents.

        Leading axes of `index` may be left out: units move alike under those parents.
        """
        gather = np.arange(self.entries)
        for piece in self.pieces:
            at = piece.under(parents)
            old = np.broadcast_to(index[..., None, :], at.shape)
            gather[at] = np.take_along_axis(at, old, axis=-1)
        return Move(self.leaf, gather)


def moved(arrays: Mapping[int, Array], moves: Iterable[Move]) -> dict[int, np.ndarray]:
    """The leaves that moves change, after them, by number."""
    found: dict[int, np.ndarray] = {}
    for number, gather in moves:
        leaf = np.asarray(found.get(number, arrays[number]))
        found[number] = leaf.reshape(-1)[gather].reshape(leaf.shape)
    return found


def all_occurrences(probe: Probe, bound: BoundSpec) -> list[Occurrence]:
    """Those in all leaves whose values can be moved about: not in random keys."""
    found: list[Occurrence] = []
    for i in probe.numbers:
        if not is_key(probe.leaves[i]):
            shape = tuple(probe.leaves[i].shape)
            found += _in_leaf(i, probe.paths[i], shape, probe.axes[i], bound.sizes)
    return found


def _in_leaf(
    leaf: int,
    path: str,
    shape: tuple[int, ...],
    axes: Axes | Stacked,
    sizes: Mapping[str, int],
) -> list[Occurrence]:
    """All occurrences of a leaf; of a stack along its own axis, and in each slice."""
    found: dict[str, Occurrence] = {}

    def add(terms: Sequence[tuple[Term, ...]], note: str, only: Sequence[int]) -> None:
        """Occurrences along the axes `only`, given the terms of every axis."""
        for choice in itertools.product(*map(enumerate, terms)):
            entries, factors = np.zeros((), int), []
            for axis, (part, term) in enumerate(choice):
                entries = entries[..., None] * shape[axis] + term.places
                where = f"{path} axis {axis}{note}"
                where += f" part {part}" * (len(terms[axis]) > 1)
                for i, factor in enumerate(term.factors):
                    text = where + f" factor {i}" * (len(term.factors) > 1)
                    factors.append((axis, text, factor))
            entries = entries.reshape([factor.size for *_, factor in factors])
            keys = tuple(f.atom.name if f.atom else f.size for *_, f in factors)
            for i, (axis, where, factor) in enumerate(factors):
                if axis in only:
                    name = factor.atom.name if isinstance(factor.atom, Units) else None
                    new = Occurrence(leaf, axis, name, factor.size, where, size, [])
                    piece = Piece(np.moveaxis(entries, i, -1), keys[:i] + keys[i + 1 :])
                    found.setdefault(where, new).pieces.append(piece)

    size, lead, every = math.prod(shape), len(shape) - axes.ndim, range(len(shape))
    stays = [(Term(0, (Factor(None, n, 1),)),) for n in shape]
    if isinstance(axes, Stacked):
        add(stays, "", [lead])
    for _, _, k, layer, rest in slices(leaf, path, axes, shape[lead:]):
        slot = [] if k is None else [(Term(k, (Factor(None, 1, 1),)),)]
        terms = [*stays[:lead], *slot, *leaf_terms(layer, rest, sizes)]
        add(terms, "" if k is None else f" slice {k}", every)
    return list(found.values())
