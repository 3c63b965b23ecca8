"""Test (iv): units of a given network that no alignment can know, and fair judgement."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation.algebra import check_alike, points
from linconn_jax.permutation.element import Permutation
from linconn_jax.permutation.spec import Layout, Spec, layout
from linconn_jax.permutation.verify.draws import is_inexact
from linconn_jax.permutation.verify.probe import Leaves, Probe, float64
from linconn_jax.permutation.verify.sites import Sites
from linconn_jax.permutation.verify.twins import twins
from linconn_jax.typing import Bool, Int, PyTree

PROJECTIONS = 3
"""Random projections of the outputs whose gradients are looked at."""

VANISHES = 1e-12
"""Gradients below this share of the largest one count as none."""


@dataclasses.dataclass(frozen=True)
class Flags:
    """What cannot be known of the units of one name; arrays of shape `[*parents, units]`.

    Attributes:
      dead: on these inputs the outputs do not depend on any of the unit's weights, to
        first order: a ReLU unit that is never on, a head behind weights that are zero.
      no_outgoing: they depend on some of the unit's weights, but all of those are zero:
        nothing reads the unit (or, in the mirror image, it reads nothing).
      twin: the first unit with identical weights everywhere; the unit itself if there is
        none before it. Heads are compared with their inner units in the order they have.
      classes: units with one number cannot be told apart; all that are dead or without
        outgoing weights have -1.
    """

    dead: Bool[np.ndarray, "..."]
    no_outgoing: Bool[np.ndarray, "..."]
    twin: Int[np.ndarray, "..."]
    classes: Int[np.ndarray, "..."]

    @property
    def duplicate(self) -> Bool[np.ndarray, "..."]:
        """Whether another unit (of the same parents) has identical weights everywhere."""
        same = self.twin[..., :, None] == self.twin[..., None, :]
        return same.sum(axis=-1) > 1

    @property
    def identifiable(self) -> Bool[np.ndarray, "..."]:
        """Units without any flag."""
        return ~(self.dead | self.no_outgoing | self.duplicate)


def unidentifiable(
    apply: Callable[..., PyTree],
    spec: Spec,
    variables: PyTree,
    *inputs: Any,
    seed: int = 0,
) -> dict[str, Flags]:
    """Units of a given network that cannot be known from what it computes.

    Units that are constant but not dead (saturated ones, say) are not looked for: the
    gradients that are read here do not tell them from units that merely add a bias.

    Args:
      apply, spec: as in `verify`.
      variables: arrays, the network in question.
      *inputs: real ones; units that are dead on them are called dead.
      seed: of the projections of the outputs.

    Returns:
      `{axis name: Flags}`.

    Raises:
      ValueError: the spec does not fit the variables, or leaves have no values.
    """
    found = layout(spec, variables)
    probe = Probe(apply, spec, variables, inputs, seed=seed)
    values = probe.given()
    gradients = _gradients(probe, values)
    shapes = [getattr(leaf, "shape", None) for leaf in probe.leaves]
    sites = Sites(list(zip(probe.paths, shapes, probe.axes, strict=True)), found.sizes)
    flags: dict[str, Flags] = {}
    for name in sorted(found.parents, key=lambda x: len(found.parents[x])):
        live = _matters(sites, found, name, gradients)
        weighs = _matters(
            sites, found, name, {i: g * (values[i] != 0) for i, g in gradients.items()}
        )
        twin = twins(sites, found, name, values)
        unknown = ~weighs
        flags[name] = Flags(
            ~live, live & ~weighs, twin, _classes(found, flags, name, twin, unknown)
        )
    return {name: flags[name] for name in found.parents}


def recovered(
    p: Permutation, q: Permutation, flags: Mapping[str, Flags]
) -> dict[str, float]:
    """`agreement(p, q)` modulo units that cannot be told apart.

    Args:
      p, q: permutations of the network that the flags are of.
      flags: from `unidentifiable`.

    Returns:
      For each name the share of places in which both put units of one class: the same
      unit, a twin of it, or another one of those that are dead or have no outgoing
      weights.

    Raises:
      ValueError: the two have different axis names, sizes or nesting.
    """
    check_alike(p, q)
    classes = {name: flags[name].classes.reshape(-1) for name in p}
    return {
        name: float(
            np.mean(
                classes[name][np.asarray(points(p, name))]
                == classes[name][np.asarray(points(q, name))]
            )
        )
        for name in p
    }


def _gradients(probe: Probe, values: Leaves) -> Leaves:
    """Largest absolute gradient of random projections, 0 where it vanishes."""
    function, inputs = probe.function()
    numbers = [i for i in probe.numbers if is_inexact(probe.leaves[i])]

    def outputs(arrays: list, inputs: list) -> list:
        whole = {**values, **dict(zip(numbers, arrays, strict=True))}
        tree = function([whole[i] for i in probe.numbers], inputs)
        return [x for x in jax.tree.leaves(tree) if is_inexact(x)]

    @jax.jit
    def gradients(arrays: list, inputs: list, directions: list) -> list:
        _, back = jax.vjp(lambda a: outputs(a, inputs), arrays)
        return back(directions)[0]

    with float64():
        arrays = [jnp.asarray(values[i]) for i in numbers]
        like = jax.eval_shape(outputs, arrays, inputs)
        found = [np.zeros(x.shape) for x in arrays]
        for _ in range(PROJECTIONS):
            ways = [
                jnp.asarray(probe.rng.normal(size=x.shape)).astype(x.dtype)
                for x in like
            ]
            now = gradients(arrays, inputs, ways)
            found = [np.maximum(a, np.abs(b)) for a, b in zip(found, now, strict=True)]
    least = VANISHES * max((g.max(initial=0) for g in found), default=0)
    return {i: np.where(g > least, g, 0) for i, g in zip(numbers, found, strict=True)}


def _matters(
    sites: Sites, found: Layout, name: str, entries: Leaves
) -> Bool[np.ndarray, "..."]:
    """Which units have an entry that is not zero, `[*parents, units]`."""
    any_ = np.zeros(found.shape(name), bool)
    for site in sites.named(name):
        if site.leaf in entries:
            flat = np.asarray(entries[site.leaf]).reshape(-1)
            for at in sites.positions(site, found.parents[name]):
                any_ |= (flat[at] != 0).any(axis=-1)
    return any_


def _classes(
    found: Layout,
    flags: Mapping[str, Flags],
    name: str,
    twin: Int[np.ndarray, "..."],
    unknown: Bool[np.ndarray, "..."],
) -> Int[np.ndarray, "..."]:
    """One number for units that are alike under parents that are; -1 for unknown ones."""
    above, shape = found.parents[name], found.shape(name)
    number, lost = twin.astype(np.int64), unknown.copy()
    step = shape[-1]
    for k, parent in enumerate(above):
        if parent in flags:
            class_ = flags[parent].classes
            axes = [above.index(x) for x in (*found.parents[parent], parent)]
        else:  # fixed
            class_, axes = np.arange(shape[k]), [k]
        class_ = class_.transpose(np.argsort(axes))
        class_ = class_.reshape(
            [shape[i] if i in axes else 1 for i in range(len(shape))]
        )
        number, lost = number + step * class_, lost | (class_ < 0)
        step *= int(class_.max(initial=0)) + 1
    return np.where(lost, -1, number)
