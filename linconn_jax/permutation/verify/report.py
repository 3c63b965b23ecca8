"""What `verify` found, in one readable object."""

import dataclasses
from collections.abc import Iterator

from linconn_jax.permutation.verify.describe import table
from linconn_jax.permutation.verify.function import FunctionTest
from linconn_jax.permutation.verify.labels import LabelTest
from linconn_jax.permutation.verify.missed import Completeness


@dataclasses.dataclass(frozen=True)
class Report:
    """The evidence for and against a spec. `print(report)` shows all of it.

    Attributes:
      names: lines about the axis names: sizes and nesting.
      carried: `{name: paths of the leaves in which it lies}`.
      stays: `{reason: axes that stay}`.
      idle_leaves: leaves that the outputs do not depend on.
      unknown: primitives that discovery has no rule for.
      function: test (i), random elements of the group.
      labels: test (ii), labels dropped and swapped; None if (i) failed.
      completeness: test (iii), further symmetries; None if (i) failed.
      how: how random variables were drawn.
      precision: the dtype the function computes in, and where it is narrower.
      runs: number of times that the function ran.
    """

    names: tuple[str, ...]
    carried: dict[str, tuple[str, ...]]
    stays: dict[str, tuple[str, ...]]
    idle_leaves: tuple[str, ...]
    unknown: tuple[str, ...]
    function: FunctionTest
    labels: LabelTest | None
    completeness: Completeness | None
    how: str
    precision: str
    runs: int

    @property
    def ok(self) -> bool:
        """Whether the spec is right: tests (i) and (ii) passed."""
        return self.function.ok and self.labels is not None and self.labels.ok

    @property
    def complete(self) -> bool:
        """Whether test (iii) was made in full, and found no further symmetry."""
        return self.completeness is not None and self.completeness.ok

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not self.function.ok:
            names = ", ".join(self.function.wrong) or "some names together"
            return f"WRONG: permuting {names} changes the function"
        if not self.labels.ok:
            what = "; ".join(self.labels.unnoticed) or "no label has any effect"
            return f"NOT PROVED: wrong labels do not change the function ({what})"
        if self.completeness.missed:
            return "right, but not complete: " + "; ".join(self.completeness.missed)
        counts = (self.labels.dropped, self.labels.swapped)
        if not self.complete or not all(count.whole for count in counts):
            return "right as far as was tried, which was not all"
        return "right, and complete as far as was tried"

    def raise_if_wrong(self) -> None:
        """Raises a ValueError with the report unless `ok`."""
        if not self.ok:
            raise ValueError(f"the spec does not fit the function\n{self}")

    def raise_if_incomplete(self) -> None:
        """Raises a ValueError with the report unless `ok` and `complete`."""
        self.raise_if_wrong()
        if not self.complete:
            raise ValueError(f"the spec misses symmetries\n{self}")

    def __str__(self) -> str:
        sections = {
            "names": self._names(),
            "stays": table([(", ".join(x), why) for why, x in self._shortened()]),
            "tests": self._tests(),
        }
        lines = [
            line
            for title, body in sections.items()
            if body
            for line in (title, *(f"  {each}" for each in body))
        ]
        return "\n".join([*lines, f"verdict: {self.verdict}"])

    def _names(self) -> list[str]:
        if not self.names:
            return ["none"]
        leaves = [f"{name} in {_few(paths)}" for name, paths in self.carried.items()]
        return [*self.names, "", *leaves]

    def _shortened(self) -> Iterator[tuple[str, list[str]]]:
        for why, axes in self.stays.items():
            yield why, [_few(axes)]

    def _tests(self) -> list[str]:
        f = self.function
        lines = [
            f"variables    random: {self.how}; {self.runs} runs",
            f"precision    {self.precision}",
            f"function     {len(f.errors)} random permutations, {len(f.alone)} names "
            f"alone: outputs differ by {f.worst:.1e} of their scale, "
            f"{'rounding' if f.ok else 'NOT rounding'} (tolerance {f.tolerance:.1e})",
        ]
        for name in f.wrong:
            lines.append(f"             {name}: {f.alone[name]:.1e}")
        return lines + self._label_lines() + self._missed_lines() + self._notes()

    def _label_lines(self) -> list[str]:
        if self.labels is None:
            return ["labels       not tested, as the function changes"]
        x = self.labels
        least = (
            f"; the least change noticed is {x.least:.1e}" if x.dropped.tried else ""
        )
        return [
            f"labels       dropped {x.dropped}, swapped {x.swapped}{least}",
            *(f"             UNNOTICED {each}" for each in x.unnoticed),
            *(f"             untestable {each}" for each in x.idle),
        ]

    def _missed_lines(self) -> list[str]:
        if self.completeness is None:
            return ["completeness not tested, as the function changes"]
        x = self.completeness
        return [
            f"completeness axes that stay {x.freed}, pairs of one name {x.split}, "
            f"further parents {x.nested}",
            *(f"             MISSED {each}" for each in x.missed),
        ]

    def _notes(self) -> list[str]:
        lines = []
        if self.idle_leaves:
            lines.append(f"no effect    {_few(self.idle_leaves)}")
        return lines + [f"no rule for  {each}" for each in self.unknown]


def _few(items: tuple[str, ...], most: int = 4) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
