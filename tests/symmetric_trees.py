"""Random specs with all kinds of labels, and trees for them."""

import numpy as np
from naive_permute import places

from linconn_jax.permutation import Axes, Block, Concat, Fixed, Stacked, Units

ATOMS = {
    "a": Units("a", 3),
    "b": Units("b", 2),
    "c": Units("c", 4),
    "x": Units("x", 3, under="a"),
    "y": Units("y", 2, under=("a", "b")),
    "z": Units("z", 2, under=("a", "x")),
    "v": Units("v", 2, under=("b", "a", "y")),  # y's parents in another order
    "f": Fixed("f", 2),
    "w": Units("w", 3, under="f"),
}


def random_spec(seed):
    """A dict of leaves, one of them a stack of layers with other names."""
    rng = np.random.default_rng(seed)
    leaves = {f"leaf_{i}": random_axes(rng) for i in range(rng.integers(1, 4))}
    layer = random_axes(rng, "1")
    stack = Stacked(layer, rename(layer, "1", "2"), layer)
    return {**leaves, "stack": stack, "scalar": Axes()}


def random_axes(rng, suffix=""):
    """Labels of a leaf: some names, their parents, cut into axes in any order."""
    chosen = set(rng.choice(sorted(ATOMS), rng.integers(1, 3)))
    for name in sorted(chosen):
        chosen |= set(getattr(ATOMS[name], "under", ()))
    groups = [[]]
    for name in rng.permutation(sorted(chosen)):
        groups += [[]] if groups[-1] and rng.random() < 0.5 else []
        groups[-1].append(named(name, suffix))
    labels = [random_label(rng, group, chosen) for group in groups]
    return Axes(*labels, *([None] if rng.random() < 0.3 else []))


def random_label(rng, group, chosen):
    """A product, with places that stay, or a sum if no name beside it needs it whole."""
    at = rng.integers(0, len(group) + 1)
    label = Block(*group[:at], int(rng.integers(1, 3)), *group[at:])
    inside = {atom.name[0] for atom in group}
    needed = {p for n in chosen - inside for p in getattr(ATOMS[n], "under", ())}
    alone = not any(getattr(ATOMS[n], "under", ()) for n in chosen)
    kind = rng.choice(["product", "twice", "and places", "and c"])
    if kind == "twice":
        return Concat(label, label)
    if kind == "and places" and not needed & inside and not inner(group):
        return Concat(2, Block(int(rng.integers(1, 3)), Concat(1, label, 2)))
    if kind == "and c" and alone:
        return Block(Concat(label, named("c", "")), 2)
    return label


def inner(group):
    """Whether a nested name of an axis has its parent on another axis."""
    inside = {atom.name[0] for atom in group}
    return any(set(getattr(ATOMS[n], "under", ())) - inside for n in inside)


def named(name, suffix):
    """The atom with a suffix on its name and its parents' names."""
    atom = ATOMS[name]
    if isinstance(atom, Fixed):
        return Fixed(name + suffix, atom.size)
    return Units(name + suffix, atom.size, tuple(x + suffix for x in atom.under))


def rename(label, old, new):
    """The same label with another suffix on all names."""
    if isinstance(label, Axes):
        return Axes(*(rename(x, old, new) for x in label.labels))
    if isinstance(label, Block | Concat):
        return type(label)(*(rename(x, old, new) for x in label))
    if isinstance(label, Fixed):
        return Fixed(label.name.replace(old, new), label.size)
    if isinstance(label, Units):
        under = tuple(x.replace(old, new) for x in label.under)
        return Units(label.name.replace(old, new), label.size, under)
    return label


def tree(spec, seed=0):
    """Numbers that are all different, for a spec with sizes in its labels."""
    rng = np.random.default_rng(seed)

    def leaf(one):
        if isinstance(one, Stacked):
            return np.stack([leaf(layer) for layer in one.axes])
        shape = [len(places(label, 3)) for label in one.labels]
        return rng.normal(size=shape).astype(np.float32)

    return {name: leaf(one) for name, one in spec.items()}
