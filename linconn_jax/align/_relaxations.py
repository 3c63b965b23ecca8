"""Upper bounds of the inner product of one piece of a leaf with another that is permuted.

A piece is an array with one axis for each factor of its labels. Axes that carry a
permuted name move, the others stay. Whatever else happens, two things are known:

**Rows.** If unit j of a name comes to unit i's place, then row j stands beside row i, the
entries of both in some order (an entry moves only where axes move). By the rearrangement
inequality their product is at most that of both sorted. So much can be gained by putting
j at i, and an assignment of the name's units bounds the whole. Where a name meets itself
(recurrent kernels) the diagonal stays the diagonal, which makes it the bound of Gilmore
(1962) and Lawler (1963) for quadratic assignment.

**Singular values.** Permutations of the rows and of the columns of a matrix are
orthogonal, and ⟨A, U B Vᵀ⟩ ≤ Σ σ_i(A) σ_i(B) (von Neumann 1937). They also leave vectors
of ones alone, so means over rows and over columns are split off first: what deviates
from both is bounded so, and the means by themselves.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from linconn_jax.align._traces import effects, von_neumann
from linconn_jax.permutation import Piece
from linconn_jax.typing import Float

Names = tuple[str | None, ...]
Parents = Mapping[str, tuple[str, ...]]

LARGEST = 2**27
"""Numbers in a similarity (a GiB); of more units Cauchy and Schwarz are asked instead."""


@dataclasses.dataclass(frozen=True)
class Relaxation:
    """A piece gives at most `constant`, and what the assignments of some names gain.

    Attributes:
      constant: whatever the permutation.
      similarities: of some names, `[fixed, units, units]`: the units under all permuted
        parents, numbered row-major, for each index of the parents that are fixed.
    """

    constant: float
    similarities: dict[str, Float[np.ndarray, "fixed units units"]]


def entries(leaf: np.ndarray, piece: Piece) -> Float[np.ndarray, "..."]:
    """The piece of a leaf, an axis for each factor, in float64."""
    part = leaf if piece.layer is None else leaf[piece.layer]
    part = part[np.ix_(*(term.places for term in piece.terms))]
    return part.astype(np.float64).reshape([n for x in piece.terms for n in x.shape])


def relaxations(
    names: Names,
    a: Float[np.ndarray, "..."],
    b: Float[np.ndarray, "..."],
    parents: Parents,
) -> list[Relaxation]:
    """Bounds of ⟨a, b permuted⟩, each of them valid.

    Args:
      names: of each axis; one at least is a key of `parents`.
      a: of the reference.
      b: of the other network.
      parents: of each permuted name.
    """
    moving = [k for k, name in enumerate(names) if name in parents]
    found = [
        Relaxation(0.0, {str(names[k]): similarity(names, a, b, k, parents)})
        for k in moving
        if _fits(names, a.shape, k, parents)
    ]
    for sides in _sides(_together(names, parents)):
        if all(
            _fits(names, a.shape, _deepest(names, x, parents), parents) for x in sides
        ):
            found.append(_traced(names, a, b, sides, parents))
    return found or [_cauchy_schwarz(a, b, moving)]


def similarity(
    names: Names,
    a: Float[np.ndarray, "..."],
    b: Float[np.ndarray, "..."],
    factor: int,
    parents: Parents,
) -> Float[np.ndarray, "fixed units units"]:
    """What two units on one axis can give at most, by the rearrangement inequality."""
    stay, move = _above(names, factor, parents)
    front = [*stay, *move, factor]
    again = [k for k, x in enumerate(names) if x == names[factor] and k != factor][:1]
    rest = [k for k in range(len(names)) if k not in (*front, *again)]
    held = [k for k in rest if names[k] not in parents]
    free = [k for k in rest if names[k] in parents]
    groups = (stay, move, [factor], again, held, free)
    order = list(itertools.chain(*groups))
    shape = [math.prod(a.shape[k] for k in group) for group in groups]
    rows = (_rows(x.transpose(order).reshape(shape), bool(again)) for x in (a, b))
    ours, theirs = (x.reshape(shape[0], shape[1] * shape[2], -1) for x in rows)
    return ours @ theirs.swapaxes(1, 2)


def _rows(
    x: Float[np.ndarray, "fixed above units again held free"], again: bool
) -> Float[np.ndarray, "fixed above units entries"]:
    """Each unit's entries in ascending order, as far as they may change places."""
    if not again:
        return _flat(np.sort(x[:, :, :, 0], axis=-1))
    n = x.shape[2]
    own = np.eye(n, dtype=bool)
    diagonal = _flat(np.sort(x[:, :, own], axis=-1))
    beside = x[:, :, ~own].reshape(*x.shape[:3], n - 1, *x.shape[4:])
    beside = np.moveaxis(beside, 3, 4).reshape(*x.shape[:3], x.shape[4], -1)
    return np.concatenate([diagonal, _flat(np.sort(beside, axis=-1))], axis=-1)


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(*x.shape[:3], math.prod(x.shape[3:]))


