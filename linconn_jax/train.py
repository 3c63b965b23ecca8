"""Training many networks in one program: a loop over steps, mapped over seeds.

`Trainer.run` carries every seed from one step to another in one compiled call. Nothing in
it depends on where calls begin and end, on how many seeds run side by side, or on the
number of devices: data order and augmentation are functions of (noise seed, step) alone.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from linconn_jax import metrics, parallel, trees
from linconn_jax.models import Model
from linconn_jax.typing import Array, Float, Int, Key, PyTree, UInt8, Variables

Augment = Callable[[Key, Array], Array]

RUNNING = -1
"""Value of `TrainState.diverged` for a seed whose loss has stayed finite."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """One seed's training state; stacked, every leaf has a leading axis of seeds.

    Attributes:
      variables: everything `model.apply` takes.
      opt_state: of the optax optimiser.
      diverged: int32; `RUNNING`, or the step at which loss or update stopped being
        finite; variables then stay what they were before that step.
      loss: float32; sum of the training batches' mean losses since `forget_metrics`.
      error: the same of their mean 0-1 errors.
      batches: int32; number of batches in both sums.
    """

    variables: Variables
    opt_state: PyTree
    diverged: PyTree
    loss: PyTree
    error: PyTree
    batches: PyTree


@dataclasses.dataclass(frozen=True)
class Trainer:
    """How networks are trained; see `trainer` for the arguments.

    Attributes:
      steps_per_epoch: batches in a pass; the incomplete last batch is dropped and the
        order is drawn anew in each epoch.
      mesh: from `parallel.make_mesh`, for the number of seeds to be trained.
    """

    model: Model
    optimizer: optax.GradientTransformation
    images: UInt8[Array, "examples height width channels"]
    labels: Int[Array, " examples"]
    batch_size: int
    steps_per_epoch: int
    mesh: Mesh
    program: Callable

    def init(self, init_seeds: Sequence[int]) -> TrainState:
        """Freshly initialised networks, one for each init seed, on the mesh."""
        keys = jnp.stack([init_key(seed) for seed in init_seeds])
        states = jax.jit(jax.vmap(self._init_one))(keys)
        return self.place(jax.device_get(states))

    def place(self, states: TrainState) -> TrainState:
        """States held on the host (stacked over seeds) placed on the mesh, padded."""
        return parallel.shard(states, self.mesh)

    def example(self) -> TrainState:
        """Shapes and dtypes of one seed's state, without computing it."""
        return jax.eval_shape(self._init_one, jax.random.key(0))

    def run(
        self, states: TrainState, noise_seeds: Sequence[int], start: int, stop: int
    ) -> TrainState:
        """Trains every seed from step `start` to step `stop`.

        Args:
          states: from `init`, `place` or `run`; its buffers are reused (donated).
          noise_seeds: one for each seed, drawing data order and augmentation.
          start: steps taken so far.
          stop: steps to have taken.
        """
        data = np.stack([noise_key_data(seed) for seed in noise_seeds])
        keys = parallel.shard(data, self.mesh)
        limits = parallel.replicate((np.int32(start), np.int32(stop)), self.mesh)
        return self.program(states, keys, limits, self.images, self.labels)

    def _init_one(self, key: Key) -> TrainState:
        variables = self.model.init(key)
        zero = jnp.zeros(())
        return TrainState(
            variables=variables,
            opt_state=self.optimizer.init(variables["params"]),
            diverged=jnp.int32(RUNNING),
            loss=zero,
            error=zero,
            batches=jnp.int32(0),
        )


def trainer(
    model: Model,
    optimizer: optax.GradientTransformation,
    images: UInt8[np.ndarray, "examples height width channels"],
    labels: Int[np.ndarray, " examples"],
    *,
    seeds: int,
    batch_size: int,
    label_smoothing: float = 0.0,
    augment: Augment | None = None,
    batch_devices: int | None = None,
    at_once: int | None = None,
) -> Trainer:
    """Compiles nothing yet, but puts the training data on the devices.

    Args:
      model: from `models.build`.
      optimizer: from `optimizers.optimizer`, or any of optax.
      images: training images.
      labels: their classes.
      seeds: number of networks to be trained in one program.
      batch_size: examples of one network's batch.
      label_smoothing: in [0, 1).
      augment: `(key, images) -> images` for one batch, or None.
      batch_devices: devices that share one network's batch (`parallel.make_mesh`).
      at_once: networks trained together on one device (`parallel.split_map`).

    Raises:
      ValueError: a batch that is larger than the training set or not positive, or label
        smoothing out of range.
    """
    if not 1 <= batch_size <= len(labels):
        raise ValueError(
            f"batch_size={batch_size}; it must lie in 1..{len(labels)}, the number of "
            "training examples"
        )
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing={label_smoothing}; it must lie in [0, 1)")
    mesh = parallel.make_mesh(seeds, batch_size=batch_size, batch_devices=batch_devices)
    one_seed = functools.partial(
        _run_one, model, optimizer, batch_size, label_smoothing, augment
    )
    mapped = parallel.split_map(one_seed, mesh, at_once=at_once)

    @functools.partial(jax.jit, donate_argnums=0)
    def program(states, keys, limits, images, labels):
        return mapped((states, keys), limits, images, labels)

    images, labels = parallel.replicate((images, np.int32(labels)), mesh)
    return Trainer(
        model=model,
        optimizer=optimizer,
        images=images,
        labels=labels,
        batch_size=batch_size,
        steps_per_epoch=len(labels) // batch_size,
        mesh=mesh,
        program=program,
    )


