"""`verify`: one call that tests a spec in all ways."""

from collections.abc import Callable
from typing import Any

import jax

from linconn_jax.permutation.discover import Discovery, examine
from linconn_jax.permutation.spec import Spec, layout
from linconn_jax.permutation.verify.describe import describe_names
from linconn_jax.permutation.verify.draws import is_array
from linconn_jax.permutation.verify.function import check_function
from linconn_jax.permutation.verify.labels import check_labels, idle_leaves
from linconn_jax.permutation.verify.missed import check_completeness
from linconn_jax.permutation.verify.probe import Probe
from linconn_jax.permutation.verify.report import Report
from linconn_jax.permutation.verify.trials import Trials
from linconn_jax.typing import PyTree


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

    All runs use random variables, in float64: (i) random elements of the group and each
    name alone must not change the outputs; (ii) each label dropped, and each swapped for
    another name of its size, must change them; (iii) no axis that stays could move with
    others of its length, no name could be two, or lie under something else. What (iii)
    finds is reported and is no error. That a test finds nothing is no proof; a change
    that it finds is one.

    Args:
      apply: `apply(variables, *inputs)`, any function that JAX can compile and that gives
        the same outputs for the same arguments.
      spec: tree of `Axes` and `Stacked` with the structure of `variables`.
      variables: any pytree. Values of real and complex leaves are not used, but tell
        which must be positive; integers are used as given. `jax.ShapeDtypeStruct`s will
        do; integers are drawn from {0, 1} then.
      *inputs: as given, or random where only shapes are: normal, integers from {0, 1}.
        Several examples are best: a unit that is off for all of them cannot be tested.
      elements: number of random elements in (i), each with its own random variables.
      max_tries: number of trials in (ii) and (iii), each of one or two runs of the
        function; a random choice if there are more. (i) runs it some 20 times and once
        for each name.
      seed: of all random draws.
      discovery: from `examine`, for the reasons why axes stay; found if not given.

    Returns:
      A `Report`: print it, or use `ok`, `complete` and `raise_if_wrong()`.

    Raises:
      ValueError: the spec does not fit the variables, or outputs are not finite whatever
        the variables are.
    """
    found = layout(spec, variables)
    discovery = discovery or _examine(apply, variables, inputs)
    probe = Probe(apply, spec, variables, inputs, seed=seed)
    trials = Trials(probe, found, max_tries)
    function = check_function(trials, spec, elements=elements)
    labels, completeness, idle = None, None, {}
    if function.ok:
        labels = check_labels(trials)
        idle = idle_leaves(trials)
        completeness = check_completeness(trials, idle)
    return Report(
        names=tuple(describe_names(found)),
        carried=_carried(trials),
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


def _examine(
    apply: Callable[..., PyTree], variables: PyTree, inputs: tuple
) -> Discovery:
    """`examine` for inputs among which there may be settings (strings, functions)."""
    flat, structure = jax.tree.flatten(inputs)
    numbers = [i for i, leaf in enumerate(flat) if is_array(leaf)]

    def of_arrays(variables: PyTree, *arrays: Any) -> PyTree:
        given = {**dict(enumerate(flat)), **dict(zip(numbers, arrays, strict=True))}
        whole = [given[i] for i in range(len(flat))]
        return apply(variables, *jax.tree.unflatten(structure, whole))

    return examine(of_arrays, variables, *(flat[i] for i in numbers))


def _carried(trials: Trials) -> dict[str, tuple[str, ...]]:
    paths = trials.probe.paths
    return {
        name: tuple(dict.fromkeys(paths[s.leaf] for s in trials.sites.named(name)))
        for name in trials.layout.parents
    }


def _stays(trials: Trials, discovery: Discovery) -> dict[str, tuple[str, ...]]:
    """Axes on which nothing moves, by the reason."""
    paths, found = trials.probe.paths, {}
    moving = {(s.leaf, s.axis, s.layer) for s in trials.sites.all if s.name}
    for site in trials.sites.all:
        here = (site.leaf, site.axis, site.layer)
        if here in moving or site.layer or site.factor or site.size < 2:
            continue
        axis = site.axis if site.layer is None else site.axis + 1
        reasons = discovery.stays.get(paths[site.leaf], ())
        why = reasons[axis] if 0 <= axis < len(reasons) else "a stack of layers"
        text = f"{paths[site.leaf]} axis {max(axis, 0)}"
        why = why or "by this spec; discovery finds that units move here"
        found.setdefault(why, []).append(text)
    return {why: tuple(dict.fromkeys(texts)) for why, texts in found.items()}
