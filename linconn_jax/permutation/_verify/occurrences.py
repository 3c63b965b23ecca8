"""Occurrences: the single places of a spec where units lie, and moves of one at a time.

An occurrence is one factor of one term of one axis of one leaf (or of one slice of a
stack): finer than a label, which may be a product or a sum. What `permute` does to whole
trees is done here one by one, in another way, so that one occurrence can be left out.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from linconn_jax.permutation.axis_layout import Term, leaf_terms
from linconn_jax.permutation.labels import Axes, Stacked, Units
from linconn_jax.permutation.spec import BoundSpec
from linconn_jax.typing import Array, Int

Parent = str | int
"""A name that others lie under, or the length of an axis that stays."""


class Move(NamedTuple):
    """New entry i of a flattened leaf is old entry `gather[i]`; not always one to one."""

    leaf: int
    gather: Int[np.ndarray, " entries"]


class Entries(NamedTuple):
    """Entries of one piece of a leaf, the units of an occurrence along their last axis.

    Attributes:
      numbers: of each entry in the flattened leaf, `[*beside, units]`.
      beside: what the other axes are: names, or lengths of axes that stay.
    """

    numbers: Int[np.ndarray, "*beside units"]
    beside: tuple[Parent, ...]

    def under(
        self, parents: Sequence[Parent]
    ) -> Int[np.ndarray, "*parents rest units"]:
        """The numbers with the axes of these parents in front, the others flattened."""
        n, old = len(parents), [self.beside.index(x) for x in parents]
        numbers = np.moveaxis(self.numbers, old, range(n))
        shape = numbers.shape
        return numbers.reshape(*shape[:n], math.prod(shape[n:-1]), shape[-1])


@dataclasses.dataclass(frozen=True, eq=False)
class Occurrence:
    """One place where units lie, or positions that stay.

    Attributes:
      leaf, axis: number of the leaf, and its axis.
      name: of units that are permuted, else None.
      size: how many units.
      shape: of the leaf.
      where: `params/dense/kernel axis 1`, for people; no two are the same.
      entries: of the leaf that lie here.
      reading: ` as 4x3` where positions that stay are read as a product.
    """

    leaf: int
    axis: int
    name: str | None
    size: int
    where: str
    shape: tuple[int, ...]
    entries: list[Entries]
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
        entries = []
        for numbers, beside in self.entries:
            product = numbers.reshape(*numbers.shape[:-1], *shape)
            entries.append(Entries(np.moveaxis(product, axis, -1), (*beside, times)))
        reading = " as {}x{}".format(*shape)
        return dataclasses.replace(self, size=size, entries=entries, reading=reading)

    def possible_parents(self) -> set[Parent]:
        """What the units could lie under: what is beside them, once, in all pieces."""
        once = (
            {x for x in beside if isinstance(x, int) or beside.count(x) == 1}
            for _, beside in self.entries
        )
        return set.intersection(*once) - {1, self.name}

    def move(
        self, index: Int[np.ndarray, "*parents units"], parents: Sequence[Parent] = ()
    ) -> Move:
        """New unit i is old unit `index[i]`, in each of the parents.

        Leading axes of `index` may be left out: units move alike under those parents.
        """
        gather = np.arange(math.prod(self.shape))
        for entries in self.entries:
            at = entries.under(parents)
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


def occurrences_in(
    bound: BoundSpec, leaf: int, shape: tuple[int, ...]
) -> list[Occurrence]:
    """All occurrences in a leaf; in a stack along its own axis, and in each layer."""
    path, axes = bound.paths[leaf], bound.axes[leaf]
    whole, lead = np.arange(math.prod(shape)).reshape(shape), len(shape) - axes.ndim
    found: dict[str, Occurrence] = {}

    def add(axis: int, name: str | None, where: str, new: Entries) -> None:
        size, where = new.numbers.shape[-1], f"{path} axis {axis}{where}"
        one = Occurrence(leaf, axis, name, size, where, shape, [])
        found.setdefault(where, one).entries.append(new)

    layers = {"": axes}
    if isinstance(axes, Stacked):
        others = (*shape[:lead], *shape[lead + 1 :])
        add(lead, None, "", Entries(np.moveaxis(whole, lead, -1), others))
        layers = {f" slice {k}": layer for k, layer in enumerate(axes.axes)}
    for number, (layer, one) in enumerate(layers.items()):
        lengths = (*shape[:lead], *shape[len(shape) - one.ndim :])
        terms = leaf_terms(Axes(*[None] * lead, *one.labels), lengths, bound.sizes)
        if layer:
            terms.insert(lead, (Term(number, ()),))
        for choice in itertools.product(*map(enumerate, terms)):
            factors = []
            for axis, (k, term) in enumerate(choice):
                where = layer + f" part {k}" * (len(terms[axis]) > 1)
                for i, factor in enumerate(term.factors):
                    text = where + f" factor {i}" * (len(term.factors) > 1)
                    factors.append((axis, text, factor))
            numbers = whole[np.ix_(*(term.places for _, term in choice))]
            numbers = numbers.reshape([factor.size for *_, factor in factors])
            keys = [x.atom.name if x.atom else x.size for *_, x in factors]
            for i, (axis, where, factor) in enumerate(factors):
                name = factor.atom.name if isinstance(factor.atom, Units) else None
                beside = (*keys[:i], *keys[i + 1 :])
                add(axis, name, where, Entries(np.moveaxis(numbers, i, -1), beside))
    return list(found.values())
