"""Similarities of networks' units, from the moments of their activations."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.typing import Any, Array, Float, PyTree, Variables

SIMILARITIES = ("raw", "centred", "pearson", "cosine")
PILOT = 16
"""So many images tell where a network's activations lie, and how large they are."""
UNRESOLVED = 1e-6
"""A variance that is less than this fraction of its float32 sum is rounding."""
CONSTANT = 1e-13
"""So is one that is less than this fraction of the mean square: float32 activations."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Moments:
    """Sums over samples of the activations of one axis name, in k networks.

    They are of (activation - pilot) / scale: sums of squares in float32 would lose small
    deviations from a large mean, and overflow or vanish. The frames lead back in float64.

    Attributes:
      sums: of each network.
      squares: sums of squares, of each network.
      products: of pairs of networks i < j, sums of the products of their units
        `[units, units]`.
      samples: how many there are.
      frames: of each network; None while sums are being made.
    """

    sums: tuple[Any, ...]
    squares: tuple[Any, ...]
    products: dict[tuple[int, int], Any]
    samples: Any
    frames: "tuple[Frame, ...] | None" = None


Frame = dict[str, Any]
"""The "pilot" of each unit of one name and network, and the "scale" of them all.

Pilots are divided by the scale as well.
"""


def similarities(
    name: str, moments: Moments, similarity: str, i: int = 0, j: int = 1
) -> Float[np.ndarray, "units units"]:
    """Of each unit of network i with each of another one, j.

    Raises:
      ValueError: the activations were not finite.
    """
    if i > j:
        return similarities(name, moments, similarity, j, i).T
    m = jax.tree.map(
        lambda x: np.asarray(x, np.float64),
        {
            **dict(zip("ab", (moments.sums[i], moments.sums[j]), strict=True)),
            **{"aa": moments.squares[i], "bb": moments.squares[j]},
            **{"ab": moments.products[i, j], "samples": moments.samples},
            **{"of_a": moments.frames[i], "of_b": moments.frames[j]},
        },
    )
    if not all(np.isfinite(value).all() for value in jax.tree.leaves(m)):
        raise ValueError(
            f"the activations of {name!r} hold numbers that are not finite; did one of "
            "the networks diverge? (Trajectory.diverged tells)"
        )
    a, b, aa, bb, ab = (m[x] / m["samples"] for x in ("a", "b", "aa", "bb", "ab"))
    mean_a, mean_b = m["of_a"]["pilot"] + a, m["of_b"]["pilot"] + b
    scale_a, scale_b = m["of_a"]["scale"], m["of_b"]["scale"]
    covariance = ab - np.outer(a, b)
    if similarity == "centred":
        return covariance * scale_a * scale_b
    variance_a, variance_b = aa - a**2, bb - b**2
    if similarity == "pearson":
        floor_a = UNRESOLVED * aa + CONSTANT * mean_a**2
        floor_b = UNRESOLVED * bb + CONSTANT * mean_b**2
        deviation_a = _reciprocal(variance_a, floor_a)
        return covariance * np.outer(deviation_a, _reciprocal(variance_b, floor_b))
    product = covariance + np.outer(mean_a, mean_b)
    if similarity == "raw":
        return product * scale_a * scale_b
    norm_a = _reciprocal(variance_a + mean_a**2)
    return product * np.outer(norm_a, _reciprocal(variance_b + mean_b**2))


def square(moments: Moments, i: int) -> float:
    """E‖h‖² of network i: the mean over samples of the sum over units."""
    frame, samples = moments.frames[i], float(moments.samples)
    of = (moments.sums[i], moments.squares[i], frame["pilot"], frame["scale"])
    total, squares, pilot, scale = (np.asarray(x, np.float64) for x in of)
    raw = squares / samples + 2 * pilot * total / samples + pilot**2
    return float(raw.sum() * scale**2)


def _reciprocal(
    square: Float[np.ndarray, " units"],
    floor: Float[np.ndarray, " units"] | float = 0.0,
) -> Float[np.ndarray, " units"]:
    """1 / sqrt(square), and 0 for units whose square does not exceed the floor."""
    alive = square > floor
    return np.where(alive, 1.0 / np.sqrt(np.where(alive, square, 1.0)), 0.0)


def moments(
    networks: Sequence[Variables],
    inputs: Array,
    activations: Callable,
    batch_size: int,
    pairs: Sequence[tuple[int, int]] | None = None,
) -> dict[str, Moments]:
    """Moments of the activations of each axis name, of all networks in one pass.

    The networks see the same `batch_size` inputs at once. Products are of some `pairs`
    of networks i < j, by default of all.
    """
    if pairs is None:
        pairs = tuple(itertools.combinations(range(len(networks)), 2))
    options = {"activations": activations, "pairs": tuple(pairs)}
    networks, pilot = tuple(networks), inputs[: min(PILOT, batch_size)]
    frames = tuple(_frames(x, pilot, activations=activations) for x in networks)
    whole, rest = divmod(len(inputs), batch_size)
    parts = []
    if whole:
        batches = inputs[: whole * batch_size]
        parts.append(batches.reshape(whole, batch_size, *inputs.shape[1:]))
    if rest:
        parts.append(inputs[-rest:][None])
    found = functools.reduce(
        _add, (_scan_sums(networks, x, frames, **options) for x in parts)
    )
    return {
        name: dataclasses.replace(one, frames=tuple(frame[name] for frame in frames))
        for name, one in found.items()
    }


@functools.partial(jax.jit, static_argnames="activations")
def _frames(
    variables: Variables, images: Array, *, activations: Callable
) -> dict[str, Frame]:
    return jax.tree.map(_frame, activations(variables, images))


def _frame(values: Array) -> Frame:
    flat = _flat(values)
    largest = jnp.abs(flat).max(initial=0)
    largest = jnp.where(largest > 0, largest, 1)
    scale = largest / (2 * jnp.frexp(largest)[0])  # a power of two: exact
    return {"pilot": (flat / scale).mean(axis=0), "scale": scale}


@functools.partial(jax.jit, static_argnames=("activations", "pairs"))
def _scan_sums(
    networks: tuple[Variables, ...],
    batches: Array,
    frames: tuple[dict[str, Frame], ...],
    *,
    activations: Callable,
    pairs: tuple[tuple[int, int], ...],
) -> dict[str, Moments]:
    def one(inputs: Array) -> dict[str, Moments]:
        found = [activations(x, inputs) for x in networks]
        return {
            name: _sums(
                [_framed(x[name], y[name]) for x, y in zip(found, frames, strict=True)],
                pairs,
            )
            for name in found[0]
        }

    zero = jax.tree.map(jnp.zeros_like, jax.eval_shape(one, batches[0]))
    return jax.lax.scan(lambda x, inputs: (_add(x, one(inputs)), None), zero, batches)[
        0
    ]


def _flat(values: Array) -> Float[Array, "samples points"]:
    """The units of a nested name under all its parents in one row, at least float32."""
    wide = values.dtype if values.dtype == jnp.float64 else jnp.float32
    return values.astype(wide).reshape(len(values), -1)


def _framed(values: Array, frame: Frame) -> Float[Array, "samples points"]:
    flat = _flat(values) / frame["scale"] - frame["pilot"][None]
    return flat.astype(jnp.float32)


def _sums(
    networks: Sequence[Float[Array, "samples units"]],
    pairs: Sequence[tuple[int, int]],
) -> Moments:
    highest = jax.lax.Precision.HIGHEST
    return Moments(
        sums=tuple(x.sum(axis=0) for x in networks),
        squares=tuple(jnp.square(x).sum(axis=0) for x in networks),
        products={
            (i, j): jnp.dot(networks[i].T, networks[j], precision=highest)
            for i, j in pairs
        },
        samples=jnp.float32(len(networks[0])),
    )


def _add(x: PyTree, y: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, x, y)
