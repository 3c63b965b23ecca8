"""Activation matching: units that fire alike on the same images are put together."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.align import nested
from linconn_jax.align.alignment import Alignment
from linconn_jax.permutation import Spec, from_indices, permute
from linconn_jax.permutation.frames import bind
from linconn_jax.permutation.spec import layout
from linconn_jax.typing import Array, Float, PyTree, Variables

SIMILARITIES = ("raw", "pearson", "cosine")


def activation_matching(
    spec: Spec,
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
    et al. 2016), then one linear assignment for each axis name, no iteration.

    Args:
      spec: tree of `Axes` for both networks.
      activations: `(variables, images) -> {axis name: [samples, units]}`, pure, nested
        names `[samples, *parents, units]`; every axis name of the spec must be among the
        keys, save those with others under them, which are alike as far as these are.
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
      ValueError: no images, an axis name without activations, unknown similarity, or
        activations that are not finite.
    """
    if similarity not in SIMILARITIES:
        raise ValueError(
            f"similarity={similarity!r}; it must be one of {', '.join(SIMILARITIES)}"
        )
    if not len(images):
        raise ValueError(
            "there are no images to read activations from; give at least 1"
        )
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}; it must be at least 1")
    names = layout(spec, reference)
    moments = _moments(reference, other, images, activations, batch_size)
    inner = {x for x in names.parents if nested.children(x, names.parents)}
    missing = sorted(set(names.parents) - set(moments) - inner)
    if missing:
        raise ValueError(
            f"activations has no key for the axis names {missing} of the spec; it must "
            "return [samples, units] for every axis name"
        )

    def direct(name: str, free: tuple[str, ...]) -> Float[np.ndarray, "..."]:
        shape = names.shape(name)
        if name not in moments:  # units that are only as alike as what lies under them
            matrix = np.zeros((math.prod(shape),) * 2)
        else:
            matrix = _similarity(moments[name], similarity)
        return _pairs(matrix, shape, names.parents[name], free)

    indices, objective, naive = {}, 0.0, 0.0
    for name, above in names.parents.items():
        if not set(above) & set(names.parents):
            steps, reached, at_identity, _ = nested.best(
                name, names.parents, names.sizes, direct
            )
            indices |= steps
            objective, naive = objective + reached, naive + at_identity
    moved = permute(spec, indices, other)
    found = bind(from_indices(spec, other, indices), spec, reference, other, moved)
    return Alignment(found, objective, naive, sweeps=1, converged=True)


def _pairs(
    matrix: Float[np.ndarray, "points points"],
    shape: tuple[int, ...],
    parents: tuple[str, ...],
    free: tuple[str, ...],
) -> Float[np.ndarray, "..."]:
    """The similarity of all units with all, as `nested` wants it."""
    ends = [*range(len(shape))], [len(shape) + i for i in range(len(shape))]
    fixed = [i for i, x in enumerate(parents) if x not in free]
    moving = [*(parents.index(x) for x in free), len(parents)]
    for i in fixed:
        ends[1][i] = i  # the diagonal
    wanted = [*fixed, *moving, *(ends[1][i] for i in moving)]
    whole = matrix.reshape(*shape, *shape)
    return nested.pairs(
        np.einsum(whole, [*ends[0], *ends[1]], wanted), len(fixed), len(free)
    )


def _similarity(
    moments: dict[str, Array], similarity: str
) -> Float[np.ndarray, "units units"]:
    m = {name: np.asarray(value, np.float64) for name, value in moments.items()}
    mean = {name: value / m["samples"] for name, value in m.items()}
    if similarity == "raw":
        return mean["ab"]
    if similarity == "cosine":
        return mean["ab"] * np.outer(_reciprocal(mean["aa"]), _reciprocal(mean["bb"]))
    deviation_a = _reciprocal(mean["aa"] - mean["a"] ** 2, floor=mean["aa"])
    deviation_b = _reciprocal(mean["bb"] - mean["b"] ** 2, floor=mean["bb"])
    covariance = mean["ab"] - np.outer(mean["a"], mean["b"])
    return covariance * np.outer(deviation_a, deviation_b)


def _reciprocal(
    square: Float[np.ndarray, " units"],
    floor: Float[np.ndarray, " units"] | float = 0.0,
) -> Float[np.ndarray, " units"]:
    """1 / sqrt(square), and 0 for units whose spread is below float32 resolution."""
    alive = square > 1e-6 * np.asarray(floor)
    return np.where(alive, 1.0 / np.sqrt(np.where(alive, square, 1.0)), 0.0)


def _moments(
    reference: Variables,
    other: Variables,
    images: Array,
    activations: Callable,
    batch_size: int,
) -> dict[str, dict[str, Array]]:
    """First and second moments of both networks' activations, summed over samples."""
    whole = len(images) // batch_size
    parts = []
    if whole:
        batched = images[: whole * batch_size]
        batched = batched.reshape(whole, batch_size, *images.shape[1:])
        parts.append(_scan_moments(reference, other, batched, activations=activations))
    if len(images) % batch_size:
        rest = images[whole * batch_size :][None]
        parts.append(_scan_moments(reference, other, rest, activations=activations))
    return functools.reduce(_add, parts)


@functools.partial(jax.jit, static_argnames="activations")
def _scan_moments(
    reference: Variables, other: Variables, batches: Array, *, activations: Callable
) -> dict[str, dict[str, Array]]:
    def one(images: Array) -> PyTree:
        a, b = activations(reference, images), activations(other, images)
        if not isinstance(a, dict):
            raise ValueError(
                f"activations returned {type(a).__name__}; it must return a dict "
                "{axis name: [samples, units]}"
            )
        return {name: _outer(_flat(a[name]), _flat(b[name])) for name in a}

    def add(total: PyTree, images: Array) -> tuple[PyTree, None]:
        return _add(total, one(images)), None

    zero = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(one, batches[0])
    )
    return jax.lax.scan(add, zero, batches)[0]


def _flat(values: Float[Array, "samples ..."]) -> Float[Array, "samples points"]:
    """The units of a nested name under all its parents in one row."""
    return values.reshape(len(values), -1)


def _outer(
    a: Float[Array, "samples units"], b: Float[Array, "samples units"]
) -> dict[str, Array]:
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    return {
        "ab": jnp.dot(a.T, b, precision=jax.lax.Precision.HIGHEST),
        "a": a.sum(axis=0),
        "b": b.sum(axis=0),
        "aa": jnp.square(a).sum(axis=0),
        "bb": jnp.square(b).sum(axis=0),
        "samples": jnp.float32(math.prod(a.shape[:1])),
    }


def _add(x: PyTree, y: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, x, y)
