"""Where the training of the networks of a recipe begins, as `Runs` takes it."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from linconn_jax import train
from linconn_jax.recording import restore_one
from linconn_jax.study.recipe import Recipe
from linconn_jax.train import Trainer, TrainState
from linconn_jax.typing import PyTree

if TYPE_CHECKING:
    from linconn_jax.study.runs import Runs


@runtime_checkable
class Origin(Protocol):
    """Where networks are trained from.

    Attributes:
      is_named: whether `folder` says all that `identity` does.
    """

    is_named: bool

    @property
    def folder(self) -> str:
        """What the name of their folder ends in."""
        ...

    @property
    def parents(self) -> "tuple[tuple[Runs, tuple[int, ...]], ...]":
        """Networks, and seeds of them, that are trained for this alone."""
        ...

    def first_step(self, recipe: Recipe) -> int:
        """Where training begins."""
        ...

    def identity(self, seed: int) -> dict[str, Any]:
        """JSON-able; what a seed begins from, beyond what the recipe says."""
        ...

    def noise(self, seeds: Sequence[int]) -> Sequence[int]:
        """The seeds of their SGD noise."""
        ...

    def prepare(self, seeds: Sequence[int]) -> None:
        """Trains others that they begin from, before there is a trainer of theirs."""
        ...

    def masks(self, seeds: Sequence[int]) -> PyTree:
        """Of their weights, stacked on the host, or nothing."""
        ...

    def begin(self, trainer: Trainer, seeds: Sequence[int]) -> TrainState:
        """The states at the first step, on the mesh."""
        ...


@dataclasses.dataclass(frozen=True)
class Initialised:
    """Networks that are trained from an initialisation of their own, or of one seed.

    Attributes:
      of: that seed, if there is one.
    """

    of: int | None = None
    is_named: ClassVar[bool] = True

    @property
    def folder(self) -> str:
        """Nothing: the recipe says it."""
        return ""

    @property
    def parents(self) -> "tuple[tuple[Runs, tuple[int, ...]], ...]":
        """None."""
        return ()

    def first_step(self, recipe: Recipe) -> int:
        """The first of all."""
        return 0

    def identity(self, seed: int) -> dict[str, Any]:
        """Nothing: the recipe says it."""
        return {}

    def noise(self, seeds: Sequence[int]) -> Sequence[int]:
        """The seeds' own."""
        return seeds

    def prepare(self, seeds: Sequence[int]) -> None:
        """Nothing is trained before."""

    def masks(self, seeds: Sequence[int]) -> PyTree:
        """None."""
        return ()

    def begin(self, trainer: Trainer, seeds: Sequence[int]) -> TrainState:
        """Initialised networks."""
        return trainer.init(seeds if self.of is None else (self.of,) * len(seeds))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copied(Initialised):
    """All networks are copies of one, at a step of its training.

    Attributes:
      run: it, and networks like it.
      step: of the copies' first checkpoint.
    """

    run: "Runs"
    step: int

    @property
    def parents(self) -> "tuple[tuple[Runs, tuple[int, ...]], ...]":
        """The one."""
        return ((self.run, (self.of,)),)

    def first_step(self, recipe: Recipe) -> int:
        """Where the copies were made."""
        return self.step

    def prepare(self, seeds: Sequence[int]) -> None:
        """Trains the one."""
        self.run.ensure((self.of,))

    def begin(self, trainer: Trainer, seeds: Sequence[int]) -> TrainState:
        """Its state, once for each."""
        folder = self.run.group(self.of).folder
        state = restore_one(trainer, folder, self.of, self.step)
        return trainer.place(train.spawn(state, len(seeds)))
