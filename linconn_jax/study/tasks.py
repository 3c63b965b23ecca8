"""Measurements: what an experiment asks for, known before anything is computed.

A task has a key, which says completely what is measured and whose items become columns,
and makes rows. Tasks of equal keys are one measurement, whoever asks for them.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from linconn_jax import files, interpolate, permutation, simplex, trees
from linconn_jax.align import Alignment
from linconn_jax.barrier import BASELINES, barrier
from linconn_jax.files import Key
from linconn_jax.interpolate import Evaluation
from linconn_jax.metrics import METRICS
from linconn_jax.permutation import Permutation
from linconn_jax.results import Row
from linconn_jax.study.vertices import AlignmentKey, Vertex, columns
from linconn_jax.typing import Float

if TYPE_CHECKING:
    from linconn_jax.study.study import Study

SPLITS = ("train", "test")


@runtime_checkable
class Task(Protocol):
    """A measurement."""

    def key(self, study: "Study") -> Key:
        """JSON-able; defines the rows completely."""
        ...

    def rows(self, study: "Study") -> Iterable[Row]:
        """Measures; of the rows only what differs between them."""
        ...


def alignments(needing: Task | Vertex) -> tuple[AlignmentKey, ...]:
    """The alignments that a task or vertex needs, as far as it tells."""
    one = (needing.alignment,) if hasattr(needing, "alignment") else ()
    return tuple(getattr(needing, "alignments", one))


@dataclasses.dataclass(frozen=True)
class Barrier:
    """Barriers of a segment or simplex, and loss and error at all its points.

    Its vertices are among the points, so that each permuted network's own loss and
    error are there.

    Attributes:
      vertices: k of them.
      resolution: of the grid on the simplex, to which `simplex.points` adds; by default
        a segment of as many points as the config says.
    """

    vertices: Sequence[Vertex]
    resolution: int | None = None

    @property
    def alignments(self) -> tuple[AlignmentKey, ...]:
        """Those of the vertices that are aligned."""
        each = (alignments(vertex) for vertex in self.vertices)
        return tuple(itertools.chain.from_iterable(each))

    def coords(self, study: "Study") -> Float[np.ndarray, "points k"]:
        """The points, as barycentric coordinates."""
        if self.resolution is None and len(self.vertices) != 2:
            raise ValueError(
                f"a Barrier of {len(self.vertices)} vertices has no resolution; give "
                "Barrier(vertices, resolution) of the grid on the simplex"
            )
        if self.resolution is None:
            return simplex.segment(study.settings.evaluate.points)
        if len(self.vertices) == 2:
            return simplex.grid(2, self.resolution)
        return simplex.points(len(self.vertices), self.resolution)

    def key(self, study: "Study") -> Key:
        """The vertices, the points, and the data."""
        return evaluated_key(self.vertices, self.coords(study), study)

    def rows(self, study: "Study") -> Iterable[Row]:
        """A barrier for each metric, split and baseline; a value for each point.

        Of networks that diverged there is no number: NaN.
        """
        if study.diverged(self.vertices):
            names = ("split", "metric", "baseline")
            each = itertools.product(study.splits, METRICS, BASELINES)
            nothing = {"quantity": "barrier", "value": float("nan")}
            return [nothing | dict(zip(names, one, strict=True)) for one in each]
        coords = self.coords(study)
        return barrier_rows(coords, evaluated(self.vertices, coords, study))


def evaluated_key(
    vertices: Sequence[Vertex], coords: Float[np.ndarray, "points k"], study: "Study"
) -> Key:
    """What defines the loss and error at points between vertices."""
    if len(vertices) > 2:  # the points of a segment are told by their number
        where = {
            "inside": simplex.count_inside(coords),
            "coords": files.digest({"coords": coords.tolist()}),
        }
    else:
        where = {}
    return {
        **columns(vertices, study),
        "points": len(coords),
        **where,
        "vertices": [vertex.identity(study) for vertex in vertices],
        "precision": study.settings.evaluate.precision,
        "limit": study.settings.evaluate.examples,
        "diverged": study.diverged(vertices),
    }


def evaluated(
    vertices: Sequence[Vertex], coords: Float[np.ndarray, "points k"], study: "Study"
) -> dict[str, Evaluation]:
    """Loss and error at points between vertices, on each split."""
    stacked = trees.stack([vertex.variables(study) for vertex in vertices])
    width = vertices[0].columns(study)["width"]
    return {
        split: interpolate.evaluate_simplex(
            study.runs(width).recipe.network.apply,
            stacked,
            coords,
            *study.examples(split),
            batch_size=study.settings.evaluate.batch_size,
            precision=study.settings.evaluate.precision,
        )
        for split in study.splits
    }


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Fraction of units that two alignments of one pair put in the same place."""

    one: AlignmentKey
    two: AlignmentKey

    @property
    def alignments(self) -> tuple[AlignmentKey, ...]:
        """Both."""
        return self.one, self.two

    def key(self, study: "Study") -> Key:
        """The two alignments; columns `fit_step` of the first, `step` of the second."""
        seeds = [x.columns(study)["seed"] for x in self.one.networks]
        return {
            **self.two.common(study),
            **self.one.columns(study),
            "seeds": list(dict.fromkeys(seeds)),
            "seed": None,
            "fits": [x.identity(study) for x in (self.one, self.two)],
            "diverged": study.diverged(self.one.networks + self.two.networks),
        }

    def rows(self, study: "Study") -> Iterator[Row]:
        """One for each axis name, and one for all units."""
        if study.diverged(self.one.networks + self.two.networks):
            return
        p, q = (relative(study.alignment(x)) for x in (self.one, self.two))
        fractions = permutation.agreement(p, q)
        whole = permutation.overall(fractions, p)
        for name, value in [*fractions.items(), ("all", whole)]:
            yield {"quantity": "agreement", "axis": name, "value": float(value)}


