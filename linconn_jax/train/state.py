"""The state of networks in training: what a step changes and a checkpoint keeps."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from linconn_jax.typing import Array, Float, PyTree, Variables

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
      masks: bools in the structure of `variables`, False where a weight has been pruned:
        it and what the optimiser keeps of it stay exactly zero; or nothing.
    """

    variables: Variables
    opt_state: PyTree
    diverged: PyTree
    loss: PyTree
    error: PyTree
    batches: PyTree
    masks: PyTree = ()


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
