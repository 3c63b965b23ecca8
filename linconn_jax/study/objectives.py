"""What a method says of an alignment that it found: its own objective, and sweeps."""

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from linconn_jax.files import Key
from linconn_jax.results import Row
from linconn_jax.study.vertices import AlignmentKey

if TYPE_CHECKING:
    from linconn_jax.study.study import Study


@dataclasses.dataclass(frozen=True)
class Objective:
    """The objective of an alignment where it ended and where nothing is moved.

    Of no method that has none, such as a random permutation.
    """

    alignment: AlignmentKey

    @property
    def alignments(self) -> tuple[AlignmentKey, ...]:
        """The one."""
        return (self.alignment,)

    def key(self, study: "Study") -> Key:
        """The alignment; `step` is where it is found."""
        each = [network.columns(study) for network in self.alignment.networks]
        return {
            **each[-1],
            **self.alignment.columns(study),
            "quantity": "objective",
            "seeds": [one["seed"] for one in each],
            "seed": None,
            "fits": [self.alignment.identity(study)],
            "diverged": study.diverged(self.alignment.networks),
        }

    def rows(self, study: "Study") -> Iterator[Row]:
        """`found` and `naive`, to be compared only within a method; `sweeps`."""
        if study.diverged(self.alignment.networks):
            return
        found = study.alignment(self.alignment)
        told = {"found": found.objective, "naive": found.naive, "sweeps": found.sweeps}
        if not math.isnan(found.objective):
            for metric, value in told.items():
                yield {"metric": metric, "value": float(value)}
