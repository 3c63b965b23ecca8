"""Masks that are taken from one network to another, and networks trained under them."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import jax
import numpy as np

from linconn_jax import prune
from linconn_jax.study.masks import MaskKey
from linconn_jax.study.pruned import Pruned
from linconn_jax.study.recipe import Recipe
from linconn_jax.study.starts import Columns, Masked
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

    def sources(self, study: "Study") -> tuple[Network, ...]:
        """Of the mask, and those that are aligned."""
        aligned = (x for network in self.alignment.networks for x in network.sources)
        return (*self.mask.sources(study), *aligned)

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

    def sources(self, study: "Study") -> tuple[Network, ...]:
        """Of the other."""
        return self.like.sources(study)

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
    is_named: ClassVar[bool] = False  # the mask may have come from anywhere

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
