"""A study: a config and a workdir, and the verbs on its networks, each done once.

Networks are trained when first asked for, alignments and barriers computed when first
asked for, and all of them are read from disk ever after.
"""

import dataclasses
import functools
import io
import itertools
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from linconn_jax import (
    align,
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
from linconn_jax.align import Alignment
from linconn_jax.barrier import BASELINES, barrier
from linconn_jax.metrics import METRICS
from linconn_jax.permutation import Permutation
from linconn_jax.results import Results, Row
from linconn_jax.study.runs import Recipe, Runs, Settings, load_dataset
from linconn_jax.typing import Variables

METHODS = ("naive", "random", "weight_matching", "activation_matching")


@dataclasses.dataclass(frozen=True)
class Fit:
    """Which permutation: of seed `other`'s network towards `reference`'s, at `step`."""

    method: str
    reference: int
    other: int
    step: int


@dataclasses.dataclass(frozen=True)
class Vertex:
    """A network of a segment or simplex: seed, checkpoint, and how it is permuted."""

    seed: int
    step: int
    fit: Fit | None = None


def pair(
    a: int, b: int, step: int, *, method: str, fit_step: int | None = None
) -> tuple[Vertex, Vertex]:
    """A segment from a to b aligned to a, found at `fit_step` (default: `step`)."""
    fit = Fit(method, a, b, step if fit_step is None else fit_step)
    return Vertex(a, step), Vertex(b, step, None if method == "naive" else fit)


def through(
    a: int, b: int, reference: int, step: int, *, method: str
) -> tuple[Vertex, Vertex]:
    """A segment from a to b, both aligned to a third network."""
    first, second = (Vertex(s, step, Fit(method, reference, s, step)) for s in (a, b))
    return first, second


def spanned(seeds: Sequence[int], step: int, *, method: str) -> tuple[Vertex, ...]:
    """A simplex of networks aligned to the first of them."""
    others = (pair(seeds[0], s, step, method=method)[1] for s in seeds[1:])
    return Vertex(seeds[0], step), *others


class Study:
    """The networks of a config and what is known of them.

    Args:
      config: plain nested dict, see `configs/digits.py`.
      workdir: where everything is kept.
    """

    def __init__(self, config: Settings, workdir: str | os.PathLike):
        self.config = config
        self.workdir = Path(workdir).absolute()
        self.results = Results(self.workdir)
        self.seeds = _seeds(config["seeds"])
        self.widths = tuple(config["widths"])
        _check(config, self.seeds, self.widths)

    @functools.cached_property
    def dataset(self) -> Any:
        """The data set, loaded once."""
        return load_dataset(self.config["dataset"])

    @functools.cache  # noqa: B019 - a study lives as long as its process
    def recipe(self, width: int) -> Recipe:
        """What defines the networks of one width."""
        model = {**self.config["model"], "width": width}
        return Recipe(self.dataset, model, self.config["train"], self.config["copies"])

    @functools.cache  # noqa: B019
    def runs(self, width: int) -> Runs:
        """The trained networks of one width; trains what is missing."""
        recipe = self.recipe(width)
        runs = Runs(recipe, self.workdir, self.steps(width))
        runs.ensure(self.seeds, at_once=self.config["at_once"])
        return runs

    def train(self) -> None:
        """Trains whatever is missing, at all widths."""
        for width in self.widths:
            self.runs(width)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The configured pairs of seeds, or all."""
        configured = self.config["pairs"]
        if configured is None:
            return tuple(itertools.combinations(self.seeds, 2))
        return tuple((a, b) for a, b in configured)

    def steps(self, width: int) -> tuple[int, ...]:
        """The recorded steps."""
        recipe, wanted = self.recipe(width), self.config["checkpoints"]
        return trajectory.record_steps(
            recipe.total_steps, steps_per_epoch=recipe.steps_per_epoch, **wanted
        )

    def last(self, width: int) -> int:
        """The last step of training."""
        return self.recipe(width).total_steps

    @functools.cache  # noqa: B019
    def _examples(self, split: str) -> tuple[jax.Array, jax.Array]:
        part = getattr(self.dataset, split)
        limit = self.config["evaluate"]["examples"]
        return jax.numpy.asarray(part.images[:limit]), np.int32(part.labels[:limit])

    def network(self, width: int, vertex: Vertex) -> Variables:
        """The variables of a vertex, permuted if it has a fit."""
        variables = self.runs(width).network(vertex.seed, vertex.step)
        if vertex.fit is None:
            return variables
        spec = self.recipe(width).network.spec
        return permutation.permute(spec, self.permutation(width, vertex.fit), variables)

    @functools.lru_cache(maxsize=256)  # noqa: B019
    def permutation(self, width: int, fit: Fit) -> Permutation:
        """The permutation of a fit, from disk or found and kept there.

        Raises:
          ValueError: unknown method, or a damaged file.
        """
        key = {**self._key(width), "fit": dataclasses.asdict(fit), **self._options(fit)}
        path = self.workdir / "permutations" / f"{results.digest(key)}.npz"
        if parallel.same_everywhere(path.exists()):
            return _read_permutation(path)
        found = self._align(width, fit)
        if parallel.is_main_process():
            results.write_atomically(path, _permutation_bytes(found, key))
        return {name: np.asarray(p) for name, p in found.permutation.items()}

    def _align(self, width: int, fit: Fit) -> Alignment:
        model = self.recipe(width).network
        other = self.runs(width).network(fit.other, fit.step)
        key = jax.random.fold_in(jax.random.key(2), fit.other)
        if fit.method == "random":
            drawn = permutation.random(key, model.spec, other)
            nothing = float("nan")
            return Alignment(drawn, nothing, nothing, sweeps=0, converged=True)
        reference = self.runs(width).network(fit.reference, fit.step)
        options = self._options(fit)
        if fit.method == "weight_matching":
            return align.weight_matching(model.spec, reference, other, key=key)
        if fit.method == "activation_matching":
            images = self.dataset.train.images[: options["examples"]]
            return align.activation_matching(
                model.spec,
                self._activations(width),
                reference,
                other,
                images,
                similarity=options["similarity"],
                batch_size=self.config["evaluate"]["batch_size"],
            )
        raise ValueError(f"method={fit.method!r}; it must be one of {METHODS[1:]}")

    @functools.cache  # noqa: B019
    def _activations(self, width: int) -> Any:
        read = self.config["activation_matching"]["at"]
        return functools.partial(self.recipe(width).network.activations, at=read)

    def _options(self, fit: Fit) -> Settings:
        return (
            self.config["activation_matching"]
            if fit.method == "activation_matching"
            else {}
        )

    def _key(self, width: int) -> Settings:
        return {
            "config": self.runs(width).config_digest,
            "dataset": self.dataset.name,
            "model": self.recipe(width).network.name,
            "width": width,
        }

    def barriers(
        self, width: int, vertices: Sequence[Vertex], *, resolution: int | None = None
    ) -> list[Row]:
        """Barriers of a segment (k = 2) or simplex, and the values at all its points.

        Args:
          width: of the networks.
          vertices: k of them.
          resolution: of the simplex grid; by default a segment of the configured
            number of points.

        Returns:
          Rows: a barrier for each metric, split and baseline; a value for each metric,
          split and point. Vertices are among the points, so each permuted network's own
          end-point metrics are there.
        """
        settings = self.config["evaluate"]
        coords = (
            simplex.segment(settings["points"])
            if resolution is None
            else simplex.grid(len(vertices), resolution)
        )
        key = {
            **self._key(width),
            **self._describe(width, vertices),
            "k": len(vertices),
            "points": len(coords),
            "vertices": [_identity(v, self._options) for v in vertices],
            "precision": "float32",
            "limit": settings["examples"],
        }
        return self.results.rows(
            key, lambda: self._evaluate(width, vertices, coords, settings["batch_size"])
        )

    def _evaluate(
        self,
        width: int,
        vertices: Sequence[Vertex],
        coords: np.ndarray,
        batch_size: int,
    ) -> Iterable[Row]:
        if self._stopped(width, vertices):
            yield from _no_barriers()
            return
        apply = self.recipe(width).network.apply
        stacked = trees.stack([self.network(width, v) for v in vertices])
        for split in ("train", "test"):
            images, labels = self._examples(split)
            found = interpolate.evaluate_simplex(
                apply, stacked, coords, images, labels, batch_size=batch_size
            )
            for metric in METRICS:
                values = getattr(found, metric)
                common = {"metric": metric, "split": split, "examples": found.examples}
                yield from _barrier_rows(values, coords, common)
                yield from _value_rows(values, coords, common)

    def _stopped(self, width: int, vertices: Sequence[Vertex]) -> list[int]:
        """Seeds among the vertices and their references that had diverged by then."""
        used = [(v.seed, v.step) for v in vertices]
        fits = [v.fit for v in vertices if v.fit is not None]
        used += [(s, f.step) for f in fits for s in (f.reference, f.other)]
        diverged = self.runs(width).diverged()
        return sorted({s for s, step in used if diverged.get(s, step) < step})

    def _describe(self, width: int, vertices: Sequence[Vertex]) -> Row:
        """The columns that say in words what was interpolated."""
        recipe = self.recipe(width)
        fits = [v.fit for v in vertices if v.fit is not None]
        references = {f.reference for f in fits}
        unmoved = {v.seed for v in vertices if v.fit is None}
        seeds = [v.seed for v in vertices]
        stopped = self._stopped(width, vertices)
        return {
            "method": _one_of({f.method for f in fits}) or "naive",
            "path": "direct" if references <= unmoved else "through",
            "seeds": ",".join(map(str, seeds)),
            "reference": _one_of(references),
            "step": _one_of({v.step for v in vertices}),
            "epoch": _one_of({v.step / recipe.steps_per_epoch for v in vertices}),
            "fit_step": _one_of({f.step for f in fits}),
            "fit_epoch": _one_of({f.step / recipe.steps_per_epoch for f in fits}),
            "diverged": ",".join(map(str, stopped)),
        }

    def agreement(self, width: int, one: Fit, two: Fit) -> list[Row]:
        """Fraction of units that two permutations put in the same place, per axis."""
        recipe = self.recipe(width)
        key = {
            **self._key(width),
            "method": one.method,
            "seeds": f"{one.reference},{one.other}",
            "fit_step": one.step,
            "fit_epoch": one.step / recipe.steps_per_epoch,
            "step": two.step,
            "epoch": two.step / recipe.steps_per_epoch,
            "fits": [dataclasses.asdict(f) | self._options(f) for f in (one, two)],
        }

        vertices = [Vertex(f.other, f.step, f) for f in (one, two)]
        stopped = self._stopped(width, vertices)
        key["diverged"] = ",".join(map(str, stopped))

        def compute() -> Iterable[Row]:
            if stopped:
                return
            p, q = self.permutation(width, one), self.permutation(width, two)
            fractions = permutation.agreement(p, q)
            whole = permutation.overall(fractions, p)
            for name, value in [*fractions.items(), ("all", whole)]:
                yield {"quantity": "agreement", "axis": name, "value": float(value)}

        return self.results.rows(key, compute)

    def training(self, width: int) -> list[Row]:
        """Training loss and error of each seed between its checkpoints."""
        recipe, runs = self.recipe(width), self.runs(width)
        rows: list[Row] = []
        for seed in self.seeds:
            key = {**self._key(width), "seeds": str(seed), "record_at": runs.steps}
            rows += self.results.rows(key, lambda s=seed: _learning(runs, recipe, s))
        return rows

    def summarize(self, experiment: str) -> None:
        """Says what was computed and what was reused, and prints the table."""
        if parallel.is_main_process():
            done = self.results
            progress.say(f"  {done.computed} results computed, {done.reused} reused")
            rows = results.load(self.workdir, quantities=report.SUMMARIZED)
            progress.say(report.summary(rows, experiment))
        self.results = Results(self.workdir)


def _learning(runs: Runs, recipe: Recipe, seed: int) -> Iterable[Row]:
    stopped = runs.diverged()
    group = next(g for g in runs.trajectories() if seed in g.seeds)
    for row in group.metrics():
        if row["seed"] == seed and row["step"] > group.steps[0]:
            for metric in METRICS:
                yield {
                    "quantity": "training",
                    "split": "train",
                    "metric": metric,
                    "value": row[metric],
                    "step": row["step"],
                    "epoch": row["step"] / recipe.steps_per_epoch,
                    "diverged": str(seed) if seed in stopped else "",
                }


def _no_barriers() -> Iterable[Row]:
    """What is left of a segment or simplex with a diverged vertex: marked, no number."""
    for split, metric, baseline in itertools.product(
        ("train", "test"), METRICS, BASELINES
    ):
        yield {
            "quantity": "barrier",
            "metric": metric,
            "split": split,
            "baseline": baseline,
            "value": float("nan"),
        }


def _barrier_rows(values: np.ndarray, coords: np.ndarray, common: Row) -> Iterable[Row]:
    for baseline in BASELINES:
        found = barrier(values, coords, baseline=baseline)
        yield common | {
            "quantity": "barrier",
            "baseline": baseline,
            "value": found.value,
            "at": _text(found.coords),
        }


def _value_rows(values: np.ndarray, coords: np.ndarray, common: Row) -> Iterable[Row]:
    for value, row in zip(values, coords, strict=True):
        yield common | {"quantity": "value", "value": float(value), "point": _text(row)}


def _text(coords: Sequence[float]) -> str:
    return ",".join(f"{x:.6g}" for x in coords)


def _identity(vertex: Vertex, options: Any) -> Settings:
    described = dataclasses.asdict(vertex)
    return described | (options(vertex.fit) if vertex.fit else {})


def _one_of(values: set) -> Any:
    """The only element, or all of them comma-separated, or None."""
    if len(values) <= 1:
        return next(iter(values), None)
    return ",".join(map(str, sorted(values)))


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    names = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if len(set(names)) != len(names) or not names or min(names) < 0:
        raise ValueError(
            f"seeds={seeds!r}; give a number of seeds or a tuple of different seeds, "
            "each at least 0"
        )
    return names


def _check(config: Settings, seeds: tuple[int, ...], widths: tuple[int, ...]) -> None:
    """Refuses settings that would fail only after hours of training."""
    simultaneous, strong = config["simultaneous"], config["strong"]
    methods = {*config["methods"], *strong["methods"], simultaneous["method"]}
    unknown = sorted(methods - set(METHODS))
    if unknown:
        raise ValueError(f"unknown methods {unknown}; choose among {METHODS}")
    for name, pairs in (
        ("pairs", config["pairs"] or ()),
        ("simultaneous.pairs", simultaneous["pairs"]),
    ):
        wrong = [p for p in pairs if len(p) != 2 or p[0] == p[1] or set(p) - set(seeds)]
        if wrong:
            raise ValueError(
                f"{name} holds {wrong}; a pair is two different seeds of {seeds}"
            )
    absent = sorted(set(simultaneous["widths"]) - set(widths))
    if absent:
        raise ValueError(
            f"simultaneous.widths {absent} are not among widths={widths}; add them there"
        )
    for k, resolution in strong["simplices"]:
        if not 2 <= k <= len(seeds):
            raise ValueError(
                f"strong.simplices asks for k={k} networks; it must lie in "
                f"2..{len(seeds)}, the number of seeds"
            )
        simplex.grid(2, resolution)
    if config["evaluate"]["batch_size"] < 1:
        size = config["evaluate"]["batch_size"]
        raise ValueError(f"evaluate.batch_size={size}; it must be at least 1")
    simplex.segment(config["evaluate"]["points"])


def _permutation_bytes(found: Alignment, key: Settings) -> bytes:
    about = {
        **key,
        "objective": found.objective,
        "naive": found.naive,
        "sweeps": found.sweeps,
        "converged": found.converged,
    }
    buffer = io.BytesIO()
    arrays = {name: np.asarray(p, np.int32) for name, p in found.permutation.items()}
    np.savez(buffer, __about__=json.dumps(about), **arrays)
    return buffer.getvalue()


def _read_permutation(path: Path) -> Permutation:
    try:
        with np.load(path) as stored:
            return {name: stored[name] for name in stored if name != "__about__"}
    except Exception as error:
        raise ValueError(
            f"the permutation file {path} is damaged ({error}); delete it and run the "
            "experiment again"
        ) from error
