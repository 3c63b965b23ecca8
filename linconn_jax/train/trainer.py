"""The trainer: many seeds from one step to another in one compiled call."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from linconn_jax import metrics, optimizers, parallel, trees
from linconn_jax.checks import FLAG, PRECISION, check, number, whole
from linconn_jax.models import Model
from linconn_jax.train.keys import init_key, noise_key_data
from linconn_jax.train.loop import Augment, batch_sizes, run_one
from linconn_jax.train.state import RUNNING, TrainState
from linconn_jax.typing import Array, Int, Key, PyTree, Shaped, Variables


@dataclasses.dataclass(frozen=True)
class Trainer:
    """How networks are trained; see `trainer` for the arguments.

    Attributes:
      seeds: number of networks.
      steps_per_epoch: batches in a pass; the incomplete last batch is dropped, unless
        `partial_batch` keeps it, and the order is drawn anew in each epoch.
      mesh: from `parallel.make_mesh`, for the number of seeds to be trained.
    """

    model: Model
    optimizer: optax.GradientTransformation
    images: Shaped[Array, "examples ..."]
    labels: Int[Array, " examples"]
    seeds: int
    batch_size: int
    steps_per_epoch: int
    mesh: Mesh
    program: Callable

    def init(self, init_seeds: Sequence[int]) -> TrainState:
        """Freshly initialised networks, one for each init seed, on the mesh."""
        self._check_seeds("init", init_seeds)
        keys = jnp.stack([init_key(seed) for seed in init_seeds])
        states = jax.jit(jax.vmap(self._init_one))(keys)
        return self.place(jax.device_get(states))

    def place(self, states: TrainState) -> TrainState:
        """States held on the host (stacked over seeds) placed on the mesh, padded."""
        return parallel.shard(states, self.mesh)

    def begin(self, variables: Variables, step: int, masks: PyTree = ()) -> TrainState:
        """Networks that are trained on from a step, with an optimiser that starts anew.

        Args:
          variables: host arrays stacked over seeds.
          step: SGD steps that they have taken; the schedule goes on from there.
          masks: bools in their structure, where weights have been pruned (False): these
            are set to zero, and stay it; or nothing.
        """
        if masks:
            variables = jax.tree.map(
                lambda kept, x: np.where(kept, x, np.zeros_like(x)), masks, variables
            )
        seeds = len(jax.tree.leaves(variables)[0])
        nothing = np.zeros(seeds, np.float32)
        states = TrainState(
            variables=variables,
            opt_state=(),
            diverged=np.full(seeds, RUNNING, np.int32),
            loss=nothing,
            error=nothing,
            batches=nothing.astype(np.int32),
            masks=masks,
        )
        return self.restart(self.place(states), step)

    def restart(self, states: TrainState, step: int) -> TrainState:
        """The states with an optimiser that starts anew; its schedule goes on."""
        return self._restart(states, jnp.int32(step))

    @functools.cached_property
    def _restart(self) -> Callable:
        def one(states: TrainState, step: Array) -> TrainState:
            params = jax.vmap(lambda x: self.model.split(x)[0])(states.variables)
            restart = functools.partial(optimizers.restarted, self.optimizer, step=step)
            fresh = jax.lax.with_sharding_constraint(
                jax.vmap(restart)(params), NamedSharding(self.mesh, P(parallel.SEED))
            )  # as `run` leaves it, or it would be compiled a second time
            return dataclasses.replace(states, opt_state=fresh)

        return jax.jit(one)

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

        Raises:
          ValueError: there is not one noise seed for each network.
        """
        self._check_seeds("noise", noise_seeds)
        data = np.stack([noise_key_data(seed) for seed in noise_seeds])
        keys = parallel.shard(data, self.mesh)
        limits = parallel.replicate((np.int32(start), np.int32(stop)), self.mesh)
        return self.program(states, keys, limits, self.images, self.labels)

    def _check_seeds(self, which: str, given: Sequence[int]) -> None:
        if len(given) != self.seeds:
            raise ValueError(
                f"there are {len(given)} {which} seeds for a trainer of {self.seeds} "
                "networks; give one for each"
            )

    def _init_one(self, key: Key) -> TrainState:
        variables = self.model.init(key)
        zero = jnp.zeros(())
        return TrainState(
            variables=variables,
            opt_state=self.optimizer.init(self.model.split(variables)[0]),
            diverged=jnp.int32(RUNNING),
            loss=zero,
            error=zero,
            batches=jnp.int32(0),
        )


