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
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from linconn_jax import checks


@dataclasses.dataclass(frozen=True, repr=False)
class Units:
    """Units that are permuted.

    Attributes:
      name: the axis name; all axes of one name move together.
      size: number of units (for each index of the parents); None where shapes tell.
      under: axis names of the parents, outermost first, parents of parents among them.
        Each unit of the parents has a permutation of its own for the units within: in
        attention the dimensions of a head move with the head, and among themselves.
    """

    name: str
    size: int | None = None
    under: tuple[str, ...] = ()

    def __init__(
        self, name: Any, size: Any = None, under: str | tuple[str, ...] = ()
    ) -> None:
        size = checks.check(f"the size of {name!r}", size, _SIZE)
        parents = under if isinstance(under, tuple | list) else (under,)
        _set(self, name=_name(name), size=size, under=tuple(map(_name, parents)))
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
        size = checks.check(f"the size of {name!r}", size, _SIZE)
        _set(self, name=_name(name), size=size)

    def __str__(self) -> str:
        return f"·{self.name}"

    def __repr__(self) -> str:
        return f"{self}:{self.size or '?'}"


@dataclasses.dataclass(frozen=True, repr=False)
class _Composite:
    """What `Block` and `Concat` share: parts in a canonical form.

    Attributes:
      parts: each an int (so many places that stay), `Units`, `Fixed`, `Block`, `Concat`.
    """

    parts: tuple[Any, ...]

    def __init__(self, *parts: Any) -> None:
        _set(self, parts=_merged(parts, type(self)))

    def __iter__(self) -> Iterator["Part"]:
        return iter(self.parts)

    def __str__(self) -> str:
        return self._text(str)

    def __repr__(self) -> str:
        return self._text(repr)

    def _text(self, show: Callable[[Any], str]) -> str:
        shown = (f"({show(x)})" if isinstance(x, Concat) else show(x) for x in self)
        return ("×" if isinstance(self, Block) else "+").join(shown)


class Block(_Composite):
    """A row-major product of its parts, the first of them slowest.

    A feature map flattened before a dense layer is `Block(49, "conv_13")` (positions,
    then channels) or `Block("conv_13", 49)` (channels first); heads fused into one axis
    are `Block(Units("heads", 8), Units("qk", 64, under="heads"))`.
    """


class Concat(_Composite):
    """Parts one after the other.

    The input of a dense skip is `Concat("stem", "layer_1")`, the fused gates of an LSTM
    `Concat("h", "h", "h", "h")`.
    """


Part = int | Units | Fixed | Block | Concat
Label = Units | Fixed | Block | Concat | None


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, repr=False)
class Axes:
    """The labels of one leaf's axes.

    `Axes(None, None, "conv_1", "conv_2")` is the kernel of a convolution that reads the
    units of `conv_1` and writes those of `conv_2`. Labels belong to the last axes of the
    leaf, so that trees stacked along leading axes (seeds, steps) need no other spec.

    Attributes:
      labels: one for each axis.
      state: whether the leaf is state, which training updates without gradients, such as
        running statistics: permuted like all others, but no permutation is fitted to it.
        Two `Axes` that differ in it alone are equal, as they permute alike.
    """

    labels: tuple[Label, ...]
    state: bool = dataclasses.field(default=False, compare=False)

    def __init__(self, *labels: Any, state: bool = False) -> None:
        parts = [x if x is None else _part("an axis label", x, "None") for x in labels]
        labels = tuple(None if isinstance(x, int) else x for x in parts)
        _set(self, labels=labels, state=bool(state))

    def __str__(self) -> str:
        return "(" + ", ".join(str(x or "·") for x in self.labels) + ")"

    def __repr__(self) -> str:
        shown = [repr(x) if x else "·" for x in self.labels] + ["state"] * self.state
        return f"Axes({', '.join(shown)})"

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

    @property
    def state(self) -> bool:
        """Whether the leaf is state."""
        return any(x.state for x in self.axes)

    def __str__(self) -> str:
        return "[" + ", ".join(map(str, self.axes)) + "]"

    def __repr__(self) -> str:
        return f"Stacked({', '.join(map(repr, self.axes))})"

    @property
    def ndim(self) -> int:
        """Number of labelled axes, that of the stack among them."""
        return 1 + self.axes[0].ndim


_SIZE = checks.optional(checks.whole(1))
_name = functools.partial(checks.check, "an axis name", kind=checks.STRING)


def _set(label: Any, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(label, name, value)


def _part(what: str, part: Any, otherwise: str) -> Any:
    """Canonical form of a label, so that what means the same is equal."""
    if isinstance(part, str):
        return Units(part)
    if isinstance(part, _Composite) and len(part.parts) == 1:
        return part.parts[0]  # a product or sum of one thing is that thing
    if isinstance(part, Units | Fixed | Block | Concat):
        return part
    raise ValueError(
        f"{what} is {part!r}; it must be a name (str), Units, Fixed, Block, Concat or "
        f'{otherwise}, as in Axes(None, Block(49, "conv_13"))'
    )


def _merged(parts: tuple, kind: type) -> tuple:
    """Inner brackets of the same kind taken out, neighbouring places that stay united."""
    what = f"a part of a {kind.__name__}"
    if not parts:
        raise ValueError(f"{kind.__name__}() is empty; give at least one part")
    merged: list = []
    for part in parts:
        if isinstance(part, int | np.integer):
            inner = [checks.check(what, part, checks.whole(1))]
        else:
            part = _part(what, part, "a number of places that stay")
            inner = part if isinstance(part, kind) else [part]
        for each in inner:
            if isinstance(each, int) and merged and isinstance(merged[-1], int):
                each = merged.pop() * each if kind is Block else merged.pop() + each
            merged.append(each)
    # A factor of 1 says nothing, a part of 1 is a place.
    return tuple(x for x in merged if kind is Concat or x != 1) or (1,)
