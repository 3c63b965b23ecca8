"""The size of every axis name, and the names under which it lies."""

import bisect
import functools
import itertools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from linconn_jax.permutation.axis_layout import (
    Atom,
    Piece,
    atoms,
    leaf_terms,
    length,
    names,
)
from linconn_jax.permutation.labels import Axes, Label, Stacked, Units


class _Slice(NamedTuple):
    """A leaf, or one layer of a stack (else `layer` is None); shape of labelled axes."""

    leaf: int
    path: str
    layer: int | None
    axes: Axes
    shape: tuple[int, ...]


class _Equation(NamedTuple):
    """An axis is as long as its label says."""

    label: Label
    length: int
    path: str
    axis: int

    @property
    def whole(self) -> bool:
        """Whether the axis is one name and nothing else."""
        return isinstance(self.label, Atom)

    def __str__(self) -> str:
        return f"axis {self.axis} of {self.path} has length {self.length}"


@functools.lru_cache(maxsize=256)
def infer(
    paths: tuple[str, ...],
    axes: tuple[Axes | Stacked, ...],
    shapes: tuple[tuple[int, ...] | None, ...],
) -> tuple[Mapping[str, int], Mapping[str, tuple[str, ...]], tuple[Piece, ...]]:
    """Sizes and parents of all names, and the pieces of all leaves with names in them.

    Args:
      paths, axes, shapes: of all leaves; shapes of the labelled axes, None if missing.

    Raises:
      ValueError: labels contradict one another or the shapes, or leave a size open.
    """
    parts = []
    for leaf, (path, labels, shape) in enumerate(zip(paths, axes, shapes, strict=True)):
        if shape is None:
            continue
        if isinstance(labels, Axes):
            parts.append(_Slice(leaf, path, None, labels, shape))
        elif len(labels.axes) == shape[0]:
            layers = enumerate(labels.axes)
            parts += [_Slice(leaf, path, k, x, shape[1:]) for k, x in layers]
        else:
            raise ValueError(
                f"{path} is a stack of {shape[0]} layers but its spec {labels} has "
                f"{len(labels.axes)}; give Stacked one Axes(...) for each layer"
            )
    parents, sizes = infer_parents(zip(paths, axes, strict=True)), _infer_sizes(parts)
    pieces = (piece for one in parts for piece in _pieces(one, sizes, parents))
    return sizes, parents, tuple(piece for piece in pieces if any(piece.names))


def infer_parents(
    spec: Iterable[tuple[str, Axes | Stacked]],
) -> dict[str, tuple[str, ...]]:
    """Parents of each permuted name, sorted by name, from (path, labels) of all leaves.

    Raises:
      ValueError: labels of one name contradict each other.
    """
    first: dict[str, tuple[Atom, str]] = {}
    for path, axes in spec:
        for layer in axes.axes if isinstance(axes, Stacked) else (axes,):
            for atom in itertools.chain.from_iterable(map(atoms, layer.labels)):
                _check_same(atom, path, *first.setdefault(atom.name, (atom, path)))
    found = {name: a.under for name, (a, _) in first.items() if isinstance(a, Units)}
    for name, under in found.items():
        for i, parent in enumerate(under):
            absent = [x for x in found.get(parent, ()) if x not in under[:i]]
            if absent:
                raise ValueError(
                    f"{name!r} lies under {parent!r}, which lies under {absent[0]!r}: "
                    f"write Units({name!r}, under=(..., {absent[0]!r}, {parent!r})), all "
                    "parents with the outermost first"
                )
    return dict(sorted(found.items()))


def _check_same(atom: Atom, path: str, other: Atom, where: str) -> None:
    if type(atom) is not type(other):
        raise ValueError(
            f"axis name {atom.name!r} is {type(other).__name__} in {where} but "
            f"{type(atom).__name__} in {path}; a name is permuted or it is not"
        )
    if isinstance(atom, Units) and atom.under != other.under:
        raise ValueError(
            f"axis name {atom.name!r} lies under {other.under} in {where} but under "
            f"{atom.under} in {path}; a name has the same parents everywhere"
        )


def _pieces(
    one: _Slice, sizes: Mapping[str, int], parents: Mapping[str, tuple[str, ...]]
) -> list[Piece]:
    """The pieces of a leaf, each with all parents of its names exactly once."""
    choices = itertools.product(*leaf_terms(one.axes, one.shape, sizes))
    found = [Piece(one.leaf, one.layer, terms) for terms in choices]
    for here in (piece.names for piece in found):
        for name, parent in ((x, y) for x in here for y in parents.get(x, ())):
            if here.count(parent) != 1:
                raise ValueError(
                    f"{one.path} with labels {one.axes} has {name!r}, which lies under "
                    f"{parent!r}, and {parent!r} {here.count(parent)} times beside it; "
                    "it must be there exactly once to tell whose units they are"
                )
    return found


def _infer_sizes(parts: Iterable[_Slice]) -> dict[str, int]:
    """The size of every name, solved from the lengths of the axes that carry it.

    An axis whose label has one unknown name tells its size. First come sizes written in
    labels, then axes that are one name and nothing else, then the others in turn, until
    nothing changes.
    """
    written, axes = [], []
    for one in parts:
        labelled = zip(one.axes.labels, one.shape, strict=True)
        for axis, (label, n) in enumerate(labelled, int(one.layer is not None)):
            if label is not None:
                axes.append(_Equation(label, n, one.path, axis))
            for atom in atoms(label):
                if atom.size is not None:
                    said = f"its label at {one.path}"
                    written.append(_Equation(atom, atom.size, said, axis))
    known: dict[str, int] = {}
    where: dict[str, str] = {}
    waiting, before = [*written, *sorted(axes, key=lambda axis: not axis.whole)], None
    while len(waiting) != before:
        before = len(waiting)
        waiting = [x for x in waiting if not _solved(x, known, where)]
    for equation in waiting:
        unknown = sorted(set(names(equation.label)) - known.keys())
        raise ValueError(
            f"{equation} and label {equation.label}, which does not tell the sizes of "
            f"{unknown}; write one of them, as Units({unknown[0]!r}, size)"
        )
    return dict(sorted(known.items()))


def _solved(equation: _Equation, known: dict[str, int], where: dict[str, str]) -> bool:
    """Solves an equation with one unknown, checks one with none, leaves others."""
    label, unknown = equation.label, set(names(equation.label)) - known.keys()
    if len(unknown) > 1:
        return False
    if unknown:
        (name,) = unknown
        known[name] = bisect.bisect_left(
            range(equation.length),
            equation.length,
            key=lambda n: length(label, {**known, name: n}),  # rises with n
        )
        where[name] = equation.path
    makes = length(label, known)
    if makes == equation.length:
        return True
    if unknown:
        raise ValueError(
            f"{equation}, and no number of units of {name!r} makes its label "
            f"{label} that long"
        )
    if equation.whole:
        raise ValueError(
            f"axis name {label.name!r} has {makes} units in {where[label.name]} but "
            f"{equation.length} in {equation.path}; axes of one name must have one "
            "length (did two layers of different width get one label?)"
        )
    because = ", ".join(
        f"{known[name]} units of {name!r} in {where[name]}"
        for name in dict.fromkeys(names(label))
    )
    raise ValueError(
        f"{equation}, but its label {label} makes {makes}: there are {because}"
    )
