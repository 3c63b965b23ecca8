"""Test (i): the spec's permutations do not change the function."""

import dataclasses

import jax

from linconn_jax.permutation.action import permute
from linconn_jax.permutation.algebra import random
from linconn_jax.permutation.spec import Spec
from linconn_jax.permutation.verify.outputs import distance
from linconn_jax.permutation.verify.probe import float64
from linconn_jax.permutation.verify.trials import Trials


@dataclasses.dataclass(frozen=True)
class FunctionTest:
    """What permuting does to the outputs, relative to their scale.

    Attributes:
      errors: of random elements of the group, each on a random network of its own.
      alone: the change when one name alone is permuted.
      tolerance: changes up to this are rounding.
    """

    errors: tuple[float, ...]
    alone: dict[str, float]
    tolerance: float

    @property
    def worst(self) -> float:
        """The largest change of all."""
        return max((*self.errors, *self.alone.values()), default=0.0)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Names that may not be permuted as the spec says."""
        return tuple(n for n, x in self.alone.items() if not x <= self.tolerance)

    @property
    def ok(self) -> bool:
        """Whether nothing but rounding was seen."""
        return self.worst <= self.tolerance


def check_function(trials: Trials, spec: Spec, *, elements: int) -> FunctionTest:
    """Permutes random networks by random elements, then by each name alone.

    The first goes by `permute`; the second by another program (`sites`), as a check.
    """
    errors = tuple(_element(trials, spec) for _ in range(elements))
    alone = {name: trials.change(trials.whole(name, 0)) for name in trials.names}
    return FunctionTest(errors, alone, trials.probe.precision.tolerance)


def _element(trials: Trials, spec: Spec) -> float:
    probe = trials.probe
    leaves = probe.draw()
    key = jax.random.key(int(probe.rng.integers(2**31)))
    with float64():
        tree = probe.tree(leaves)
        moved = permute(spec, random(key, spec, tree), tree)
    flat = probe.structure.flatten_up_to(moved)
    return distance(probe.run(leaves), probe.run({i: flat[i] for i in probe.numbers}))
