"""Weight matching: coordinate ascent on the inner product of two networks' weights."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from linconn_jax import checks
from linconn_jax.align._ascent import Ascent, Names
from linconn_jax.align._fitted import fitted
from linconn_jax.align._scaling import scaled
from linconn_jax.align._unfold import branches, is_linear, products, unfoldings
from linconn_jax.align.alignment import Alignment, check_networks
from linconn_jax.permutation import (
    BoundSpec,
    Permutation,
    Piece,
    Spec,
    compose,
    from_indices,
    permute,
)
from linconn_jax.typing import Array, Float, Key, PyTree, Variables

RELATIVE_GAIN = 1e-6
"""A layer improves when its assignment gains more than this fraction of its similarity's
scale: float32 sums of a similarity's entries differ by about 1e-7 of it."""
ABSOLUTE_GAIN = 1e-12
"""Or, as in Git Re-Basin's code, when it gains more than this, whatever the scale."""
ACCEPT = ("relative", "absolute")


def weight_matching(
    spec: Spec | BoundSpec,
    reference: Variables,
    other: Variables,
    *,
    key: Key,
    leaves: Callable[[str], bool] | PyTree | None = None,
    initial: Permutation | Mapping[str, Any] | None = None,
    max_sweeps: int = 100,
    accept: str = "relative",
) -> Alignment:
    """The permutation of `other` that (locally) maximises `⟨reference, P[other]⟩`.

    Git Re-Basin's coordinate ascent (Ainsworth et al. 2023, algorithm 1), as in Sharma
    et al. 2024: layers in a fresh random order in each sweep, one linear assignment for
    each, until a sweep improves none. All labelled parameters enter, unnormalised
    (kernels on both sides, biases, norm scales); running statistics must not, whose size
    would drown all else.

    Args:
      spec: of the networks, a tree of `Axes` or bound.
      reference: the network that stays.
      other: the network that is moved.
      key: draws the order of the layers.
      leaves: what the permutation is fitted to: a function of a leaf's path, such as
        `lambda path: "running" not in path`, or a tree of bools with the structure of
        the networks. By default what lies under `params` in a Flax-style dict; of
        other trees all leaves but those that the spec calls state (`Axes.state`), as
        `permutation.discover` finds them.
      initial: where to start; the identity by default.
      max_sweeps: upper bound on passes over all layers.
      accept: which assignments improve a layer: "relative", those that gain more than
        rounding can (`RELATIVE_GAIN` of the similarity's scale), or "absolute", more
        than `ABSOLUTE_GAIN`.

    Returns:
      The alignment; `alignment.apply(other)` is the aligned network.
      Axis names that occur only in other leaves stay.

    Raises:
      ValueError: structures or shapes of the networks and the spec disagree, labelled
        weights are complex or not finite, `initial` is no permutation of the spec,
        `key` is no key, `max_sweeps` no whole number, `accept` unknown, or `leaves`
        neither or of no leaf.
    """
    checks.check("max_sweeps", max_sweeps, checks.whole(0))
    checks.check("accept", accept, checks.one_of(*ACCEPT))
    generator = np.random.default_rng(_seed(key))
    ascent = _Ascent(spec, reference, other, leaves, accept)
    if initial is not None:
        if not isinstance(initial, Mapping):
            raise ValueError(
                f"initial is a {type(initial).__name__}; it must be a Permutation or "
                "{axis name: index array} (of an alignment, take its .permutation)"
            )
        # Names that no parameter carries may be left out, and stay.
        beside = {n: p for n, p in ascent.still.items() if n not in ascent.parents}
        start = from_indices(ascent.bound, None, {**beside, **initial})
        indices = {name: np.asarray(start[name]) for name in ascent.parents}
        ascent.take(indices, ascent.moved(indices))
    names = list(ascent.parents)
    orders = (
        [names[i] for i in generator.permutation(len(names))] for _ in range(max_sweeps)
    )
    return ascent.climb(spec, orders)


def _seed(key: Any) -> np.ndarray:
    try:
        return np.asarray(jax.random.key_data(key))
    except TypeError as error:
        raise ValueError(
            f"key is {key!r}; it must be a key such as jax.random.key(0)"
        ) from error


