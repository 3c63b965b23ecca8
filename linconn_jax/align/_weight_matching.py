"""Weight matching: coordinate ascent on the inner product of two networks' weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from linconn_jax import checks
from linconn_jax.align import _nested as nested
from linconn_jax.align._scaling import scaled
from linconn_jax.align._unfold import branches, is_linear, products, unfoldings
from linconn_jax.align.alignment import Alignment, check_networks
from linconn_jax.align.method import Context, Method, register
from linconn_jax.permutation import (
    BoundSpec,
    Permutation,
    Piece,
    Spec,
    compose,
    from_indices,
    permute,
)
from linconn_jax.typing import Array, Float, Key, Variables

RELATIVE_GAIN = 1e-6
"""A layer improves when its assignment gains more than this fraction of its similarity's
scale: float32 sums of a similarity's entries differ by about 1e-7 of it."""


def weight_matching(
    spec: Spec | BoundSpec,
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
      spec: of the networks, a tree of `Axes` or bound.
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
    checks.check("max_sweeps", max_sweeps, checks.whole(0))
    generator = np.random.default_rng(_seed(key))
    ascent = _Ascent(spec, reference, other)
    naive = ascent.objective()
    if initial is not None:
        if not isinstance(initial, Mapping):
            raise ValueError(
                f"initial is a {type(initial).__name__}; it must be a Permutation or "
                "{axis name: index array} (of an alignment, take its .permutation)"
            )
        # Names that no parameter carries may be left out, and stay.
        beside = {n: p for n, p in ascent.still.items() if n not in ascent.parents}
        start = from_indices(ascent.bound, None, {**beside, **initial})
        steps = {name: np.asarray(start[name]) for name in ascent.parents}
        ascent.take(steps, ascent.moved(steps))
    names, history, improved = list(ascent.parents), [], True
    while improved and len(history) < max_sweeps:
        improved = False
        for i in generator.permutation(len(names)):
            improved |= ascent.improve(names[i])
        history.append(ascent.objective())
    return Alignment(
        spec,
        (ascent.still, ascent.found),
        objective=history[-1] if history else ascent.objective(),
        naive=naive,
        history=tuple(history),
        converged=not improved,
    )


def _trained(reference: Variables, other: Variables) -> tuple[Variables, set[int]]:
    """The reference, what is not parameters taken from `other`; numbers of parameters.

    Parameters are what is under "params" of a Flax-style dict, or everything.
    """
    theirs, structure = jax.tree.flatten(other, is_leaf=_is_none)
    numbers = _parameters(structure.unflatten(range(len(theirs))))
    ours = _parameters(reference)
    if _structure(ours) == _structure(_parameters(other)):
        trained = jax.tree.leaves(ours, is_leaf=_is_none)
        flat = dict(zip(jax.tree.leaves(numbers), trained, strict=True))
        leaves = [flat.get(i, leaf) for i, leaf in enumerate(theirs)]
        reference = structure.unflatten(leaves)
    return reference, set(jax.tree.leaves(numbers))


def _parameters(tree: Any) -> Any:
    return tree["params"] if isinstance(tree, Mapping) and "params" in tree else tree


def _structure(tree: Any) -> Any:
    return jax.tree.structure(tree, is_leaf=_is_none)


def _is_none(x: Any) -> bool:
    return x is None


def _seed(key: Any) -> np.ndarray:
    try:
        return np.asarray(jax.random.key_data(key))
    except TypeError as error:
        raise ValueError(
            f"key is {key!r}; it must be a key such as jax.random.key(0)"
        ) from error


class _Ascent:
    """The leaves of a reference and of another network, permuted as the ascent goes."""

    def __init__(self, spec: Spec | BoundSpec, reference: Variables, other: Variables):
        reference, trained = _trained(reference, other)
        self.bound = check_networks(spec, reference, other)
        permuted, paths = self.bound.parents, self.bound.paths
        self.pieces = [piece for piece in self.bound.pieces if piece.leaf in trained]
        carried = {name for piece in self.pieces for name in piece.names}
        # Names that no parameter carries have nothing to be matched by, and stay.
        self.parents = {x: above for x, above in permuted.items() if x in carried}
        self.found = self.still = self.bound.identity()
        labelled = {
            piece.leaf for piece in self.pieces if permuted.keys() & set(piece.names)
        }
        (self.reference, a, means), (self.other, b, others) = (
            scaled({i: (paths[i], leaves[i]) for i in sorted(labelled)})
            for leaves in map(self.bound.leaves, (reference, other))
        )
        self.scales = a, b
        sizes = {i: leaf.size for i, leaf in self.reference.items()}
        self.shared = sum(n * means[i] * others[i] for i, n in sizes.items())

    def improve(self, name: str) -> bool:
        """Moves the units of `name`, and those under it, to a better assignment."""
        parents, sizes = self.parents, self.bound.sizes
        steps, reached, before, scale = nested.best(name, parents, sizes, self.direct)
        if reached - before <= RELATIVE_GAIN * scale:
            return False
        moved = self.moved(steps)
        if not all(is_linear(piece, name, parents) for piece in self.touched(steps)):
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
        parents, sizes = self.parents, self.bound.sizes
        fixed = tuple(x for x in parents[name] if x not in free)
        seen = [
            (piece.leaf, float(1 - branches(piece, name, parents)), unfolding)
            for piece in self.pieces
            for unfolding in unfoldings(piece, name, fixed, free)
        ]
        seen = [x for x in seen if x[1]]
        shape = [sizes[x] for x in (*fixed, *free, name)]
        if not seen:
            ends = (*shape, *shape[len(fixed) :])
            return nested.pairs(np.zeros(ends), len(fixed), len(free))
        summed = products(
            tuple((weight, unfolding) for _, weight, unfolding in seen),
            [self.reference[i] for i, _, _ in seen],
            [self.other[i] for i, _, _ in seen],
        )
        matrix = np.asarray(summed, np.float64)
        matrix = matrix.reshape(*shape, *shape[len(fixed) :])
        return nested.pairs(matrix, len(fixed), len(free))

    def touched(self, steps: Mapping[str, Any]) -> list[Piece]:
        """The pieces that carry a name of `steps`."""
        return [piece for piece in self.pieces if steps.keys() & set(piece.names)]

    def moved(self, steps: Mapping[str, Any]) -> dict[int, Array]:
        """The leaves that `steps` touch, moved."""
        touched = sorted({piece.leaf for piece in self.touched(steps)})
        leaves: list[Any] = [None] * len(self.bound.paths)
        for i in touched:
            leaves[i] = self.other[i]
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
