"""How good an alignment is: an upper bound of what weight matching can reach.

Each piece of each leaf is bounded in one of several ways (`_relaxations`), some of which
leave to the assignment of a name's units what the piece gives. All pieces that leave it
to one name share one assignment, so that a layer's biases, its scales and its incoming
rows have to agree. Of all choices of ways the least sum counts, as far as going through
the pieces finds it; each is a bound.

The bound is exact where the other network is the reference permuted: no product exceeds
that of the norms there. Between networks trained independently it is loose (singular
values and sorted rows of two networks are alike whether or not their units are), and
then says little.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from linconn_jax import checks
from linconn_jax.align._fitted import Leaves, fitted
from linconn_jax.align._least_sum import least
from linconn_jax.align._networks import listed
from linconn_jax.align._relaxations import entries, relaxations
from linconn_jax.align._scaling import real_weights
from linconn_jax.align._sequences import sequences
from linconn_jax.align.alignment import Alignment, check_networks
from linconn_jax.permutation import BoundSpec, Spec
from linconn_jax.typing import PyTree, Variables

ROUNDING = 1e-6
"""Objectives are found in float32 as far as networks are: an objective may exceed its
bound by this share."""
SLACK = 2.0
"""What rounding of weights can add to their product, in roundings of the product of their
norms: it is in the bound, since products may cancel."""


def bound(
    spec: Spec | BoundSpec,
    reference: Variables,
    other: Variables,
    *,
    leaves: Leaves = None,
) -> float:
    """What `⟨reference, P[other]⟩` is at most, whatever the permutation P of the spec.

    The objective of `weight_matching`, over the same leaves. See `gap`.

    Args:
      spec: of both networks, a tree of `Axes` or bound.
      reference: the network that stays.
      other: the network that is moved.
      leaves: what the objective is of, as in `weight_matching`.

    Raises:
      ValueError: structures or shapes of the networks and the spec disagree, weights are
        complex or not finite, or `leaves` chooses none.
    """
    reference, numbers = fitted(spec, reference, other, leaves)
    found = check_networks(spec, reference, other)
    ours, theirs = found.leaves(reference), found.leaves(other)
    pieces: dict[int, list] = {}
    for piece in found.pieces:
        if piece.leaf in numbers and found.parents.keys() & set(piece.names):
            pieces.setdefault(piece.leaf, []).append(piece)
    constant, choices = 0.0, []
    for i, some in pieces.items():
        a, b = (real_weights(found.paths[i], x[i]) for x in (ours, theirs))
        for piece in some:
            parts = entries(a, piece), entries(b, piece)
            if parts[0].size:
                choices.append(relaxations(piece.names, *parts, found.parents))
        constant += _beside(a, b, some)
        one = np.finfo(np.promote_types(a.dtype, b.dtype)).eps
        constant += SLACK * float(one * np.linalg.norm(a) * np.linalg.norm(b))
    return constant + least(choices, found)


def sequence_bound(
    spec: Spec | BoundSpec,
    references: Sequence[Variables],
    others: Sequence[Variables],
    *,
    over: str = "sum",
    leaves: Leaves = None,
) -> float:
    """What `Σ_t ⟨references[t], P[others[t]]⟩` is at most, for one P of the spec.

    The objective of `joint_weight_matching` over the "sum" of the pairs, or over their
    cosines ("normalised"). All pairs share the assignments of units, so that it can be
    below the sum of the pairs' own bounds. (Of "worst" there is none.)

    Args:
      spec: of each network, a tree of `Axes` or bound.
      references: T networks that stay.
      others: T networks, all moved alike.
      over: "sum" or "normalised", as in `joint_weight_matching`.
      leaves: as in `weight_matching`.

    Raises:
      ValueError: the sequences are empty or of different lengths, `over` is another, or
        as `bound`.
    """
    checks.check("over", over, checks.one_of("sum", "normalised"))
    both = sequences(spec, references, others, leaves)
    weights = np.ones(both.count) if over == "sum" else 1 / both.norms()
    return bound(both.spec, both.times(weights), both.others, leaves=leaves)


def joint_bound(
    spec: Spec | BoundSpec,
    networks: Sequence[Variables] | PyTree,
    *,
    leaves: Leaves = None,
) -> float:
    """What `Σ_{i<j} ⟨P_i[networks[i]], P_j[networks[j]]⟩` is at most, for all P_1…P_k.

    The sum of the bounds of all pairs: of each the inner product depends on P_i⁻¹P_j
    alone. (‖Σ P_i[θ_i]‖² is twice this and the squared norms.)

    Args:
      spec: of all networks.
      networks: two or more, in a list or a tuple, or stacked in one tree, as
        `align.joint` takes them.
      leaves: as in `weight_matching`.

    Raises:
      ValueError: there are fewer than two networks, or neither a list nor a stack of
        them, or as `bound`.
    """
    each, _ = listed(spec, networks)
    if len(each) < 2:
        raise ValueError(f"{len(each)} networks are given; a bound is of two or more")
    pairs = itertools.combinations(each, 2)
    return sum(bound(spec, a, b, leaves=leaves) for a, b in pairs)


def gap(alignment: Alignment, upper: float) -> float:
    """The share by which an alignment is below the optimum, at most.

        upper = align.bound(spec, reference, other)
        f"at most {align.gap(found, upper):.1%} below the optimum"

    Args:
      alignment: of `weight_matching`, or of k networks by `merge_many`, or of sequences
        by `joint_weight_matching`, but over the "worst" pair.
      upper: bound of this objective: of `bound`, `joint_bound` or `sequence_bound`. With
        another `objective` f than "linear" it is the bound of the networks that f makes.

    Returns:
      `1 - objective / upper`, 0 where rounding makes it negative. Infinity where the
      objective is not positive: the optimum may be as near to 0 as it likes.

    Raises:
      ValueError: the alignment has no objective, or one above the bound: that is all by
        which an alignment by another method, or a bound of other networks or leaves, is
        noticed. Of those below it the share means nothing.
    """
    reached = alignment.objective
    if not (math.isfinite(reached) and math.isfinite(upper)):
        raise ValueError(
            f"the alignment's objective is {reached} and the bound {upper}; both must be "
            "finite: give an alignment found by weight matching, and align.bound of the "
            "same networks"
        )
    if reached - upper > ROUNDING * max(abs(reached), abs(upper)):
        raise ValueError(
            f"the alignment's objective {reached:.9g} is above the bound {upper:.9g}; "
            "both must be of the same networks and leaves, and the objective the sum of "
            "products of weights (align.weight_matching's)"
        )
    if reached >= upper:
        return 0.0
    return 1 - reached / upper if reached > 0 else math.inf


def _beside(a: np.ndarray, b: np.ndarray, pieces: Sequence) -> float:
    """The inner product of what of a leaf does not move."""
    still = np.ones(a.shape, bool)
    for piece in pieces:
        part = still if piece.layer is None else still[piece.layer]
        part[np.ix_(*(term.places for term in piece.terms))] = False
    return float(np.vdot(a[still].astype(np.float64), b[still].astype(np.float64)))