def init_key(seed: int) -> Key:
    """Key of the initialisation of init seed `seed`."""
    return jax.random.fold_in(jax.random.key(0), seed)


def noise_key_data(seed: int) -> np.ndarray:
    """Raw key of the SGD noise (data order, augmentation) of noise seed `seed`."""
    key = jax.random.fold_in(jax.random.key(1), seed)
    return np.asarray(jax.random.key_data(key))


def spawn(state: TrainState, copies: int) -> TrainState:
    """`copies` of one seed's host state, to go on under different noise seeds."""
    return jax.tree.map(lambda x: np.repeat(np.asarray(x)[None], copies, axis=0), state)


@jax.jit
def forget_metrics(states: TrainState) -> TrainState:
    """States whose sums of losses and errors start again at zero."""
    zero = jnp.zeros_like(states.loss)
    return dataclasses.replace(
        states, loss=zero, error=zero, batches=jnp.zeros_like(states.batches)
    )


@jax.jit
def mean_metrics(states: TrainState) -> dict[str, Float[Array, " seeds"]]:
    """Mean training loss (nats) and 0-1 error of each seed since `forget_metrics`."""
    batches = jnp.maximum(states.batches, 1).astype(jnp.float32)
    return {"loss": states.loss / batches, "error": states.error / batches}


@functools.partial(jax.jit, static_argnums=1)
def summary(states: TrainState, mesh: Mesh) -> tuple[Array, Array]:
    """Mean training loss of the running seeds, and how many seeds have diverged."""
    running = states.diverged == RUNNING
    losses = jnp.where(running, mean_metrics(states)["loss"], 0.0)
    mean = jnp.sum(losses) / jnp.maximum(jnp.sum(running), 1).astype(jnp.float32)
    everywhere = NamedSharding(mesh, P())
    return jax.lax.with_sharding_constraint(
        (mean, jnp.sum(~running)), (everywhere, everywhere)
    )


def _run_one(
    model: Model,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    label_smoothing: float,
    augment: Augment | None,
    item: tuple[TrainState, Array],
    limits: tuple[Array, Array],
    images: Array,
    labels: Array,
) -> TrainState:
    """One seed from `limits[0]` to `limits[1]` steps, epoch by epoch."""
    state, key_data = item
    key = jax.random.wrap_key_data(key_data)
    start, stop = limits
    examples = labels.shape[0]
    per_epoch = examples // batch_size
    order_key, augment_key = jax.random.split(key)

    def step(at: Array, carry: tuple[TrainState, Array, Array]) -> tuple:
        state, order, first = carry
        chosen = jax.lax.dynamic_slice(order, (at * batch_size,), (batch_size,))
        batch = images[chosen]
        if augment is not None:
            # The whole batch on every device: what an image becomes must not depend on
            # how many devices share the batch.
            batch = augment(jax.random.fold_in(augment_key, first + at), batch)
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
        return jax.lax.fori_loop(begin, end, step, (state, order, first))[0]

    return jax.lax.fori_loop(
        start // per_epoch, (stop + per_epoch - 1) // per_epoch, epoch, state
    )


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
    params = state.variables["params"]

    def objective(params: PyTree) -> tuple[Array, tuple[PyTree, Array]]:
        variables = {**state.variables, "params": params}
        logits, batch_stats = model.apply(
            variables, images, train=True, axis_name=parallel.BATCH
        )
        losses = metrics.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        return jnp.mean(losses), (batch_stats, metrics.zero_one_error(logits, labels))

    (loss, (batch_stats, errors)), gradient = jax.value_and_grad(
        objective, has_aux=True
    )(params)
    loss, error, gradient = jax.lax.pmean(
        (loss, jnp.mean(errors), gradient), parallel.BATCH
    )
    updates, opt_state = optimizer.update(gradient, state.opt_state, params)
    running = state.diverged == RUNNING
    good = running & jnp.isfinite(loss) & trees.all_finite(updates)
    variables = {**state.variables, "params": optax.apply_updates(params, updates)}
    if batch_stats:
        variables["batch_stats"] = batch_stats
    return TrainState(
        variables=trees.where(good, variables, state.variables),
        opt_state=trees.where(good, opt_state, state.opt_state),
        diverged=jnp.where(running & ~good, step, state.diverged).astype(jnp.int32),
        loss=state.loss + jnp.where(running, loss, 0.0),
        error=state.error + jnp.where(running, error, 0.0),
        batches=state.batches + running.astype(jnp.int32),
    )
