"""Where the training of networks begins that is not at an initialisation of their own.

A start is one frozen dataclass with the six things of `Start`. What it begins from is
trained networks of the same study, and masks of their weights.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from linconn_jax import prune, trees
from linconn_jax.study.masks import MaskKey, Smallest
from linconn_jax.study.recipe import Recipe
from linconn_jax.study.settings import Number, Pruning
from linconn_jax.typing import PyTree, Variables

if TYPE_CHECKING:
    from linconn_jax.study.study import Study

Columns = dict[str, Any]


@runtime_checkable
class Start(Protocol):
    """Networks at a step, and masks, from which seeds are trained to the end.

    The optimiser starts anew there, and its schedule goes on; the data order and the
    augmentation are those of the seed, as if it had been trained all along.
    """

    kind: ClassVar[str]
    """A word for the networks, such as "pruned"."""

    @property
    def folder(self) -> str:
        """What its folder is named by, after the name of the model."""
        ...

    def first_step(self, recipe: Recipe) -> int:
        """The step at which it begins.

        Raises:
          ValueError: it does not lie within training.
        """
        ...

    def identity(self, study: "Study", width: int, seed: int) -> Columns:
        """JSON-able; with recipe and seed it defines the network completely."""
        ...

    def columns(self, study: "Study", width: int) -> Columns:
        """What rows say of it, such as `level` and `sparsity`; nothing is computed."""
        ...

    def networks(
        self, study: "Study", width: int, seeds: Sequence[int]
    ) -> list[Variables]:
        """The variables of each seed at the first step; trained if needed."""
        ...

    def mask(self, study: "Study", width: int, seed: int) -> MaskKey:
        """Of the weights of one seed."""
        ...


@dataclasses.dataclass(frozen=True)
class Pruned:
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
        """Level and rewind epoch."""
        return f"pruned_{self.level}_rewound_to_{self.rewind_epoch}"

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

    def networks(
        self, study: "Study", width: int, seeds: Sequence[int]
    ) -> list[Variables]:
        """The dense networks at the rewind step; all levels before are trained first."""
        study.runs(width, self.before).ensure(seeds, at_once=study.settings.at_once)
        dense = study.runs(width)
        step = self.first_step(dense.recipe)
        return [dense.network(seed, step) for seed in seeds]

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


def lineage(start: Any) -> list[Any]:
    """A start after those whose networks are trained `before` it, if it has any."""
    found = [start]
    while getattr(found[0], "before", None) is not None:
        found.insert(0, found[0].before)
    return found


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


@dataclasses.dataclass(frozen=True)
class Begun:
    """A start of the networks of one width of a study, as `Runs` takes it."""

    study: "Study"
    width: int
    start: Start

    @property
    def folder(self) -> str:
        """Of the start."""
        return self.start.folder

    def first_step(self, recipe: Recipe) -> int:
        """Of the start, at which the dense networks must be recorded."""
        step = self.start.first_step(recipe)
        if step not in self.study.runs(self.width).steps:
            raise ValueError(
                f"{self.start.folder} begins at step {step}, at epoch "
                f"{step / recipe.steps_per_epoch:.6g}, which is not recorded; add it to "
                "checkpoints.epochs"
            )
        return step

    def identity(self, seed: int) -> Columns:
        """Of the start."""
        return self.start.identity(self.study, self.width, seed)

    def noise(self, seeds: Sequence[int]) -> Sequence[int]:
        """The seeds' own."""
        return seeds

    def begin(self, seeds: Sequence[int]) -> tuple[Variables, PyTree]:
        """The networks at the first step, and their masks; stacked."""
        networks = self.start.networks(self.study, self.width, seeds)
        keys = [self.start.mask(self.study, self.width, seed) for seed in seeds]
        masks = [self.study.masks.get(key) for key in keys]
        return trees.stack(networks), trees.stack(masks)
