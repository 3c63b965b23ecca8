"""Copies of trained networks: they share the past, and go on with other SGD noise."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import numpy as np

from linconn_jax import trees
from linconn_jax.recording import restore
from linconn_jax.study.origins import Initialised, Origin
from linconn_jax.study.recipe import Recipe
from linconn_jax.study.settings import Number, plain
from linconn_jax.study.starts import Start
from linconn_jax.train import Trainer, TrainState

if TYPE_CHECKING:
    from linconn_jax.study.study import Study

Columns = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Spawned(Start):
    """Each network is a copy of that of its own seed, as it was at an epoch.

    Weights, momentum and schedule are those of the seed; only the data order and the
    augmentation differ from then on. All seeds are trained in one program, of the form
    in which those that they are copies of were: the copies with noise 0 are the same
    networks again, to the last bit.

    Attributes:
      at_epoch: a recorded one; 0: the same initialisation.
      noise: number of the noise; 0 is the seed's own.
    """

    at_epoch: Number
    noise: int = 1
    kind: ClassVar[str] = "spawned"

    def __post_init__(self) -> None:
        object.__setattr__(self, "at_epoch", plain(self.at_epoch))

    def origin(self, study: "Study", width: int) -> Origin:
        """The same as `Runs` takes it; the states there are kept from now on."""
        study.runs(width).spawn(self.first_step(study.runs(width).recipe))
        return Branched(study=study, width=width, start=self)

    @property
    def folder(self) -> str:
        """Epoch and noise."""
        return f"spawned_at_{self.at_epoch}_noise_{self.noise}"

    def first_step(self, recipe: Recipe) -> int:
        """The step of the epoch.

        Raises:
          ValueError: it does not lie within training.
        """
        step = recipe.step_of(self.at_epoch, "at_epoch")
        if step >= recipe.total_steps:
            raise ValueError(
                f"copies are spawned at epoch {self.at_epoch}; it must be less than "
                f"train.epochs={recipe.train.epochs}, or they are not trained"
            )
        return step

    def identity(self, study: "Study", width: int, seed: int) -> Columns:
        """Both fields: with the seed's network they say everything."""
        return {"spawned": vars(self)}

    def columns(self, study: "Study", width: int) -> Columns:
        """Both fields."""
        return {"spawned_at": self.at_epoch, "noise": self.noise}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Branched(Initialised):
    """Copies of the networks of one width of a study, as `Runs` takes them."""

    study: "Study"
    width: int
    start: Spawned

    @property
    def folder(self) -> str:
        """Of the start."""
        return self.start.folder

    def first_step(self, recipe: Recipe) -> int:
        """Of the start."""
        return self.start.first_step(recipe)

    def identity(self, seed: int) -> Columns:
        """Of the start."""
        return self.start.identity(self.study, self.width, seed)

    def noise(self, seeds: Sequence[int]) -> tuple[int, ...]:
        """So many after each seed; those of independent networks are used again."""
        return tuple((seed + self.start.noise) % 2**32 for seed in seeds)

    def prepare(self, seeds: Sequence[int]) -> None:
        """Trains the networks that they are copies of."""
        at_once = self.study.settings.at_once
        self.study.runs(self.width).ensure(seeds, at_once=at_once)

    def begin(self, trainer: Trainer, seeds: Sequence[int]) -> TrainState:
        """The states that they are copies of."""
        parents, folders = self.study.runs(self.width), {}
        step = self.first_step(parents.recipe)
        for seed in seeds:
            folders.setdefault(parents.group(seed).folder, []).append(seed)
        found = [restore(trainer, *place, step) for place in folders.items()]
        order = [seed for some in folders.values() for seed in some]
        states = jax.tree.map(lambda *parts: np.concatenate(parts), *found)
        return trainer.place(trees.take(states, [order.index(s) for s in seeds]))
