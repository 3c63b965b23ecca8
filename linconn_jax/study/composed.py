"""Networks permuted by one alignment after another, and how alike permutations are."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from linconn_jax import align, permutation
from linconn_jax.files import Key
from linconn_jax.permutation import Permutation
from linconn_jax.results import Row
from linconn_jax.study.hybrids import sources
from linconn_jax.study.tasks import relative
from linconn_jax.study.vertices import (
    AlignmentKey,
    Columns,
    Network,
    Vertex,
    pair,
)
from linconn_jax.typing import Variables

if TYPE_CHECKING:
    from linconn_jax.study.study import Study

Chain = tuple[AlignmentKey, ...]
"""Alignments of pairs in the order in which they are applied.

Each moves its second network to its first, which is the second of the next.
"""


def chain(networks: Sequence[Vertex], *, method: str, draw: int = 0) -> Chain:
    """The alignments that bring the last network to the first, through those between.

    Each network is aligned to the one before it, and the last pair comes first.
    """
    pairs = zip(networks, networks[1:], strict=False)
    return tuple(AlignmentKey(method, ends, draw) for ends in pairs)[::-1]


def composed(networks: Sequence[Vertex], *, method: str) -> tuple[Vertex, Vertex]:
    """A segment from the first network to the last, brought there through the others.

    Of two networks it is their pair. The last may be the first once more: a cycle.

    Raises:
      ValueError: the method is joint.
    """
    if align.method(method).joint:
        raise ValueError(
            f"method {method!r} moves both networks of a pair; alignments that are "
            "composed leave their first network as it is: take another method"
        )
    first, *_, last = networks
    if len(networks) == 2:
        return pair(first, last, method=method)
    return first, Composed(last, chain(networks, method=method))


@dataclasses.dataclass(frozen=True)
class Composed:
    """A network permuted by several alignments, one after the other.

    Attributes:
      network: that is permuted.
      alignments: the first to be applied first.

    Raises:
      ValueError: an alignment does not begin where the one before it ended.
    """

    network: Vertex
    alignments: Chain

    def __post_init__(self) -> None:
        check_chain(self.alignments)

    @property
    def path(self) -> str:
        """As in rows."""
        around = self.alignments[-1].networks[0] == self.alignments[0].networks[-1]
        return "cycle" if around else "composed"

    def identity(self, study: "Study") -> Columns:
        """The network and the alignments."""
        alignments = [key.identity(study) for key in self.alignments]
        return {"network": self.network.identity(study), "alignments": alignments}

    def columns(self, study: "Study") -> Columns:
        """Those of the network and of the alignments, and the way that it went."""
        told = columns(self.alignments, study) | {"path": self.path}
        return self.network.columns(study) | told

    def permutation(self, study: "Study") -> Permutation:
        """The composition."""
        return composition(self.alignments, study)

    def variables(self, study: "Study") -> Variables:
        """Of the permuted network."""
        spec = study.alignment(self.alignments[0]).spec
        moved = self.permutation(study)
        return permutation.permute(spec, moved, self.network.variables(study))

    @property
    def sources(self) -> tuple[Network, ...]:
        """Those of the network and of all that were aligned."""
        return sources(self.network, self.alignments)


@dataclasses.dataclass(frozen=True)
class Likeness:
    """Fraction of units that two chains put in the same place, beside that by chance.

    Attributes:
      one: a chain of one or more alignments.
      two: another between the same networks; empty: the identity, of a cycle.
    """

    one: Chain
    two: Chain = ()

    def __post_init__(self) -> None:
        check_chain(self.one)
        check_chain(self.two)

    @property
    def alignments(self) -> Chain:
        """All."""
        return self.one + self.two

    def key(self, study: "Study") -> Key:
        """Both chains; columns of the first."""
        networks = [network for key in self.alignments for network in key.networks]
        first, last = self.one[-1].networks[0], self.one[0].networks[-1]
        return {
            **last.columns(study),
            **columns(self.one, study),
            "seeds": [x.columns(study)["seed"] for x in (first, last)],
            "seed": None,
            "fits": [
                [x.identity(study) for x in side] for side in (self.one, self.two)
            ],
            "diverged": study.diverged(networks),
        }

    def rows(self, study: "Study") -> Iterator[Row]:
        """One for each axis name, and one for all units."""
        if study.diverged([x for key in self.alignments for x in key.networks]):
            return
        p = composition(self.one, study)
        still = permutation.compose(p, permutation.inverse(p))
        q = composition(self.two, study) if self.two else still
        chances = {name: 1 / index.size for name, index in p.items() if index.size}
        fractions = permutation.agreement(p, q)
        whole = {"value": fractions, "chance": chances}
        both = {name: permutation.overall(x, p) for name, x in whole.items()}
        for name, value in fractions.items():
            chance = chances.get(name)
            row = {"axis": name, "value": float(value), "chance": chance}
            yield {"quantity": "agreement", **row}
        yield {"quantity": "agreement", "axis": "all", **both}


def composition(alignments: Chain, study: "Study") -> Permutation:
    """The permutation of a chain of one or more alignments, the first applied first."""
    each = [relative(study.alignment(key)) for key in alignments]
    return functools.reduce(permutation.compose, each)


def columns(alignments: Chain, study: "Study") -> Columns:
    """What rows say of a chain: `route` begins with the network that all come to.

    Where it was found is told of its first alignment.
    """
    ends = (alignments[-1].networks[0], *(key.networks[-1] for key in alignments[::-1]))
    route = [network.columns(study)["seed"] for network in ends]
    *others, _ = route
    return {
        **alignments[0].columns(study),
        "reference": others if len(others) > 1 else others[0],
        "route": route,
        "length": len(alignments),
    }


def check_chain(alignments: Chain) -> None:
    """Refuses alignments that do not follow on one another.

    Raises:
      ValueError: naming the first that does not.
    """
    for n, (before, after) in enumerate(
        zip(alignments, alignments[1:], strict=False), start=1
    ):
        if before.networks[0] != after.networks[-1]:
            raise ValueError(
                f"alignment {n} of a chain moves networks to {before.networks[0]}, and "
                f"the next begins at {after.networks[-1]}; give them in the order in "
                "which they are applied, as study.composed.chain does"
            )
