"""Activation matching: units that fire alike on the same images are put together."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from linconn_jax import checks
from linconn_jax.align._activations import Activations
from linconn_jax.align._ascent import Ascent
from linconn_jax.align._families import children
from linconn_jax.align._moments import SIMILARITIES, moments, similarities
from linconn_jax.align._together import best_of
from linconn_jax.align.alignment import Alignment, check_networks
from linconn_jax.align.method import Context, Method, register
from linconn_jax.checks import setting
from linconn_jax.permutation import BoundSpec, Spec
from linconn_jax.typing import Any, Array, Key, Variables

RELATIVE_GAIN = 1e-13
"""An assignment must gain more than this fraction of the objective (float64 sums; a mean
shared by all units makes up nearly all of a raw objective)."""


def activation_matching(
    spec: Spec | BoundSpec,
    activations: Callable[[Variables, Array], dict[str, Array]],
    reference: Variables,
    other: Variables,
    images: Array,
    *,
    similarity: str = "raw",
    batch_size: int = 512,
) -> Alignment:
    """One assignment for each axis name on the similarity of its units' activations.

    G = E[h_reference h_otherᵀ] over images and positions (Sharma et al. 2024, after Li
    et al. 2016), then one linear assignment for each axis name. There is no iteration,
    unless a name lies under two names that are beside each other.

    Args:
      spec: of both networks, a tree of `Axes` or bound.
      activations: `(variables, images) -> {axis name: [samples, units]}`, pure, nested
        names `[samples, *parents, units]`; every axis name of the spec must be among the
        keys. Only names with others under them (heads) may be left out: their units are
        then matched by what lies under them.
      reference: the network that stays.
      other: the network that is moved.
      images: `[examples, ...]`, un-augmented training images (the paper's runs use
        10 000 or 50 000).
      similarity: "raw" G, "pearson" correlation (Tatro et al. 2020; constant units
        correlate with nothing) or "cosine".
      batch_size: images whose activations are held at once.

    Returns:
      The alignment; its objective is the sum of the similarities of all matched units.

    Raises:
      ValueError: no array of images, `batch_size` no whole number, networks that do not
        fit the spec, an axis name without activations, unknown similarity, or
        activations that are of another shape, complex or not finite.
    """
    checks.check("similarity", similarity, checks.one_of(*SIMILARITIES))
    if not isinstance(images, np.ndarray | jax.Array) or not images.ndim:
        raise ValueError(
            f"images is a {type(images).__name__}; it must be an array [examples, ...] "
            "(of a list, give numpy.stack(images))"
        )
    if not len(images):
        raise ValueError("there are no images to read activations from; give some")
    checks.check("batch_size", batch_size, checks.whole(1))
    bound = check_networks(spec, reference, other)
    with jax.default_matmul_precision("float32"):  # whatever a device's own is
        shapes = jax.eval_shape(activations, reference, images[:batch_size])
        _check_activations(shapes, bound)
        sums = moments(reference, other, images, activations, batch_size)
    matrices = {
        name: similarities(name, sums[name], similarity)
        for name in bound.parents
        if name in sums
    }
    term = Activations(bound, bound.parents, {(0, 1): matrices}, moving=(1,))
    ascent = Ascent(bound, bound.parents, [term], (1,), _gains)
    naive, sites = ascent.value, [(1, name) for name in bound.parents]
    return best_of(spec, [ascent.climb(itertools.repeat(sites))], naive)


def _gains(gain: float, scale: float) -> bool:
    return gain > RELATIVE_GAIN * scale


def _check_activations(shapes: Any, bound: BoundSpec) -> None:
    if not isinstance(shapes, dict):
        raise ValueError(
            f"activations returned {type(shapes).__name__}; it must return a dict "
            "{axis name: [samples, units]}"
        )
    inner = {x for x in bound.parents if children(x, bound.parents)}
    missing = sorted(bound.parents.keys() - shapes.keys() - inner)
    if missing:
        raise ValueError(
            f"activations has no key for the axis names {missing} of the spec; it must "
            "return [samples, units] for every axis name"
        )
    for name in bound.parents.keys() & shapes.keys():
        array, units = shapes[name], bound.shape(name)
        if array.shape[1:] != units or np.issubdtype(array.dtype, np.complexfloating):
            raise ValueError(
                f"activations has shape {array.shape} and dtype {array.dtype} for "
                f"{name!r}; it must be real, [samples, {', '.join(map(str, units))}]: "
                "images and positions along the first axis, then the units as in the "
                "spec"
            )


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
        read_at(context.activations, settings.at),
        reference,
        other,
        context.inputs[: settings.examples],
        similarity=settings.similarity,
        batch_size=context.batch_size,
    )


def _check(context: Context, shapes: Variables, settings: Settings) -> None:
    if context.activations is None:
        raise ValueError(
            "activation matching needs the model's activations, and this one has none; "
            "give them with models.from_functions(..., activations=...), or leave "
            "activation_matching out of methods"
        )
    read = read_at(context.activations, settings.at)
    jax.eval_shape(read, shapes, context.inputs[:1])


@functools.lru_cache(maxsize=16)
def read_at(activations: Callable, at: str) -> Callable:
    """One function object for all alignments, so that its program is compiled once."""
    return functools.partial(activations, at=at)


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
