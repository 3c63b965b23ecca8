"""Levels of iterative magnitude pruning."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from linconn_jax import prune
from linconn_jax.files import digest
from linconn_jax.study.masks import MaskKey, Smallest
from linconn_jax.study.recipe import Recipe
from linconn_jax.study.settings import Number, Pruning, plain
from linconn_jax.study.starts import Columns, Masked

if TYPE_CHECKING:
    from linconn_jax.study.study import Study


@dataclasses.dataclass(frozen=True)
class Pruned(Masked):
    """A level of iterative magnitude pruning (Frankle et al. 2020).

    Level 0 are the dense networks. At level k a fraction of the weights that are left at
    the end of level k-1 is removed, the smallest first; the others go back to their
    values at the rewind epoch of level 0, and are trained to the end again.

    A network that diverges, or stays at chance, stops no sequence: its weights as they
    are at the end say what the next level keeps. Each level is judged by its own
    training.

    Attributes:
      level: from 1.
      rewind_epoch: at which all levels begin.
      fraction: of what is left, removed at each level.
      scope: "global", or "layer" for the fraction of each layer.
      exclude: patterns of the paths of kernels that are not pruned.
    """

    level: int
    rewind_epoch: Number
    fraction: float = 0.2
    scope: str = "global"
    exclude: tuple[str, ...] = ()
    kind: ClassVar[str] = "pruned"

    def __post_init__(self) -> None:
        object.__setattr__(self, "rewind_epoch", plain(self.rewind_epoch))

    @classmethod
    def at(cls, level: int, settings: Pruning) -> "Pruned | None":
        """A level by the settings of a study; None, the dense networks, for level 0."""
        if level == 0:
            return None
        return cls(
            level,
            settings.rewind_epoch,
            settings.fraction,
            settings.scope,
            settings.exclude,
        )

    @property
    def folder(self) -> str:
        """Level and rewind epoch, and of the rule what is not the default."""
        name = f"pruned_{self.level}_rewound_to_{self.rewind_epoch}"
        told = {
            "fraction": f"fraction_{self.fraction}",
            "scope": f"by_{self.scope}",
            "exclude": f"without_{digest({'exclude': self.exclude})}",
        }
        default = Pruned(self.level, self.rewind_epoch)
        own = [x for n, x in told.items() if getattr(self, n) != getattr(default, n)]
        return "_".join([name, *own])

    @property
    def before(self) -> "Pruned | None":
        """The level before; None for the dense networks."""
        if self.level == 1:
            return None
        return dataclasses.replace(self, level=self.level - 1)

    def first_step(self, recipe: Recipe) -> int:
        """The rewind step; refuses a level that leaves nothing, too."""
        self._density(recipe)
        return rewind_step(recipe, self.rewind_epoch)

    def identity(self, study: "Study", width: int, seed: int) -> Columns:
        """All fields: with the dense networks they say everything."""
        return {"pruned": {**vars(self), "exclude": list(self.exclude)}}

    def columns(self, study: "Study", width: int) -> Columns:
        """Level, the share of the kernels' entries that is removed, and rewind epoch."""
        density = self._density(study.runs(width).recipe)
        told = {"level": self.level, "sparsity": 1 - density}
        return {**told, "rewind_epoch": self.rewind_epoch}

    def prepare(self, study: "Study", width: int, seeds: Sequence[int]) -> None:
        """Trains all levels before."""
        study.runs(width, self.before).ensure(seeds, at_once=study.settings.at_once)

    def mask(self, study: "Study", width: int, seed: int) -> MaskKey:
        """What is left of the network at the end of the level before."""
        return Smallest(
            width, seed, self.before, self.fraction, self.scope, self.exclude
        )

    def _density(self, recipe: Recipe) -> float:
        return prune.planned_density(
            recipe.network.shapes,
            self.fraction,
            self.level,
            scope=self.scope,
            exclude=self.exclude,
        )


def rewind_step(recipe: Recipe, epoch: Number) -> int:
    """The step of a rewind epoch.

    Raises:
      ValueError: it does not lie within training.
    """
    step = recipe.step_of(epoch, "pruning.rewind_epoch")
    if step >= recipe.total_steps:
        raise ValueError(
            f"pruning rewinds to epoch {epoch}; it must be less than "
            f"train.epochs={recipe.train.epochs}, or nothing is trained after it"
        )
    return step
