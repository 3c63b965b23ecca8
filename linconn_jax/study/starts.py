"""Where the training of networks begins that is not at an initialisation of their own.

What networks begin from is trained networks of the same study, and perhaps masks of their
weights.
"""

import abc
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from linconn_jax import trees
from linconn_jax.study.masks import MaskKey
from linconn_jax.study.origins import Initialised, Origin
from linconn_jax.study.recipe import Recipe
from linconn_jax.study.settings import Number
from linconn_jax.train import Trainer, TrainState
from linconn_jax.typing import PyTree

if TYPE_CHECKING:
    from linconn_jax.study.study import Study

Columns = dict[str, Any]


class Start(abc.ABC):
    """Where the networks of one width begin, of any study; a frozen dataclass.

    Attributes:
      kind: a word for the networks, such as "pruned".
      before: the start of networks that are trained before these, if there is one.
    """

    kind: ClassVar[str]
    before: "Start | None" = None

    @abc.abstractmethod
    def origin(self, study: "Study", width: int) -> Origin:
        """The same as `Runs` takes it."""

    @abc.abstractmethod
    def columns(self, study: "Study", width: int) -> Columns:
        """What rows say of it, such as `level` and `sparsity`; nothing is computed."""

    def epochs(self, study: "Study") -> Sequence[Number]:
        """What is recorded besides the first and the last step."""
        return ()


class Masked(Start):
    """Networks at a step, and masks, under which seeds are trained to the end.

    The optimiser starts anew there, and its schedule goes on; the data order and the
    augmentation are those of the seed, as if it had been trained all along.
    """

    def origin(self, study: "Study", width: int) -> Origin:
        """The same as `Runs` takes it."""
        return UnderMasks(study=study, width=width, start=self)

    def epochs(self, study: "Study") -> Sequence[Number]:
        """As the settings of pruning say."""
        return study.settings.pruning.epochs

    is_named: ClassVar[bool] = True
    """Whether `folder` says all that `identity` does; else a digest stands beside it."""

    @property
    @abc.abstractmethod
    def folder(self) -> str:
        """What its folder is named by, after the name of the model."""

    @abc.abstractmethod
    def first_step(self, recipe: Recipe) -> int:
        """The step at which it begins.

        Raises:
          ValueError: it does not lie within training.
        """

    @abc.abstractmethod
    def identity(self, study: "Study", width: int, seed: int) -> Columns:
        """JSON-able; with recipe and seed it defines the network completely."""

    @abc.abstractmethod
    def prepare(self, study: "Study", width: int, seeds: Sequence[int]) -> None:
        """Trains what the masks are found in, and the dense networks."""

    @abc.abstractmethod
    def mask(self, study: "Study", width: int, seed: int) -> MaskKey:
        """Of the weights of one seed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnderMasks(Initialised):
    """Masked networks of one width of a study."""

    study: "Study"
    width: int
    start: Masked

    @property
    def is_named(self) -> bool:
        """As of the start."""
        return self.start.is_named

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

    def prepare(self, seeds: Sequence[int]) -> None:
        """Trains what the start is made from."""
        self.start.prepare(self.study, self.width, seeds)

    def masks(self, seeds: Sequence[int]) -> PyTree:
        """Of the start."""
        keys = [self.start.mask(self.study, self.width, seed) for seed in seeds]
        return trees.stack([self.study.masks.get(key) for key in keys])

    def begin(self, trainer: Trainer, seeds: Sequence[int]) -> TrainState:
        """The networks at the first step under their masks; the optimiser is new."""
        dense = self.study.runs(self.width)
        step = self.first_step(dense.recipe)
        networks = trees.stack([dense.network(seed, step) for seed in seeds])
        return trainer.begin(networks, step, self.masks(seeds))
