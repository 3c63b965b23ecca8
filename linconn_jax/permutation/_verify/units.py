"""Test (iv): units of a given network that no alignment can know, and fair judgement."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from linconn_jax.permutation._verify.draws import is_inexact, wide
from linconn_jax.permutation._verify.probe import Leaves, Probe, float64
from linconn_jax.permutation._verify.sites import Site
from linconn_jax.permutation._verify.trials import all_sites
from linconn_jax.permutation._verify.twins import classes_of, twins
from linconn_jax.permutation.algebra import check_alike, points
from linconn_jax.permutation.element import Permutation
from linconn_jax.permutation.spec import BoundSpec, Spec, bind
from linconn_jax.typing import Bool, Int, PyTree

PROJECTIONS = 3
"""Random projections of the outputs whose gradients are looked at."""

VANISHES = 1e-12
"""Gradients, times the largest value of their leaf, below this share of the largest
gradient times value count as none."""

CONSTANT = 1e-9
"""Activations that differ by less, relative to the largest of the name, are constant."""


@dataclasses.dataclass(frozen=True)
class Flags:
    """What cannot be known of the units of one name; arrays of shape `[*parents, units]`.

    Attributes:
      dead: on these inputs the outputs do not depend on any of the unit's weights, to
        first order: a ReLU unit that is never on, a head behind weights that are zero.
      no_outgoing: they depend on some of the unit's weights, but all of those are zero:
        nothing reads the unit (or, in the mirror image, it reads nothing).
      constant: not dead, but its activation is the same for all inputs: no more than a
        bias of what reads it. False where no activations were given.
      twin: the first unit with identical weights everywhere; the unit itself if there is
        none before it. Heads are compared with their inner units in the order they have.
      classes: units with one number cannot be told apart; all that are dead, constant or
        without outgoing weights have -1.
    """

    dead: Bool[np.ndarray, "..."]
    no_outgoing: Bool[np.ndarray, "..."]
    constant: Bool[np.ndarray, "..."]
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
        return ~(self.dead | self.no_outgoing | self.constant | self.duplicate)


def unidentifiable(
    apply: Callable[..., PyTree],
    spec: Spec,
    variables: PyTree,
    *inputs: Any,
    activations: Callable[..., Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> dict[str, Flags]:
    """Units of a given network that cannot be known from what it computes.

    Args:
      apply, spec: as in `verify`.
      variables: arrays, the network in question.
      *inputs: real ones; units that are dead on them are called dead.
      activations: `(variables, *inputs) -> {axis name: [samples, *parents, units]}`, as
        for activation matching. Only these tell constant units: to the outputs, and to
        their gradients, a constant unit and a bias are the same thing.
      seed: of the projections of the outputs.

    Returns:
      `{axis name: Flags}`.

    Raises:
      ValueError: the spec does not fit the variables, leaves have no values, outputs are
        whole numbers or gradients not finite, or activations have another shape, fewer
        than two samples or unknown names.
    """
    found = bind(spec, variables)
    probe = Probe(apply, spec, variables, inputs, seed=seed)
    values, sites = probe.given(), all_sites(probe, found)
    gradients = _gradients(probe, values)
    weighing = {i: g * (values[i] != 0) for i, g in gradients.items()}
    spreads = _constant(probe, found, values, activations) if activations else {}
    flags: dict[str, Flags] = {}
    for name in sorted(found.parents, key=lambda x: len(found.parents[x])):
        own = [site for site in sites if site.name == name]
        live, weighs = (
            _matters(own, found, name, entries) for entries in (gradients, weighing)
        )
        constant = live & spreads.get(name, False)
        twin = twins(own, found, name, values)
        above = {parent: each.classes for parent, each in flags.items()}
        classes = classes_of(found, above, name, twin, ~weighs | constant)
        flags[name] = Flags(~live, live & ~weighs, constant, twin, classes)
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
      unit, a twin of it, or another one of those that are dead, constant or have no
      outgoing weights.

    Raises:
      ValueError: the two have different axis names, sizes or nesting, or other ones
        than the flags.
    """
    check_alike(p, q)
    shares = {}
    for name in p:
        if name not in flags or flags[name].classes.shape != p[name].shape:
            raise ValueError(
                f"flags has no classes of shape {p[name].shape} for {name!r}; give those "
                "of `unidentifiable` for the network that is permuted"
            )
        classes = flags[name].classes.reshape(-1)
        same = classes[np.asarray(points(p, name))] == classes[points(q, name)]
        shares[name] = float(np.mean(same)) if same.size else 1.0
    return shares


