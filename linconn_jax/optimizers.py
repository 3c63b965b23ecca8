"""Optimisers and learning-rate schedules of the training recipes, all from optax."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import optax

from linconn_jax.typing import Array, PyTree


def schedule(
    peak: float,
    *,
    total_steps: int,
    decay: str = "constant",
    warmup_steps: int = 0,
    milestones: Sequence[int] = (),
    factor: float = 0.1,
) -> optax.Schedule:
    """Learning rate at each step.

    Args:
      peak: the rate after warm-up.
      total_steps: length of training, where the cosine reaches zero.
      decay: "constant"; "step", times `factor` at each milestone; or "cosine" to zero.
      warmup_steps: linear rise from zero to the peak over this many first steps.
      milestones: steps, counted from the start of training, for "step".
      factor: for "step".

    Raises:
      ValueError: a rate, length, milestone or name that makes no sense.
    """
    if not 0 < peak < math.inf:
        raise ValueError(f"learning_rate={peak}; it must be a number above 0")
    if not 0 <= warmup_steps <= total_steps:
        raise ValueError(
            f"warmup_steps={warmup_steps}; it must lie in 0..{total_steps}, the length "
            "of training in steps"
        )
    outside = [m for m in milestones if not warmup_steps < m < total_steps]
    if decay == "step" and (outside or not milestones):
        raise ValueError(
            f"milestones={tuple(milestones)} for a step decay; give at least one, each "
            f"between the end of warm-up ({warmup_steps}) and of training ({total_steps})"
        )
    if decay == "step" and not factor > 0:
        raise ValueError(f"factor={factor} of a step decay; it must be above 0")
    after = total_steps - warmup_steps
    if decay == "constant":
        main = optax.constant_schedule(peak)
    elif decay == "step":
        drops = {m - warmup_steps: factor for m in milestones}
        main = optax.piecewise_constant_schedule(peak, drops)
    elif decay == "cosine":
        main = optax.cosine_decay_schedule(peak, max(after, 1))
    else:
        raise ValueError(f"decay={decay!r}; it must be constant, step or cosine")
    if not warmup_steps:
        return main
    warmup = optax.linear_schedule(peak / warmup_steps, peak, max(warmup_steps - 1, 1))
    return optax.join_schedules([warmup, main], [warmup_steps])


def optimizer(
    name: str,
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """SGD with momentum or Adam.

    Args:
      name: "sgd" (weight decay is added to the gradient before momentum, on all
        parameters, as in the paper's PyTorch runs) or "adam" (decoupled weight decay,
        Loshchilov & Hutter 2019).
      learning_rate: a number or a schedule of the step.
      momentum: of SGD.
      nesterov: form of the momentum of SGD.
      weight_decay: coefficient.
      clip_norm: largest global norm of the gradient; None for no clipping.

    Raises:
      ValueError: unknown name, a number out of range, or nesterov where it has no effect.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum={momentum}; it must lie in [0, 1)")
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay={weight_decay}; it must be at least 0")
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm={clip_norm}; it must be above 0, or None")
    if nesterov and name in ("sgd", "adam") and not (name == "sgd" and momentum):
        raise ValueError(
            f"nesterov=True has no effect on {name} with momentum={momentum}: it is a "
            "form of sgd's momentum; leave it out, or give sgd a momentum above 0"
        )
    if name == "sgd":
        chain = [
            optax.add_decayed_weights(weight_decay),
            optax.sgd(learning_rate, momentum=momentum or None, nesterov=nesterov),
        ]
    elif name == "adam":
        chain = [optax.adamw(learning_rate, weight_decay=weight_decay)]
    else:
        raise ValueError(f"optimizer name={name!r}; it must be sgd or adam")
    clip = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
    return optax.chain(*clip, *chain)


def restarted(
    optimizer: optax.GradientTransformation, params: PyTree, step: int | Array
) -> PyTree:
    """The state that an optimiser begins with, but for its schedule, which goes on.

    Momentum and the moments of Adam are zero, and the learning rate is that of `step`.

    Args:
      optimizer: of optax.
      params: that it trains.
      step: SGD steps taken so far.
    """

    fresh = optimizer.init(params)

    def is_schedule(path: tuple, value: Array) -> bool:
        return getattr(path[-1], "tuple_name", "") == "ScaleByScheduleState"

    counts = optax.tree_utils.tree_get_all_with_path(fresh, "count")
    if not any(is_schedule(*one) for one in counts):
        return fresh
    step = jnp.asarray(step, jnp.int32)
    return optax.tree_utils.tree_set(fresh, is_schedule, count=step)
