"""Sequences of networks along which one permutation may serve: what kinds there are.

A kind says which networks there are of a seed, and in which column of the rows a place in
the sequence is told; experiments on one permutation for a whole sequence
(`experiments/one_permutation.py`) take everything else from here. A new kind is a
subclass of `SequenceKind` and a call of `register`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from linconn_jax import align, checks
from linconn_jax.checks import Kind
from linconn_jax.registry import Registry
from linconn_jax.report import style
from linconn_jax.study.pruned import Pruned
from linconn_jax.study.vertices import Vertex

if TYPE_CHECKING:
    from linconn_jax.study.study import Study


class SequenceKind:
    """A kind of sequence of networks, by default in words of numbered places.

    Attributes:
      name: of the kind.
      column: of rows, with the number that says where a network stands.
      otherwise: the place of networks without that column, if they have one.
      noun: a place in a word; its networks are "at" it.
      each: a place in a sentence, such as "recorded epoch".
      symbol: of a place; P_t is found at place t.
      chosen: which permutation all others are compared with: that of the first place (0)
        or of the last one (-1).
      chosen_name: its name.
      chosen_where: where it is found, in words.
      end: what the last place is.
      order: kinds are listed in ascending order.
    """

    name: ClassVar[str]
    column: ClassVar[str]
    otherwise: ClassVar[float | None] = None
    noun: ClassVar[str] = "place"
    each: ClassVar[str] = "place"
    symbol: ClassVar[str] = "t"
    chosen: ClassVar[int] = -1
    chosen_name: ClassVar[str] = "P_T"
    chosen_where: ClassVar[str] = "at the last place"
    end: ClassVar[str] = "the last place"
    order: ClassVar[int] = 100

    def vertices(self, study: "Study", width: int, seed: int) -> Sequence[Vertex]:
        """The networks of a seed, in the order of their places; nothing is trained."""
        raise ValueError(f"the sequence kind {self.name!r} must say its vertices(...)")

    def places(self, rows: pd.DataFrame, prefix: str = "") -> pd.Series:
        """Where the networks of each row stand: numbers that ascend along the sequence.

        Args:
          rows: of any measurement.
          prefix: `fit_` for where an alignment was found. Of several places at once, and
            of none, there is no number.
        """
        name = f"{prefix}{self.column}"
        cells = rows[name] if name in rows else pd.Series(float("nan"), rows.index)
        several = np.array([isinstance(x, tuple | list) for x in cells], bool)
        numbers = pd.to_numeric(cells.mask(several))
        if self.otherwise is not None:
            numbers = numbers.fillna(self.otherwise).mask(several)
        return numbers.astype(float)

    def axis(self, axes: Any, places: pd.Series) -> None:
        """Makes the horizontal axis one of places."""
        style.level_axis(axes, sorted(set(places)), self.noun)


class _Steps(SequenceKind):
    """The recorded checkpoints of training."""

    name = "steps"
    column = "epoch"
    noun = "epoch"
    each = "recorded epoch"
    chosen_where = "at the end"
    end = "the end of training"
    order = 10

    def vertices(self, study: "Study", width: int, seed: int) -> Sequence[Vertex]:
        return [study.network(width, seed, step) for step in study.steps(width)]

    def axis(self, axes: Any, places: pd.Series) -> None:
        style.epoch_axis(axes, places)


class _Levels(SequenceKind):
    """The levels of iterative magnitude pruning at the end of training; 0 is dense."""

    name = "levels"
    column = "sparsity"
    otherwise = 0.0
    noun = "sparsity"
    each = "pruning level"
    symbol = "s"
    chosen = 0
    chosen_name = "P_0"
    chosen_where = "on the dense networks"
    end = "the sparsest networks"
    order = 20

    def vertices(self, study: "Study", width: int, seed: int) -> Sequence[Vertex]:
        rule = study.settings.pruning
        starts = (Pruned.at(level, rule) for level in range(rule.levels + 1))
        return [study.network(width, seed, start=start) for start in starts]

    def axis(self, axes: Any, places: pd.Series) -> None:
        style.sparsity_axis(axes, places)


_KINDS: Registry[SequenceKind] = Registry(
    "sequence", "one of your own is known once its module is imported: --plugin=module"
)
kinds = _KINDS.all
kind = _KINDS.get


def register(kind: SequenceKind) -> SequenceKind:
    """Enters a kind of sequence, which experiments can name from then on.

    Raises:
      ValueError: it is no `SequenceKind`, or its name is taken by another file.
    """
    if not isinstance(kind, SequenceKind):
        raise ValueError(
            f"register is given {kind!r}; it must be an instance of a subclass of "
            "linconn_jax.study.sequences.SequenceKind"
        )
    return _KINDS.enter(kind, type(kind))


def joining() -> Kind:
    """The name of a registered method that aligns two sequences."""
    found = align.methods().items()
    return checks.one_of(*(name for name, method in found if method.sequences))


register(_Steps())
register(_Levels())
