"""Training: against a plain loop, and independent of how it is cut and spread."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from linconn_jax import metrics, models, optimizers, parallel, train

SHAPE = dict(image_shape=(4, 4, 1), classes=3, mean=(0.5,), std=(0.3,))
MODELS = {
    norm: models.build("mlp", width=8, depth=2, norm=norm, **SHAPE)
    for norm in ("none", "batch")
}
OPTIMIZER = optimizers.optimizer("sgd", 0.1, momentum=0.9, weight_decay=1e-3)


def examples(n=70):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 4, 4, 1)).astype(np.uint8), rng.integers(0, 3, n)


def noisy(key, images):
    flip = jax.random.bernoulli(key, 0.5, (images.shape[0],))[:, None, None, None]
    return jnp.where(flip, images[:, :, ::-1], images)


@functools.cache  # a trainer is compiled once, whoever uses it
def make(norm="none", devices=4, **options):
    given = dict(seeds=3, batch_size=16, augment=noisy, batch_devices=1) | options
    chosen = jax.devices()[:devices]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "devices", lambda: chosen)
        return train.trainer(MODELS[norm], OPTIMIZER, *examples(), **given)


def run(trainer, seeds, *stops, init=None):
    states, start = trainer.init(init or seeds), 0
    for stop in stops:
        states, start = trainer.run(states, seeds, start, stop), stop
    return jax.tree.map(lambda x: np.asarray(x)[: len(seeds)], states)


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def assert_close(a, b, tolerance=1e-5):
    # 1e-5: 12 steps of float32 sums taken in another order.
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=tolerance), a, b)


def by_hand(seed, steps, batch_size=16, *, partial_batch=False, norm="none"):
    """The usual Python loop, from the definition of the data order."""
    images, labels = examples()
    model, variables = MODELS[norm], MODELS[norm].init(train.init_key(seed))
    noise = jax.random.wrap_key_data(jnp.asarray(train.noise_key_data(seed)))
    order_key, augment_key = jax.random.split(noise)
    opt_state = OPTIMIZER.init(variables["params"])

    @jax.jit
    def gradient(params, state, batch, targets):
        def loss(params):
            given = model.join(params, state)
            logits, updated = model.apply(given, batch, train=True)
            return metrics.cross_entropy(logits, targets).mean(), updated

        return jax.grad(loss, has_aux=True)(params)

    params, state = model.split(variables)
    per_epoch = (
        -(-len(labels) // batch_size) if partial_batch else len(labels) // batch_size
    )
    for step in range(steps):
        epoch, at = divmod(step, per_epoch)
        bits = jax.random.bits(jax.random.fold_in(order_key, epoch), (len(labels),))
        order = np.argsort(np.asarray(bits), kind="stable")
        chosen = np.asarray(order[at * batch_size : (at + 1) * batch_size])
        batch = noisy(jax.random.fold_in(augment_key, step), images[chosen])
        grads, state = gradient(params, state, batch, labels[chosen])
        updates, opt_state = OPTIMIZER.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
    return model.join(params, state)


def test_against_a_plain_loop():
    states = run(make(), (0, 1, 2), 12)
    for i, seed in enumerate((0, 1, 2)):
        own = jax.tree.map(lambda x, i=i: x[i], states.variables)
        assert_close(own, by_hand(seed, 12))
    wrong = jax.tree.map(lambda x: x[0], states.variables)
    with pytest.raises(AssertionError):
        assert_close(wrong, by_hand(1, 12))


@pytest.mark.parametrize(
    "norm", ["none", pytest.param("batch", marks=pytest.mark.slow)]
)
def test_the_last_batch_may_be_a_smaller_one(norm):
    """70 examples are four batches of 16 and one of 6, whose statistics are its own."""
    trainer = make(norm=norm, partial_batch=True)
    assert trainer.steps_per_epoch == 5
    whole = run(trainer, (0, 1, 2), 12)
    own = jax.tree.map(lambda x: x[1], whole.variables)
    assert_close(own, by_hand(1, 12, partial_batch=True, norm=norm))
    with pytest.raises(AssertionError):
        assert_close(own, by_hand(1, 12, norm=norm))
    assert_same(whole, run(trainer, (0, 1, 2), 4, 5, 6, 9, 12))
    shared = make(norm=norm, partial_batch=True, devices=2, batch_devices=2)
    assert_close(whole, run(shared, (0, 1, 2), 12))
    with pytest.raises(ValueError, match="batch_devices=4 must divide"):
        make(norm=norm, partial_batch=True, batch_devices=4)


def test_where_nothing_is_left_over_every_bit_is_the_same():
    plain, kept = make(batch_size=14), make(batch_size=14, partial_batch=True)
    assert plain.steps_per_epoch == kept.steps_per_epoch == 5
    assert_same(run(plain, (0, 1, 2), 12), run(kept, (0, 1, 2), 12))


@pytest.mark.parametrize("cuts", [(1, 12), (4, 12), (3, 5, 11, 12)])
def test_where_calls_are_cut_changes_no_bit(cuts):
    trainer = make(norm="batch")
    assert_same(run(trainer, (0, 1, 2), 12), run(trainer, (0, 1, 2), *cuts))


def test_one_compile_for_all_spans():
    trainer = make()
    run(trainer, (0, 1, 2), 1, 4, 9, 12)
    assert trainer.program._cache_size() == 1


@pytest.mark.parametrize(
    ("precision", "named"),
    [(None, "HIGHEST"), ("tensorfloat32", "HIGH"), ("bfloat16", "DEFAULT")],
)
def test_products_and_gradients_are_float32_unless_asked_otherwise(precision, named):
    """Of the device's own choice nothing is left: it is TF32 on recent GPUs."""
    trainer = make(**({} if precision is None else {"precision": precision}))
    states, keys = trainer.init((0, 1, 2)), np.zeros((3, 2), np.uint32)
    steps = (jnp.int32(0), jnp.int32(1))
    given = states, keys, steps, trainer.images, trainer.labels
    text = trainer.program.lower(*given).as_text()
    found = re.findall(r"dot_general.*precision = \[(\w+), \w+\]", text)
    assert len(found) >= 3  # forward, and both gradients
    assert set(found) == {named}


