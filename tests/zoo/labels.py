"""Wrong specs: one name of one axis of one leaf taken to stay where it is."""

from collections.abc import Iterator
from typing import Any

from linconn_jax.permutation import Axes, Block, Concat, Stacked, Units


def dropped(axes: Axes | Stacked) -> Iterator[tuple[Axes | Stacked, str]]:
    """The labels of a leaf without a name on one axis, and that name.

    The name there is replaced by its `stand_in`, and so are the names that lie under it
    in this leaf, since they now lie under another one.
    """
    if isinstance(axes, Stacked):
        for i, layer in enumerate(axes.axes):
            for wrong, name in dropped(layer):
                yield Stacked(*axes.axes[:i], wrong, *axes.axes[i + 1 :]), name
        return
    units = [unit for label in axes.labels for unit in _units(label)]
    for i, label in enumerate(axes.labels):
        for name in sorted({unit.name for unit in _units(label)}):
            under = {unit.name for unit in units if name in unit.under}
            labels = [
                _replaced(other, under | {name} if i == j else under, name)
                for j, other in enumerate(axes.labels)
            ]
            yield Axes(*labels), name


def stand_in(name: str) -> str:
    """The name in place of `name` where it is dropped."""
    return f"{name} (dropped)"


def _units(label: Any) -> Iterator[Units]:
    if isinstance(label, Units):
        yield label
    elif isinstance(label, Block | Concat):
        for part in label:
            yield from _units(part)


def _replaced(label: Any, names: set[str], dropped: str) -> Any:
    if isinstance(label, Block | Concat):
        return type(label)(*(_replaced(part, names, dropped) for part in label))
    if not isinstance(label, Units) or label.name not in names:
        return label
    parents = names | {dropped}
    under = tuple(stand_in(x) if x in parents else x for x in label.under)
    return Units(stand_in(label.name), label.size, under)
