"""Rows of what was measured: tidy dicts, one number each."""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from linconn_jax.barrier import BASELINES, barrier
from linconn_jax.interpolate import Evaluation
from linconn_jax.metrics import METRICS
from linconn_jax.results import Row
from linconn_jax.study.vertices import listed
from linconn_jax.trajectory import Trajectory

SPLITS = ("train", "test")


def barriers(
    coords: np.ndarray, evaluate: Callable[[str], Evaluation]
) -> Iterator[Row]:
    """Barriers and values of a segment or simplex.

    Args:
      coords: the points.
      evaluate: loss and error at the points on a split.

    Yields:
      A barrier for each metric, split and baseline; a value for each metric, split and
      point.
    """
    for split in SPLITS:
        found = evaluate(split)
        for metric in METRICS:
            values = getattr(found, metric)
            common = {"metric": metric, "split": split, "examples": found.examples}
            yield from (common | row for row in _barriers(values, coords))
            yield from (common | row for row in _values(values, coords))


def no_barriers() -> Iterator[Row]:
    """What is left of a segment or simplex with a diverged vertex: marked, no number."""
    for split, metric, baseline in itertools.product(SPLITS, METRICS, BASELINES):
        yield {
            "quantity": "barrier",
            "metric": metric,
            "split": split,
            "baseline": baseline,
            "value": float("nan"),
        }


def training(group: Trajectory, seed: int, steps_per_epoch: int) -> Iterator[Row]:
    """Mean loss and error of a seed's training batches between its checkpoints."""
    diverged = str(seed) if seed in group.diverged else ""
    for row in group.metrics():
        if row["seed"] != seed or row["step"] == group.steps[0]:
            continue
        for metric in METRICS:
            yield {
                "quantity": "training",
                "split": "train",
                "metric": metric,
                "value": row[metric],
                "step": row["step"],
                "epoch": row["step"] / steps_per_epoch,
                "diverged": diverged,
            }


def _barriers(values: np.ndarray, coords: np.ndarray) -> Iterator[Row]:
    for baseline in BASELINES:
        found = barrier(values, coords, baseline=baseline)
        yield {
            "quantity": "barrier",
            "baseline": baseline,
            "value": found.value,
            "at": _text(found.coords),
        }


def _values(values: np.ndarray, coords: np.ndarray) -> Iterator[Row]:
    for value, row in zip(values, coords, strict=True):
        yield {"quantity": "value", "value": float(value), "point": _text(row)}


def _text(coords: Iterable[float]) -> str:
    return listed(f"{x:.6g}" for x in coords)