def test_a_seed_does_not_depend_on_its_neighbours():
    together = run(make(seeds=5), (0, 1, 2, 3, 7), 12)
    alone = run(make(seeds=1), (3,), 12)
    looped = run(make(seeds=5, at_once=2), (0, 1, 2, 3, 7), 12)
    assert_close(jax.tree.map(lambda x: x[3:4], together), alone)
    assert_close(together, looped)


def test_large_and_convolutional_networks_train_one_at_a_time(monkeypatch):
    vgg = models.build("vgg", width=1, **SHAPE)
    wide = models.build("mlp", width=512, **SHAPE)
    tried = (MODELS["none"], MODELS["batch"], vgg, wide)
    assert [train.default_at_once(model) for model in tried] == [None, None, 1, 1]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert [train.default_at_once(model) for model in tried] == [None, None, 1, None]


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize(("devices", "batch_devices"), [(4, 1), (2, 2), (4, 4), (3, 1)])
def test_devices_agree_with_one(norm, devices, batch_devices):
    one = make(norm=norm, devices=1)
    assert one.mesh.size == 1
    trainer = make(norm=norm, devices=devices, batch_devices=batch_devices)
    assert trainer.mesh.shape[parallel.BATCH] == batch_devices
    assert trainer.mesh.size > 1
    assert_close(run(trainer, (0, 1, 2), 12), run(one, (0, 1, 2), 12))


def test_init_and_noise_seeds_are_separate():
    trainer = make()
    same_start = run(trainer, (0, 1, 1), 6, init=(5, 5, 5))
    kernel = same_start.variables["params"]["dense_1"]["kernel"]
    assert np.abs(kernel[0] - kernel[1]).max() > 1e-3
    np.testing.assert_array_equal(kernel[1], kernel[2])
    other_start = run(trainer, (1, 1, 1), 6, init=(5, 6, 7))
    np.testing.assert_array_equal(
        other_start.variables["params"]["dense_1"]["kernel"][0], kernel[1]
    )


