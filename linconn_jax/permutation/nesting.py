"""Names that lie under others: what their parents are, and whether each leaf has them."""

import functools
import itertools

from linconn_jax.permutation.axis_layout import Atom, atoms, leaf_terms, names
from linconn_jax.permutation.labels import Axes, Stacked, Units


@functools.lru_cache(maxsize=256)
def parents_of(
    entries: tuple[tuple[str, Axes | Stacked], ...],
) -> dict[str, tuple[str, ...]]:
    """Parents of each permuted name, sorted by name, from (path, axes) of all leaves.

    Raises:
      ValueError: labels of one name contradict each other.
    """
    first: dict[str, tuple[Atom, str]] = {}
    for path, axes in entries:
        for layer in axes.axes if isinstance(axes, Stacked) else (axes,):
            for atom in itertools.chain.from_iterable(map(atoms, layer.labels)):
                other, where = first.setdefault(atom.name, (atom, path))
                _check_same(atom, path, other, where)
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


def check_nesting(
    path: str,
    axes: Axes,
    shape: tuple[int, ...],
    known: dict[str, int],
    nesting: dict[str, tuple[str, ...]],
) -> None:
    """Refuses a leaf in which a nested name lacks a parent, or has one twice."""
    nested = any(nesting.get(x) for label in axes.labels for x in names(label))
    if not nested:
        return
    for piece in itertools.product(*leaf_terms(axes, shape, known)):
        atoms_here = [f.atom.name for term in piece for f in term.factors if f.atom]
        for name in atoms_here:
            for parent in nesting.get(name, ()):
                if atoms_here.count(parent) != 1:
                    raise ValueError(
                        f"{path} with labels {axes} has {name!r}, which lies under "
                        f"{parent!r}, and {parent!r} {atoms_here.count(parent)} times "
                        "beside it; it must be there exactly once to tell whose units "
                        "they are"
                    )
