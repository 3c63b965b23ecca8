"""The action of the group written as slowly and plainly as can be, one unit at a time."""

import itertools

import jax
import numpy as np

from linconn_jax.permutation.labels import Axes, Block, Concat, Fixed, Stacked, Units


def places(label, length):
    """For each place along an axis, its coordinates: a tuple of (what, index)."""
    if label is None:
        label = length
    if isinstance(label, int):
        return [((None, i),) for i in range(label)]
    if isinstance(label, Units | Fixed):
        return [((label, i),) for i in range(label.size)]
    if isinstance(label, Block):
        each = [places(factor, None) for factor in label]
        return [sum(found, ()) for found in itertools.product(*each)]
    assert isinstance(label, Concat)
    parts = [places(part, None) for part in label]
    return [
        ((f"part {i}", None), *found) for i, part in enumerate(parts) for found in part
    ]


def permute_leaf(axes, permutation, leaf):
    """New leaf from old, element by element; `axes` must have all sizes written."""
    leaf = np.asarray(leaf)
    if isinstance(axes, Stacked):
        slices = zip(axes.axes, leaf, strict=True)
        return np.stack([permute_leaf(one, permutation, x) for one, x in slices])
    each = [places(a, n) for a, n in zip(axes.labels, leaf.shape, strict=True)]
    where = [{place: i for i, place in enumerate(found)} for found in each]
    out = np.empty_like(leaf)
    for index in np.ndindex(*leaf.shape):
        new = [each[axis][i] for axis, i in enumerate(index)]
        at = {w.name: i for one in new for w, i in one if isinstance(w, Units | Fixed)}

        def old(what, i, at=at):
            if not isinstance(what, Units):
                return i
            return int(permutation[what.name][(*(at[u] for u in what.under), i)])

        source = [tuple((what, old(what, i)) for what, i in one) for one in new]
        out[index] = leaf[tuple(w[s] for w, s in zip(where, source, strict=True))]
    return out


def units(spec):
    """`{name: (size, sizes of parents)}` of a spec with all sizes written."""
    sizes, under = {}, {}

    def visit(label):
        if isinstance(label, Units | Fixed):
            sizes[label.name] = label.size
            if isinstance(label, Units):
                under[label.name] = label.under
        elif isinstance(label, Block | Concat):
            for part in label:
                visit(part)

    is_axes = lambda x: isinstance(x, Axes | Stacked)  # noqa: E731
    for axes in jax.tree.leaves(spec, is_leaf=is_axes):
        for one in axes.axes if isinstance(axes, Stacked) else [axes]:
            for label in one.labels:
                visit(label)
    return {n: (sizes[n], tuple(sizes[u] for u in above)) for n, above in under.items()}


def random_indices(spec, seed):
    """A random element of the group, as plain arrays."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, (size, above) in units(spec).items():
        rows = [rng.permutation(size) for _ in range(int(np.prod(above)))]
        found[name] = np.reshape(rows, (*above, size)).astype(int)
    return found


def permute(spec, indices, tree):
    is_axes = lambda x: isinstance(x, Axes | Stacked)  # noqa: E731
    axes = jax.tree.leaves(spec, is_leaf=is_axes)
    leaves, structure = jax.tree.flatten(tree)
    moved = [permute_leaf(a, indices, x) for a, x in zip(axes, leaves, strict=True)]
    return jax.tree.unflatten(structure, moved)
