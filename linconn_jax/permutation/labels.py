"""Labels: what an axis of an array consists of, and which parts of it move together.

| label | an axis that |
|---|---|
| `None` | stays |
| `"conv_1"`, `Units("conv_1")` | is the units of `conv_1` |
| `Units("qk", under="heads")` | is the units of `qk`, other ones for each of `heads` |
| `Fixed("rgb")` | stays, and has a name for others to lie under |
| `Block(49, "conv_13")` | is a row-major product, the first factor slowest |
| `Concat("stem", "layer_1")` | is parts one after the other |

`Axes` holds one label for each axis of a leaf, `Stacked` one `Axes` for each layer of a
stack. All are hashable, compare by what they mean, and print short: `dense_1`, or with
sizes `dense_1:64` in a printed spec.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True, repr=False)
class Units:
    """Units that are permuted.

    Attributes:
      name: the axis name; all axes of one name move together.
      size: number of units (for each index of the parents); None where shapes tell.
      under: axis names of the parents, outermost first. The permutation of a nested name
        depends on where in the parents a unit is: in attention the places of a head move
        with the head, and among themselves by a permutation of that head's own. Whoever
        lies under a nested name lies under that name's parents, too.
    """

    name: str
    size: int | None = None
    under: tuple[str, ...] = ()

    def __init__(
        self, name: Any, size: Any = None, under: str | tuple[str, ...] = ()
    ) -> None:
        _set(self, name=_name(name), size=_size(name, size))
        parents = under if isinstance(under, tuple | list) else (under,)
        _set(self, under=tuple(_name(parent) for parent in parents))
        if len({self.name, *self.under}) != 1 + len(self.under):
            raise ValueError(
                f"Units({name!r}, under={self.under!r}): the parents must be different "
                f"names, none of them {name!r} itself"
            )

    def __str__(self) -> str:
        return self.name + (f"[{','.join(self.under)}]" if self.under else "")

    def __repr__(self) -> str:
        return f"{self}:{self.size or '?'}"


@dataclasses.dataclass(frozen=True, repr=False)
class Fixed:
    """Places that stay, named because units lie under them (`Units(under=...)`).

    The channels of an image before a depthwise convolution with a multiplier, or the
    layers of a stack.
    """

    name: str
    size: int | None = None

    def __init__(self, name: Any, size: Any = None) -> None:
        _set(self, name=_name(name), size=_size(name, size))

    def __str__(self) -> str:
        return f"·{self.name}"

    def __repr__(self) -> str:
        return f"{self}:{self.size or '?'}"


@dataclasses.dataclass(frozen=True, repr=False)
class Block:
    """A row-major product of factors, the first of them slowest.

    A feature map flattened before a dense layer is `Block(49, "conv_13")` (positions,
    then channels) or `Block("conv_13", 49)` (channels first); heads fused into one axis
    are `Block(Units("heads", 8), Units("qk", 64, under="heads"))`.

    Attributes:
      factors: each an int (so many places that stay), `Units`, `Fixed` or `Concat`.
    """

    factors: tuple["Factor", ...]

    def __init__(self, *factors: Any) -> None:
        parts = [_part(factor, "a factor of a Block") for factor in factors]
        _set(self, factors=_merged(parts, Block, math.prod))

    def __str__(self) -> str:
        return "×".join(f"({x})" if isinstance(x, Concat) else str(x) for x in self)

    def __repr__(self) -> str:
        return "×".join(f"({x!r})" if isinstance(x, Concat) else repr(x) for x in self)

    def __iter__(self) -> Iterator["Factor"]:
        return iter(self.factors)


@dataclasses.dataclass(frozen=True, repr=False)
class Concat:
    """Parts one after the other.

    The input of a dense skip is `Concat("stem", "layer_1")`, the fused gates of an LSTM
    `Concat("h", "h", "h", "h")`.

    Attributes:
      parts: each an int (so many places that stay), `Units`, `Fixed` or `Block`.
    """

    parts: tuple["Part", ...]

    def __init__(self, *parts: Any) -> None:
        parts = [_part(part, "a part of a Concat") for part in parts]
        _set(self, parts=_merged(parts, Concat, sum))

    def __str__(self) -> str:
        return "+".join(map(str, self))

    def __repr__(self) -> str:
        return "+".join(map(repr, self))

    def __iter__(self) -> Iterator["Part"]:
        return iter(self.parts)


Factor = int | Units | Fixed | Concat
Part = int | Units | Fixed | Block
Label = Units | Fixed | Block | Concat | None


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, repr=False)
class Axes:
    """The labels of one leaf's axes.

    `Axes(None, None, "conv_1", "conv_2")` is the kernel of a convolution that reads the
    units of `conv_1` and writes those of `conv_2`. Labels belong to the last axes of the
    leaf, so that trees stacked along leading axes (seeds, steps) need no other spec.
    """

    labels: tuple[Label, ...]

    def __init__(self, *labels: Any) -> None:
        for label in labels:
            if not (label is None or isinstance(label, str | _LABELS)):
                raise ValueError(
                    f"an axis label is {label!r}; it must be a name (str), Units, Fixed, "
                    'Block, Concat or None, as in Axes(None, "dense_0")'
                )
        parts = (None if label is None else _part(label) for label in labels)
        _set(self, labels=tuple(None if isinstance(x, int) else x for x in parts))

    def __str__(self) -> str:
        return "(" + ", ".join(str(x or "·") for x in self.labels) + ")"

    def __repr__(self) -> str:
        return f"Axes({', '.join(repr(x) if x else '·' for x in self.labels)})"

    @property
    def ndim(self) -> int:
        """Number of labelled axes."""
        return len(self.labels)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, repr=False)
class Stacked:
    """A leaf whose first labelled axis holds a stack of layers, each with own names.

    `Stacked(Axes("stream", "mlp_0"), Axes("stream", "mlp_1"))` labels a leaf of shape
    `[2, stream, mlp]`, two kernels as `nn.scan` stacks them.
    """

    axes: tuple[Axes, ...]

    def __init__(self, *axes: Any) -> None:
        if not axes or not all(isinstance(x, Axes) for x in axes):
            raise ValueError(
                f"Stacked{axes!r}: give one Axes(...) for each layer of the stack"
            )
        if len({x.ndim for x in axes}) != 1:
            raise ValueError(
                f"Stacked({', '.join(map(str, axes))}): all layers of a stack are slices "
                "of one array, so each must have as many labels as the others"
            )
        _set(self, axes=axes)

    def __str__(self) -> str:
        return "[" + ", ".join(map(str, self.axes)) + "]"

    def __repr__(self) -> str:
        return f"Stacked({', '.join(map(repr, self.axes))})"

    @property
    def ndim(self) -> int:
        """Number of labelled axes, that of the stack among them."""
        return 1 + self.axes[0].ndim


_LABELS = Units | Fixed | Block | Concat


def _set(label: Any, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(label, name, value)


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError(f"an axis name is {name!r}; it must be a str")
    return name


def _size(name: str, size: Any) -> int | None:
    return None if size is None else _places(size, f"the size of {name!r}")


def _places(number: Any, what: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise ValueError(f"{what} is {number!r}; it must be an integer")
    if number < 1:
        raise ValueError(f"{what} is {number}; it must be at least 1")
    return int(number)


def _part(part: Any, what: str = "a label") -> Any:
    """Canonical form of a label, so that what means the same is equal."""
    if isinstance(part, str):
        return Units(part)
    if isinstance(part, Block | Concat) and len(tuple(part)) == 1:
        (only,) = part  # a product or sum of one thing is that thing
        return only
    if isinstance(part, _LABELS):
        return part
    if isinstance(part, int | np.integer):
        return _places(part, what)
    raise ValueError(
        f"{what} is {part!r}; it must be a name (str), Units, Fixed, Block, Concat or a "
        "number of places that stay"
    )


def _merged(parts: list, kind: type, total: Callable[..., int]) -> tuple:
    """Inner brackets of the same kind taken out, neighbouring places that stay united."""
    if not parts:
        raise ValueError(f"{kind.__name__}() is empty; give at least one part")
    flat = [x for part in parts for x in (part if isinstance(part, kind) else (part,))]
    merged: list = []
    for part in flat:
        if isinstance(part, int) and merged and isinstance(merged[-1], int):
            merged[-1] = total((merged[-1], part))
        else:
            merged.append(part)
    # A factor of 1 says nothing, a part of 1 is a place.
    return tuple(x for x in merged if kind is Concat or x != 1) or (1,)
