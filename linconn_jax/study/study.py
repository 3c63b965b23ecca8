"""A study: a config and a workdir, and the verbs on its networks, each done once.

`train` trains the networks; alignments and barriers are computed when first asked for;
and all of them are read from disk ever after.
"""

import functools
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from linconn_jax import (
    data,
    files,
    interpolate,
    parallel,
    permutation,
    progress,
    report,
    results,
    simplex,
    trajectory,
    trees,
)
from linconn_jax.data import Dataset
from linconn_jax.interpolate import Evaluation
from linconn_jax.results import Results, Row
from linconn_jax.study import rows, settings, vertices
from linconn_jax.study.alignments import Alignments
from linconn_jax.study.recipe import Recipe, Settings
from linconn_jax.study.runs import Runs
from linconn_jax.study.vertices import Fit, Vertex, listed


class Study:
    """The networks of a config and what is known of them.

    Args:
      config: plain nested dict, with all settings of `configs/defaults.py`.
      workdir: where everything is kept.
      source: where the config comes from, kept beside it.

    Raises:
      ValueError: a setting that is unknown, missing or makes no sense.
    """

    def __init__(
        self, config: Settings, workdir: str | os.PathLike, *, source: str = ""
    ):
        settings.check(config)
        self.config, self.source = config, source
        self.workdir = Path(workdir).absolute()
        self.results = Results(self.workdir)
        self.seeds = settings.seeds(config)
        self.widths = tuple(config["widths"])

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The data set, loaded once."""
        return data.load(**self.config["dataset"])

    @functools.cache  # noqa: B019 - a study lives as long as its process
    def runs(self, width: int) -> Runs:
        """The networks of one width, as on disk or still to be trained."""
        model = {**self.config["model"], "width": width}
        recipe = Recipe(
            self.dataset, model, self.config["train"], self.config["copies"]
        )
        wanted = trajectory.record_steps(
            recipe.total_steps,
            steps_per_epoch=recipe.steps_per_epoch,
            **self.config["checkpoints"],
        )
        return Runs(recipe, self.workdir, wanted)

    @functools.cache  # noqa: B019
    def alignments(self, width: int) -> Alignments:
        """The permutations of one width's networks."""
        return Alignments(
            self.runs(width),
            self.workdir / "permutations",
            activation_matching=self.config["activation_matching"],
            batch_size=self.config["evaluate"]["batch_size"],
        )

    def train(self) -> None:
        """Trains whatever is missing, at all widths.

        Settings that do not fit each other or what is on disk are refused before
        anything is trained or written.
        """
        for width in self.widths:
            self.runs(width).check()
            self.alignments(width).check()
        self._keep_config()
        for width in self.widths:
            self.runs(width).ensure(self.seeds, at_once=self.config["at_once"])

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The configured pairs of seeds, or all."""
        configured = self.config["pairs"]
        if configured is None:
            if len(self.seeds) < 2:
                raise ValueError(f"seeds={self.seeds}; a pair needs at least 2 of them")
            return tuple(itertools.combinations(self.seeds, 2))
        return tuple((a, b) for a, b in configured)

    def steps(self, width: int) -> tuple[int, ...]:
        """The recorded steps."""
        return self.runs(width).steps

    def last(self, width: int) -> int:
        """The last step of training."""
        return self.steps(width)[-1]

    def barriers(
        self, width: int, ends: Sequence[Vertex], *, resolution: int | None = None
    ) -> list[Row]:
        """Barriers of a segment (k = 2) or simplex, and the values at all its points.

        Args:
          width: of the networks.
          ends: its k vertices.
          resolution: of the simplex grid; by default a segment of the configured
            number of points.

        Returns:
          Rows: a barrier for each metric, split and baseline; a value for each metric,
          split and point. Vertices are among the points, so each permuted network's own
          end-point metrics are there.
        """
        runs, evaluate = self.runs(width), self.config["evaluate"]
        coords = (
            simplex.segment(evaluate["points"])
            if resolution is None
            else simplex.grid(len(ends), resolution)
        )
        stopped = runs.stopped(vertices.networks(ends))
        key = {
            **runs.recipe.columns,
            **vertices.columns(ends, runs.recipe.steps_per_epoch),
            "points": len(coords),
            "vertices": [self.alignments(width).identity(v) for v in ends],
            "precision": "float32",
            "limit": evaluate["examples"],
            "diverged": listed(stopped),
        }
        if stopped:
            return self.results.rows(key, rows.no_barriers)
        return self.results.rows(key, lambda: self._measure(width, ends, coords))

    def agreement(self, width: int, one: Fit, two: Fit) -> list[Row]:
        """Fraction of units that two permutations put in the same place, per axis."""
        runs, alignments = self.runs(width), self.alignments(width)
        per_epoch = runs.recipe.steps_per_epoch
        ends = [Vertex(f.other, f.step, f) for f in (one, two)]
        stopped = runs.stopped(vertices.networks(ends))
        key = {
            **runs.recipe.columns,
            "method": one.method,
            "seeds": listed((one.reference, one.other)),
            "fit_step": one.step,
            "fit_epoch": one.step / per_epoch,
            "step": two.step,
            "epoch": two.step / per_epoch,
            "fits": [alignments.identity(f) for f in (one, two)],
            "diverged": listed(stopped),
        }

        def compute() -> Iterator[Row]:
            p, q = (alignments.permutation(f) for f in (one, two))
            fractions = permutation.agreement(p, q)
            whole = permutation.overall(fractions, p)
            for name, value in [*fractions.items(), ("all", whole)]:
                yield {"quantity": "agreement", "axis": name, "value": float(value)}

        return self.results.rows(key, compute if not stopped else list)

    def training(self, width: int) -> list[Row]:
        """Training loss and error of each seed between its checkpoints."""
        runs, found = self.runs(width), []
        for seed in self.seeds:
            key = {
                **runs.recipe.columns,
                "seeds": str(seed),
                "record_at": runs.steps,
            }
            compute = functools.partial(
                rows.training, runs.group(seed), seed, runs.recipe.steps_per_epoch
            )
            found += self.results.rows(key, compute)
        return found

    def summarize(self, experiment: str) -> None:
        """Says what was computed and what was reused, and prints the table."""
        if parallel.is_main_process():
            done = self.results
            progress.say(f"  {done.computed} results computed, {done.reused} reused")
            known = results.load(self.workdir, quantities=report.SUMMARIZED)
            progress.say(report.summary(known, experiment))
        self.results = Results(self.workdir)

    def _measure(
        self, width: int, ends: Sequence[Vertex], coords: np.ndarray
    ) -> Iterator[Row]:
        stacked = trees.stack([self.alignments(width).permuted(v) for v in ends])

        def evaluate(split: str) -> Evaluation:
            return interpolate.evaluate_simplex(
                self.runs(width).recipe.network.apply,
                stacked,
                coords,
                *self._examples(split),
                batch_size=self.config["evaluate"]["batch_size"],
            )

        return rows.barriers(coords, evaluate)

    @functools.cache  # noqa: B019
    def _examples(self, split: str) -> tuple[jax.Array, np.ndarray]:
        part = getattr(self.dataset, split)
        limit = self.config["evaluate"]["examples"]
        return jax.numpy.asarray(part.images[:limit]), np.int32(part.labels[:limit])

    def _keep_config(self) -> None:
        """Writes `config.json`, unless it says so already: the disk may be read only."""
        path = self.workdir / "config.json"
        text = json.dumps({"file": self.source, **self.config}, indent=2).encode()
        if parallel.is_main_process() and not (
            path.exists() and path.read_bytes() == text
        ):
            files.write_atomically(path, text)
