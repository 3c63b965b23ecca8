"""What is measured of masks: how much is left, and how much two have in common."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from linconn_jax import prune
from linconn_jax.files import Key
from linconn_jax.results import Row
from linconn_jax.study import vertices
from linconn_jax.study.masks import MaskKey
from linconn_jax.study.transplants import Permuted
from linconn_jax.study.vertices import AlignmentKey, Network

if TYPE_CHECKING:
    from linconn_jax.study.study import Study


@dataclasses.dataclass(frozen=True)
class Density:
    """The share of the weights that a network's mask leaves, of each kernel and of all.

    Attributes:
      network: that is trained under it.
    """

    network: Network

    @property
    def vertices(self) -> tuple[Network]:
        """The one."""
        return (self.network,)

    def key(self, study: "Study") -> Key:
        """The mask; a network in which it was found counts as diverged, too."""
        mask = _mask(self.network, study)
        return {
            **vertices.columns(self.vertices, study),
            "quantity": "density",
            "masks": [mask.identity(study)],
            "diverged": study.diverged([self.network, *mask.sources(study)]),
        }

    def rows(self, study: "Study") -> Iterator[Row]:
        """One for each kernel that is pruned, and one for all of them."""
        exclude = self.network.start.exclude
        found = prune.densities(
            study.masks.get(_mask(self.network, study)), exclude=exclude
        )
        for name, value in [*found.leaves.items(), ("all", found.overall)]:
            yield {"axis": name, "value": value}


def _mask(network: Network, study: "Study") -> MaskKey:
    return network.start.mask(study, network.width, network.seed)


@dataclasses.dataclass(frozen=True)
class Overlap:
    """How much of two networks' masks is in common, of each kernel and of all.

    Attributes:
      network: pruned; its mask is compared with
      other: that of another, pruned alike,
      alignment: permuted as the other is aligned to the network; or as it is.
    """

    network: Network
    other: Network
    alignment: AlignmentKey | None = None

    @property
    def vertices(self) -> tuple[Network, ...]:
        """Both."""
        return self.network, self.other

    @property
    def alignments(self) -> tuple[AlignmentKey, ...]:
        """The one, or none."""
        return (self.alignment,) if self.alignment else ()

    def key(self, study: "Study") -> Key:
        """The two masks; networks in which one was found count as diverged, too."""
        moved = self.alignment.columns(study) if self.alignment else {}
        found = [x for mask in self._masks(study) for x in mask.sources(study)]
        return {
            **vertices.columns(self.vertices, study),
            **moved,
            "masks": [mask.identity(study) for mask in self._masks(study)],
            "diverged": study.diverged([*self.vertices, *found]),
        }

    def rows(self, study: "Study") -> Iterator[Row]:
        """Intersection over union, and what two random masks would have."""
        one, two = (study.masks.get(mask) for mask in self._masks(study))
        exclude = self.network.start.exclude
        for quantity, measure in (
            ("overlap", prune.overlap),
            ("overlap by chance", prune.overlap_by_chance),
        ):
            found = measure(one, two, exclude=exclude)
            for name, value in [*found.leaves.items(), ("all", found.overall)]:
                yield {"quantity": quantity, "axis": name, "value": value}

    def _masks(self, study: "Study") -> tuple[MaskKey, MaskKey]:
        one, two = (_mask(network, study) for network in self.vertices)
        return one, Permuted(two, self.alignment) if self.alignment else two
