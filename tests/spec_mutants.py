"""All wrong specs that are one mistake away from a right one."""

import jax

from linconn_jax.permutation import Axes, Block, Concat, Fixed, Stacked, Units
from linconn_jax.permutation.axis_layout import length
from linconn_jax.permutation.spec import bind


def mutants(spec, variables):
    """(what was done, mutant) for every mistake; those that equal the spec left out."""
    found = bind(spec, variables)
    flat, structure = jax.tree.flatten(
        spec, is_leaf=lambda x: isinstance(x, Axes | Stacked)
    )
    paths = found.paths
    for number, (path, axes) in enumerate(zip(paths, flat, strict=True)):
        for what, other in _of_leaf(axes, found):
            if other != axes:
                changed = [other if i == number else x for i, x in enumerate(flat)]
                yield f"{path}: {what}", jax.tree.unflatten(structure, changed)
    for what, change in _everywhere(found):
        changed = [_map(axes, change) for axes in flat]
        if changed != flat:
            yield what, jax.tree.unflatten(structure, changed)


def _of_leaf(axes, found):
    if isinstance(axes, Stacked):
        for i, layer in enumerate(axes.axes):
            for what, other in _of_leaf(layer, found):
                yield (
                    f"slice {i}, {what}",
                    Stacked(*axes.axes[:i], other, *axes.axes[i + 1 :]),
                )
        yield "slices rotated", Stacked(*axes.axes[1:], axes.axes[0])
        return
    for i, label in enumerate(axes.labels):
        for what, other in _of_label(label, found):
            yield (
                f"axis {i} {what}",
                Axes(*axes.labels[:i], other, *axes.labels[i + 1 :]),
            )
        for j in range(i):
            moved = list(axes.labels)
            moved[i], moved[j] = moved[j], moved[i]
            yield f"axes {i} and {j} swapped", Axes(*moved)


def _of_label(label, found):
    if isinstance(label, Block | Concat):
        kind, parts = type(label), list(label)
        yield "reversed", kind(*reversed(parts))
        for i, part in enumerate(parts):
            if isinstance(part, int | Fixed):
                continue
            for what, other in _of_label(part, found):
                if other is None:
                    other = length(part, found.sizes)
                yield f"part {i} {what}", kind(*parts[:i], other, *parts[i + 1 :])
    if label is not None:
        yield "dropped", None
    if isinstance(label, Units):
        for name, parents in found.parents.items():
            if name != label.name and found.sizes[name] == found.sizes[label.name]:
                yield f"swapped for {name}", Units(name, label.size, parents)


def _everywhere(found):
    for name, parents in found.parents.items():
        yield f"{name} dropped everywhere", lambda x, n=name: _renamed(x, n, None)
        if parents:
            yield (
                f"{name} made plain",
                lambda x, n=name: _placed(x, n, ()),
            )
        for other, above in found.parents.items():
            if other == name:
                continue
            if found.shape(other) == found.shape(name) and above == parents:
                yield (
                    f"{name} taken for {other}",
                    lambda x, n=name, o=other: _renamed(x, n, o),
                )
            if other not in parents and name not in above:
                yield (
                    f"{name} put under {other}",
                    lambda x, n=name, o=other, p=parents, a=above: _placed(
                        x, n, (*p, *(y for y in a if y not in p), o)
                    ),
                )


def _placed(units, name, under):
    return Units(name, units.size, under) if units.name == name else units


def _renamed(units, name, other):
    if name in units.under:
        under = tuple(other if x == name else x for x in units.under)
        units = Units(units.name, units.size, tuple(x for x in under if x))
    if units.name != name:
        return units
    return None if other is None else Units(other, units.size, units.under)


def _map(axes, change):
    if isinstance(axes, Stacked):
        return Stacked(*(_map(layer, change) for layer in axes.axes))
    return Axes(*(_map_label(label, change) for label in axes.labels))


def _map_label(label, change):
    if isinstance(label, Units):
        return change(label)
    if isinstance(label, Block | Concat):
        parts = []
        for part in label:
            new = part if isinstance(part, int) else _map_label(part, change)
            parts.append(part.size if new is None else new)
        return type(label)(*parts)
    return label


def sized(spec, variables):
    """The same spec with the size of every name written."""
    sizes = bind(spec, variables).sizes
    flat, structure = jax.tree.flatten(
        spec, is_leaf=lambda x: isinstance(x, Axes | Stacked)
    )

    def one(label):
        if isinstance(label, Units):
            return Units(label.name, sizes[label.name], label.under)
        if isinstance(label, Fixed):
            return Fixed(label.name, sizes[label.name])
        if isinstance(label, Block | Concat):
            return type(label)(*(x if isinstance(x, int) else one(x) for x in label))
        return label

    def whole(axes):
        if isinstance(axes, Stacked):
            return Stacked(*map(whole, axes.axes))
        return Axes(*map(one, axes.labels))

    return jax.tree.unflatten(structure, [whole(x) for x in flat])
