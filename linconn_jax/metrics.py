"""What a network is judged by: cross-entropy and 0-1 error, one number per example."""

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.typing import Array, Float, Int

METRICS = ("loss", "error")


def cross_entropy(
    logits: Float[Array, "examples classes"],
    labels: Int[Array, " examples"],
    *,
    label_smoothing: float = 0.0,
) -> Float[Array, " examples"]:
    """Cross-entropy in nats per example, against labels smoothed towards uniform.

    Smoothing by s trains towards `(1 - s) * onehot + s / classes` (Szegedy et al. 2016).
    """
    if not label_smoothing:
        own = jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
        return jax.nn.logsumexp(logits, axis=-1) - own
    classes = logits.shape[-1]
    onehot = jnp.equal(labels[:, None], jnp.arange(classes)[None, :])
    target = onehot.astype(logits.dtype) * (1 - label_smoothing)
    target = target + label_smoothing / classes
    return -(target * jax.nn.log_softmax(logits)).sum(axis=-1)


def zero_one_error(
    logits: Float[Array, "examples classes"], labels: Int[Array, " examples"]
) -> Float[Array, " examples"]:
    """1.0 where the largest logit is not the label's, else 0.0.

    Non-finite logits count as an error: an arg-max over NaN is no prediction.
    """
    wrong = jnp.argmax(logits, axis=-1) != labels
    broken = ~jnp.all(jnp.isfinite(logits), axis=-1)
    return (wrong | broken).astype(jnp.float32)


def chance(labels: Int[Array, " examples"]) -> float:
    """The 0-1 error of always guessing the commonest class, without looking."""
    counts = np.unique_counts(np.asarray(labels)).counts
    return float(1 - counts.max() / counts.sum())


def check_examples(images: Array, labels: Array, *, classes: int | None = None) -> int:
    """The number of examples, after checking that labels are classes of the inputs.

    Args:
      images: inputs, `[examples, ...]`.
      labels: a class for each.
      classes: how many there are; None if that is not known.

    Raises:
      ValueError: there are none, or not one label for each input, or labels are not
        whole numbers from 0 to `classes - 1`.
    """
    if len(images) != len(labels) or not len(labels):
        raise ValueError(
            f"there are {len(images)} inputs and {len(labels)} labels; there must be one "
            "label for each input, and at least one"
        )
    if np.ndim(labels) != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"labels have shape {np.shape(labels)} and dtype {labels.dtype}; they must "
            "be [examples] whole numbers (take the arg-max of one-hot labels)"
        )
    if getattr(labels, "is_fully_addressable", True):  # else each process sees a part
        held = np.asarray(labels)
        low, high = int(held.min()), int(held.max())
        if low < 0 or (classes is not None and high >= classes):
            last = "" if classes is None else f" to {classes - 1}"
            raise ValueError(
                f"labels go from {low} to {high}; classes are counted from 0{last}"
            )
    return len(labels)
