"""Sites: the single places of a spec where units lie, and moves of one site at a time.

A site is one factor of one term of one axis of one leaf (or of one slice of a stack):
finer than a label, which may be a product or a sum. What `permute` does to a whole tree
is done here site by site, on the host and in another way, so that one can be left out.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from linconn_jax.permutation.axis_layout import Factor, Term, leaf_terms
from linconn_jax.permutation.labels import Axes, Fixed, Stacked, Units
from linconn_jax.typing import Array, Int

Parent = str | int
"""A name that others lie under, or the length of an axis that stays."""


class Move(NamedTuple):
    """New entry i of a flattened leaf is old entry `gather[i]`; not always one to one."""

    leaf: int
    gather: Int[np.ndarray, " entries"]


class Piece(NamedTuple):
    """Entries of a flattened leaf, an axis for each factor; the site is one factor."""

    entries: Int[np.ndarray, "*factors"]
    factors: tuple[Factor, ...]
    site: int

    @property
    def beside(self) -> list[Factor]:
        """All factors but the site."""
        return [*self.factors[: self.site], *self.factors[self.site + 1 :]]

    def places(self, under: Sequence[Parent]) -> Int[np.ndarray, "..."]:
        """The entries as `[*under, units, rest]`."""
        keys = [f.atom.name if f.atom else f.size for f in self.factors]
        keys[self.site] = ""
        first = [*map(keys.index, under), self.site]
        at = np.moveaxis(self.entries, first, range(len(first)))
        return at.reshape(*at.shape[: len(first)], math.prod(at.shape[len(first) :]))


@dataclasses.dataclass(frozen=True, eq=False)
class Site:
    """One place where units lie, or places that stay.

    Attributes:
      leaf, axis: number of the leaf, and axis of it.
      atom: what lies there; None for places without a name.
      size: how many units.
      where: `params/dense/kernel axis 1`, for people, and no two are the same.
      shape: of the leaf.
      pieces: of the leaf, in which the site lies.
      times, slow: how often the units occur where the site is read as a product, and
        whether they are the slower factor (channels before positions).
    """

    leaf: int
    axis: int
    atom: Units | Fixed | None
    size: int
    where: str
    shape: tuple[int, ...]
    pieces: list[Piece]
    times: int = 1
    slow: bool = False

    def __str__(self) -> str:
        if self.times == 1:
            return self.where
        factors = (self.size, self.times) if self.slow else (self.times, self.size)
        return "{} as {}x{}".format(self.where, *factors)

    @property
    def name(self) -> str | None:
        """The axis name of units that are permuted, else None."""
        return self.atom.name if isinstance(self.atom, Units) else None

    @property
    def meets_itself(self) -> bool:
        """Whether units of the same name lie beside the site: a recurrent kernel."""
        beside = (f.atom for piece in self.pieces for f in piece.beside if f.atom)
        return any(self.name == atom.name for atom in beside)

    def divided(self, size: int, *, slow: bool) -> "Site":
        """The same places read as a product of `size` units and something else."""
        times = self.size // size
        return dataclasses.replace(self, size=size, times=times, slow=slow)

    def parents(self) -> set[Parent]:
        """What the site could lie under: names, and lengths of axes that stay.

        They are beside it, once, wherever the site is.
        """
        beside: list[set[Parent]] = []
        for piece in self.pieces:
            names = [f.atom.name for f in piece.beside if f.atom]
            once = {x for x in names if names.count(x) == 1 and x != self.name}
            stays = {f.size for f in piece.beside if not f.atom and f.size > 1}
            beside.append(once | stays)
        return set.intersection(*beside)

    def places(self, under: Sequence[Parent] = ()) -> Iterator[Int[np.ndarray, "..."]]:
        """Where units lie in the flattened leaf, `[*under, units, rest]`, by piece."""
        for piece in self.pieces:
            at = piece.places(under)
            if self.times > 1:
                above, rest = at.shape[:-2], at.shape[-1]
                order = (
                    (self.size, self.times) if self.slow else (self.times, self.size)
                )
                at = at.reshape(*above, *order, rest)
                at = at if self.slow else at.swapaxes(-3, -2)
                at = at.reshape(*above, self.size, self.times * rest)
            yield at

    def move(
        self, index: Int[np.ndarray, "*shape"], under: Sequence[Parent] = ()
    ) -> Move:
        """New unit i is old unit `index[i]`; `index` has shape `[*under, units]`."""
        gather = np.arange(math.prod(self.shape))
        for at in self.places(under):
            gather[at] = np.take_along_axis(at, index[..., None], axis=-2)
        return Move(self.leaf, gather)


def moved(leaves: Mapping[int, Array], moves: Iterable[Move]) -> dict[int, np.ndarray]:
    """The leaves that moves change, after them, by number."""
    found: dict[int, np.ndarray] = {}
    for number, gather in moves:
        leaf = np.asarray(found.get(number, leaves[number]))
        found[number] = leaf.reshape(-1)[gather].reshape(leaf.shape)
    return found


def sites_of(
    leaf: int,
    path: str,
    shape: tuple[int, ...],
    axes: Axes | Stacked,
    sizes: dict[str, int],
) -> list[Site]:
    """All sites of a leaf; of a stack its own axis, and those of each slice."""
    found: dict[str, Site] = {}

    def add(axis: int, factor: Factor, where: str, piece: Piece) -> None:
        new = Site(leaf, axis, factor.atom, factor.size, f"{path} {where}", shape, [])
        found.setdefault(where, new).pieces.append(piece)

    lead = len(shape) - axes.ndim
    stays = [(Term(0, (Factor(None, n, 1),)),) for n in shape]
    if isinstance(axes, Stacked):
        whole = _piece(shape, [term for (term,) in stays])
        add(lead, whole.factors[lead], f"axis {lead}", whole._replace(site=lead))
    for _, _, k, layer, rest in slices(leaf, path, axes, shape[lead:]):
        first, k = k is not None, k or 0
        slot = (Term(k, (Factor(None, 1, 1),)),)
        terms = [*stays[:lead], *[slot] * first, *leaf_terms(layer, rest, sizes)]
        for choice in itertools.product(*terms):
            piece = _piece(shape, choice)
            for axis, term in enumerate(choice):
                where = f"axis {axis}" + f" slice {k}" * first
                if len(terms[axis]) > 1:
                    where += f" part {terms[axis].index(term)}"
                for f, factor in enumerate(term.factors):
                    text = where + f" factor {f}" * (len(term.factors) > 1)
                    add(axis, factor, text, piece)
                    piece = piece._replace(site=piece.site + 1)
    return list(found.values())


def _piece(shape: tuple[int, ...], terms: Sequence[Term]) -> Piece:
    """The entries that one term of each axis picks."""
    flat = np.zeros((), int)
    for length, term in zip(shape, terms, strict=True):
        flat = flat[..., None] * length + term.places
    factors = tuple(factor for term in terms for factor in term.factors)
    return Piece(flat.reshape([factor.size for factor in factors]), factors, 0)
