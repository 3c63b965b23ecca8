"""Weight matching: coordinate ascent on the inner product of two networks' weights."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.align import nested, views
from linconn_jax.align.alignment import Alignment
from linconn_jax.permutation import Permutation, Spec, compose, identity, permute
from linconn_jax.permutation.action import move
from linconn_jax.permutation.algebra import from_indices
from linconn_jax.permutation.frames import bind, trainable
from linconn_jax.permutation.spec import Layout, flatten, layout
from linconn_jax.typing import Array, Float, Key, Variables

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
    spec, reference, other = map(trainable, (spec, reference, other))
    _check_shapes(spec, reference, other)
    start = _start(initial, spec, other)
    naive = _Ascent(spec, reference, other, start).objective()
    state = _Ascent(spec, reference, permute(spec, start, other), start)
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    names, sweeps, improved = list(start), 0, True
    while improved and sweeps < max_sweeps and names:
        improved, sweeps = False, sweeps + 1
        for i in generator.permutation(len(names)):
            improved |= state.improve(names[i])
    moved = jax.tree.unflatten(state.structure, state.other)
    found = bind(state.found, spec, reference, other, moved)
    return Alignment(found, state.objective(), naive, sweeps, not improved)


def _start(
    initial: Permutation | Mapping[str, Any] | None, spec: Spec, other: Variables
) -> Permutation:
    if initial is None:
        start = identity(spec, other)
    elif isinstance(initial, Permutation):
        start = initial.unbound()
    else:
        start = from_indices(spec, other, initial)
    return jax.tree.map(np.asarray, start)


class _Ascent:
    """The leaves of a reference and of another network, permuted as the ascent goes."""

    def __init__(
        self, spec: Spec, reference: Variables, other: Variables, found: Permutation
    ):
        self.layout: Layout = layout(spec, reference)
        entries, self.structure = flatten(spec, reference)
        self.axes = [(path, axes) for path, _, axes in entries]
        self.reference = [_on_device(leaf) for _, leaf, _ in entries]
        self.other = [_on_device(leaf) for _, leaf, _ in flatten(spec, other)[0]]
        self.found = found
        self.still = jax.tree.map(np.asarray, identity(spec, reference))
        shapes = [shape for _, _, shape in self.layout.leaves]
        self.pieces = views.pieces([x for _, x in self.axes], shapes, self.layout.sizes)

    def improve(self, name: str) -> bool:
        """Moves the units of `name`, and those under it, to a better assignment."""
        parents, sizes = self.layout.parents, self.layout.sizes
        steps, reached, before, scale = nested.best(name, parents, sizes, self.direct)
        if reached - before <= RELATIVE_GAIN * scale:
            return False
        touched = [piece for piece in self.pieces if steps.keys() & set(piece.names)]
        index = sorted({piece.leaf for piece in touched})
        current = [(*self.axes[i], self.other[i]) for i in index]
        moved = move(sizes, steps, [(path, leaf, axes) for path, axes, leaf in current])
        if not all(piece.linear(name, parents) for piece in touched):
            # Where names meet that move together, the leaf is quadratic in the
            # permutation: the linear assignment is only a proposal there.
            reference = [self.reference[i] for i in index]
            gain = _inner(reference, moved) - _inner(
                reference, [self.other[i] for i in index]
            )
            if gain <= RELATIVE_GAIN * scale:
                return False
        for i, leaf in zip(index, moved, strict=True):
            self.other[i] = leaf
        self.found = compose(self.found, self.still.replace({**self.still, **steps}))
        return True

    def direct(self, name: str, free: tuple[str, ...]) -> Float[np.ndarray, "..."]:
        """Similarity of a name's units as `nested` wants it.

        A piece in which b children of the name meet is written as the sum of what each
        of them could make of it, minus b - 1 times what it is now: exact for b ≤ 1.
        """
        parents, sizes = self.layout.parents, self.layout.sizes
        fixed = tuple(x for x in parents[name] if x not in free)
        seen = [
            (piece.leaf, float(1 - piece.branches(name, parents)), view)
            for piece in self.pieces
            for view in piece.views(name, fixed, free)
        ]
        seen = [x for x in seen if x[1]]
        shape = [sizes[x] for x in (*fixed, *free, name)]
        if not seen:
            ends = (*shape, *shape[len(fixed) :])
            return nested.pairs(np.zeros(ends), len(fixed), len(free))
        summed = views.products(
            tuple((weight, view) for _, weight, view in seen),
            [self.reference[i] for i, _, _ in seen],
            [self.other[i] for i, _, _ in seen],
        )
        matrix = np.asarray(summed, np.float64)
        matrix = matrix.reshape(*shape, *shape[len(fixed) :])
        return nested.pairs(matrix, len(fixed), len(free))

    def objective(self) -> float:
        """Inner product over the leaves that carry at least one axis name."""
        labelled = sorted(
            {p.leaf for p in self.pieces if self.layout.parents.keys() & set(p.names)}
        )
        return _inner(
            [self.reference[i] for i in labelled], [self.other[i] for i in labelled]
        )


def _inner(a: list[Array], b: list[Array]) -> float:
    """Inner product in float64 on the host."""
    return float(
        sum(
            np.vdot(np.asarray(x, np.float64), np.asarray(y, np.float64))
            for x, y in zip(a, b, strict=True)
        )
    )


def _on_device(leaf: Any) -> Array | None:
    return None if leaf is None else jnp.asarray(leaf)


def _check_shapes(spec: Spec, reference: Variables, other: Variables) -> None:
    for (path, a, axes), (_, b, _) in zip(
        flatten(spec, reference)[0], flatten(spec, other)[0], strict=True
    ):
        if np.shape(a) != np.shape(b) or (axes.ndim and np.ndim(a) != axes.ndim):
            raise ValueError(
                f"leaf {path} has shape {np.shape(a)} in the reference, {np.shape(b)} in "
                f"the other network and labels {axes} in the spec; all three must fit "
                "one network of one width (take one from a stack with trees.take)"
            )
