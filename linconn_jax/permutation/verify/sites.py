"""Sites: the single places of a spec where units lie, and moves of one site at a time.

A site is one factor of one term of one axis of one leaf (or of one slice of a stack):
finer than a label, which may be a product or a sum. What `permute` does to a whole tree
is done here site by site, on the host and in another way, so that one can be left out.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from linconn_jax.permutation.labels import Axes, Fixed, Stacked, Units
from linconn_jax.permutation.places import Factor, Term, leaf_terms
from linconn_jax.permutation.spec import layers
from linconn_jax.typing import Array, Int

Parent = str | int
"""A name that others lie under, or the length of an axis that stays."""


class Move(NamedTuple):
    """New entry i of a flattened leaf is old entry `gather[i]`; not always one to one."""

    leaf: int
    gather: Int[np.ndarray, " entries"]


class Piece(NamedTuple):
    """The part of a leaf that one term of each of its axes makes; a site is a factor."""

    shape: tuple[int, ...]
    terms: tuple[Term, ...]
    factor: int

    @property
    def factors(self) -> list[Factor]:
        """Of all axes; the piece has an axis for each of them."""
        return [factor for term in self.terms for factor in term.factors]

    @property
    def others(self) -> list[Factor]:
        """All factors but the site."""
        return [f for k, f in enumerate(self.factors) if k != self.factor]

    def places(self, under: Sequence[Parent]) -> Int[np.ndarray, "..."]:
        """Where the entries lie in the flattened leaf, `[*under, units, rest]`."""
        flat = np.zeros((), int)
        for length, term in zip(self.shape, self.terms, strict=True):
            flat = flat[..., None] * length + term.places
        flat = flat.reshape([factor.size for factor in self.factors])
        first = [*map(self._find, under), self.factor]
        flat = np.moveaxis(flat, first, range(len(first)))
        above, rest = flat.shape[: len(first)], flat.shape[len(first) :]
        return flat.reshape(*above, math.prod(rest))

    def _find(self, parent: Parent) -> int:
        return next(
            k
            for k, factor in enumerate(self.factors)
            if k != self.factor
            and parent == (factor.atom.name if factor.atom else factor.size)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Site:
    """One place where units lie, or places that stay.

    Attributes:
      leaf: number of the leaf.
      layer: index in a stack, or None.
      axis: axis of the leaf.
      atom: what lies there; None for places without a name.
      size: how many units.
      where: `params/dense/kernel axis 1`, for people, and no two are the same.
      pieces: of the leaf, in which the site lies.
      times, slow: how often the units occur where the site is read as a product, and
        whether they are the slower factor (channels before positions).
    """

    leaf: int
    layer: int | None
    axis: int
    atom: Units | Fixed | None
    size: int
    where: str
    pieces: tuple[Piece, ...]
    times: int = 1
    slow: bool = False

    @property
    def name(self) -> str | None:
        """The axis name of units that are permuted, else None."""
        return self.atom.name if isinstance(self.atom, Units) else None

    def __str__(self) -> str:
        if self.times == 1:
            return self.where
        factors = (self.size, self.times) if self.slow else (self.times, self.size)
        return "{} as {}x{}".format(self.where, *factors)

    def divided(self, size: int, *, slow: bool) -> "Site":
        """The same places read as a product of `size` units and something else."""
        times = self.size // size
        return dataclasses.replace(self, size=size, times=times, slow=slow)

    @property
    def meets_itself(self) -> bool:
        """Whether units of the same name lie along another axis beside the site."""
        beside = (f.atom for piece in self.pieces for f in piece.others if f.atom)
        return any(self.name == atom.name for atom in beside)

    def parents(self) -> set[Parent]:
        """What the site could lie under: it is once beside it wherever the site is.

        Names, and lengths of axes that stay.
        """
        beside: list[set[Parent]] = []
        for piece in self.pieces:
            names = [f.atom.name for f in piece.others if f.atom]
            once = {x for x in names if names.count(x) == 1 and x != self.name}
            stays = {f.size for f in piece.others if not f.atom and f.size > 1}
            beside.append(once | stays)
        return set.intersection(*beside)

    def places(self, under: Sequence[Parent] = ()) -> Iterator[Int[np.ndarray, "..."]]:
        """Where units lie in the flattened leaf, `[*under, units, rest]`, by piece."""
        for piece in self.pieces:
            at = piece.places(under)
            if self.times > 1:
                order = (
                    (self.size, self.times) if self.slow else (self.times, self.size)
                )
                at = at.reshape(*at.shape[:-2], *order, at.shape[-1])
                at = at if self.slow else at.swapaxes(-3, -2)
                at = at.reshape(*at.shape[:-2], -1)
            yield at

    def move(
        self, index: Int[np.ndarray, "*shape"], under: Sequence[Parent] = ()
    ) -> Move:
        """New unit i is old unit `index[i]`; `index` has shape `[*under, units]`."""
        gather = np.arange(int(np.prod(self.pieces[0].shape)))
        for at in self.places(under):
            gather[at] = np.take_along_axis(at, index[..., None], axis=-2)
        return Move(self.leaf, gather)


def moved(leaves: dict[int, Array], moves: Iterable[Move]) -> dict[int, np.ndarray]:
    """The leaves that moves change, after them, by number."""
    found: dict[int, np.ndarray] = {}
    for number, gather in moves:
        leaf = np.asarray(found.get(number, leaves[number]))
        found[number] = leaf.reshape(-1)[gather].reshape(leaf.shape)
    return found


def sites(
    leaf: int,
    path: str,
    shape: tuple[int, ...],
    axes: Axes | Stacked,
    sizes: dict[str, int],
) -> Iterator[Site]:
    """All sites of a leaf; of a stack those of each slice after the stack's own."""
    lead = len(shape) - axes.ndim
    stays = [(Term(0, (Factor(None, n, 1),)),) for n in shape]
    stacked = isinstance(axes, Stacked)
    if stacked:
        piece = Piece(shape, tuple(term for (term,) in stays), lead)
        text = f"{path} axis {lead}"
        yield Site(leaf, None, lead, None, shape[lead], text, (piece,))
    for k, (layer, rest, _) in enumerate(layers(path, axes, shape[lead:])):
        slot = [(Term(k, (Factor(None, 1, 1),)),)] if stacked else []
        terms = [*stays[:lead], *slot, *leaf_terms(layer, rest, sizes)]
        for axis in range(len(shape)):
            if stacked and axis == lead:
                continue
            text = f"{path}[{k}]" if stacked else path
            text += f" axis {axis - (stacked and axis > lead)}"
            for site in _of_axis(leaf, axis, shape, terms, text):
                yield dataclasses.replace(site, layer=k) if stacked else site


def _of_axis(
    leaf: int, axis: int, shape: tuple[int, ...], terms: list, text: str
) -> Iterator[Site]:
    for t, term in enumerate(terms[axis]):
        choices = [*terms[:axis], (term,), *terms[axis + 1 :]]
        for f, factor in enumerate(term.factors):
            pieces = tuple(
                Piece(shape, choice, f + sum(len(x.factors) for x in choice[:axis]))
                for choice in itertools.product(*choices)
            )
            part = f" part {t}" if len(terms[axis]) > 1 else ""
            part += f" factor {f}" if len(term.factors) > 1 else ""
            yield Site(leaf, None, axis, factor.atom, factor.size, text + part, pieces)
