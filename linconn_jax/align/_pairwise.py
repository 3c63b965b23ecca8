"""k networks by pairs alone: what joint methods are compared with.

A star brings all networks to one of them; a spanning tree joins those that fit best. Both
are trees whose edges are aligned pairs, and permutations are composed along the edges.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from scipy.sparse.csgraph import minimum_spanning_tree

from linconn_jax import checks
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.method import Context, Method, method, methods, register
from linconn_jax.checks import Kind, setting
from linconn_jax.permutation import bind, compose, inverse
from linconn_jax.typing import Float, Key, Variables

Pair = tuple[int, int]
"""Numbers of two networks; the second is aligned to the first."""


def through(
    context: Context,
    networks: Sequence[Variables],
    key: Key,
    by: Method,
    centre: int,
    settings: Any = None,
) -> Alignment:
    """Each network aligned to one of them, and then all turned so that the first stays.

    Raises:
      ValueError: there is no network of that number, or the method's own reasons.
    """
    centre = checks.check("centre", centre, checks.whole(0, len(networks) - 1))
    pairs = [(centre, i) for i in range(len(networks)) if i != centre]
    return joined(
        context, networks, aligned(context, networks, key, by, pairs, settings)
    )


def aligned(
    context: Context,
    networks: Sequence[Variables],
    key: Key,
    by: Method,
    pairs: Sequence[Pair],
    settings: Any = None,
) -> dict[Pair, Alignment]:
    """Each of the pairs by itself; the first with the key as it is."""
    keys = [key, *(jax.random.fold_in(key, n) for n in range(1, len(pairs)))]
    return {
        (i, j): by(context, (networks[i], networks[j]), one, settings)
        for one, (i, j) in zip(keys, pairs, strict=True)
    }


def joined(
    context: Context, networks: Sequence[Variables], edges: Mapping[Pair, Alignment]
) -> Alignment:
    """The permutations of all networks along the edges of a tree; the first one stays.

    The objective is the sum over the edges.
    """
    found = {0: bind(context.spec, networks[0]).identity()}
    while len(found) < len(networks):
        for (i, j), pair in edges.items():
            if i in found and j not in found:
                found[j] = compose(pair.permutation, found[i])
            elif j in found and i not in found:
                found[i] = compose(inverse(pair.permutation), found[j])
    return Alignment(
        context.spec,
        tuple(found[i] for i in range(len(networks))),
        objective=sum(pair.objective for pair in edges.values()),
        naive=sum(pair.naive for pair in edges.values()),
        converged=all(pair.converged for pair in edges.values()),
    )


def spanning(objectives: Float[np.ndarray, "k k"]) -> list[Pair]:
    """The edges of the tree over k networks whose objectives sum to the most.

    Args:
      objectives: symmetric; the diagonal is not looked at.
    """
    above = np.triu_indices(len(objectives), 1)
    # A tree depends on the order of the edges only, and 0 would be no edge to SciPy.
    ranks = np.zeros(objectives.shape)
    ranks[above] = 1 + np.argsort(np.argsort(-objectives[above], kind="stable"))
    i, j = minimum_spanning_tree(ranks).nonzero()
    return sorted(zip(i.tolist(), j.tolist(), strict=True))


def _pairwise() -> Kind:
    """The name of a method that aligns pairs."""
    some = (
        x.name for x in methods().values() if x.aligns and not (x.joint or x.sequences)
    )
    return checks.one_of(*some, many="methods for pairs")


@dataclasses.dataclass(frozen=True)
class SpanningTree:
    """Options of the spanning tree in a study."""

    by: str = setting(
        "weight_matching", _pairwise, "the method for pairs, with its defaults"
    )


@dataclasses.dataclass(frozen=True)
class Star(SpanningTree):
    """Options of the star in a study."""

    centre: int | None = setting(
        None,
        checks.optional(checks.whole(0)),
        "number of the network to which all are brought; None: whose pairs fit best",
    )


def _every_pair(
    context: Context, networks: Sequence[Variables], key: Key, by: str
) -> tuple[dict[Pair, Alignment], Float[np.ndarray, "k k"]]:
    """All pairs, aligned, and their objectives."""
    k = len(networks)
    pairs = list(itertools.combinations(range(k), 2))
    found = aligned(context, networks, key, _method(by), pairs)
    objectives = np.zeros((k, k))
    for (i, j), one in found.items():
        objectives[i, j] = objectives[j, i] = one.objective
    if not np.isfinite(objectives).all():
        raise ValueError(
            f"by={by!r} tells no finite objective, by which pairs could be compared; "
            "choose another method (a star with a given centre needs none)"
        )
    return found, objectives


def _method(by: str) -> Method:
    return method(checks.check("by", by, _pairwise()))


def _star(
    context: Context, networks: Sequence[Variables], key: Key, settings: Star
) -> Alignment:
    if settings.centre is not None:
        return through(context, networks, key, _method(settings.by), settings.centre)
    found, objectives = _every_pair(context, networks, key, settings.by)
    centre = int(objectives.sum(axis=0).argmax())
    rays = {pair: one for pair, one in found.items() if centre in pair}
    return joined(context, networks, rays)


def _spanning_tree(
    context: Context, networks: Sequence[Variables], key: Key, settings: SpanningTree
) -> Alignment:
    found, objectives = _every_pair(context, networks, key, settings.by)
    return joined(
        context, networks, {pair: found[pair] for pair in spanning(objectives)}
    )


register(
    Method(
        "star",
        _star,
        settings=Star,
        joint=True,
        colour="#e69f00",
        marker="p",
        order=7,
    )
)
register(
    Method(
        "spanning_tree",
        _spanning_tree,
        settings=SpanningTree,
        joint=True,
        colour="#117733",
        marker="d",
        order=8,
    )
)
