"""Activation matching: units that fire alike on the same inputs are put together."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from linconn_jax import checks
from linconn_jax.align._activations import Activations
from linconn_jax.align._alike import alike, check_inputs
from linconn_jax.align._ascent import Ascent
from linconn_jax.align._moments import SIMILARITIES
from linconn_jax.align._options import Names, assigned, start
from linconn_jax.align._together import begin, best_of
from linconn_jax.align.alignment import Alignment, check_networks
from linconn_jax.align.method import Context, Method, reader, register
from linconn_jax.checks import setting
from linconn_jax.permutation import BoundSpec, Permutation, Spec
from linconn_jax.typing import Array, Key, PyTree, Variables

RELATIVE_GAIN = 1e-13
"""An assignment must gain more than this fraction of its similarity's scale, the sum of
the largest of each unit (float64 sums; a mean shared by all units makes up nearly all of
raw similarities)."""
MAX_SWEEPS = 100
"""Upper bound on passes over all names, of which more than two are rare."""


def activation_matching(
    spec: Spec | BoundSpec,
    apply: Callable[..., PyTree] | None,
    reference: Variables,
    other: Variables,
    inputs: Array,
    *,
    activations: Callable[[Variables, Array], dict[str, Array]] | None = None,
    at: str = "relu",
    similarity: str = "raw",
    batch_size: int = 512,
    initial: Permutation | Mapping[str, Any] | None = None,
    names: Names | None = None,
) -> Alignment:
    """One assignment for each axis name on the similarity of its units' activations.

    G = E[h_reference h_otherᵀ] over inputs and positions (Sharma et al. 2024, after Li
    et al. 2016), then one linear assignment for each axis name. There is no iteration,
    unless a name lies under two names that are beside each other.

    Args:
      spec: of both networks, a tree of `Axes` or bound.
      apply: `(variables, inputs) -> outputs`, pure: its traced program tells where the
        units of each name are (`permutation.ActivationReader`). None where `activations`
        are given.
      reference: the network that stays.
      other: the network that is moved.
      inputs: `[examples, ...]`, un-augmented training inputs (the paper's runs use
        10 000 or 50 000).
      activations: by hand, in the place of what is read from `apply`: `(variables,
        inputs) -> {axis name: [samples, units]}`, pure, nested names `[samples,
        *parents, units]`; every axis name of the spec must be among the keys. Only names
        with others under them (heads) may be left out: their units are then matched by
        what lies under them.
      at: where units are read: after the "linear" map that makes them, after the "norm",
        after the nonlinearity whichever it is ("relu"), or "all" of these; in residual
        streams in all blocks.
      similarity: "raw" G, "centred" covariance, "pearson" correlation (Tatro et al. 2020;
        constant units correlate with nothing) or "cosine".
      batch_size: inputs whose activations are held at once.
      initial: where to start; the identity by default. Names that are not assigned stay
        there. What is found for others depends on it only where a name lies under two
        names that are beside each other, or several assignments are equally good.
      names: which axis names are assigned, as in `weight_matching`; of these alone the
        objective is the sum, and activations are needed.

    Returns:
      The alignment; its objective is the sum of the similarities of all matched units.

    Raises:
      ValueError: no array of inputs, `batch_size` no whole number, networks that do not
        fit the spec, an axis name whose activations are not given or cannot be read,
        unknown similarity or place, activations that are of another shape, complex or
        not finite, `initial` no permutation of the spec, or `names` unknown or none.
    """
    bound = check_networks(spec, reference, other)
    check_inputs(inputs, similarity, batch_size)
    read = activations or reader(bound, apply, at)
    networks = reference, other
    parents = assigned(bound, names)
    given = inputs, read, similarity, batch_size
    pairs = alike(bound, networks, *given, parents=parents)
    term = Activations(bound, parents, pairs, moving=(1,))
    ascent = Ascent(bound, parents, [term], (1,), _gains)
    naive = begin(ascent, start(bound, initial, parents))
    sites = [(1, name) for name in parents]
    runs = ascent.each([lambda one: one.climb(itertools.repeat(sites, MAX_SWEEPS))])
    return best_of(spec, runs, naive)


def _gains(gain: float, scale: float) -> bool:
    return gain > RELATIVE_GAIN * scale


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of activation matching in a study."""

    at: str = setting("relu", checks.TEXT, "where a model's activations are read")
    similarity: str = setting("raw", checks.one_of(*SIMILARITIES), "of two units")
    examples: int = setting(10_000, checks.whole(1), "the first so many for training")


def _find(
    context: Context, networks: Sequence[Variables], key: Key, settings: Settings
) -> Alignment:
    reference, other = networks
    return activation_matching(
        context.spec,
        context.apply,
        reference,
        other,
        context.examples(settings.examples),
        activations=context.reader(reference, settings.at),
        similarity=settings.similarity,
        batch_size=context.batch_size,
    )


def _check(context: Context, shapes: Variables, settings: Settings) -> None:
    read = context.reader(shapes, settings.at)
    jax.eval_shape(read, shapes, context.examples(2))


register(
    Method(
        "activation_matching",
        _find,
        settings=Settings,
        check=_check,
        colour="#d55e00",
        marker="s",
        order=3,
    )
)