def test_spawned_copies_share_the_past_only():
    trainer = make()
    parent = jax.tree.map(lambda x: x[1], run(trainer, (0, 1, 2), 6))
    states = trainer.place(train.spawn(parent, 3))
    copies = jax.device_get(trainer.run(states, (1, 8, 9), 6, 12))
    kernel = copies.variables["params"]["dense_1"]["kernel"]
    straight = run(trainer, (0, 1, 2), 12).variables["params"]["dense_1"]["kernel"]
    np.testing.assert_array_equal(kernel[0], straight[1])  # went on with its own noise
    assert np.abs(kernel[1] - kernel[2]).max() > 1e-3


def counting_model():
    """A model with one parameter per example; an image is the number of its example."""

    def apply(variables, images, *, train=False, axis_name=None):
        seen = variables["params"]["seen"][images[:, 0, 0, 0].astype(jnp.int32)]
        logits = jnp.stack([seen, jnp.zeros_like(seen)], axis=1)
        return (logits, {}) if train else logits

    def init(key):
        return {"params": {"seen": jnp.zeros(37)}}

    return models.Model("counting", init, apply, lambda *_: {}, (1, 1, 1), 2)


def test_an_epoch_visits_each_example_at_most_once():
    model, images = counting_model(), np.arange(37, dtype=np.uint8).reshape(-1, 1, 1, 1)
    trainer = train.trainer(
        model, optax.sgd(1.0), images, np.zeros(37, int), seeds=2, batch_size=6
    )
    assert trainer.steps_per_epoch == 6
    states = run(trainer, (0, 1), 6)
    # One visit adds (1 - softmax(0)) / batch = 1/12.
    seen = states.variables["params"]["seen"]
    np.testing.assert_allclose(np.sort(seen)[:, 1:], 1 / 12, rtol=1e-6)
    np.testing.assert_array_equal(np.sort(seen)[:, 0], 0.0)  # 37 = 6 * 6 + 1
    assert (seen[0] != seen[1]).any()


def test_a_diverged_seed_stops_and_does_not_poison_the_others():
    trainer = make()
    good = run(trainer, (0, 1, 2), 12)
    states = jax.device_get(trainer.run(trainer.init((0, 1, 2)), (0, 1, 2), 0, 5))
    broken = jax.tree.map(np.array, states.variables)
    momenta = jax.tree.map(lambda x: np.array(x[1]), states.opt_state)
    broken["params"]["dense_1"]["kernel"][1, 0, 0] = np.inf
    states = trainer.place(dataclasses.replace(states, variables=broken))
    ended = jax.device_get(trainer.run(states, (0, 1, 2), 5, 12))
    assert ended.diverged.tolist() == [train.RUNNING, 5, train.RUNNING]
    for i in (0, 2):
        assert_same(*(jax.tree.map(lambda x, i=i: x[i], s) for s in (ended, good)))
    np.testing.assert_array_equal(
        ended.variables["params"]["head"]["kernel"][1],
        broken["params"]["head"]["kernel"][1],
    )
    assert_same(jax.tree.map(lambda x: x[1], ended.opt_state), momenta)
    assert float(train.summary(trainer.place(ended), trainer.mesh)[1]) == 1
    # It takes no more part in anything.
    later = trainer.run(train.forget_metrics(trainer.place(ended)), (0, 1, 2), 12, 14)
    later = jax.device_get(later)
    assert later.diverged.tolist() == [train.RUNNING, 5, train.RUNNING]
    assert later.batches[:3].tolist() == [2, 0, 2]
    assert later.loss[1] == later.error[1] == 0.0


def test_a_finite_loss_with_an_update_that_is_not():
    """The slope of a square root at zero is infinite, and the loss there is log 2."""

    def apply(variables, images, *, train=False, axis_name=None):
        root = jnp.sqrt(variables["params"]["x"]) * jnp.ones(images.shape[0])
        logits = jnp.stack([root, jnp.zeros_like(root)], axis=1)
        return (logits, {}) if train else logits

    def init(key):
        return {"params": {"x": jnp.zeros(())}}

    model = models.Model("root", init, apply, lambda *_: {}, (4, 4, 1), 3)
    images, labels = examples()[0], np.zeros(70, int)
    trainer = train.trainer(
        model, optax.sgd(0.1), images, labels, seeds=1, batch_size=8
    )
    ended = run(trainer, (0,), 4)
    assert ended.diverged.tolist() == [0]
    assert ended.variables["params"]["x"].tolist() == [0.0]
    np.testing.assert_allclose(ended.loss, np.log(2), rtol=1e-6)


