"""A kind of sequence of one's own: networks of growing width, each as the widest one.

    python -m growing --config=configs/digits.py

Does one permutation, found on the widest networks of two seeds, serve the narrower ones?
Each is written as a network of the largest width that computes the same.
"""

import dataclasses
from typing import ClassVar

from experiments import cli
from experiments.one_permutation import OnePermutation
from experiments.one_permutation import Settings as _Settings
from linconn_jax import models
from linconn_jax.study import Network, register, sequences


@dataclasses.dataclass(frozen=True)
class Widened:
    """A network written as a wider one."""

    network: Network
    width: int

    def identity(self, study):
        """The network, and how wide it is made."""
        return {"widened": self.network.identity(study), "to": self.width}

    def columns(self, study):
        """As of the wide network, and how wide it was."""
        wide = dataclasses.replace(self.network, width=self.width)
        return wide.columns(study) | {"units": self.network.width}

    def variables(self, study):
        """Of the wide network."""
        narrow, wide = (
            study.runs(x).recipe.network for x in (self.network.width, self.width)
        )
        return models.widen(narrow, wide, self.network.variables(study))

    @property
    def sources(self):
        """The narrow one."""
        return (self.network,)


class Growing(sequences.SequenceKind):
    """The networks of a seed up to a width, at the end of training."""

    name = "growing"
    column = "units"
    noun = "width"
    each = "width"
    symbol = "w"
    chosen_name = "P_W"
    chosen_where = "on the widest networks"
    end = "the largest width"

    def vertices(self, study, width, seed):
        """Narrow ones first."""
        narrow = sorted(x for x in study.widths if x <= width)
        return [Widened(study.network(x, seed), width) for x in narrow]


@dataclasses.dataclass(frozen=True)
class Settings(_Settings):
    """Up to which widths, of which pairs, by which methods."""

    section: ClassVar[str] = "growing_width"


class GrowingWidth(OnePermutation):
    """The matrix of barriers over (found at width w, applied at width w')."""

    name = "growing_width"
    title = "One permutation for networks of growing width"
    about = "growing: one for all widths"
    Settings = Settings
    sequence = "growing"


sequences.register(Growing())
register(GrowingWidth())

if __name__ == "__main__":
    cli.main("growing_width")
