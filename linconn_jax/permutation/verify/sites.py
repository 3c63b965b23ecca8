"""Sites: the single places of a spec where units lie, and moves of one site at a time.

A site is one factor of one term of one axis of one leaf (or of one slice of a stack):
finer than a label, which may be a product or a sum. What `permute` does to a whole tree
is done here site by site, on the host and in another way, so that one can be left out.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from linconn_jax.permutation.labels import Axes, Fixed, Stacked, Units
from linconn_jax.permutation.places import Term, leaf_terms
from linconn_jax.permutation.spec import layers
from linconn_jax.typing import Array, Int

Parent = str | int
"""A name that others lie under, or the length of an axis that stays."""


@dataclasses.dataclass(frozen=True)
class Site:
    """One place where units lie, or places that stay.

    Attributes:
      leaf: number of the leaf.
      layer: index in a stack, or None.
      axis: axis of the leaf (of the slice, in a stack); -1 for the stack's own.
      term, factor: which term of the axis's label, and which factor of that.
      atom: what lies there; None for places without a name.
      size: how many.
      text: `params/dense/kernel axis 1`, for people.
    """

    leaf: int
    layer: int | None
    axis: int
    term: int
    factor: int
    atom: Units | Fixed | None
    size: int
    text: str

    @property
    def name(self) -> str | None:
        """The axis name of units that are permuted, else None."""
        return self.atom.name if isinstance(self.atom, Units) else None

    def __str__(self) -> str:
        return self.text


@dataclasses.dataclass(frozen=True)
class Move:
    """A gather of one site: new unit i is old unit `index[i]`.

    `index` has shape `[*parents, units]`; it need not be a permutation.
    """

    site: Site
    index: Int[np.ndarray, "*shape"]
    under: tuple[Parent, ...] = ()


class Sites:
    """All sites of a spec beside the shapes of its variables, None for no array."""

    def __init__(
        self,
        entries: Sequence[tuple[str, tuple[int, ...] | None, Axes | Stacked]],
        sizes: dict[str, int],
    ):
        self._shapes = [shape for _, shape, _ in entries]
        self._terms: dict[tuple[int, int | None], list[tuple[Term, ...]]] = {}
        self._stack: dict[int, int] = {}
        self.all: list[Site] = []
        for number, (path, shape, axes) in enumerate(entries):
            if shape is not None:
                self._add(number, path, shape, axes, sizes)

    def named(self, name: str) -> list[Site]:
        """The sites of a permuted name."""
        return [site for site in self.all if site.name == name]

    def parents(self, site: Site, *, but: Iterable[str] = ()) -> set[Parent]:
        """What the site could lie under: it is beside it wherever the site is.

        Names other than the site's own and `but`, and lengths of axes that stay.
        """
        beside: list[set[Parent]] = []
        for factors, where in self._pieces_of(site):
            others = [f for k, f in enumerate(factors) if k != where]
            names = [f.atom.name for f in others if f.atom is not None]
            once = {x for x in names if names.count(x) == 1 and x != site.name}
            stays = {f.size for f in others if f.atom is None and f.size > 1}
            beside.append(once.difference(but) | stays)
        return set.intersection(*beside) if beside else set()

    def positions(
        self, site: Site, under: Sequence[Parent] = ()
    ) -> Iterator[Int[np.ndarray, "..."]]:
        """Flat positions in the leaf, `[*under, units, rest]`, for each piece."""
        shape = self._shapes[site.leaf]
        index = np.arange(int(np.prod(shape))).reshape(shape)
        if site.axis < 0:
            yield np.moveaxis(index, self._stack[site.leaf], 0).reshape(site.size, -1)
            return
        if site.layer is not None:
            index = np.take(index, site.layer, axis=self._stack[site.leaf])
        for choice in self._choices(site):
            part = index
            for axis in reversed(range(len(choice))):
                part = choice[axis].cut(part, axis)
            factors, where = _factors(choice, site)
            first = [*(_find(factors, parent, where) for parent in under), where]
            part = np.moveaxis(part, first, range(len(first)))
            yield part.reshape(*part.shape[: len(first)], -1)

    def apply(self, leaf: Array, moves: Iterable[Move]) -> np.ndarray:
        """A leaf after moves of sites that lie in it."""
        leaf = np.asarray(leaf)
        for move in moves:
            old = leaf.reshape(-1)
            new = old.copy()
            for at in self.positions(move.site, move.under):
                source = np.take_along_axis(at, move.index[..., None], axis=-2)
                new[at] = old[source]
            leaf = new.reshape(leaf.shape)
        return leaf

    def moved(self, leaves: dict[int, Array], moves: Iterable[Move]) -> dict:
        """The leaves that moves change, after them, by number."""
        found: dict[int, list[Move]] = {}
        for move in moves:
            found.setdefault(move.site.leaf, []).append(move)
        return {i: self.apply(leaves[i], each) for i, each in found.items()}

    def redrawn(self, site: Site, leaf: Array, other: Array) -> np.ndarray:
        """`leaf` with the values of `other` at the site's places."""
        leaf, other = np.array(leaf).reshape(-1), np.asarray(other)
        for at in self.positions(site):
            leaf[at] = other.reshape(-1)[at]
        return leaf.reshape(other.shape)

    def _add(
        self, number: int, path: str, shape: tuple, axes: Axes | Stacked, sizes: dict
    ) -> None:
        lead = len(shape) - axes.ndim
        if isinstance(axes, Stacked):
            self._stack[number] = lead
            text = f"{path} axis {lead}"
            self.all.append(Site(number, None, -1, 0, 0, None, shape[lead], text))
        for index, (layer, rest, _) in enumerate(layers(path, axes, shape[lead:])):
            slot = index if isinstance(axes, Stacked) else None
            labels = Axes(*(None,) * lead, *layer.labels)
            terms = leaf_terms(labels, (*shape[:lead], *rest), sizes)
            self._terms[number, slot] = terms
            where = path if slot is None else f"{path}[{slot}]"
            self.all.extend(_sites(number, slot, where, terms))

    def _choices(self, site: Site) -> Iterator[tuple[Term, ...]]:
        terms = list(self._terms[site.leaf, site.layer])
        terms[site.axis] = (terms[site.axis][site.term],)
        return itertools.product(*terms)

    def _pieces_of(self, site: Site) -> Iterator[tuple[list, int]]:
        if site.axis >= 0:
            for choice in self._choices(site):
                yield _factors(choice, site)


def _sites(
    number: int, slot: int | None, path: str, terms: list[tuple[Term, ...]]
) -> Iterator[Site]:
    for axis, sums in enumerate(terms):
        for t, term in enumerate(sums):
            for f, factor in enumerate(term.factors):
                text = f"{path} axis {axis}"
                if len(sums) > 1:
                    text += f" part {t}"
                if len(term.factors) > 1:
                    text += f" factor {f}"
                yield Site(number, slot, axis, t, f, factor.atom, factor.size, text)


def _factors(choice: Sequence[Term], site: Site) -> tuple[list, int]:
    """The factors of a piece, and which of them is the site."""
    before = sum(len(term.factors) for term in choice[: site.axis])
    return [f for term in choice for f in term.factors], before + site.factor


def _find(factors: list, parent: Parent, where: int) -> int:
    """Which factor of a piece the parent is."""
    for k, factor in enumerate(factors):
        if isinstance(parent, int):
            if k != where and factor.atom is None and factor.size == parent:
                return k
        elif factor.atom is not None and factor.atom.name == parent:
            return k
    raise ValueError(f"{parent!r} is not beside the site")
