"""A study of networks that were trained elsewhere."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from linconn_jax import files, permutation, trees
from linconn_jax.data import Dataset
from linconn_jax.models import Model, Networks
from linconn_jax.study import budget, config_file
from linconn_jax.study.recipe import Recipe
from linconn_jax.study.runs import Runs
from linconn_jax.study.settings import Train
from linconn_jax.study.study import Study
from linconn_jax.study.tasks import SPLITS, Task
from linconn_jax.study.vertices import Columns, Network
from linconn_jax.trajectory import Trajectory
from linconn_jax.typing import Variables


class Given(Study):
    """Networks that are there already, and what is known of them.

    Their numbers, from 0, stand for seeds; their one checkpoint is step 0; their width is
    the number of units of the widest group that can be permuted. Rows and alignments
    belong to what the networks hold: others in the same workdir are measured anew.

    Args:
      config: settings as of every study; of those of training none has an effect.
      workdir: where everything is kept.
      networks: two or more.
      dataset: that barriers are measured on.
      splits: of it that are measured.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        workdir: str | os.PathLike,
        *,
        networks: Networks,
        dataset: Dataset,
        splits: Sequence[str] = SPLITS,
    ):
        model = networks.model
        if model.classes < dataset.classes:
            raise ValueError(
                f"apply gives {model.classes} logits, and the labels of the data go to "
                f"{dataset.classes - 1}; classes are numbered from 0"
            )
        bound = permutation.bind(model.spec, model.shapes)
        width = max((bound.sizes[name] for name in bound.parents), default=1)
        config = {**config, "seeds": len(networks.variables), "widths": (width,)}
        super().__init__(config, workdir, dataset=dataset, model=model)
        self.splits = tuple(splits)
        made = _Recipe(dataset, {}, width, Train(), given=model, splits=self.splits)
        self._runs = _Runs(made, self.workdir, networks)

    def runs(self, width: int, start: None = None) -> Runs:
        """The networks."""
        return self._runs

    def network(
        self, width: int, seed: int, step: int | None = None, start: None = None
    ) -> Network:
        """A network's address, by its number."""
        return _Network(width, seed, 0)

    def check(self, tasks: Iterable[Task] = ()) -> None:
        """Refuses a workdir of a study that trains its networks."""
        config_file.check(self.workdir, None)

    def train(self, tasks: Iterable[Task] = ()) -> None:
        """Nothing is left to be trained."""
        about = {"file": self.source, **config_file.GIVEN, **self.config}
        with config_file.kept(self.workdir, None, about):
            pass

    def needs(self, tasks: Iterable[Task] = ()) -> Iterator[budget.Need]:
        """Nothing is to be trained."""
        return iter(())


@dataclasses.dataclass(frozen=True)
class _Network(Network):
    """A network whose config tells what it holds, too."""

    def identity(self, study: Study) -> Columns:
        told = super().identity(study)
        held = {
            "config": told["config"],
            "holds": study.runs(self.width).held[self.seed],
        }
        return told | {"config": files.digest(held)}


@dataclasses.dataclass(frozen=True)
class _Recipe(Recipe):
    """What defines the networks but for their arrays, and the data."""

    splits: tuple[str, ...] = SPLITS

    @property
    def network(self) -> Model:
        return self.given

    @property
    def steps_per_epoch(self) -> int:
        return 1

    @functools.cached_property
    def definition(self) -> dict[str, Any]:
        """JSON-able; of training nothing is known."""
        data, splits = self.dataset, list(self.splits)
        return {
            "dataset": {"name": data.name, "digest": data.digest, "splits": splits},
            "model": {"name": self.network.name, **self.network.signature},
        }


class _Runs(Runs):
    """The networks in memory: of them nothing is on the disk, or to be trained."""

    def __init__(self, recipe: Recipe, workdir: Path, networks: Networks):
        super().__init__(recipe, workdir, (0,))
        self._networks = networks.variables

    @functools.cached_property
    def held(self) -> list[str]:
        """A digest of what each network holds."""
        return [trees.sha256(network) for network in self._networks]

    def check(self) -> None:
        pass

    def left(self, seeds: Sequence[int]) -> list[int]:
        return [0] * len(seeds)

    def lacking(self, seeds: Sequence[int]) -> list[tuple[int, int, int]]:
        return []

    def recorded(self, seeds: Sequence[int]) -> tuple[int, int]:
        return 0, 0

    def groups(self, seeds: Iterable[int]) -> list[Trajectory]:
        return []

    def ensure(self, seeds: Sequence[int], *, at_once: int | None = None) -> None:
        pass

    def network(self, seed: int, step: int) -> Variables:
        return self._networks[seed]
