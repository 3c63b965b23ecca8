"""The size of every axis name, solved from the lengths of the axes that carry them."""

import dataclasses

from linconn_jax.permutation.axis_layout import atoms, length, names
from linconn_jax.permutation.labels import Fixed, Label, Units


@dataclasses.dataclass(frozen=True)
class Equation:
    """An axis that is as long as its label says."""

    label: Label
    length: int
    path: str
    axis: int

    @property
    def whole(self) -> bool:
        """Whether the axis is one name and nothing else."""
        return isinstance(self.label, Units | Fixed)

    def __str__(self) -> str:
        return f"axis {self.axis} of {self.path} has length {self.length}"


def solve(equations: list[Equation]) -> dict[str, int]:
    """The size of every name in the equations.

    Equations with one unknown name are solved in turn, in the order given, until nothing
    changes.

    Raises:
      ValueError: equations contradict each other, or leave a size open.
    """
    known = _Known()
    for equation in equations:
        known.read_labels(equation)
    waiting, before = list(equations), None
    while len(waiting) != before:
        before = len(waiting)
        waiting = [equation for equation in waiting if not known.settle(equation)]
    for equation in waiting:
        unknown = known.unknown(equation)
        raise ValueError(
            f"{equation} and label {equation.label}, which does not tell the sizes of "
            f"{unknown}; write one of them, as Units({unknown[0]!r}, size)"
        )
    return known.sizes


class _Known:
    """The sizes found so far, and where each was told."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.where: dict[str, str] = {}

    def unknown(self, equation: Equation) -> list[str]:
        return sorted({n for n in names(equation.label) if n not in self.sizes})

    def read_labels(self, equation: Equation) -> None:
        """Takes the sizes that are written in a label."""
        for atom in atoms(equation.label):
            if atom.size is None:
                continue
            n = self.sizes.setdefault(atom.name, atom.size)
            where = self.where.setdefault(atom.name, f"its label at {equation.path}")
            if n != atom.size:
                raise ValueError(
                    f"axis name {atom.name!r} has {n} units in {where} but "
                    f"{atom.size} in that at {equation.path}; axes of one name must have "
                    "one length"
                )

    def settle(self, equation: Equation) -> bool:
        """Solves an equation with one unknown, checks one with none, leaves others."""
        unknown = self.unknown(equation)
        if len(unknown) > 1:
            return False
        for name in unknown:
            self.sizes[name] = self._root(equation, name)
            self.where[name] = equation.path
        self._check(equation)
        return True

    def _root(self, equation: Equation, name: str) -> int:
        """The number of units of `name` that gives its label the axis's length."""
        low, high = 0, equation.length
        while low < high:  # a label's length rises with the units of each name
            middle = (low + high) // 2
            if length(equation.label, {**self.sizes, name: middle}) < equation.length:
                low = middle + 1
            else:
                high = middle
        if length(equation.label, {**self.sizes, name: low}) != equation.length:
            raise ValueError(
                f"{equation}, and no number of units of {name!r} makes its label "
                f"{equation.label} that long"
            )
        return low

    def _check(self, equation: Equation) -> None:
        makes = length(equation.label, self.sizes)
        if makes == equation.length:
            return
        if equation.whole:
            name = equation.label.name
            raise ValueError(
                f"axis name {name!r} has {self.sizes[name]} units in {self.where[name]} "
                f"but {equation.length} in {equation.path}; axes of one name must have "
                "one length (did two layers of different width get one label?)"
            )
        because = ", ".join(
            f"{self.sizes[name]} units of {name!r} in {self.where[name]}"
            for name in dict.fromkeys(names(equation.label))
        )
        raise ValueError(
            f"{equation}, but its label {equation.label} makes {makes}: there are "
            f"{because}"
        )
