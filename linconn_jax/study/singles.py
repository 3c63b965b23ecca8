"""A network by itself: what is measured of it besides barriers."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from linconn_jax.files import Key
from linconn_jax.metrics import METRICS
from linconn_jax.results import Row
from linconn_jax.study.tasks import evaluated, evaluated_key
from linconn_jax.study.vertices import Vertex

if TYPE_CHECKING:
    from linconn_jax.study.study import Study


@dataclasses.dataclass(frozen=True)
class Single:
    """Loss and error of one network by itself, on un-augmented training and test data.

    Its rows are those of a simplex of one vertex: values at its one point.
    """

    vertex: Vertex

    @property
    def vertices(self) -> tuple[Vertex, ...]:
        """The one."""
        return (self.vertex,)

    def key(self, study: "Study") -> Key:
        """The vertex and the data."""
        return evaluated_key((self.vertex,), np.ones((1, 1)), study)

    def rows(self, study: "Study") -> Iterator[Row]:
        """A value for each metric and split; NaN of a network that diverged."""
        at_it = {"quantity": "value", "point": [1.0], "vertex": 0}
        if study.diverged([self.vertex]):
            for split, metric in itertools.product(study.splits, METRICS):
                yield at_it | {"split": split, "metric": metric, "value": math.nan}
            return
        # As the first end of a segment, whose compiled program is there anyhow.
        ends, first = (self.vertex, self.vertex), np.array([[1.0, 0.0]])
        for split, found in evaluated(ends, first, study).items():
            for metric in METRICS:
                yield at_it | {
                    "metric": metric,
                    "split": split,
                    "examples": found.examples,
                    "value": float(getattr(found, metric)[0]),
                }