def trainer(
    model: Model,
    optimizer: optax.GradientTransformation,
    images: Shaped[np.ndarray, "examples ..."],
    labels: Int[np.ndarray, " examples"],
    *,
    seeds: int,
    batch_size: int,
    label_smoothing: float = 0.0,
    augment: Augment | None = None,
    partial_batch: bool = False,
    batch_devices: int | None = None,
    at_once: int | None = None,
    precision: str = "float32",
) -> Trainer:
    """Compiles nothing yet, but puts the training data on the devices.

    Args:
      model: from `models.build`, or `models.from_functions` for your own.
      optimizer: from `optimizers.optimizer`, or any of optax.
      images: training inputs, as the model takes them.
      labels: their classes.
      seeds: number of networks to be trained in one program.
      batch_size: examples of one network's batch.
      label_smoothing: in [0, 1).
      augment: `(key, images) -> images` for one batch, or None.
      partial_batch: whether the examples that fill no batch are the last step of an
        epoch: a smaller batch, whose loss is the mean over it. Devices then share a
        batch only as far as they can share that one.
      batch_devices: devices that share one network's batch (`parallel.make_mesh`); one
        if the model cannot split it (`Model.splits_batch`).
      at_once: networks trained together on one device (`parallel.split_map`); chosen
        for the model and the platform by default (`default_at_once`).
      precision: of the matrix products and convolutions in `model.apply`, and in its
        gradient, that name none themselves (`checks.PRECISION`). Float32 is what other
        authors' networks had, and the same on every device; TF32 is faster on GPUs.

    Raises:
      ValueError: images without labels or labels that are no classes, a batch that is
        larger than the training set, not positive or not to be split, or label smoothing
        out of range.
    """
    why = "there are so many training examples"
    batch_size = check("batch_size", batch_size, whole(1, len(labels)), why=why)
    check("precision", precision, PRECISION)
    check("partial_batch", partial_batch, FLAG)
    check("label_smoothing", label_smoothing, number(0, below=1))
    metrics.check_examples(images, labels, classes=model.classes)
    if not model.splits_batch:
        if batch_devices not in (None, 1):
            raise ValueError(
                f"batch_devices={batch_devices} for {model.name!r}, whose state would "
                "depend on it; let apply take axis_name and average its statistics over "
                "that axis, or leave batch_devices out"
            )
        batch_devices = 1
    sizes = batch_sizes(len(labels), batch_size, partial_batch)
    mesh = parallel.make_mesh(
        seeds, batch_size=math.gcd(*sizes), batch_devices=batch_devices
    )
    one_seed = functools.partial(
        run_one, model, optimizer, sizes, label_smoothing, augment
    )
    if at_once is None:
        at_once = default_at_once(model)
    mapped = parallel.split_map(one_seed, mesh, at_once=at_once)

    @functools.partial(jax.jit, donate_argnums=0)
    def program(states, keys, limits, images, labels):
        with jax.default_matmul_precision(precision):
            return mapped((states, keys), limits, images, labels)

    images, labels = parallel.replicate((images, np.int32(labels)), mesh)
    return Trainer(
        model=model,
        optimizer=optimizer,
        images=images,
        labels=labels,
        seeds=seeds,
        batch_size=batch_size,
        steps_per_epoch=len(labels) // batch_size + len(sizes) - 1,
        mesh=mesh,
        program=program,
    )


def default_at_once(model: Model) -> int | None:
    """How many networks train together on one device: None for all, or one.

    Convolutional ones train one after the other: together, the kernels of many seeds
    become one grouped convolution on an accelerator, which may be many times slower
    (nobody has measured ours there yet; `at_once` asks for it). Of the others, an
    accelerator and the smallest networks need all of them to be kept busy. On a CPU, one
    network's weights and activations fit the cache where those of many do not: one after
    the other, MLPs 3×512 are trained 1.1 times and VGG-16-8 twice as fast
    (`benchmarks/train.py`). The number of seeds has no say.
    """
    params, _ = model.split(model.shapes)
    if any(leaf.ndim > 2 for leaf in jax.tree.leaves(params)):
        return 1
    large = trees.size(params) > 2**18
    return 1 if large and jax.default_backend() == "cpu" else None
