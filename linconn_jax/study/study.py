"""A study: a config and a workdir, and what is known of its networks, each done once.

`run` trains the networks and measures what an experiment asks for; whatever was computed
is read from disk ever after.
"""

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from linconn_jax import (
    data,
    metrics,
    parallel,
    progress,
    report,
    results,
)
from linconn_jax.align import Alignment
from linconn_jax.data import Dataset
from linconn_jax.models import Model
from linconn_jax.results import Results, Row
from linconn_jax.study import budget, config_file, settings
from linconn_jax.study.alignments import Alignments
from linconn_jax.study.experiment import Experiment, chosen, sections
from linconn_jax.study.groups import Group, groups, runs
from linconn_jax.study.masks import Masks
from linconn_jax.study.recipe import Recipe
from linconn_jax.study.runs import Runs
from linconn_jax.study.starts import Start
from linconn_jax.study.tasks import SPLITS, Task, alignments
from linconn_jax.study.vertices import AlignmentKey, Network, Vertex


class Study:
    """The networks of a config and what is known of them.

    Args:
      config: plain nested dict of settings, as `configs/defaults.py` lists them; what is
        left out has its default.
      workdir: where everything is kept.
      dataset: your own data (`data.from_arrays`), instead of what the config names.
      model: your own network, instead of what the config names: a `Model`, or a function
        from the width to one.
      source: where the config comes from, kept beside it.

    Attributes:
      splits: of the data, on which barriers are measured.

    Raises:
      ValueError: a setting that is unknown or makes no sense, or a workdir with rows of
        an earlier format.
    """

    splits: tuple[str, ...] = SPLITS

    def __init__(
        self,
        config: Mapping[str, Any],
        workdir: str | os.PathLike,
        *,
        dataset: Dataset | None = None,
        model: Model | Callable[[int], Model] | None = None,
        source: str = "",
    ):
        self.settings = settings.parse(config, sections())
        self.config, self.source = config, source
        self.workdir = Path(workdir).absolute()
        self.results = Results(self.workdir)
        self.seeds, self.widths = self.settings.seeds, self.settings.widths
        self._dataset, self.model = dataset, model
        if isinstance(model, Model) and len(self.widths) > 1:
            raise ValueError(
                f"widths={self.widths} but the model {model.name} has one width; give "
                "model=a function from the width to a Model, or one width"
            )
        results.check_format(self.workdir)
        self.alignments, self.masks = Alignments(self), Masks(self)

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The data set, loaded once."""
        if self._dataset is not None:
            return self._dataset
        return data.from_settings(dataclasses.asdict(self.settings.dataset))

    def runs(self, width: int, start: Start | None = None) -> Runs:
        """The networks of one width, as on disk or still to be trained.

        Args:
          width: of the networks.
          start: where their training begins; None: as the config says. Copies are
            spawned at recorded steps; of them only the first and last are recorded.

        Raises:
          ValueError: the start does not lie within training, or is not recorded.
        """
        return self._runs(width, start)

    @functools.cache  # noqa: B019 - a study lives as long as its process
    def _runs(self, width: int, start: Start | None) -> Runs:
        return runs(self, self._recipe(width), start)

    @functools.cache  # noqa: B019
    def _recipe(self, width: int) -> Recipe:
        told, data = self.settings, self.dataset
        return Recipe(data, told.model, width, told.train, told.copies, self.model)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The configured pairs of seeds, or all."""
        return self.settings.all_pairs()

    def network(
        self,
        width: int,
        seed: int,
        step: int | None = None,
        start: Start | None = None,
    ) -> Network:
        """A network's address; by default at the end of training."""
        step = self.steps(width, start)[-1] if step is None else step
        return Network(width, seed, step, start)

    def steps(self, width: int, start: Start | None = None) -> tuple[int, ...]:
        """The recorded steps, ascending."""
        return self.runs(width, start).steps

    def train(self, tasks: Iterable[Task] = ()) -> None:
        """Trains whatever is missing, at all widths, and what tasks need besides.

        Settings that do not fit each other or what is on disk are refused before
        anything is trained or written.
        """
        self.check()
        tasks, about = list(tasks), {"file": self.source, **self.config}
        with config_file.kept(self.workdir, self.settings, about):
            said = budget.told(self.needs(tasks), self.workdir)
            if said and parallel.is_main_process():
                progress.say(said)
            for (width, start), seeds in self.asked(tasks).items():
                runs = self.runs(width, start)
                runs.ensure(seeds, at_once=self.settings.at_once)

    def asked(self, tasks: Iterable[Task] = ()) -> dict[Group, tuple[int, ...]]:
        """Seeds that are to be trained, by width and start.

        All seeds of all widths as the config says, then what tasks need besides, in the
        order in which it is to be trained.
        """
        dense = dict.fromkeys(((width, None) for width in self.widths), self.seeds)
        return groups(dense, tasks)

    def check(self, tasks: Iterable[Task] = ()) -> None:
        """Tries the settings and compares them with what is on disk; writes nothing.

        Args:
          tasks: of networks that are looked at, too.

        Raises:
          ValueError: they make no sense, networks or rows of others are there, or the
            networks cannot fit this machine.
        """
        tasks = list(tasks)
        for width, start in self.asked(tasks):
            self.runs(width, start).check()
        config_file.check(self.workdir, self.settings)
        budget.check(self.needs(tasks), self.workdir)

    def needs(self, tasks: Iterable[Task] = ()) -> Iterator[budget.Need]:
        """What training the networks that are missing takes, by width and start."""
        return (
            budget.need(self.runs(*group), seeds)
            for group, seeds in self.asked(tasks).items()
        )

    def experiments(self) -> list[Experiment]:
        """Those that the setting `experiments` asks for, in the order of the registry.

        Raises:
          ValueError: it names one that there is not.
        """
        return chosen(self.settings.experiments)

    def tasks(self, experiment: Experiment) -> list[Task]:
        """The measurements that an experiment asks for; nothing is computed.

        Raises:
          ValueError: settings make no sense for it, or as `check` says.
        """
        experiment.check(self.settings)
        self.check()  # before the pairs of a million seeds are listed
        tasks = list(experiment.tasks(self))
        self.check(tasks)
        for key in dict.fromkeys(k for task in tasks for k in alignments(task)):
            self.alignments.check(key)
        return tasks

    def run(self, experiment: Experiment) -> None:
        """Trains what is missing, measures what the experiment asks for, and tells it.

        The list of its measurements is kept beside the rows, so that its tables hold
        what it asked for and nothing else.

        Raises:
          ValueError: settings make no sense for it, before anything is computed.
        """
        tasks = self.tasks(experiment)
        self.train(tasks)
        guessing = metrics.chance(self.examples("train")[1])
        keys = [task.key(self) for task in tasks]
        final = {width: self.steps(width)[-1] for width in self.widths}
        self.results.request(experiment.name, keys, guessing=guessing, final=final)
        for task in progress.each(experiment.name, tasks, unit="measurements"):
            self.measure(task)
        done, self.results = self.results, Results(self.workdir)
        if parallel.is_main_process():
            progress.say(f"  {done.computed} results computed, {done.reused} reused")
            progress.say(report.summary(self.workdir, experiment))

    def measure(self, task: Task) -> list[Row]:
        """The rows of one measurement, computed only if they are not there."""
        return self.results.rows(task.key(self), functools.partial(task.rows, self))

    def alignment(self, key: AlignmentKey) -> Alignment:
        """An alignment, found only if it is not there."""
        return self.alignments.get(key)

    def diverged(self, vertices: Iterable[Vertex]) -> list[int]:
        """Seeds of the networks behind vertices that had diverged by their step."""
        sources = {source for vertex in vertices for source in vertex.sources}
        stopped = (
            self.runs(x.width, x.start).stopped([(x.seed, x.step)]) for x in sources
        )
        return sorted(set(itertools.chain.from_iterable(stopped)))

    @functools.cache  # noqa: B019
    def examples(self, split: str) -> tuple[jax.Array, np.ndarray]:
        """Inputs and labels that barriers are measured on: the first ones of a split."""
        part, limit = getattr(self.dataset, split), self.settings.evaluate.examples
        return jax.numpy.asarray(part.images[:limit]), np.int32(part.labels[:limit])
