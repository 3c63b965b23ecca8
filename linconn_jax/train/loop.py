"""One network's training inside the compiled program: epochs of steps, and one step.

Data order and augmentation are functions of (noise seed, step) alone, so that nothing
depends on where calls begin and end.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from linconn_jax import metrics, parallel, trees
from linconn_jax.models import Model
from linconn_jax.train.state import RUNNING, TrainState
from linconn_jax.typing import Array, Key, PyTree

Augment = Callable[[Key, Array], Array]


def batch_sizes(examples: int, batch_size: int, partial_batch: bool) -> tuple[int, ...]:
    """Of all batches of an epoch; and of one more, where the rest is a batch, too."""
    rest = examples % batch_size
    return (batch_size, rest) if partial_batch and rest else (batch_size,)


def run_one(
    model: Model,
    optimizer: optax.GradientTransformation,
    sizes: tuple[int, ...],
    label_smoothing: float,
    augment: Augment | None,
    item: tuple[TrainState, Array],
    limits: tuple[Array, Array],
    images: Array,
    labels: Array,
) -> TrainState:
    """One seed from `limits[0]` to `limits[1]` steps, epoch by epoch.

    `sizes` are those of `batch_sizes`.
    """
    state, key_data = item
    key = jax.random.wrap_key_data(key_data)
    start, stop = limits
    examples = labels.shape[0]
    batch_size, *rest = sizes
    whole = examples // batch_size
    per_epoch = whole + len(rest)
    order_key, augment_key = jax.random.split(key)

    def step(size: int, at: Array, carry: tuple[TrainState, Array, Array]) -> tuple:
        state, order, first = carry
        chosen = jax.lax.dynamic_slice(order, (at * batch_size,), (size,))
        batch = images[chosen]
        if augment is not None:
            # The whole batch on every device: what an image becomes must not depend on
            # how many devices share the batch.
            batch = _augmented(
                augment, jax.random.fold_in(augment_key, first + at), batch
            )
        batch, targets = _own_part((batch, labels[chosen]))
        update = functools.partial(_update, model, optimizer, label_smoothing)
        return update(state, batch, targets, first + at), order, first

    def epoch(number: Array, state: TrainState) -> TrainState:
        first = number * per_epoch
        # A sort of random bits: half the time of jax.random.permutation, whose second
        # sort breaks the ties (less than one for 60 000 examples) at random as well.
        bits = jax.random.bits(jax.random.fold_in(order_key, number), (examples,))
        order = jnp.argsort(bits)
        begin = jnp.maximum(start - first, 0)
        end = jnp.minimum(stop - first, per_epoch)
        carry, full = (state, order, first), functools.partial(step, batch_size)
        if not rest:
            return jax.lax.fori_loop(begin, end, full, carry)[0]
        carry = jax.lax.fori_loop(begin, jnp.minimum(end, whole), full, carry)
        last = functools.partial(step, *rest)
        return jax.lax.fori_loop(whole, end, last, carry)[0]

    return jax.lax.fori_loop(
        start // per_epoch, (stop + per_epoch - 1) // per_epoch, epoch, state
    )


def _augmented(augment: Augment, key: Key, images: Array) -> Array:
    found = augment(key, images)
    if found.shape != images.shape:
        raise ValueError(
            f"augment made images of shape {found.shape} of a batch of {images.shape}; "
            "it must keep the shape"
        )
    return found


def _own_part(batch: PyTree) -> PyTree:
    """The slice of a batch that this device along the mesh axis `batch` works on."""
    devices = jax.lax.axis_size(parallel.BATCH)

    def one(array: Array) -> Array:
        size = array.shape[0] // devices
        begin = jax.lax.axis_index(parallel.BATCH) * size
        return jax.lax.dynamic_slice_in_dim(array, begin, size)

    return jax.tree.map(one, batch)


def _update(
    model: Model,
    optimizer: optax.GradientTransformation,
    label_smoothing: float,
    state: TrainState,
    images: Array,
    labels: Array,
    step: Array,
) -> TrainState:
    """One SGD step, or none if the loss or the update is not finite."""
    params, model_state = model.split(state.variables)

    def objective(params: PyTree) -> tuple[Array, tuple[PyTree, Array]]:
        variables = model.join(params, model_state)
        logits, updated = model.apply(
            variables, images, train=True, axis_name=parallel.BATCH
        )
        losses = metrics.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        return jnp.mean(losses), (updated, metrics.zero_one_error(logits, labels))

    (loss, (updated, errors)), gradient = jax.value_and_grad(objective, has_aux=True)(
        params
    )
    loss, error, gradient = jax.lax.pmean(
        (loss, jnp.mean(errors), gradient), parallel.BATCH
    )
    masks = model.split(state.masks)[0] if state.masks else None
    gradient = _kept(masks, gradient)
    updates, opt_state = optimizer.update(gradient, state.opt_state, params)
    running = state.diverged == RUNNING
    good = running & jnp.isfinite(loss) & trees.all_finite(updates)
    # Not the updates: where nothing is pruned, the bits are those without masks.
    trained = _kept(masks, optax.apply_updates(params, updates))
    variables = model.join(trained, updated)
    return TrainState(
        variables=trees.where(good, variables, state.variables),
        opt_state=trees.where(good, opt_state, state.opt_state),
        diverged=jnp.where(running & ~good, step, state.diverged).astype(jnp.int32),
        loss=state.loss + jnp.where(running, loss, 0.0),
        error=state.error + jnp.where(running, error, 0.0),
        batches=state.batches + running.astype(jnp.int32),
        masks=state.masks,
    )


def _kept(masks: PyTree, tree: PyTree) -> PyTree:
    """Zeros where weights have been pruned: what has no gradient gets no momentum."""
    if masks is None:
        return tree
    return jax.tree.map(
        lambda mask, x: jnp.where(mask, x, jnp.zeros_like(x)), masks, tree
    )
