"""Networks permuted by a permutation that is mixed of several alignments."""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

from linconn_jax import permutation
from linconn_jax.permutation import Permutation
from linconn_jax.study.vertices import (
    Aligned,
    AlignmentKey,
    Columns,
    Network,
    Vertex,
)
from linconn_jax.typing import Variables

if TYPE_CHECKING:
    from linconn_jax.study.study import Study

Part = tuple[AlignmentKey, tuple[str, ...]]
"""An alignment, and the axis names whose permutation is taken from it."""


@dataclasses.dataclass(frozen=True)
class Hybrid:
    """A network whose layers are permuted partly as in one alignment, partly another.

    Whatever the mixture, what the network computes stays: names are permuted
    independently. What lies under a name (the inside of attention heads) should be of
    the same part. `hybrid` makes one.

    Attributes:
      network: that is permuted.
      parts: alignments, each with names of the spec; together all of them. The last is
        the one that rows tell as `fit_step`.
      i: number of the permutation in the alignments.
    """

    network: Vertex
    parts: tuple[Part, ...]
    i: int = 1

    @property
    def alignments(self) -> tuple[AlignmentKey, ...]:
        """Of all parts."""
        return tuple(key for key, _ in self.parts)

    def identity(self, study: "Study") -> Columns:
        """The network, each alignment with its names, and the permutation's number."""
        parts = [
            {"names": sorted(names), "alignment": key.identity(study)}
            for key, names in self.parts
        ]
        return {
            "network": self.network.identity(study),
            "parts": sorted(parts, key=lambda part: part["names"]),
            "i": self.i,
        }

    def columns(self, study: "Study") -> Columns:
        """Those of the network and of the last alignment, and `part_` of the first."""
        *others, (last, _) = self.parts
        width = self.network.columns(study)["width"]
        told = self.parts[0][0].columns(study)
        del told["reference"]
        return {
            **self.network.columns(study),
            **last.columns(study),
            "part": [name for _, names in others for name in names],
            **{f"part_{n.removeprefix('fit_')}": x for n, x in told.items()},
            "groups": [head for head, *_ in study.runs(width).recipe.network.groups],
        }

    def permutation(self, study: "Study") -> Permutation:
        """The mixture.

        Raises:
          ValueError: the parts together have not the names of the spec.
        """
        mixed = {}
        for key, names in self.parts:
            found = study.alignment(key)
            mixed |= {name: found.permutations[self.i][name] for name in names}
        return permutation.from_indices(found.spec, None, mixed)

    def variables(self, study: "Study") -> Variables:
        """Of the permuted network."""
        spec = study.alignment(self.alignments[-1]).spec
        mixed = self.permutation(study)
        return permutation.permute(spec, mixed, self.network.variables(study))

    @property
    def sources(self) -> tuple[Network, ...]:
        """Those of the network and of all that were aligned."""
        return sources(self.network, self.alignments)


def sources(network: Vertex, alignments: Iterable[AlignmentKey]) -> tuple[Network, ...]:
    """Those of a network, and of all that take part in the alignments that move it."""
    parts = (network, *(x for key in alignments for x in key.networks))
    return tuple(source for part in parts for source in part.sources)


def hybrid(network: Vertex, parts: Iterable[Part], i: int = 1) -> Hybrid | Aligned:
    """A network permuted by a mixture; one alignment alone is no mixture.

    Parts of one alignment are put together, and those without names left out, so that
    equal permutations have equal identities.

    Raises:
      ValueError: no part has a name, or a name is in two parts.
    """
    named: dict[AlignmentKey, tuple[str, ...]] = {}
    for key, names in parts:
        if names:
            named[key] = (*named.get(key, ()), *names)
    every = [name for names in named.values() for name in names]
    twice = sorted({name for name in every if every.count(name) > 1})
    if twice or not every:
        raise ValueError(
            f"a hybrid of {len(named)} alignments has the names {every}"
            f"{f', {twice} twice' if twice else ''}; give each axis name of the spec one "
            "alignment"
        )
    if len(named) == 1:
        return Aligned(network, *named, i)
    return Hybrid(network, tuple(named.items()), i)
