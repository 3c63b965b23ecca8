"""Specs, and what `verify` found, in words."""

import dataclasses

import numpy as np

from linconn_jax.permutation._verify.completeness import Completeness
from linconn_jax.permutation._verify.random_inputs import is_array
from linconn_jax.permutation._verify.soundness import FunctionTest, LabelTest
from linconn_jax.permutation.spec import BoundSpec, Spec, bind_leaves
from linconn_jax.typing import PyTree


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
        leaves = [f"{name} in {_few(paths)}" for name, paths in self.carried.items()]
        sections = {
            "names": [*self.names, "", *leaves] if self.names else ["none"],
            "stays": table([(_few(axes), why) for why, axes in self.stays.items()]),
            "tests": self._tests(),
        }
        lines = []
        for title, body in sections.items():
            lines += [title, *(f"  {line}".rstrip() for line in body)] if body else []
        return "\n".join([*lines, f"verdict: {self.verdict}"])

    def _tests(self) -> list[str]:
        f, x, c = self.function, self.labels, self.completeness
        rounding = "rounding" if f.ok else "NOT rounding"
        rows = [
            ("variables", f"random: {self.how}; {self.runs} runs"),
            ("precision", self.precision),
            (
                "function",
                f"{len(f.errors)} random permutations, {len(f.alone)} names alone: "
                f"outputs differ by {f.worst:.1e} of their scale, {rounding} "
                f"(tolerance {f.tolerance:.1e})",
            ),
            *(("", f"{name}: {f.alone[name]:.1e}") for name in f.wrong),
        ]
        if x is None or c is None:
            untested = "not tested, as the function changes"
            rows += [("labels", untested), ("completeness", untested)]
        else:
            least = f"; the least change noticed is {x.least:.1e}" * bool(x.dropped.of)
            rows += [
                ("labels", f"dropped {x.dropped}, swapped {x.swapped}{least}"),
                *(("", f"UNNOTICED {each}") for each in x.unnoticed),
                *(("", f"untestable {each}") for each in x.idle),
                (
                    "completeness",
                    f"axes that stay {c.freed}, occurrences of names {c.split}, "
                    f"further parents {c.nested}",
                ),
                *(("", f"MISSED {each}") for each in c.missed),
            ]
        if self.idle_leaves:
            rows.append(("no effect", _few(self.idle_leaves)))
        return table([*rows, *(("no rule for", each) for each in self.unknown)])


def _few(items: tuple[str, ...], most: int = 4) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def describe(spec: Spec, variables: PyTree) -> str:
    """A tree of axis names with sizes, then path, shape and labels of each leaf.

    Args:
      spec: of any pytree.
      variables: arrays or `jax.ShapeDtypeStruct`s.

    Raises:
      ValueError: the spec does not fit the variables.
    """
    found, leaves = bind_leaves(spec, variables)
    rows = []
    for path, leaf, axes in zip(found.paths, leaves, found.axes, strict=True):
        if is_array(leaf):
            shape = "x".join(map(str, np.shape(leaf))) or "scalar"
            rows.append((path or "(the only leaf)", shape, str(axes)))
    names = describe_names(found) or ["no names"]
    return "\n".join([*names, "", *table(rows)])


def describe_names(found: BoundSpec) -> list[str]:
    """`name  16 units` for each name; those that lie under others indented below them."""
    rows: list[tuple[str, str]] = []

    def add(above: str | None, depth: int) -> None:
        for name, parents in found.parents.items():
            permuted = [x for x in parents if x in found.parents]
            if (permuted[-1] if permuted else None) == above:
                text = f"{found.sizes[name]} units" + " for each of " * bool(parents)
                text += " x ".join(f"{found.sizes[x]} {x}" for x in parents)
                rows.append(("  " * depth + name, text))
                add(name, depth + 1)

    add(None, 0)
    return table(rows)


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines, all columns but the last padded."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1:] = [0]
    return [
        "  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True))
        for row in rows
    ]
