"""Units of a network that nobody can tell apart, and fair judgement modulo these."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from linconn_jax.extras.unidentifiable_twins import classes_of, first_twins
from linconn_jax.permutation import Permutation, Spec
from linconn_jax.permutation._verify import (
    Arrays,
    Occurrence,
    Probe,
    float64,
    has_values,
    is_inexact,
    wide,
)
from linconn_jax.permutation.algebra import points
from linconn_jax.permutation.element import check_alike
from linconn_jax.permutation.spec import BoundSpec
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
      no_outgoing: the outputs depend on some of the unit's weights, but all of those are
        zero: nothing reads the unit (or, in the mirror image, it reads nothing).
      constant: not dead, but its activation is the same for all inputs: no more than a
        bias of what reads it. False where no activations were given.
      twin: the first unit with identical weights everywhere; the unit itself if there is
        none before it. Heads are compared with their inner units in the order they have.
      classes: units with one number cannot be told apart; all that are dead, constant or
        without outgoing weights have -1.
    """

    dead: Bool[np.ndarray, "*parents units"]
    no_outgoing: Bool[np.ndarray, "*parents units"]
    constant: Bool[np.ndarray, "*parents units"]
    twin: Int[np.ndarray, "*parents units"]
    classes: Int[np.ndarray, "*parents units"]

    @property
    def duplicate(self) -> Bool[np.ndarray, "*parents units"]:
        """Whether another unit (of the same parents) has identical weights everywhere."""
        same = self.twin[..., :, None] == self.twin[..., None, :]
        return same.sum(axis=-1) > 1

    @property
    def identifiable(self) -> Bool[np.ndarray, "*parents units"]:
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
      apply, spec: as in `permutation.verify`.
      variables: arrays, the network in question.
      *inputs: real ones; units that are dead on them are called dead.
      activations: `(variables, *inputs) -> {axis name: [samples, *parents, units]}`, as
        for activation matching. Only these tell constant units: to the outputs, and to
        their gradients, a constant unit and a bias are the same thing.
      seed: of the random projections of the outputs.

    Returns:
      `{axis name: Flags}`.

    Raises:
      ValueError: the spec does not fit the variables, leaves have no values, outputs are
        whole numbers or gradients not finite, or activations have another shape, fewer
        than two samples or unknown names.
    """
    probe = Probe(apply, spec, variables, inputs, seed)
    found, values = probe.bound, _values(probe)
    gradients = _gradients(probe, values)
    weighing = {i: g * (values[i] != 0) for i, g in gradients.items()}
    constants = _constant(probe, values, activations) if activations else {}
    flags: dict[str, Flags] = {}
    for name in sorted(found.parents, key=lambda x: len(found.parents[x])):
        own = probe.named[name]
        live, weighs = (_matters(own, found, name, x) for x in (gradients, weighing))
        constant = live & constants.get(name, False)
        twin = first_twins(own, found, name, values)
        above = {parent: each.classes for parent, each in flags.items()}
        classes = classes_of(found, above, name, twin, ~weighs | constant)
        flags[name] = Flags(~live, live & ~weighs, constant, twin, classes)
    return {name: flags[name] for name in found.parents}


def recovered(
    p: Permutation, q: Permutation, flags: Mapping[str, Flags]
) -> dict[str, float]:
    """`permutation.agreement(p, q)` modulo units that cannot be told apart.

    Args:
      p, q: permutations of the network that the flags are of.
      flags: from `unidentifiable`.

    Returns:
      For each name the share of positions at which both put units of one class: the same
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


def _values(probe: Probe) -> Arrays:
    """The given variables in float64, on the host."""
    given = {i: probe.leaves[i] for i in probe.numbers}
    for i, leaf in given.items():
        if not has_values(leaf):
            raise ValueError(
                f"{probe.bound.paths[i]} has a shape but no values; pass the arrays of a "
                "network"
            )
    return {i: wide(x) if is_inexact(x) else x for i, x in given.items()}


def _gradients(probe: Probe, values: Arrays) -> Arrays:
    """Largest absolute gradient of random projections, 0 where it vanishes.

    A gradient is weighed by the values that it belongs to, so that nothing depends on
    how leaves are scaled: `s * f(k)` with a tiny `s` has a tiny gradient by `k` alone.
    """
    inexact = {i: x for i, x in values.items() if is_inexact(x)}

    def outputs(leaves: Arrays) -> list:
        tree = probe.function(probe.inputs | values | leaves)
        return [x for x in jax.tree.leaves(tree) if is_inexact(x)]

    @jax.jit
    def gradients(leaves: Arrays, projection: list) -> Arrays:
        return jax.vjp(outputs, leaves)[1](projection)[0]

    found = {i: np.zeros(x.shape) for i, x in inexact.items()}
    with float64():
        like = jax.eval_shape(outputs, inexact)
        if not like:
            raise ValueError(
                "apply returns no real or complex numbers; return those before argmax "
                "or rounding, on whose gradients this is read"
            )
        for _ in range(PROJECTIONS):
            projection = [probe.rng.normal(size=x.shape).astype(x.dtype) for x in like]
            for i, now in gradients(inexact, projection).items():
                found[i] = np.maximum(found[i], np.abs(now))
    for i, g in found.items():
        if not np.isfinite(g).all():
            raise ValueError(
                f"the gradient of the outputs by {probe.bound.paths[i]} is not finite; "
                "give a network and inputs with finite outputs"
            )
    sizes = {i: np.where(np.isfinite(x), abs(x), 0) for i, x in inexact.items()}
    # Zeros have no scale of their own; a mask's -1e9 has no gradient and sets none.
    scales = {i: x.max(initial=0) or 1 for i, x in sizes.items()}
    products = [(g * sizes[i]).max(initial=0) for i, g in found.items()]
    least = VANISHES * max(products, default=0)
    return {i: np.where(g > least / scales[i], g, 0) for i, g in found.items()}


def _constant(
    probe: Probe, values: Arrays, activations: Callable
) -> dict[str, Bool[np.ndarray, "*parents units"]]:
    """Units whose activations are the same for all samples."""
    found = probe.bound
    with float64():
        tree = activations(*probe.arguments(probe.inputs | values))
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
    own: list[Occurrence], found: BoundSpec, name: str, arrays: Arrays
) -> Bool[np.ndarray, "*parents units"]:
    """Which units have an entry that is not zero in any of their occurrences."""
    some = np.zeros(found.shape(name), bool)
    for one in own:
        for entries in one.entries if one.leaf in arrays else ():
            numbers = entries.under(found.parents[name])
            some |= (arrays[one.leaf].reshape(-1)[numbers] != 0).any(axis=-2)
    return some
