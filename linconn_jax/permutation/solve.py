"""The size of every axis name, solved from the lengths of the axes that carry them."""

import dataclasses

from linconn_jax.permutation.labels import Fixed, Label, Units
from linconn_jax.permutation.places import atoms, length, names


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
    known = _given(equations)
    waiting, before = list(equations), None
    while len(waiting) != before:
        before, left = len(waiting), []
        for equation in waiting:
            unknown = {name for name in names(equation.label) if name not in known}
            if len(unknown) > 1:
                left.append(equation)
                continue
            for name in unknown:
                known[name] = _root(equation, name, known), equation.path
            _check_length(equation, known)
        waiting = left
    for equation in waiting:
        unknown = sorted({n for n in names(equation.label) if n not in known})
        raise ValueError(
            f"{equation} and label {equation.label}, which does not tell the sizes of "
            f"{unknown}; write one of them, as Units({unknown[0]!r}, size)"
        )
    return {name: n for name, (n, _) in known.items()}


def _given(equations: list[Equation]) -> dict[str, tuple[int, str]]:
    """Sizes that are written in labels."""
    known: dict[str, tuple[int, str]] = {}
    for equation in equations:
        for atom in atoms(equation.label):
            if atom.size is None:
                continue
            where = f"its label at {equation.path}"
            n, where = known.setdefault(atom.name, (atom.size, where))
            if n != atom.size:
                raise ValueError(
                    f"axis name {atom.name!r} has {n} units in {where} but "
                    f"{atom.size} in that at {equation.path}; axes of one name must have "
                    "one length"
                )
    return known


def _root(equation: Equation, name: str, known: dict[str, tuple[int, str]]) -> int:
    """The number of units of `name` that gives its label the axis's length."""
    given = {x: n for x, (n, _) in known.items()}
    low, high = 0, equation.length
    while low < high:  # a label's length rises with the units of each name
        middle = (low + high) // 2
        if length(equation.label, {**given, name: middle}) < equation.length:
            low = middle + 1
        else:
            high = middle
    if length(equation.label, {**given, name: low}) != equation.length:
        raise ValueError(
            f"{equation}, and no number of units of {name!r} makes its label "
            f"{equation.label} that long"
        )
    return low


def _check_length(equation: Equation, known: dict[str, tuple[int, str]]) -> None:
    makes = length(equation.label, {name: n for name, (n, _) in known.items()})
    if makes == equation.length:
        return
    if equation.whole:
        name = equation.label.name
        n, path = known[name]
        raise ValueError(
            f"axis name {name!r} has {n} units in {path} but {equation.length} in "
            f"{equation.path}; axes of one name must have one length (did two layers of "
            "different width get one label?)"
        )
    because = ", ".join(
        f"{known[name][0]} units of {name!r} in {known[name][1]}"
        for name in dict.fromkeys(names(equation.label))
    )
    raise ValueError(
        f"{equation}, but its label {equation.label} makes {makes}: there are {because}"
    )