def test_too_high_a_rate_is_marked_and_leaves_finite_variables():
    trainer = train.trainer(
        MODELS["none"], optax.sgd(1e30), *examples(), seeds=2, batch_size=16
    )
    ended = run(trainer, (0, 1), 12)
    assert (ended.diverged >= 0).all()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(ended.variables))


def test_metrics_are_means_over_the_span():
    trainer = make()
    states = trainer.run(trainer.init((0, 1, 2)), (0, 1, 2), 0, 4)
    first = jax.device_get(train.mean_metrics(states))
    again = trainer.run(train.forget_metrics(states), (0, 1, 2), 4, 8)
    second = jax.device_get(train.mean_metrics(again))
    both = train.mean_metrics(run(trainer, (0, 1, 2), 8))
    for name in ("loss", "error"):
        np.testing.assert_allclose(
            both[name], (first[name] + second[name]) / 2, rtol=1e-5
        )


def test_an_epoch_visits_every_example_once_where_the_rest_is_a_batch():
    model, images = counting_model(), np.arange(37, dtype=np.uint8).reshape(-1, 1, 1, 1)
    labels = np.zeros(37, int)
    trainer = train.trainer(
        model, optax.sgd(1.0), images, labels, seeds=2, batch_size=6, partial_batch=True
    )
    assert trainer.steps_per_epoch == 7
    states = run(trainer, (0, 1), 7)
    seen = np.sort(states.variables["params"]["seen"])
    np.testing.assert_allclose(seen[:, :-1], 1 / 12, rtol=1e-6)
    np.testing.assert_allclose(seen[:, -1], 1 / 2, rtol=1e-6)  # a batch of one


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 71}, "integer from 1 to 70"),
        ({"precision": "fast"}, "precision='fast'; it must be one of float32, tensor"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"seeds": 0}, "at least 1"),
        ({"at_once": 0}, "at_once=0"),
        ({"batch_devices": 3}, "batch_devices=3"),
        ({"batch_devices": 0}, "batch_devices=0"),
        ({"batch_devices": -1}, "batch_devices=-1"),
    ],
)
def test_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(70) % 4, "labels go from 0 to 3; .*from 0 to 2"),
        (np.arange(70) % 3 - 1, "labels go from -1 to 1"),
        (np.zeros(69, int), "70 inputs and 69 labels"),
        (np.zeros((70, 3), int), r"\(70, 3\).*one-hot"),
        (np.zeros(70), "dtype float64"),
    ],
)
def test_refused_labels(labels, message, unchecked):
    images = examples()[0]
    with pytest.raises(ValueError, match=message):
        unchecked(metrics).check_examples(images, labels, classes=3)


def test_trainers_refuse_labels():
    images, labels = examples()
    with pytest.raises(ValueError, match=r"from 1 to 3; .* from 0 to 2"):
        train.trainer(
            MODELS["none"], OPTIMIZER, images, labels + 1, seeds=1, batch_size=8
        )


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_refused_seeds(seed):
    for draw in (train.init_key, train.noise_key_data):
        with pytest.raises(ValueError, match=f"seed {seed} must lie in"):
            draw(seed)


def test_refused_numbers_of_seeds():
    trainer = make()
    with pytest.raises(ValueError, match="4 init seeds for a trainer of 3 networks"):
        trainer.init((0, 1, 2, 3))
    with pytest.raises(ValueError, match="2 noise seeds for a trainer of 3 networks"):
        trainer.run(trainer.init((0, 1, 2)), (0, 1), 0, 1)


def test_refused_augmentation():
    trainer = make(augment=lambda key, images: images[:1])
    with pytest.raises(ValueError, match=r"augment made .*\(1, 4, 4, 1\)"):
        trainer.run(trainer.init((0, 1, 2)), (0, 1, 2), 0, 1)


def test_one_example_and_one_unit():
    images, labels = examples(1)
    model = models.build("mlp", width=1, depth=1, norm="none", **SHAPE)
    trainer = train.trainer(model, OPTIMIZER, images, labels, seeds=1, batch_size=1)
    ended = run(trainer, (0,), 3)
    assert ended.diverged.tolist() == [train.RUNNING]
    assert ended.batches.tolist() == [3]
