"""The evaluator: losses and errors at points of the simplex spanned by k networks."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from linconn_jax import functions, metrics, parallel, simplex, trees
from linconn_jax.checks import PRECISION, check, optional, whole
from linconn_jax.typing import Array, Float, Int, PyTree

POINTS_PER_CALL = 25
"""Points that one call of the compiled program takes (the length of the default segment).
Of fewer the rest is marked as empty and skipped: no number of points recompiles."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy (nats) and 0-1 error at each point, over all examples."""

    loss: Float[np.ndarray, " points"]
    error: Float[np.ndarray, " points"]
    examples: int


def evaluate_simplex(
    apply: Callable[..., Array],
    vertices: PyTree,
    coords: Float[Array, "points k"],
    images: Array,
    labels: Int[Array, " labels"],
    *,
    batch_size: int = 512,
    mesh: Mesh | None = None,
    at_once: int | None = 1,
    precision: str = "float32",
) -> Evaluation:
    """Evaluates the networks `sum_i coords[m, i] * vertices[i]` on all examples.

    One compiled program serves any number of points of one set of vertices' shapes:
    points are split over the mesh's devices and interpolated, evaluated and reduced
    there, so that no interpolated network is ever stored or moved.

    Args:
      apply: `(variables, inputs) -> logits [examples, classes]`, pure. A program is
        compiled once for all functions that compute the same, such as a lambda written
        in a loop; one that has not been seen before is traced to tell (10 ms for an MLP,
        0.3 s for a ResNet-20, whose compilation takes 5 s).
      vertices: k networks stacked along the leading axis of every leaf.
      coords: barycentric coordinates, as from `simplex.segment` and `simplex.points`.
      images: inputs `[examples, ...]`, whatever `apply` takes.
      labels: class of each example.
      batch_size: examples evaluated together.
      mesh: devices to use (`parallel.make_mesh`); all of them by default.
      at_once: points evaluated together on one device; None for all of a call's points.
      precision: of the matrix products and convolutions in `apply` that name none
        themselves: "float32", "tensorfloat32" or "bfloat16" (`checks.PRECISION`).

    Returns:
      Means over all examples, exact for any batch size (the last batch is masked);
      batches are summed in float64.

    Raises:
      ValueError: fewer than 2 vertices, leaves that disagree on k, coords off the
        simplex, inputs and labels of different or zero length, labels that are no
        classes, arrays committed to other devices than the mesh's, or an `apply` that
        returns something else than logits, such as probabilities.
    """
    k = trees.leading_size(vertices)
    coords = simplex.check(coords, k)
    images, labels = (
        x if hasattr(x, "dtype") else np.asarray(x) for x in (images, labels)
    )
    examples = metrics.check_examples(images, labels)
    batch_size = check("batch_size", batch_size, whole(1))
    at_once = check("at_once", at_once, optional(whole(1)), why="None for all")
    check("precision", precision, PRECISION)
    mesh = mesh or parallel.make_mesh(POINTS_PER_CALL)
    _check_devices(mesh, {"vertices": vertices, "images": images, "labels": labels})
    batches = math.ceil(examples / min(batch_size, examples))
    size = math.ceil(examples / batches)
    leaves, structure = jax.tree.flatten((vertices, images))
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in leaves]
    shapes[-1] = shapes[-1].update(shape=(size, *images.shape[1:]))
    function, sums = _function(apply, structure, tuple(shapes), precision), []
    with jax.default_matmul_precision(precision):
        for points, here in _calls(coords, mesh):
            part = _evaluate(
                parallel.shard(points, mesh),
                vertices,
                images,
                labels,
                function=function,
                mesh=mesh,
                at_once=at_once,
                batches=batches,
            )
            if not sums:
                metrics.refuse_probabilities(np.asarray(part[2])[here])
            sums.append((part, here))
    loss, error = (
        np.concatenate(
            [np.asarray(part[i], np.float64)[here].sum(axis=1) for part, here in sums]
        )
        for i in range(2)
    )
    if np.isnan(loss).any():
        _refuse_foreign_labels(apply, vertices, (images, labels))
    return Evaluation(loss / examples, error / examples, examples)


def _check_devices(mesh: Mesh, given: PyTree) -> None:
    """Refuses arrays that were put on other devices, from where JAX moves nothing."""
    devices = set(mesh.devices.flat)
    for path, leaf in jax.tree_util.tree_leaves_with_path(given):
        if not isinstance(leaf, jax.Array) or not leaf.committed:
            continue
        if leaf.devices() != devices:
            raise ValueError(
                f"{trees.path_name(path)} lies on {sorted(leaf.devices(), key=str)}, "
                f"and is evaluated on {sorted(devices, key=str)}; give NumPy arrays, or "
                "evaluate where it lies: mesh=parallel.make_mesh(points, devices=[...])"
            )