def _gradients(probe: Probe, values: Leaves) -> Leaves:
    """Largest absolute gradient of random projections, 0 where it vanishes.

    A gradient is weighed by the values that it belongs to, so that nothing depends on
    how leaves are scaled: `s * f(k)` with a tiny `s` has a tiny gradient by `k` alone.
    """
    inexact = {i: x for i, x in values.items() if is_inexact(x)}

    def outputs(leaves: Leaves) -> list:
        tree = probe.function(values | leaves, probe.inputs)
        return [x for x in jax.tree.leaves(tree) if is_inexact(x)]

    @jax.jit
    def gradients(leaves: Leaves, ways: list) -> Leaves:
        back = jax.vjp(outputs, leaves)[1]
        return back(ways)[0]

    found = {i: np.zeros(x.shape) for i, x in inexact.items()}
    with float64():
        like = jax.eval_shape(outputs, inexact)
        if not like:
            raise ValueError(
                "apply returns no real or complex numbers; return those before argmax "
                "or rounding, on whose gradients this is read"
            )
        for _ in range(PROJECTIONS):
            ways = [probe.rng.normal(size=x.shape).astype(x.dtype) for x in like]
            for i, now in gradients(inexact, ways).items():
                found[i] = np.maximum(found[i], np.abs(now))
    for i, g in found.items():
        if not np.isfinite(g).all():
            raise ValueError(
                f"the gradient of the outputs by {probe.paths[i]} is not finite; give a "
                "network and inputs with finite outputs"
            )
    sizes = {i: np.where(np.isfinite(x), abs(x), 0) for i, x in inexact.items()}
    # Zeros have no scale of their own; a mask's -1e9 has no gradient and sets none.
    units = {i: x.max(initial=0) or 1 for i, x in sizes.items()}
    products = [(g * sizes[i]).max(initial=0) for i, g in found.items()]
    largest = max(products, default=0)
    return {
        i: np.where(g > VANISHES * largest / units[i], g, 0) for i, g in found.items()
    }


def _constant(
    probe: Probe, found: BoundSpec, values: Leaves, activations: Callable
) -> dict[str, Bool[np.ndarray, "..."]]:
    """Units whose activations are the same for all samples."""
    with float64():
        tree = activations(*probe.arguments(values, probe.inputs))
    constant = {}
    for name, activation in tree.items():
        x = wide(activation)
        if name not in found.parents:
            raise ValueError(
                f"activations has {name!r}, which is no axis name of the spec; these "
                f"are {', '.join(found.parents)}"
            )
        shape = found.shape(name)
        if x.shape[1:] != shape or len(x) < 2:
            raise ValueError(
                f"activations has shape {x.shape} for {name!r}; it must be "
                f"[samples, {', '.join(map(str, shape))}] with at least 2 samples"
            )
        constant[name] = np.ptp(x, axis=0) <= CONSTANT * np.abs(x).max()
    return constant


def _matters(
    own: list[Site], found: BoundSpec, name: str, entries: Leaves
) -> Bool[np.ndarray, "..."]:
    """Which units have an entry that is not zero, `[*parents, units]`."""
    some = np.zeros(found.shape(name), bool)
    for site in own:
        if site.leaf in entries:
            for at in site.places(found.parents[name]):
                some |= (entries[site.leaf].reshape(-1)[at] != 0).any(axis=-1)
    return some
