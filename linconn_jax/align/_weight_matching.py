"""Weight matching: coordinate ascent on the inner product of two networks' weights."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from linconn_jax import checks
from linconn_jax.align._ascent import Ascent
from linconn_jax.align._compared import compared
from linconn_jax.align._options import Names, Order, ordered, start
from linconn_jax.align._together import (
    begin,
    best_of,
    beyond_rounding,
    generators,
    interleaved,
)
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.objectives import Objective, transformed
from linconn_jax.permutation import BoundSpec, Permutation, Spec
from linconn_jax.typing import Key, PyTree, Variables

ABSOLUTE_GAIN = 1e-12
"""A layer improves, in Git Re-Basin's code, when it gains more, whatever the scale."""
ACCEPT = ("relative", "absolute")


def weight_matching(
    spec: Spec | BoundSpec,
    reference: Variables,
    other: Variables,
    *,
    key: Key,
    objective: str | Objective = "linear",
    restarts: int = 1,
    leaves: Callable[[str], bool] | PyTree | None = None,
    initial: Permutation | Mapping[str, Any] | None = None,
    max_sweeps: int = 100,
    accept: str = "relative",
    order: Order = "random",
    names: Names | None = None,
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
      objective: what of the networks is compared: "linear", their weights as they are;
        "cosine", each unit's incoming weights divided by their norm; "normalised", each
        layer divided by its norm; or a function `variables -> tree` that makes of each
        network what takes its place, such as those of `align.objectives` that look at
        data (`covariance`, `fisher`), which say what each of them is.
      leaves: what the permutation is fitted to: a function of a leaf's path, such as
        `lambda path: "running" not in path`, or a tree of bools with the structure of
        the networks. By default what lies under `params` in a Flax-style dict, of
        other trees all leaves; but none that the spec calls state (`Axes.state`), as
        `permutation.discover` finds it.
      initial: where to start; the identity by default.
      restarts: so many runs, of which the best is returned. The first begins at
        `initial` and is that of `restarts=1`; so do all others, with other orders.
      max_sweeps: upper bound on passes over all layers, in each run.
      accept: which assignments improve a layer: "relative", those that gain more than
        rounding can (1e-6 of the similarity's scale), or "absolute", more
        than `ABSOLUTE_GAIN`.
      order: "random", or all axis names in the order in which each sweep visits them,
        one by one or in groups: forward is `permutation.depth_order(apply, variables,
        inputs)`, that of the data flow, and its reverse is backward. (A spec alone does
        not tell it: its names, and the leaves of most trees, are in alphabetical order.)
      names: which axis names are assigned, a list or a function of the name that returns
        a bool, together with those that lie under them; others stay, at `initial`.

    Returns:
      The alignment; `alignment.apply(other)` is the aligned network, and
      `alignment.reached` holds the objective of each run, as it was chosen.
      Axis names that occur only in other leaves stay where they begin.

    Raises:
      ValueError: structures or shapes of the networks and the spec disagree, labelled
        weights are complex or not finite, `initial` is no permutation of the spec,
        `key` is no key, `max_sweeps` or `restarts` no whole number, `accept` or
        `objective` unknown, `leaves` neither or of no leaf, `names` unknown or none, or
        `order` not of all names or, with several runs, one and the same for all.
    """
    draws = generators(key, checks.check("restarts", restarts, checks.whole(1)))
    checks.check("max_sweeps", max_sweeps, checks.whole(0))
    checks.check("accept", accept, checks.one_of(*ACCEPT))
    pair = transformed(objective, spec, (reference, other), leaves)
    networks = compared(spec, pair, leaves, names=names)
    ascent = Ascent(
        networks.bound,
        networks.parents,
        [networks.weights],
        (1,),
        lambda gain, scale: gains(accept, gain, scale, networks.scale),
    )
    visited = ordered(ascent.parents, order, ascent.bound.parents)
    check_runs(restarts, fixed=visited is not None)
    naive = begin(ascent, start(ascent.bound, initial, ascent.parents))
    options = {"max_sweeps": max_sweeps, "order": visited}
    runs = ascent.each([partial(interleaved, generator=x, **options) for x in draws])
    return best_of(spec, runs, naive, networks.objective)


def check_runs(restarts: int, *, fixed: bool) -> None:
    """Refuses several runs in one order.

    Raises:
      ValueError: there are, and the order is fixed.
    """
    if fixed and restarts > 1:
        raise ValueError(
            f"restarts={restarts} with a fixed order: all runs would be the same; give "
            "restarts=1, or order='random'"
        )


def gains(accept: str, gain: float, scale: float, unit: float) -> bool:
    """Whether an assignment that gains so much is taken; `unit` is the objective's."""
    if accept == "absolute":
        return gain * unit > ABSOLUTE_GAIN
    return beyond_rounding(gain, scale)
