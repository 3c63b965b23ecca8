"""The evaluator: losses and errors at points of the simplex spanned by k networks."""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from linconn_jax import metrics, parallel, simplex, trees
from linconn_jax.checks import check, optional, whole
from linconn_jax.typing import Array, Float, Int, PyTree

POINTS_PER_CALL = 25
"""Points that one call of the compiled program evaluates (the length of the default
segment); other numbers of points are padded to a multiple, so they never recompile."""


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
) -> Evaluation:
    """Evaluates the networks `sum_i coords[m, i] * vertices[i]` on all examples.

    One compiled program serves any number of points of one set of vertices' shapes:
    points are split over the mesh's devices and interpolated, evaluated and reduced
    there, so that no interpolated network is ever stored or moved.

    Args:
      apply: `(variables, inputs) -> logits [examples, classes]`, pure. Pass the same
        function object again to reuse the compiled program.
      vertices: k networks stacked along the leading axis of every leaf.
      coords: barycentric coordinates, as from `simplex.segment` and `simplex.grid`.
      images: inputs `[examples, ...]`, whatever `apply` takes.
      labels: class of each example.
      batch_size: examples evaluated together.
      mesh: devices to use (`parallel.make_mesh`); all of them by default.
      at_once: points evaluated together on one device; None for all of a call's points.

    Returns:
      Means over all examples, exact for any batch size (the last batch is masked);
      batches are summed in float64.

    Raises:
      ValueError: fewer than 2 vertices, leaves that disagree on k, coords off the
        simplex, inputs and labels of different or zero length, labels that are no
        classes, arrays committed to other devices than the mesh's, or an `apply` that
        returns something else than logits.
    """
    k = trees.leading_size(vertices)
    coords = simplex.check(coords, k)
    images, labels = (
        x if hasattr(x, "dtype") else np.asarray(x) for x in (images, labels)
    )
    examples = metrics.check_examples(images, labels)
    batch_size = check("batch_size", batch_size, whole(1))
    at_once = check("at_once", at_once, optional(whole(1)), why="None for all")
    mesh = mesh or parallel.make_mesh(POINTS_PER_CALL)
    _check_devices(mesh, {"vertices": vertices, "images": images, "labels": labels})
    batches = math.ceil(examples / min(batch_size, examples))
    program = functools.partial(
        _evaluate, apply=apply, mesh=mesh, at_once=at_once, batches=batches
    )
    sums = []
    for start in range(0, len(coords), POINTS_PER_CALL):
        chunk = coords[start : start + POINTS_PER_CALL].astype(np.float32)
        filled = np.concatenate(
            [chunk, np.repeat(chunk[-1:], POINTS_PER_CALL - len(chunk), axis=0)]
        )
        part = program(parallel.shard(filled, mesh), vertices, images, labels)
        sums.append((part, len(chunk)))
    loss, error = (
        np.concatenate(
            [np.asarray(part[i], np.float64)[:n].sum(axis=1) for part, n in sums]
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


@functools.partial(jax.jit, static_argnames=("apply", "mesh", "at_once", "batches"))
def _evaluate(
    coords: Array,
    vertices: PyTree,
    images: Array,
    labels: Array,
    *,
    apply: Callable,
    mesh: Mesh,
    at_once: int | None,
    batches: int,
) -> tuple[Array, Array]:
    """Sums of loss and error, each `[points, batches]`."""
    size = math.ceil(labels.shape[0] / batches)
    batched = jax.tree.map(
        lambda x: _in_batches(x, batches, size),
        (images, labels, jnp.ones(labels.shape, bool)),
    )

    def point(row: Array, vertices: PyTree, batched: PyTree) -> tuple[Array, Array]:
        variables = trees.combine(row, vertices)

        def batch(_: None, batch: PyTree) -> tuple[None, tuple[Array, Array]]:
            images, labels, real = batch
            logits = _logits(apply, variables, images)
            values = (
                metrics.cross_entropy(logits, labels),
                metrics.zero_one_error(logits, labels),
            )
            return None, tuple(jnp.sum(jnp.where(real, v, 0.0)) for v in values)

        return jax.lax.scan(batch, None, batched)[1]

    sums = parallel.split_map(point, mesh, at_once=at_once)(coords, vertices, batched)
    everywhere = NamedSharding(mesh, P())
    return jax.lax.with_sharding_constraint(sums, (everywhere, everywhere))


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
