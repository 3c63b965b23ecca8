"""`verify`: tests (i) and (ii), of the function and of the labels; (iii) is beside it."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from linconn_jax import checks
from linconn_jax.permutation._discover import Discovery, examine
from linconn_jax.permutation._verify.completeness import check_completeness
from linconn_jax.permutation._verify.occurrences import Occurrence
from linconn_jax.permutation._verify.perturbation import Trials
from linconn_jax.permutation._verify.probe import float64
from linconn_jax.permutation._verify.report import FunctionTest, LabelTest, Report
from linconn_jax.permutation.action import permute
from linconn_jax.permutation.algebra import random
from linconn_jax.permutation.axis_layout import names_of
from linconn_jax.permutation.describe import describe_names
from linconn_jax.permutation.spec import Spec
from linconn_jax.typing import PyTree


def verify(
    apply: Callable[..., PyTree],
    spec: Spec,
    variables: PyTree,
    *inputs: Any,
    elements: int = 3,
    max_tries: int = 2000,
    seconds: int | float | None = 60,
    seed: int = 0,
    discovery: Discovery | None = None,
) -> Report:
    """Tests whether a spec is right, whether each label is needed, and what it misses.

    Three tests, all with random variables in float64:

    (i) random elements of the group, and each name alone, must not change the outputs;
    (ii) each label dropped, or swapped for another name of its size, must change them;
    (iii) no axis that stays may move with others of its length, and no name may be two or
    lie under something else. What this finds is reported and is no error.

    A change of the outputs proves that something is wrong; that no test finds a mistake
    is strong evidence, and no proof. Each label takes about four runs of the function. Of
    a large network, verify a small one of the same layers: its spec has the same labels.

    Outputs that are new values of variables (`discover`) must move with these. What is
    done is said on standard error every few seconds.

    Args:
      apply: `apply(variables, *inputs)`, any function that JAX can compile and that gives
        the same outputs for the same arguments.
      spec: tree of `Axes` and `Stacked` with the structure of `variables`.
      variables: any pytree of arrays or `jax.ShapeDtypeStruct`s. Real and complex leaves
        are drawn anew; where the given values are all positive, so are the new ones.
        Integers are used as given, and drawn from {0, 1} where only shapes are.
      *inputs: used as given; where only shapes are, normal, integers from {0, 1}. Give
        several examples: a unit that is off for all of them cannot be tested.
      elements: number of random elements in (i), each with its own random variables.
      max_tries: number of trials in (ii) and (iii), each of one or two runs of the
        function; a random choice if there are more.
      seconds: about how long (ii) and (iii) may take together, likewise; None for however
        long it takes. The report says what was tried.
      seed: of all random draws.
      discovery: from `examine`, for the reasons why axes stay; found if not given.

    Returns:
      A `Report`: print it, or use `ok`, `complete` and `raise_if_wrong()`.

    Raises:
      ValueError: the spec does not fit the variables, outputs are not finite whatever
        the variables are, or there is nothing to try.
    """
    checks.check("elements", elements, checks.whole(1))
    checks.check("max_tries", max_tries, checks.whole(1))
    checks.check("seconds", seconds, checks.optional(checks.number(0)))
    discovery = discovery or examine(apply, variables, *inputs)
    new = {k: None if k in discovery.kept else x for k, x in discovery.returned.items()}
    budget = math.inf if seconds is None else float(seconds)
    function_of = apply, spec, variables, inputs, seed, new
    trials = Trials(*function_of, left=max_tries, seconds=budget)
    function = check_function(trials, elements)
    labels, completeness, idle = None, None, []
    if function.ok:
        trials.start()
        labels = check_labels(trials)
        idle = trials.idle_leaves()
        completeness = check_completeness(trials, idle)
    paths = trials.bound.paths
    return Report(
        names=tuple(describe_names(trials.bound)),
        carried={
            name: tuple(dict.fromkeys(paths[x.leaf] for x in own))
            for name, own in trials.named.items()
        },
        stays=_stays(trials, discovery),
        idle_leaves=tuple(paths[i] for i in idle),
        unknown=tuple(dict.fromkeys(discovery.unknown)),
        function=function,
        labels=labels,
        completeness=completeness,
        returned=tuple(sorted({*filter(None, new.values())})),
        left_behind=tuple(_left_behind(trials, discovery)),
        how=trials.how,
        precision=trials.precision.text,
        runs=trials.runs,
    )


def check_function(trials: Trials, elements: int) -> FunctionTest:
    """Permutes random networks by random elements, then by each name alone.

    The first goes by `permute`, the second by the moves of occurrences, as a check.
    """
    errors, bound = [], trials.bound
    for _ in range(elements):
        network = trials.draw()
        key = jax.random.key(int(trials.rng.integers(2**31)))
        with float64():
            tree = trials.arguments(network)[0]
            flat = bound.leaves(permute(bound, random(key, bound, tree), tree))
        permuted = {i: flat[i] for i in trials.numbers}
        errors.append(trials.distance(trials.run(network), trials.run(permuted)))
    alone = {name: trials.change(trials.whole(name, 0)) for name in trials.names}
    return FunctionTest(tuple(errors), alone, trials.precision.tolerance)


def check_labels(trials: Trials) -> LabelTest:
    """Drops each label in turn, then swaps it for another name of its size.

    The only label of a name is dropped only if it has no effect anyhow: without it
    nothing would move.
    """
    own = [x for name in trials.names for x in trials.named[name]]
    several = [x for x in own if len(trials.named[x.name]) > 1 or trials.idle(x)]
    pairs = [(x, None) for x in several]
    drops, dropped = trials.choose("labels dropped", pairs, share=0.4)
    changes = {pair: _change(trials, *pair) for pair in drops}
    idle = [x for (x, _), change in changes.items() if not change and trials.idle(x)]
    others = {name: _other(trials, name) for name in trials.names}
    pairs = [(x, others[x.name]) for x in own if others[x.name] and x not in idle]
    swaps, swapped = trials.choose("labels swapped", pairs, share=0.5)
    changes |= {pair: _change(trials, *pair) for pair in swaps}
    unnoticed = (
        f"{x}: {x.name} may be {f'swapped for {other}' if other else 'dropped'}"
        for (x, other), change in changes.items()
        if not change and x not in idle
    )
    return LabelTest(
        dropped,
        swapped,
        tuple(unnoticed),
        tuple(f"{x} ({x.name})" for x in idle),
        least=min(filter(None, changes.values()), default=float("inf")),
    )


def _change(trials: Trials, one: Occurrence, other: str | None) -> float | None:
    """The change of the outputs by a wrong label, or None if there is none.

    Dropped: the name moves everywhere but in this occurrence. Swapped: the other name
    moves, and this occurrence with it.
    """
    name = other or one.name
    beside = [x for x in trials.named[name] if x.leaf == one.leaf and x is not one]
    own = trials.move(one, name) if other else one.move(np.arange(one.size))  # stays
    moves = [own, *(trials.move(x, name) for x in beside)]
    return trials.noticed(lambda k: trials.whole(name, k) | trials.moved(moves, k))


def _other(trials: Trials, name: str) -> str | None:
    """Another name of the same size that could stand wherever this one does."""
    sizes, parents = trials.bound.sizes, trials.bound.parents
    found = [
        other
        for other in trials.names
        if other != name
        and other not in parents[name]
        and name not in parents[other]
        and sizes[other] == sizes[name]
        and set(parents[other]) <= set(parents[name])
    ]
    return min(found, key=lambda x: parents[x] != parents[name], default=None)


def _left_behind(trials: Trials, discovery: Discovery) -> Iterator[str]:
    """Leaves that the function does not read, and that may have to move as others do."""
    axes = dict(zip(trials.bound.paths, trials.bound.axes, strict=True))
    shapes = dict(zip(trials.bound.paths, trials.bound.shapes, strict=True))
    for path, other in discovery.unread.items():
        stays = other is None and not names_of(axes[path])
        differs = other is not None and axes[path] != axes[other]
        if (stays or differs) and max(shapes[path], default=1) > 1:
            yield path


def _stays(trials: Trials, discovery: Discovery) -> dict[str, tuple[str, ...]]:
    """`{reason: axes on which nothing moves}`."""
    found: dict[str, list[str]] = {}
    moving = {(x.leaf, x.axis) for x in trials.occurrences if x.name}
    for leaf, axis in dict.fromkeys((x.leaf, x.axis) for x in trials.occurrences):
        if (leaf, axis) not in moving and trials.leaves[leaf].shape[axis] > 1:
            path = trials.bound.paths[leaf]
            why = discovery.stays[path][axis]
            why = why or "by this spec; discovery finds that units move here"
            found.setdefault(why, []).append(f"{path} axis {axis}")
    return {why: tuple(axes) for why, axes in found.items()}