def _traced(
    names: Names,
    a: Float[np.ndarray, "..."],
    b: Float[np.ndarray, "..."],
    sides: tuple[Sequence[int], Sequence[int]],
    parents: Parents,
) -> Relaxation:
    """By singular values, the axes of `sides` being rows and columns; means by names."""
    tied = {k for x in (*sides[0], *sides[1]) for k in _above(names, x, parents)[0]}
    others = [k for k in range(len(names)) if k not in {*tied, *sides[0], *sides[1]}]
    groups = (sorted(tied), others, *sides)
    order = list(itertools.chain(*groups))
    shape = [math.prod(a.shape[k] for k in group) for group in groups]
    parts = [effects(x.transpose(order).reshape(shape)) for x in (a, b)]
    size = shape[2] * shape[3]
    constant = size * float(np.vdot(parts[0].mean, parts[1].mean))
    constant += von_neumann(parts[0].both, parts[1].both)
    charged: dict[str, np.ndarray] = {}
    for side, effect, times in (
        (sides[0], "rows", shape[3]),
        (sides[1], "columns", shape[2]),
    ):
        axes = [*groups[0], *groups[1], *side]
        inner = tuple(names[k] for k in axes)
        means = (getattr(x, effect).reshape([a.shape[k] for k in axes]) for x in parts)
        factor = axes.index(_deepest(names, side, parents))
        found = times * similarity(inner, *means, factor, parents)
        name = str(inner[factor])
        charged[name] = charged[name] + found if name in charged else found
    return Relaxation(constant, charged)


def _cauchy_schwarz(
    a: Float[np.ndarray, "..."], b: Float[np.ndarray, "..."], moving: Sequence[int]
) -> Relaxation:
    """The product of norms of the deviations from the mean, which stays."""
    axes = tuple(moving)
    means = [x.mean(axis=axes, keepdims=True) for x in (a, b)]
    ours, theirs = (
        np.linalg.norm(x - mean) for x, mean in zip((a, b), means, strict=True)
    )
    size = math.prod(a.shape[k] for k in moving)
    return Relaxation(float(size * np.vdot(*means) + ours * theirs), {})


def _above(names: Names, factor: int, parents: Parents) -> tuple[list[int], list[int]]:
    """Axes of the parents of an axis's name: those that stay and those that move."""
    above = [names.index(x) for x in parents.get(str(names[factor]), ())]
    stay = [k for k in above if names[k] not in parents]
    return stay, [k for k in above if names[k] in parents]


def _fits(names: Names, shape: tuple[int, ...], factor: int, parents: Parents) -> bool:
    stay, move = _above(names, factor, parents)
    units = math.prod(shape[k] for k in (*move, factor))
    return math.prod(shape[k] for k in stay) * units**2 <= LARGEST


def _together(names: Names, parents: Parents) -> list[list[int]]:
    """The moving axes, those in one list that move with each other's units."""
    number = {k: k for k, name in enumerate(names) if name in parents}
    for k in number:
        joined = {number[x] for x in (k, *_above(names, k, parents)[1])}
        number.update({x: min(joined) for x, y in number.items() if y in joined})
    found = sorted(set(number.values()))
    return [[k for k, x in number.items() if x == y] for y in found]


def _sides(groups: list[list[int]]) -> Iterator[tuple[list[int], list[int]]]:
    """All ways to make some of the groups rows and the others columns."""
    for chosen in itertools.product((True, False), repeat=max(len(groups) - 1, 0)):
        rows = [True, *chosen]
        if not all(rows):
            each = list(zip(groups, rows, strict=True))
            yield (
                [k for group, row in each if row for k in group],
                [k for group, row in each if not row for k in group],
            )


def _deepest(names: Names, side: Sequence[int], parents: Parents) -> int:
    """The axis of a side whose name has most parents."""
    return max(side, key=lambda k: len(parents[str(names[k])]))
