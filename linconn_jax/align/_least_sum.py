"""The least sum of relaxations, one for each piece, as far as it is looked for."""

from collections.abc import Collection, Sequence

import numpy as np

from linconn_jax.align import assignment
from linconn_jax.align._relaxations import Relaxation
from linconn_jax.permutation import BoundSpec
from linconn_jax.typing import Float

SWEEPS = 2
"""How often the choice of each piece is reconsidered."""


def least(choices: Sequence[Sequence[Relaxation]], spec: BoundSpec) -> float:
    """The least sum that is found, of one relaxation for each piece, assignments done."""
    names = _Names(spec)
    chosen = [min(each, key=lambda x: names.value([x])) for each in choices]
    for _ in range(SWEEPS):
        before = list(chosen)
        for i, each in enumerate(choices):
            if len(each) > 1:
                others = [*chosen[:i], *chosen[i + 1 :]]
                roots = {names.root(x) for one in each for x in one.similarities}
                values = [names.value([*others, one], roots) for one in each]
                chosen[i] = each[int(np.argmin(values))]
        if all(x is y for x, y in zip(chosen, before, strict=True)):
            break
    return names.value(chosen)


class _Names:
    """The names of a spec as trees, and the assignments of all names of a tree at once.

    A name whose parents are one inside the other is assigned for each pair of units of
    the innermost, and adds to their similarity what it gains. Other names (under two
    that are beside each other) are assigned by themselves, their units under all parents
    being treated as one set.
    """

    def __init__(self, spec: BoundSpec):
        self.sizes, self.parents = spec.sizes, spec.parents
        self.fixed, self.moving = {}, {}
        for name, above in spec.parents.items():
            self.fixed[name] = [x for x in above if x not in spec.parents]
            self.moving[name] = [x for x in above if x in spec.parents]
        self.upper = {name: self._upper(name) for name in spec.parents}

    def _upper(self, name: str) -> str | None:
        *others, last = self.moving[name] or [None]
        inside = last is not None and self.moving[last] == others
        return last if inside and {*self.fixed[last]} <= {*self.fixed[name]} else None

    def root(self, name: str) -> str:
        """The name that a name is assigned together with."""
        above = self.upper[name]
        return name if above is None else self.root(above)

    def value(
        self, relaxed: Sequence[Relaxation], roots: Collection[str] | None = None
    ) -> float:
        """Constants, and the best assignment of each name on the sum of similarities.

        Of these roots only, if there are any given.
        """
        total = sum(x.constant for x in relaxed)
        sums: dict[str, np.ndarray] = {}
        for one in relaxed:
            for name, x in one.similarities.items():
                if roots is not None and self.root(name) not in roots:
                    continue
                sums[name] = sums[name] + x if name in sums else x
        deepest = sorted(self.parents, key=lambda x: len(self.parents[x]), reverse=True)
        for name in deepest:
            if name not in sums:
                continue
            similarity, above = sums.pop(name), self.upper[name]
            if above is None:
                best = assignment.maximize(similarity)
                total += float(assignment.value(similarity, best).sum())
                continue
            inside = self._inside(name, similarity)
            sums[above] = sums[above] + inside if above in sums else inside
        return total

    def _inside(
        self, name: str, similarity: Float[np.ndarray, "fixed units units"]
    ) -> Float[np.ndarray, "fixed above above"]:
        """What each pair of units of the innermost parent gains by a name inside it."""
        fixed, above = self.fixed[name], str(self.upper[name])
        n = self.sizes[name]
        m = similarity.shape[1] // n
        pairs = similarity.reshape(-1, m, n, m, n).swapaxes(2, 3)
        gained = assignment.value(pairs, assignment.maximize(pairs))
        sizes = [self.sizes[x] for x in fixed]
        rows = range(len(fixed), len(fixed) + 2)
        kept = [fixed.index(x) for x in self.fixed[above]]
        summed = np.einsum(
            gained.reshape(*sizes, m, m), [*range(len(fixed)), *rows], [*kept, *rows]
        )
        return summed.reshape(-1, m, m)
