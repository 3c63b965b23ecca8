"""Weight matching: coordinate ascent on the inner product of two networks' weights."""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.align import assignment
from linconn_jax.align.alignment import Alignment
from linconn_jax.permutation import Permutation, Spec, identity, permute
from linconn_jax.permutation.algebra import gather_axis
from linconn_jax.permutation.spec import Axes, Axis, Block, axis_name, leaves, sizes
from linconn_jax.typing import Array, Key, Variables

RELATIVE_GAIN = 1e-6
"""A layer improves when its assignment gains more than this fraction of its similarity's
scale: float32 sums of a similarity's entries differ by about 1e-7 of it."""


def weight_matching(
    spec: Spec,
    reference: Variables,
    other: Variables,
    *,
    key: Key,
    initial: Permutation | None = None,
    max_sweeps: int = 100,
) -> Alignment:
    """The permutation of `other` that (locally) maximises `⟨reference, P[other]⟩`.

    Git Re-Basin's coordinate ascent (Ainsworth et al. 2023, algorithm 1), as in Sharma
    et al. 2024: layers in a fresh random order in each sweep, one linear assignment for
    each, until a sweep improves none. All labelled parameters enter, unnormalised
    (kernels on both sides, biases, norm scales); running statistics (anything beside
    `params` in a Flax-style dict) never do.

    Args:
      spec: tree of `Axes` for `reference` and `other`.
      reference: the network that stays.
      other: the network that is moved.
      key: draws the order of the layers.
      initial: where to start; the identity by default.
      max_sweeps: upper bound on passes over all layers.

    Returns:
      The alignment; `permute(spec, alignment.permutation, other)` is the aligned network.

    Raises:
      ValueError: structures or shapes of the networks and the spec disagree, or weights
        are not finite.
    """
    spec, reference, other = (_params(tree) for tree in (spec, reference, other))
    units = sizes(spec, reference)
    if sizes(spec, other) != units:
        raise ValueError(
            f"the networks differ in their numbers of units: reference {units}, other "
            f"{sizes(spec, other)}; align networks of one architecture and width"
        )
    start = initial or identity(spec, other)
    state = _Ascent(spec, reference, permute(spec, start, other))
    found = {name: np.asarray(p) for name, p in start.items()}
    naive = _Ascent(spec, reference, other).objective()
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    names, sweeps, improved = list(units), 0, True
    while improved and sweeps < max_sweeps and names:
        improved, sweeps = False, sweeps + 1
        for i in generator.permutation(len(names)):
            step = state.improve(names[i])
            if step is not None:
                found[names[i]] = found[names[i]][step]
                improved = True
    return Alignment(found, state.objective(), naive, sweeps, not improved)


class _Ascent:
    """The leaves of a reference and of another network, permuted as the ascent goes."""

    def __init__(self, spec: Spec, reference: Variables, other: Variables):
        self.axes = [axes for _, _, axes in leaves(spec, reference)]
        self.reference = jax.tree.leaves(reference)
        self.other = jax.tree.leaves(other)
        _check_shapes(spec, reference, other)

    def improve(self, name: str) -> np.ndarray | None:
        """Moves the units of `name` to a better assignment, if there is one."""
        index = [i for i, axes in enumerate(self.axes) if _occurrences(axes, name)]
        axes = tuple(self.axes[i] for i in index)
        reference = [self.reference[i] for i in index]
        current = [self.other[i] for i in index]
        similarity = np.asarray(_similarity(axes, name, reference, current), np.float64)
        step = assignment.maximize(similarity)
        gain = similarity[np.arange(len(step)), step].sum() - np.trace(similarity)
        scale = np.abs(similarity).max(axis=1).sum()
        if gain <= RELATIVE_GAIN * scale:
            return None
        moved = _gather(axes, name, current, step)
        if max(_occurrences(a, name) for a in axes) > 1:
            # A leaf with the name on two axes is quadratic in the permutation: the
            # linear assignment is only a proposal there.
            gain = _inner(reference, moved) - _inner(reference, current)
            if gain <= RELATIVE_GAIN * scale:
                return None
        for i, leaf in zip(index, moved, strict=True):
            self.other[i] = leaf
        return step

    def objective(self) -> float:
        """Inner product over the leaves that carry at least one axis name."""
        labelled = [
            i for i, axes in enumerate(self.axes) if any(map(axis_name, axes.labels))
        ]
        return _inner(
            [self.reference[i] for i in labelled], [self.other[i] for i in labelled]
        )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _similarity(
    axes: tuple[Axes, ...], name: str, reference: list[Array], other: list[Array]
) -> Array:
    """`[units, units]`: gain of putting the other's unit j in the reference's place i."""
    terms = [
        jnp.dot(
            _units_first(a, axis, label),
            _units_first(b, axis, label).T,
            precision=jax.lax.Precision.HIGHEST,
        )
        for one, a, b in zip(axes, reference, other, strict=True)
        for axis, label in enumerate(one.labels)
        if axis_name(label) == name
    ]
    return functools.reduce(jnp.add, terms)


def _units_first(leaf: Array, axis: int, label: Axis) -> Array:
    """`[units, everything else]`, the positions of a block axis among the rest."""
    leaf = jnp.moveaxis(leaf.astype(jnp.float32), axis, 0)
    if isinstance(label, Block):
        units = leaf.shape[0] // label.repeats
        leaf = jnp.moveaxis(leaf.reshape(label.repeats, units, -1), 1, 0)
    return leaf.reshape(leaf.shape[0], -1)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _gather(
    axes: tuple[Axes, ...], name: str, tree: list[Array], index: Array
) -> list[Array]:
    moved = []
    for one, leaf in zip(axes, tree, strict=True):
        for axis, label in enumerate(one.labels):
            if axis_name(label) == name:
                leaf = gather_axis(leaf, axis, label, index)
        moved.append(leaf)
    return moved


def _inner(a: list[Array], b: list[Array]) -> float:
    """Inner product in float64 on the host."""
    return float(
        sum(
            np.vdot(np.asarray(x, np.float64), np.asarray(y, np.float64))
            for x, y in zip(a, b, strict=True)
        )
    )


def _occurrences(axes: Axes, name: str) -> int:
    return sum(axis_name(label) == name for label in axes.labels)


def _params(tree: Variables) -> Variables:
    """The trainable part of a Flax-style `{"params": ..., ...}` dict, or the whole."""
    return tree["params"] if isinstance(tree, Mapping) and "params" in tree else tree


def _check_shapes(spec: Spec, reference: Variables, other: Variables) -> None:
    pairs = zip(leaves(spec, reference), leaves(spec, other), strict=True)
    for (path, a, axes), (_, b, _) in pairs:
        if np.shape(a) != np.shape(b) or np.ndim(a) != len(axes.labels):
            raise ValueError(
                f"leaf {path} has shape {np.shape(a)} in the reference, {np.shape(b)} in "
                f"the other network and labels {axes} in the spec; all three must fit "
                "one network (take one from a stack with trees.take)"
            )
