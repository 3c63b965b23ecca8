"""What barriers are judged by: a network's own loss and error, and those of guessing."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from linconn_jax import metrics
from linconn_jax.files import Key
from linconn_jax.metrics import METRICS
from linconn_jax.results import Row
from linconn_jax.study.tasks import SPLITS, evaluated, evaluated_key
from linconn_jax.study.vertices import Vertex

if TYPE_CHECKING:
    from linconn_jax.study.study import Study


@dataclasses.dataclass(frozen=True)
class Single:
    """Loss and error of one network by itself, on un-augmented training and test data.

    Its rows are those of a simplex of one vertex: values at its one point.
    """

    vertex: Vertex

    def key(self, study: "Study") -> Key:
        """The vertex and the data."""
        return evaluated_key((self.vertex,), 1, study)

    def rows(self, study: "Study") -> Iterator[Row]:
        """A value for each metric and split; none of a network that diverged."""
        if study.diverged([self.vertex]):
            return
        # As the first end of a segment, whose compiled program is there anyhow.
        ends, first = (self.vertex, self.vertex), np.array([[1.0, 0.0]])
        for split, found in evaluated(ends, first, study).items():
            for metric in METRICS:
                yield {
                    "quantity": "value",
                    "metric": metric,
                    "split": split,
                    "examples": found.examples,
                    "value": float(getattr(found, metric)[0]),
                    "point": [1.0],
                    "vertex": 0,
                }


@dataclasses.dataclass(frozen=True)
class Chance:
    """What guessing gives on the data that barriers are measured on."""

    def key(self, study: "Study") -> Key:
        """The data."""
        return {
            "dataset": study.dataset.name,
            "data": study.dataset.digest,
            "limit": study.settings.evaluate.examples,
        }

    def rows(self, study: "Study") -> Iterator[Row]:
        """`metrics.chance` on each split."""
        for split in SPLITS:
            _, labels = study.examples(split)
            yield {
                "quantity": "chance",
                "metric": "error",
                "split": split,
                "examples": len(labels),
                "value": metrics.chance(labels),
            }
