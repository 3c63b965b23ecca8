"""From atoms to a spec: names for the units, and labels for the axes of the leaves."""

from collections.abc import Iterable, Iterator

from linconn_jax.permutation._discover.nesting import Parents
from linconn_jax.permutation._discover.terms import (
    Atom,
    Term,
    atoms,
    factors,
    size,
)
from linconn_jax.permutation._discover.values import Leaf
from linconn_jax.permutation.labels import (
    Axes,
    Block,
    Concat,
    Fixed,
    Label,
    Stacked,
    Units,
)

_COLLECTIONS = ("params", "param", "batch_stats")
_KINDS = ("kernel", "weight", "w", "embedding", "scale", "bias", "b")
_WRAPPERS = ("value", "raw_value")


class Labeller:
    """Names the atoms, and labels leaves by them.

    Args:
      written: (path of a leaf, term) in the order in which units come into being; units
        are named after the leaf that writes them first.
      leaves: all leaves, for the units that none writes.
      above: from `nesting.parents`.
    """

    def __init__(
        self,
        written: Iterable[tuple[str, Term]],
        leaves: Iterable[Leaf],
        above: Parents,
    ):
        self.above = above
        self.names: dict[Atom, str] = {}
        holders = {parent for found in above.values() for parent in found}
        for path, term in (*written, *_axes(leaves)):
            for one in atoms(term):
                if one not in self.names and (one.frozen is None or one in holders):
                    self.names[one] = self._new_name(one, path)

    def _new_name(self, one: Atom, path: str) -> str:
        base, taken = _stem(path), set(self.names.values())
        if base not in taken:
            return base
        inside = base in (self.names.get(parent) for parent in self.above.get(one, ()))
        kind = f"{base}/inside" if inside else f"{base}/2"
        name, number = kind, 2
        while name in taken:
            number += 1
            name = f"{base}/{number}" if not inside else f"{kind}/{number - 1}"
        return name

    def leaf(self, leaf: Leaf) -> Axes | Stacked:
        """The labels of a leaf."""
        if leaf.whole is not None:
            return self._axes(leaf.whole)
        if leaf.slices is None:
            return Axes(*(None for _ in leaf.shape))
        each = [self._axes(terms) for terms in leaf.slices]
        if all(one == each[0] for one in each):
            return Axes(None, *each[0].labels)
        return Stacked(*each)

    def _axes(self, terms: Iterable[Term]) -> Axes:
        return Axes(*(self._label(term) for term in terms))

    def _label(self, term: Term) -> Label:
        if self._stays(term):
            return None
        parts = [self._factor(factor) for factor in factors(term)]
        return parts[0] if len(parts) == 1 else Block(*parts)

    def _stays(self, term: Term) -> bool:
        return not any(one in self.names for one in atoms(term))

    def _factor(self, one: Atom) -> int | Label:
        if one.concat is not None:
            if self._stays((one,)):
                return one.size
            parts = (self._label(part) or size(part) for part in one.concat)
            return Concat(*parts)
        if one not in self.names:
            return one.size
        if one.frozen is not None:
            return Fixed(self.names[one], one.size)
        under = tuple(self.names[parent] for parent in self.above.get(one, ()))
        return Units(self.names[one], one.size, under)


def freeze_unused(leaves: Iterable[Leaf], seen: Iterable[tuple[Term, ...]]) -> None:
    """Freezes units that no computed array holds: parts of leaves that nothing reads."""
    used = {one for terms in seen for term in terms for one in atoms(term)}
    for _, term in _axes(leaves):
        for one in atoms(term):
            if one not in used and one.frozen is None:
                one.frozen = "not used by the function"


def terms_of(leaf: Leaf) -> list[tuple[Term, ...]]:
    """The terms of a leaf, or of each of its slices."""
    return [leaf.whole] if leaf.whole is not None else list(leaf.slices or ())


def _axes(leaves: Iterable[Leaf]) -> Iterator[tuple[str, Term]]:
    for leaf in leaves:
        for terms in terms_of(leaf):
            for term in terms:
                yield leaf.path, term


def _stem(path: str) -> str:
    """`block_1/conv_2` for `params/block_1/conv_2/kernel`.

    Of slice 3 of a stack of layers, `blocks/conv_2[3]` for `blocks/conv_2/kernel[3]`; of
    variables that are one array, which has no path, `units`.
    """
    path, bracket, index = path.partition("[")
    parts = path.split("/")
    if len(parts) > 1 and parts[0] in _COLLECTIONS:
        parts = parts[1:]
    if len(parts) > 2 and parts[-1] in _WRAPPERS:
        parts = parts[:-1]
    if len(parts) > 1 and parts[-1] in _KINDS:
        parts = parts[:-1]
    return ("/".join(parts) or "units") + bracket + index
