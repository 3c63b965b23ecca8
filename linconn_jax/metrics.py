"""What a network is judged by: cross-entropy and 0-1 error, one number per example."""

import jax.numpy as jnp
import optax

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
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    classes = logits.shape[-1]
    onehot = jnp.equal(labels[:, None], jnp.arange(classes)[None, :])
    target = onehot.astype(logits.dtype) * (1 - label_smoothing)
    return optax.softmax_cross_entropy(logits, target + label_smoothing / classes)


def zero_one_error(
    logits: Float[Array, "examples classes"], labels: Int[Array, " examples"]
) -> Float[Array, " examples"]:
    """1.0 where the largest logit is not the label's, else 0.0.

    Non-finite logits count as an error: an arg-max over NaN is no prediction.
    """
    wrong = jnp.argmax(logits, axis=-1) != labels
    broken = ~jnp.all(jnp.isfinite(logits), axis=-1)
    return (wrong | broken).astype(jnp.float32)