def _calls(
    coords: Float[np.ndarray, "points k"], mesh: Mesh
) -> Iterator[tuple[tuple[np.ndarray, np.ndarray], Int[np.ndarray, " here"]]]:
    """What `_evaluate` takes as points, call by call, and in which places they lie.

    One after the other they go to each device in turn; other places are not real.
    """
    devices = mesh.shape[parallel.SEED]
    places = np.arange(parallel.padded_size(POINTS_PER_CALL, mesh))
    places = places.reshape(devices, -1).T.ravel()
    for start in range(0, len(coords), POINTS_PER_CALL):
        chunk = coords[start : start + POINTS_PER_CALL].astype(np.float32)
        here = places[: len(chunk)]
        filled = np.repeat(chunk[-1:], len(places), axis=0)
        real = np.zeros(len(places), bool)
        filled[here], real[here] = chunk, True
        yield (filled, real), here


@dataclasses.dataclass(frozen=True)
class _Function:
    """A user's function, equal to all others that compute the same.

    Attributes:
      apply: the function.
      program: digest of what it compiles to; or the function, where it has none.
    """

    apply: Callable[..., Array] = dataclasses.field(compare=False)
    program: Any


@functools.lru_cache(maxsize=64)
def _function(
    apply: Callable, structure: Any, shapes: tuple[Any, ...], precision: str
) -> _Function:
    """The function, as it is for vertices and a batch of these shapes, in a precision."""

    def first(vertices: PyTree, batch: Array) -> Array:
        return _logits(apply, jax.tree.map(lambda x: x[0], vertices), batch)

    with jax.default_matmul_precision(precision):
        found = functions.compiled(first, *jax.tree.unflatten(structure, shapes))
    return _Function(apply, found or apply)


@functools.partial(jax.jit, static_argnames=("function", "mesh", "at_once", "batches"))
def _evaluate(
    points: tuple[Array, Array],
    vertices: PyTree,
    images: Array,
    labels: Array,
    *,
    function: _Function,
    mesh: Mesh,
    at_once: int | None,
    batches: int,
) -> tuple[Array, ...]:
    """Sums of loss and error, and whether logits look like probabilities.

    Args:
      points: coordinates, and which of them are real; the others are skipped.

    Returns:
      Each `[points, batches]`.
    """
    size = math.ceil(labels.shape[0] / batches)
    batched = jax.tree.map(
        lambda x: _in_batches(x, batches, size),
        (images, labels, jnp.ones(labels.shape, bool)),
    )

    def point(item: tuple, vertices: PyTree, batched: PyTree) -> tuple[Array, ...]:
        row, real = item
        nothing = (jnp.zeros(batches), jnp.zeros(batches), jnp.zeros(batches, bool))
        return jax.lax.cond(real, values, lambda *_: nothing, row, vertices, batched)

    def values(row: Array, vertices: PyTree, batched: PyTree) -> tuple[Array, ...]:
        variables = trees.combine(row, vertices)

        def batch(_: None, batch: PyTree) -> tuple[None, tuple[Array, ...]]:
            images, labels, real = batch
            logits = _logits(function.apply, variables, images)
            loss, error = (
                jnp.sum(jnp.where(real, metric(logits, labels), 0.0))
                for metric in (metrics.cross_entropy, metrics.zero_one_error)
            )
            return None, (loss, error, metrics.are_probabilities(logits))

        return jax.lax.scan(batch, None, batched)[1]

    sums = parallel.split_map(point, mesh, at_once=at_once)(points, vertices, batched)
    return jax.lax.with_sharding_constraint(sums, NamedSharding(mesh, P()))


def _in_batches(array: Array, batches: int, size: int) -> Array:
    extra = batches * size - array.shape[0]
    padded = jnp.pad(array, [(0, extra)] + [(0, 0)] * (array.ndim - 1))
    return padded.reshape(batches, size, *array.shape[1:])


def _logits(apply: Callable, variables: PyTree, images: Array) -> Array:
    logits = apply(variables, images)
    shape = getattr(logits, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != images.shape[0]:
        what = type(logits).__name__ if shape is None else f"an array of shape {shape}"
        raise ValueError(
            f"apply returned {what} for {images.shape[0]} inputs; it must return logits "
            "[examples, classes] alone: wrap it in a function that does"
        )
    return logits.astype(jnp.float32)


def _refuse_foreign_labels(apply: Callable, vertices: PyTree, data: tuple) -> None:
    """Tells labels that are no class, whose loss is NaN, from networks that broke."""
    images, labels = data
    logits = jax.eval_shape(apply, trees.take(vertices, 0), images[:1])
    metrics.check_examples(images, labels, classes=logits.shape[-1])
