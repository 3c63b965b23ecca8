"""Masks that are taken from one network to another, and networks trained under them."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

import jax
import numpy as np

from linconn_jax import prune
from linconn_jax.files import Key
from linconn_jax.results import Row
from linconn_jax.study import vertices
from linconn_jax.study.masks import MaskKey
from linconn_jax.study.recipe import Recipe
from linconn_jax.study.starts import Columns, Masked, Pruned
from linconn_jax.study.vertices import AlignmentKey, Network
from linconn_jax.typing import PyTree

if TYPE_CHECKING:
    from linconn_jax.study.study import Study

SOURCES = ("permuted", "unpermuted", "random")
"""Where a transplanted mask comes from."""


@dataclasses.dataclass(frozen=True)
class Permuted:
    """A mask permuted by the i-th permutation of an alignment."""

    mask: MaskKey
    alignment: AlignmentKey
    i: int = 1

    @property
    def width(self) -> int:
        """Of the mask."""
        return self.mask.width

    def identity(self, study: "Study") -> Columns:
        """The mask, the alignment and the number of its permutation."""
        return {
            "permuted": self.mask.identity(study),
            "alignment": self.alignment.identity(study),
            "i": self.i,
        }

    def find(self, study: "Study") -> PyTree:
        """By `permute`, as the network of the mask is permuted."""
        moved = study.alignment(self.alignment).apply(
            study.masks.get(self.mask), self.i
        )
        return jax.tree.map(np.asarray, moved)


@dataclasses.dataclass(frozen=True)
class Random:
    """A mask that keeps as many weights of each layer as another, drawn at random."""

    like: MaskKey
    seed: int
    exclude: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Of the other."""
        return self.like.width

    def identity(self, study: "Study") -> Columns:
        """The other mask, and the seed."""
        told = {"seed": self.seed, "exclude": list(self.exclude)}
        return {"random": self.like.identity(study), **told}

    def find(self, study: "Study") -> PyTree:
        """By `prune.random`."""
        key = jax.random.fold_in(jax.random.key(3), self.seed)
        like = study.masks.get(self.like)
        return prune.random(like, key=key, exclude=self.exclude)


@dataclasses.dataclass(frozen=True)
class Transplanted(Masked):
    """Dense networks at the rewind step, under a mask that was not found in them.

    Attributes:
      level: of pruning, whose mask it is.
      mask_from: "permuted", the mask of another network, moved as that network is aligned
        to this one at the end of dense training; "unpermuted", the same as it is; or
        "random", of the densities of the network's own mask.
      sources: pairs of a network's seed and of the seed that its mask comes from.
      method: of the alignment.
    """

    level: Pruned
    mask_from: str
    sources: tuple[tuple[int, int], ...]
    method: str = "weight_matching"
    kind: ClassVar[str] = "under a transplanted mask"

    @property
    def folder(self) -> str:
        """The level's, and where the mask comes from."""
        by = f"_by_{self.method}" if self.mask_from == "permuted" else ""
        return f"{self.level.folder}_mask_{self.mask_from}{by}"

    def first_step(self, recipe: Recipe) -> int:
        """The rewind step."""
        return self.level.first_step(recipe)

    def identity(self, study: "Study", width: int, seed: int) -> Columns:
        """What defines the mask: with the dense network it says everything."""
        if seed not in dict(self.sources):
            return {"transplanted": None}
        mask = self.mask(study, width, seed).identity(study)
        return {"transplanted": {"rewind_epoch": self.level.rewind_epoch, "mask": mask}}

    def columns(self, study: "Study", width: int) -> Columns:
        """Level, density, and where the mask comes from."""
        return {**self.level.columns(study, width), "mask": self.mask_from}

    def prepare(self, study: "Study", width: int, seeds: Sequence[int]) -> None:
        """Trains what the masks come from, to the end of the level before."""
        needed = dict.fromkeys(seeds)
        if self.mask_from != "random":
            needed = dict.fromkeys(dict(self.sources)[seed] for seed in seeds)
        self.level.prepare(study, width, [*needed])
        study.runs(width).ensure(seeds, at_once=study.settings.at_once)

    def mask(self, study: "Study", width: int, seed: int) -> MaskKey:
        """Of one seed, from its source.

        Raises:
          ValueError: it has none.
        """
        if seed not in dict(self.sources):
            raise ValueError(
                f"there is no source of a mask for seed {seed} among {self.sources}; "
                "give pairs (seed, seed that its mask comes from)"
            )
        source = dict(self.sources)[seed]
        if self.mask_from == "random":
            own = self.level.mask(study, width, seed)
            return Random(own, seed, self.level.exclude)
        mask = self.level.mask(study, width, source)
        if self.mask_from == "unpermuted":
            return mask
        return Permuted(mask, dense_alignment(study, width, seed, source, self.method))


def dense_alignment(
    study: "Study", width: int, seed: int, source: int, method: str
) -> AlignmentKey:
    """Of a source to a network, both dense and at the end of training."""
    ends = (study.network(width, seed), study.network(width, source))
    return AlignmentKey(method, ends)


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
        """The two masks."""
        moved = self.alignment.columns(study) if self.alignment else {}
        return {
            **vertices.columns(self.vertices, study),
            **moved,
            "masks": [mask.identity(study) for mask in self._masks(study)],
            "diverged": study.diverged(self.vertices),
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
        one, two = (x.start.mask(study, x.width, x.seed) for x in self.vertices)
        return one, Permuted(two, self.alignment) if self.alignment else two
