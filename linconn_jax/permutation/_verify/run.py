"""`verify`: one call that tests a spec in all ways."""

import warnings
from collections.abc import Callable
from typing import Any

from linconn_jax.permutation._discover import Discovery, examine
from linconn_jax.permutation._verify.completeness import check_completeness
from linconn_jax.permutation._verify.perturbation import Trials
from linconn_jax.permutation._verify.probe import Probe
from linconn_jax.permutation._verify.report import Report, describe_names
from linconn_jax.permutation._verify.soundness import check_function, check_labels
from linconn_jax.permutation.spec import Spec
from linconn_jax.typing import PyTree

LONG = 10
"""Minutes that are taken without a warning."""


def verify(
    apply: Callable[..., PyTree],
    spec: Spec,
    variables: PyTree,
    *inputs: Any,
    elements: int = 3,
    max_tries: int = 2000,
    seed: int = 0,
    discovery: Discovery | None = None,
) -> Report:
    """Tests whether a spec is right, whether each label is needed, and what it misses.

    Three tests, all with random variables in float64:

    (i) random elements of the group, and each name alone, must not change the outputs;
    (ii) each label dropped, and each swapped for another name of its size, must change
    them;
    (iii) no axis that stays may move with others of its length, and no name may be two or
    lie under something else. What this finds is reported and is no error.

    A change of the outputs proves that something is wrong. That no test finds a mistake
    is strong evidence, and no proof.

    Each label takes about four runs of the function. Of a large network, verify a small
    one of the same layers, whose spec has the same labels.

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
        function; a random choice if there are more. Test (i) takes about 20 runs more,
        and one for each name.
      seed: of all random draws.
      discovery: from `examine`, for the reasons why axes stay; found if not given.

    Returns:
      A `Report`: print it, or use `ok`, `complete` and `raise_if_wrong()`.

    Raises:
      ValueError: the spec does not fit the variables, outputs are not finite whatever
        the variables are, or there is nothing to try.

    Warns:
      UserWarning: it will take more than ten minutes.
    """
    if elements < 1 or max_tries < 1:
        raise ValueError(
            f"elements={elements}, max_tries={max_tries}; both must be at least 1"
        )
    probe = Probe(apply, spec, variables, inputs, seed)
    discovery = discovery or examine(apply, variables, *inputs)
    trials = Trials(probe, max_tries)
    function = check_function(trials, elements)
    labels, completeness, idle = None, None, {}
    if function.ok:
        _warn_if_long(trials)
        labels = check_labels(trials)
        idle = trials.idle_leaves()
        completeness = check_completeness(trials, idle)
    return Report(
        names=tuple(describe_names(probe.bound)),
        carried={
            name: tuple(dict.fromkeys(probe.bound.paths[x.leaf] for x in own))
            for name, own in trials.named.items()
        },
        stays=_stays(trials, discovery),
        idle_leaves=tuple(idle.values()),
        unknown=tuple(dict.fromkeys(discovery.unknown)),
        function=function,
        labels=labels,
        completeness=completeness,
        how=probe.how,
        precision=str(probe.precision),
        runs=probe.runs,
    )


def _warn_if_long(trials: Trials) -> None:
    probe, named = trials.probe, [x for x in trials.occurrences if x.name]
    runs = 2 * (len(trials.occurrences) + len(named)) + len(probe.numbers)
    minutes = probe.seconds * min(runs, 2 * trials.left) / 60
    if minutes > LONG:
        warnings.warn(
            f"verify will take some {minutes:.0f} minutes: a run of the function takes "
            f"{probe.seconds:.2g} s. Verify a small network of the same layers (its spec "
            f"has the same labels), give fewer or smaller inputs, or lower "
            f"max_tries={trials.left}",
            stacklevel=3,
        )


def _stays(trials: Trials, discovery: Discovery) -> dict[str, tuple[str, ...]]:
    """`{reason: axes on which nothing moves}`."""
    probe, found = trials.probe, {}
    moving = {(x.leaf, x.axis) for x in trials.occurrences if x.name}
    for leaf, axis in dict.fromkeys((x.leaf, x.axis) for x in trials.occurrences):
        if (leaf, axis) in moving or probe.leaves[leaf].shape[axis] < 2:
            continue
        path = probe.bound.paths[leaf]
        why = discovery.stays[path][axis]
        why = why or "by this spec; discovery finds that units move here"
        found.setdefault(why, []).append(f"{path} axis {axis}")
    return {why: tuple(axes) for why, axes in found.items()}
