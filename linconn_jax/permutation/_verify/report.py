"""What `verify` found, for and against a spec."""

import dataclasses
from typing import NamedTuple

from linconn_jax.permutation.describe import few, table


class Count(NamedTuple):
    """How many trials of a kind were made, of how many that there are."""

    tried: int
    of: int

    @property
    def whole(self) -> bool:
        """Whether all were made."""
        return self.tried == self.of

    def __str__(self) -> str:
        return f"{self.tried} of {self.of}"


@dataclasses.dataclass(frozen=True)
class FunctionTest:
    """What permuting does to the outputs, relative to their scale.

    Attributes:
      errors: of random elements of the group, each on a random network of its own.
      alone: the change when one name alone is permuted.
      tolerance: changes up to this are rounding.
    """

    errors: tuple[float, ...]
    alone: dict[str, float]
    tolerance: float

    @property
    def worst(self) -> float:
        """The largest change of all."""
        return max((*self.errors, *self.alone.values()), default=0.0)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Names that may not be permuted as the spec says."""
        return tuple(n for n, x in self.alone.items() if not x <= self.tolerance)

    @property
    def ok(self) -> bool:
        """Whether nothing but rounding was seen."""
        return self.worst <= self.tolerance


@dataclasses.dataclass(frozen=True)
class LabelTest:
    """What becomes of the outputs when single labels are left out or mistaken.

    Attributes:
      dropped, swapped: how many were tried; a name without another one of its size
        cannot be swapped.
      unnoticed: labels that may be dropped or swapped, though the values there matter.
      idle: labels on values that the outputs do not depend on (a key's bias in
        attention), about which no test can tell.
      least: the smallest change that was noticed, relative to the outputs' scale.
    """

    dropped: Count
    swapped: Count
    unnoticed: tuple[str, ...]
    idle: tuple[str, ...]
    least: float

    @property
    def ok(self) -> bool:
        """Whether every change was noticed, and some label could be tested."""
        tested = self.dropped.tried == 0 or self.least < float("inf")
        return not self.unnoticed and tested


@dataclasses.dataclass(frozen=True)
class Completeness:
    """Symmetries that were looked for, and those that were missed.

    Attributes:
      freed: how many axes that stay were tried.
      split: how many occurrences of names were tried: are they tied to the others?
      nested: how many (name, further parent) were tried.
      missed: what was found, in words.
    """

    freed: Count
    split: Count
    nested: Count
    missed: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything was tried and nothing was found."""
        counts = (self.freed, self.split, self.nested)
        return not self.missed and all(count.whole for count in counts)


@dataclasses.dataclass(frozen=True)
class Report:
    """The evidence for and against a spec. `print(report)` shows all of it.

    Attributes:
      names: lines about the axis names: sizes and nesting.
      carried: `{name: paths of the leaves in which it lies}`.
      stays: `{reason: axes that stay}`.
      idle_leaves: leaves that the outputs do not depend on.
      returned: leaves of which outputs are new values; these outputs move with them.
      left_behind: leaves that the function does not read and that stay, or move unlike
        the leaf beside them: they may have to move for training to go on.
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
    returned: tuple[str, ...]
    left_behind: tuple[str, ...]
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
        x, c = self.labels, self.completeness
        found = "right, and complete as far as was tried"
        if not (self.complete and x.dropped.whole and x.swapped.whole):
            further = Count(*map(sum, zip(c.freed, c.split, c.nested, strict=True)))
            found = (
                "right as far as was tried, which was not all: permuting units leaves "
                f"the function as it is, {x.dropped} labels left out and {x.swapped} "
                f"mistaken were noticed, further symmetries were looked for in {further} "
                "places (verify takes seconds= and max_tries=)"
            )
        if self.left_behind:
            found += (
                f"; but the function does not read {few(self.left_behind)}: a permuted "
                "network must not go on training, unless by a spec that moves them too"
            )
        return found

    def raise_if_wrong(self) -> None:
        """Raises a ValueError with the report unless `ok`."""
        if not self.ok:
            raise ValueError(f"the spec does not fit the function\n{self}")

    def raise_if_incomplete(self) -> None:
        """Raises a ValueError with the report unless `ok` and `complete`."""
        self.raise_if_wrong()
        if self.completeness is not None and self.completeness.missed:
            raise ValueError(f"the spec misses symmetries\n{self}")
        if not self.complete:
            raise ValueError(
                "the spec may miss symmetries, which were not looked for everywhere: "
                f"give verify seconds=None, or a larger max_tries\n{self}"
            )

    def __str__(self) -> str:
        leaves = [f"{name} in {few(paths)}" for name, paths in self.carried.items()]
        sections = {
            "names": [*self.names, "", *leaves] if self.names else ["none"],
            "stays": table([(few(axes), why) for why, axes in self.stays.items()]),
            "tests": table(self._tests()),
        }
        lines = []
        for title, body in sections.items():
            lines += [title, *(f"  {line}".rstrip() for line in body)] if body else []
        return "\n".join([*lines, f"verdict: {self.verdict}"])

    def _tests(self) -> list[tuple[str, str]]:
        f, x, c = self.function, self.labels, self.completeness
        rounding = "rounding" if f.ok else "NOT rounding"
        function = (
            f"{len(f.errors)} random permutations, {len(f.alone)} names alone: outputs "
            f"differ by {f.worst:.1e} of their scale, {rounding} (tolerance "
            f"{f.tolerance:.1e})"
        )
        labels = completeness = ["not tested, as the function changes"]
        if x is not None and c is not None:
            least = f"; the least change noticed is {x.least:.1e}" * bool(x.dropped.of)
            labels = [
                f"dropped {x.dropped}, swapped {x.swapped}{least}",
                *(f"UNNOTICED {each}" for each in x.unnoticed),
                *(f"untestable {each}" for each in x.idle),
            ]
            completeness = [
                f"axes that stay {c.freed}, occurrences of names {c.split}, "
                f"further parents {c.nested}",
                *(f"MISSED {each}" for each in c.missed),
            ]
        tests = {
            "variables": [f"random: {self.how}; {self.runs} runs"],
            "precision": [self.precision],
            "function": [function, *(f"{n}: {f.alone[n]:.1e}" for n in f.wrong)],
            "labels": labels,
            "completeness": completeness,
            "no effect": [few(self.idle_leaves)] if self.idle_leaves else [],
        }
        if self.returned:
            tests["new values"] = [f"outputs move with {few(self.returned)}"]
        rows = [
            (title * (i == 0), line)
            for title, lines in tests.items()
            for i, line in enumerate(lines)
        ]
        return rows + [("no rule for", each) for each in self.unknown]
