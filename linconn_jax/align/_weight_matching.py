"""Weight matching: coordinate ascent on the inner product of two networks' weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from linconn_jax.align import _nested as nested
from linconn_jax.align import _unfold as views
from linconn_jax.align._scaling import scaled
from linconn_jax.align.alignment import Alignment, check_count, check_networks
from linconn_jax.align.method import Context, Method, register
from linconn_jax.permutation import Permutation, Spec, bind, compose, permute
from linconn_jax.permutation.algebra import from_indices
from linconn_jax.permutation.checks import check_permutation
from linconn_jax.permutation.spec import bind_leaves
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
    initial: Permutation | Mapping[str, Any] | None = None,
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
      The alignment; `alignment.apply(other)` is the aligned network.
      Axis names that occur only outside `params` stay.

    Raises:
      ValueError: structures or shapes of the networks and the spec disagree, labelled
        weights are complex or not finite, `initial` is no permutation of the spec,
        `key` is no key, or `max_sweeps` no whole number.
    """
    check_count("max_sweeps", max_sweeps, 0)
    generator = np.random.default_rng(_seed(key))
    check_networks(*map(_trainable, (spec, reference, other)))
    state = _Ascent(*map(_trainable, (spec, reference, other)))
    naive = state.objective()
    still = bind(spec, other).identity()
    if initial is not None:
        beside = {name: still[name] for name in still.keys() - state.found.keys()}
        if not isinstance(initial, Mapping):
            check_permutation(initial)
        start = from_indices(spec, other, {**beside, **initial})
        steps = {name: np.asarray(start[name]) for name in state.found}
        state.take(steps, state.moved(steps))
    names, history, improved = list(state.found), [], True
    while improved and len(history) < max_sweeps:
        improved = False
        for i in generator.permutation(len(names)):
            improved |= state.improve(names[i])
        history.append(state.objective())
    # Names that no parameter carries have nothing to be matched by, and stay.
    found = still.replace({**still, **state.found})
    return Alignment(
        spec,
        (still, found),
        objective=history[-1] if history else state.objective(),
        naive=naive,
        history=tuple(history),
        converged=not improved,
    )


def _trainable(tree: Any) -> Any:
    """The trainable part of a Flax-style `{"params": ..., ...}` dict, or the whole."""
    return tree["params"] if isinstance(tree, Mapping) and "params" in tree else tree


def _seed(key: Any) -> np.ndarray:
    try:
        return np.asarray(jax.random.key_data(key))
    except TypeError as error:
        raise ValueError(
            f"key is {key!r}; it must be a key such as jax.random.key(0)"
        ) from error


class _Ascent:
    """The leaves of a reference and of another network, permuted as the ascent goes."""

    def __init__(self, spec: Spec, reference: Variables, other: Variables):
        self.bound, leaves = bind_leaves(spec, reference)
        self.found = self.still = self.bound.identity()
        self.pieces = views.pieces(self.bound.axes, self.bound.shapes, self.bound.sizes)
        names = self.bound.parents.keys()
        labelled = {piece.leaf for piece in self.pieces if names & set(piece.names)}
        (self.reference, a, means), (self.other, b, others) = (
            scaled(
                {
                    i: (path, leaf)
                    for i, (path, leaf) in enumerate(
                        zip(self.bound.paths, flat, strict=True)
                    )
                    if i in labelled
                }
            )
            for flat in (leaves, self.bound.leaves(other))
        )
        self.scales = a, b
        sizes = {i: leaf.size for i, leaf in self.reference.items()}
        self.shared = sum(n * means[i] * others[i] for i, n in sizes.items())

    def improve(self, name: str) -> bool:
        """Moves the units of `name`, and those under it, to a better assignment."""
        parents, sizes = self.bound.parents, self.bound.sizes
        steps, reached, before, scale = nested.best(name, parents, sizes, self.direct)
        if reached - before <= RELATIVE_GAIN * scale:
            return False
        moved = self.moved(steps)
        if not all(piece.linear(name, parents) for piece in self.touched(steps)):
            # Where names meet that move together, the leaf is quadratic in the
            # permutation: the linear assignment is only a proposal there.
            gain = self.inner(moved) - self.inner({i: self.other[i] for i in moved})
            if gain <= RELATIVE_GAIN * scale:
                return False
        self.take(steps, moved)
        return True

    def direct(self, name: str, free: tuple[str, ...]) -> Float[np.ndarray, "..."]:
        """Similarity of a name's units as `nested` wants it.

        A piece in which b children of the name meet is written as the sum of what each
        of them could make of it, minus b - 1 times what it is now: exact for b ≤ 1.
        """
        parents, sizes = self.bound.parents, self.bound.sizes
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

    def touched(self, steps: Mapping[str, Any]) -> list[views.Piece]:
        """The pieces that carry a name of `steps`."""
        return [piece for piece in self.pieces if steps.keys() & set(piece.names)]

    def moved(self, steps: Mapping[str, Any]) -> dict[int, Array]:
        """The leaves that `steps` touch, moved."""
        touched = sorted({piece.leaf for piece in self.touched(steps)})
        leaves = [
            self.other[i] if i in touched else None
            for i in range(len(self.bound.paths))
        ]
        step = self.still.replace({**self.still, **steps})
        moved = self.bound.leaves(permute(self.bound, step, self.bound.tree(leaves)))
        return {i: moved[i] for i in touched}

    def take(self, steps: Mapping[str, Any], moved: Mapping[int, Array]) -> None:
        """Goes on from the leaves that `steps` have moved."""
        self.other |= moved
        self.found = compose(self.found, self.still.replace({**self.still, **steps}))

    def inner(self, other: Mapping[int, Array]) -> float:
        """Inner product of some leaves with the reference's, in float64 on the host."""
        return float(
            sum(
                np.vdot(
                    np.asarray(self.reference[i], np.float64), np.asarray(x, np.float64)
                )
                for i, x in other.items()
            )
        )

    def objective(self) -> float:
        """Inner product over the leaves that carry at least one axis name."""
        a, b = self.scales
        return (self.inner(self.other) + self.shared) * a * b


def _find(
    context: Context, networks: Sequence[Variables], key: Key, settings: Any
) -> Alignment:
    reference, other = networks
    return weight_matching(context.spec, reference, other, key=key)


register(Method("weight_matching", _find, colour="#0072b2", marker="o", order=2))
