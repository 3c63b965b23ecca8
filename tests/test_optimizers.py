"""Schedules and optimisers against their formulas."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from linconn_jax import optimizers
from linconn_jax.metrics import cross_entropy, zero_one_error


def rates(steps, **options):
    return [
        float(optimizers.schedule(0.1, total_steps=100, **options)(s)) for s in steps
    ]


def test_warm_up_is_linear_and_reaches_the_peak():
    got = rates(range(12), warmup_steps=10)
    np.testing.assert_allclose(got[:10], 0.1 * np.arange(1, 11) / 10, rtol=1e-6)
    np.testing.assert_allclose(got[10:], 0.1, rtol=1e-6)


def test_steps_are_counted_from_the_start_of_training():
    options = dict(decay="step", milestones=(50, 80), warmup_steps=10)
    got = rates([49, 50, 79, 80, 99], **options)
    np.testing.assert_allclose(got, [0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-5)


def test_cosine_ends_at_zero():
    got = rates([10, 55, 99], decay="cosine", warmup_steps=10)
    expected = [0.05 * (1 + math.cos(math.pi * (s - 10) / 90)) for s in (10, 55, 99)]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-8)


def test_sgd_adds_decay_before_momentum_as_pytorch_does():
    optimizer = optimizers.optimizer("sgd", 0.1, momentum=0.9, weight_decay=0.5)
    w, velocity = np.float64(2.0), 0.0
    params, state = jnp.float32(2.0), optimizer.init(jnp.float32(2.0))
    for gradient in (1.0, -2.0, 0.5):
        velocity = 0.9 * velocity + gradient + 0.5 * w
        w -= 0.1 * velocity
        update, state = optimizer.update(jnp.float32(gradient), state, params)
        params = params + update
        np.testing.assert_allclose(params, w, rtol=1e-6)


def test_clipping_bounds_the_global_norm():
    optimizer = optimizers.optimizer("sgd", 1.0, momentum=0.0, clip_norm=1.0)
    gradient = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    update, _ = optimizer.update(gradient, optimizer.init(gradient), gradient)
    np.testing.assert_allclose(
        [update["a"][0], update["b"][0]], [-0.6, -0.8], rtol=1e-6
    )


def test_label_smoothing():
    logits = jnp.array([[2.0, 0.0, -1.0]])
    log_p = np.asarray(logits[0]) - np.log(np.exp(np.asarray(logits[0])).sum())
    expected = -(0.9 * log_p[0] + 0.1 * log_p.mean())
    got = cross_entropy(logits, jnp.array([0]), label_smoothing=0.1)
    np.testing.assert_allclose(got, [expected], rtol=1e-6)


def test_errors_count_broken_logits():
    logits = jnp.array([[1.0, 0.0], [0.0, 1.0], [jnp.nan, 0.0], [jnp.inf, 0.0]])
    got = zero_one_error(logits, jnp.zeros(4, int))
    np.testing.assert_array_equal(got, [0, 1, 1, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optimizers.schedule(0.0, total_steps=10), "learning_rate=0.0"),
        (lambda: rates([0], warmup_steps=101), "warmup_steps=101"),
        (lambda: rates([0], decay="step"), "give at least one"),
        (lambda: rates([0], decay="step", milestones=(100,)), "milestones"),
        (lambda: rates([0], decay="linear"), "decay='linear'"),
        (lambda: rates([0], decay="step", milestones=(5,), factor=0.0), "factor=0.0"),
        (lambda: optimizers.schedule(math.nan, total_steps=10), "learning_rate=nan"),
        (lambda: optimizers.schedule(math.inf, total_steps=10), "learning_rate=inf"),
        (
            lambda: optimizers.optimizer("sgd", 0.1, weight_decay=math.nan),
            "weight_decay",
        ),
        (lambda: optimizers.optimizer("lion", 0.1), "name='lion'"),
        (lambda: optimizers.optimizer("adam", 0.1, nesterov=True), "no effect on adam"),
        (
            lambda: optimizers.optimizer("sgd", 0.1, momentum=0.0, nesterov=True),
            "no effect on sgd with momentum=0.0",
        ),
        (lambda: optimizers.optimizer("sgd", 0.1, momentum=1.0), "momentum=1.0"),
        (lambda: optimizers.optimizer("sgd", 0.1, weight_decay=-1.0), "weight_decay"),
        (lambda: optimizers.optimizer("sgd", 0.1, clip_norm=0.0), "clip_norm"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
