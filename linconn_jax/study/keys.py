"""How alignments are named: by a method and by the networks that are looked at."""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from linconn_jax import align
from linconn_jax.study import settings

if TYPE_CHECKING:
    from linconn_jax.study.study import Study
    from linconn_jax.study.vertices import Vertex

Columns = dict[str, Any]

_ALIGNED = ("seed", "method", "reference", "draw", "control")
"""Columns of vertices that say nothing of where in a sequence they stand."""


@dataclasses.dataclass(frozen=True)
class AlignmentKey:
    """An alignment by its method and the networks it is made from, first to last.

    A pairwise method leaves the first of its two networks, the reference, as it is; one
    of two sequences leaves the first half of them.

    Attributes:
      method: its registered name.
      networks: that are aligned.
      draw: number of the random key. Two draws of one pair differ by chance alone: what
        lies between them is the null of whatever is compared.
      options: settings of the method, instead of the study's.
    """

    method: str
    networks: tuple["Vertex", ...]
    draw: int = 0
    options: Any = None

    def identity(self, study: "Study") -> Columns:
        """The method with its settings, and the networks."""
        options = self.settings(study)
        return {
            "method": self.method,
            "options": {} if options is None else settings.identity(options),
            "networks": [network.identity(study) for network in self.networks],
            **self._drawn,
        }

    def settings(self, study: "Study") -> Any:
        """The settings of the method, None of a method without any."""
        if self.options is not None:
            return self.options
        return study.settings.sections.get(self.method)

    def columns(self, study: "Study") -> Columns:
        """Method, the reference's seed (of a pair), and where it was found.

        For each column `NAME` in which the networks say where they stand (`step`,
        `epoch`, a level), that is all but those of their recipe, there is `fit_NAME`.
        """
        first = self.networks[0].columns(study)
        other = {*study.runs(first["width"]).recipe.columns, *_ALIGNED}
        places = {
            f"fit_{name}": value
            for name, value in self.common(study).items()
            if name not in other and not name.startswith("fit_")
        }
        joint = align.method(self.method).joint
        reference = None if joint else first["seed"]
        return {
            "method": self.method,
            "reference": reference,
            **places,
            **self._drawn,
        }

    def common(self, study: "Study") -> Columns:
        """What its networks say of themselves: one value each, or a list of several."""
        return common(network.columns(study) for network in self.networks)

    @property
    def _drawn(self) -> Columns:
        return {"draw": self.draw} if self.draw else {}


def common(each: Iterable[Columns]) -> Columns:
    """For each column the one value that all have that have it, or a list of several."""
    merged: dict[str, list] = {}
    for one in each:
        for name, value in one.items():
            values = merged.setdefault(name, [])
            if value is not None and value not in values:
                values.append(value)
    return {
        name: sorted(values) if len(values) > 1 else next(iter(values), None)
        for name, values in merged.items()
    }