@dataclasses.dataclass(frozen=True)
class Training:
    """Loss and error of one seed's training batches between its checkpoints."""

    width: int
    seed: int

    def key(self, study: "Study") -> Key:
        """The network, and the steps at which it was recorded."""
        runs = study.runs(self.width)
        return {**runs.recipe.columns, "seeds": [self.seed], "record_at": runs.steps}

    def rows(self, study: "Study") -> Iterator[Row]:
        """Means since the checkpoint before, for each checkpoint but the first."""
        runs = study.runs(self.width)
        group = runs.group(self.seed)
        for row in group.metrics():
            if row["seed"] != self.seed or row["step"] == group.steps[0]:
                continue
            for metric in METRICS:
                yield {
                    "quantity": "training",
                    "split": "train",
                    "metric": metric,
                    "value": row[metric],
                    "precision": runs.recipe.train.precision,
                    "step": row["step"],
                    "epoch": row["step"] / runs.recipe.steps_per_epoch,
                    "diverged": [self.seed] if self.seed in group.diverged else [],
                }


def relative(found: Alignment) -> Permutation:
    """Of the last network towards the first, which a joint method may move as well."""
    first, last = found.permutations[0], found.permutations[-1]
    return permutation.compose(last, permutation.inverse(first))


def barrier_rows(
    coords: Float[np.ndarray, "points k"], evaluations: dict[str, Evaluation]
) -> Iterator[Row]:
    """Barriers and values from what was evaluated at the points on each split."""
    for (split, found), metric in itertools.product(evaluations.items(), METRICS):
        values = getattr(found, metric)
        common = {"metric": metric, "split": split, "examples": found.examples}
        for baseline in BASELINES:
            top = barrier(values, coords, baseline=baseline)
            yield common | {
                "quantity": "barrier",
                "baseline": baseline,
                "value": top.value,
                "at": _rounded(top.coords),
            }
        for value, row in zip(values, coords, strict=True):
            yield common | {
                "quantity": "value",
                "value": float(value),
                "point": _rounded(row),
                "vertex": int(row.argmax()) if row.max() == 1 else None,
            }


def _rounded(coords: Iterable[float]) -> list[float]:
    return [float(f"{x:.6g}") for x in coords]