class _Ascent(Ascent):
    """The leaves of a reference and of another network, permuted as the ascent goes."""

    def __init__(
        self,
        spec: Spec | BoundSpec,
        reference: Variables,
        other: Variables,
        chosen: Callable[[str], bool] | PyTree | None = None,
        accept: str = "relative",
    ):
        self.accept = accept
        reference, trained = fitted(spec, reference, other, chosen)
        bound = check_networks(spec, reference, other)
        permuted, paths = bound.parents, bound.paths
        self.pieces = [piece for piece in bound.pieces if piece.leaf in trained]
        carried = {name for piece in self.pieces for name in piece.names}
        labelled = sorted({piece.leaf for piece in self.touched(permuted)})
        (self.reference, a, means), (self.other, b, others) = (
            scaled({i: (paths[i], leaves[i]) for i in labelled})
            for leaves in map(bound.leaves, (reference, other))
        )
        self.scales = a, b
        sizes = {i: leaf.size for i, leaf in self.reference.items()}
        self.shared = sum(n * means[i] * others[i] for i, n in sizes.items())
        # Names that no parameter carries have nothing to be matched by, and stay.
        super().__init__(bound, {x: permuted[x] for x in permuted if x in carried})

    def improve(self, name: str) -> bool:
        """Moves the units of `name`, and those under it, to a better assignment."""
        indices, gain, scale = self.best(name)
        if not self.gains(gain, scale):
            return False
        moved = self.moved(indices)
        touched = self.touched(indices)
        if not all(is_linear(piece, name, self.parents) for piece in touched):
            # Where names meet that move together, the leaf is quadratic in the
            # permutation: the linear assignment is only a proposal there.
            gain = self.inner(moved) - self.inner({i: self.other[i] for i in moved})
            if not self.gains(gain, scale):
                return False
        self.take(indices, moved)
        return True

    def gains(self, gain: float, scale: float) -> bool:
        """Whether an assignment that gains so much is taken."""
        if self.accept == "absolute":
            return gain * self.scales[0] * self.scales[1] > ABSOLUTE_GAIN
        return gain > RELATIVE_GAIN * scale

    def similarity(
        self, name: str, fixed: Names, free: Names
    ) -> Float[np.ndarray, "fixed units units"] | None:
        """Inner products of a name's units.

        A piece in which b children of the name meet is written as the sum of what each
        of them could make of it, minus b - 1 times what it is now: exact for b ≤ 1.
        """
        seen = [
            (piece.leaf, (float(weight), unfolding))
            for piece in self.pieces
            if (weight := 1 - branches(piece, name, self.parents))
            for unfolding in unfoldings(piece, name, fixed, free)
        ]
        if not seen:
            return None
        leaves, weighted = zip(*seen, strict=True)
        ours, theirs = ([x[i] for i in leaves] for x in (self.reference, self.other))
        return np.asarray(products(weighted, ours, theirs), np.float64)

    def touched(self, indices: Mapping[str, Any]) -> list[Piece]:
        """The pieces that carry a name of `indices`."""
        return [piece for piece in self.pieces if indices.keys() & set(piece.names)]

    def moved(self, indices: Mapping[str, Any]) -> dict[int, Array]:
        """The leaves that `indices` touch, moved."""
        touched = {piece.leaf for piece in self.touched(indices)}
        numbers = range(len(self.bound.paths))
        leaves = [self.other[i] if i in touched else None for i in numbers]
        tree = permute(self.bound, self.step(indices), self.bound.tree(leaves))
        moved = self.bound.leaves(tree)
        return {i: moved[i] for i in sorted(touched)}

    def take(self, indices: Mapping[str, Any], moved: Mapping[int, Array]) -> None:
        """Goes on from the leaves that `indices` have moved."""
        self.other |= moved
        self.found = compose(self.found, self.step(indices))

    def inner(self, other: Mapping[int, Array]) -> float:
        """Inner product of some leaves with the reference's, in float64 on the host."""
        pairs = ((self.reference[i], leaf) for i, leaf in other.items())
        return float(sum(np.vdot(np.float64(a), np.float64(b)) for a, b in pairs))

    def objective(self) -> float:
        """Inner product over the leaves that carry at least one axis name."""
        a, b = self.scales
        return (self.inner(self.other) + self.shared) * a * b
