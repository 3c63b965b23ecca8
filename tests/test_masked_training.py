"""Training with masks and with an optimiser that starts anew, one trainer at a time."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from linconn_jax import metrics, models, optimizers, permutation, prune, train, trees
from linconn_jax.train import loop

SHAPE = dict(image_shape=(4, 4, 1), classes=3, mean=(0.5,), std=(0.3,))
SEEDS, FIRST, LAST = (0, 1, 4), 5, 15  # four steps an epoch
RATE = optimizers.schedule(0.1, total_steps=20, decay="cosine", warmup_steps=8)
OPTIMIZERS = {
    "sgd": optimizers.optimizer("sgd", RATE, weight_decay=1e-2),
    "nesterov": optimizers.optimizer("sgd", RATE, nesterov=True, weight_decay=1e-2),
    "adam": optimizers.optimizer("adam", RATE, weight_decay=1e-2),
    "clipped": optimizers.optimizer("sgd", RATE, weight_decay=1e-2, clip_norm=0.1),
    "drifting": optax.stateless(
        lambda gradient, _: jax.tree.map(lambda x: -0.1 * (x + 0.01), gradient)
    ),
}
CASES = [(name, "none") for name in OPTIMIZERS] + [("sgd", "batch")]


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


def examples():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (70, 4, 4, 1)).astype(np.uint8), rng.integers(0, 3, 70)


@functools.cache
def make(name="sgd", norm="none", seeds=3, devices=4):
    model = models.build("mlp", width=8, depth=2, norm=norm, **SHAPE)
    chosen = jax.devices()[:devices]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "devices", lambda: chosen)
        return train.trainer(
            model, OPTIMIZERS[name], *examples(), seeds=seeds, batch_size=16
        )


def host(states, seeds=3):
    return jax.tree.map(lambda x: np.asarray(x)[:seeds], states)


@functools.cache
def dense(norm="none"):
    """The variables at the rewind step, after training with momentum."""
    trainer = make("sgd", norm)
    return host(trainer.run(trainer.init(SEEDS), SEEDS, 0, FIRST)).variables


def masks_of(variables, fraction=0.6):
    each = [trees.take(variables, i) for i in range(trees.leading_size(variables))]
    return trees.stack([prune.magnitude(x, prune.dense(x), fraction) for x in each])


def sparse(trainer, variables, masks, stop=LAST):
    seeds = SEEDS[: trainer.seeds]
    states = trainer.begin(variables, FIRST, masks)
    return trainer.run(states, seeds, FIRST, stop)


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def assert_close(a, b, tolerance):
    def one(x, y):
        np.testing.assert_allclose(x, y, atol=tolerance, rtol=0)

    jax.tree.map(one, a, b)


def pruned_entries(trainer, states, masks):
    """What weights and optimiser hold where masks are False, all leaves in one array."""
    trained = trainer.model.split(masks)[0]
    found = []

    def one(value, mask):
        found.append(np.asarray(value)[: len(SEEDS)][~mask])
        return value

    params = trainer.model.split(states.variables)[0]
    optax.tree_utils.tree_map_params(trainer.optimizer, one, states.opt_state, trained)
    jax.tree.map(one, params, trained)
    return np.concatenate(found)


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_pruned_weights_and_momenta_stay_exactly_zero(name, norm):
    trainer, variables = make(name, norm), dense(norm)
    masks = masks_of(variables)
    states = sparse(trainer, variables, masks)
    gone = pruned_entries(trainer, states, masks)
    assert len(gone) >= 3 * 100
    assert not gone.any()
    assert not np.signbit(gone).any()
    assert (np.asarray(states.diverged) == train.RUNNING).all()
    before = trees.take(prune.apply(masks, variables), 0)
    after = trees.take(host(states).variables, 0)
    kept = trees.take(masks, 0)["params"]["dense_1"]["kernel"]
    moved = (
        before["params"]["dense_1"]["kernel"] != after["params"]["dense_1"]["kernel"]
    )
    assert (moved == kept).all()  # and all others are trained
    assert_same(host(states).masks, masks)


@pytest.mark.parametrize("which", [0, 1])
def test_without_masked_gradients_or_updates_they_would_not(which, monkeypatch):
    calls = []

    def kept(masks, tree, real=loop._kept):
        calls.append(1)  # gradients, then updates, each time that it is traced
        return tree if len(calls) % 2 == 1 - which else real(masks, tree)

    monkeypatch.setattr(loop, "_kept", kept)
    trainer = make.__wrapped__("sgd" if which == 0 else "drifting")
    variables = dense()
    masks = masks_of(variables)
    assert pruned_entries(trainer, sparse(trainer, variables, masks), masks).any()


def by_hand(variables, seed, optimizer, masks, stop=LAST):
    """The usual Python loop, masked, from the definition of the data order."""
    images, labels = examples()
    model = make().model
    noise = jax.random.wrap_key_data(jnp.asarray(train.noise_key_data(seed)))
    order_key = jax.random.split(noise)[0]
    masks = masks["params"]

    @jax.jit
    def gradient(params, batch, targets):
        def loss(params):
            logits = model.apply({"params": params}, batch)
            return metrics.cross_entropy(logits, targets).mean()

        return jax.grad(loss)(params)

    params = prune.apply(masks, variables["params"])
    opt_state = optimizer.init(params)
    for step in range(FIRST, stop):
        epoch, at = divmod(step, 4)
        bits = jax.random.bits(jax.random.fold_in(order_key, epoch), (70,))
        chosen = np.argsort(np.asarray(bits), kind="stable")[at * 16 : (at + 1) * 16]
        grads = prune.apply(masks, gradient(params, images[chosen], labels[chosen]))
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = prune.apply(masks, optax.apply_updates(params, updates))
    return params


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("sgd", lambda rate: optimizers.optimizer("sgd", rate, weight_decay=1e-2)),
        ("adam", lambda rate: optimizers.optimizer("adam", rate, weight_decay=1e-2)),
    ],
)
def test_momentum_starts_anew_and_the_rate_goes_on(name, made):
    """Against a plain loop whose schedule is shifted and whose optimiser is new."""
    trainer, variables = make(name), dense()
    masks = masks_of(variables)
    states = host(sparse(trainer, variables, masks))
    shifted = made(lambda count: RATE(count + FIRST))

    def expected(i, optimizer):
        one, mask = trees.take(variables, i), trees.take(masks, i)
        return by_hand(one, SEEDS[i], optimizer, mask)

    # 1e-5: ten steps of float32 sums taken in another order; Adam divides by small ones.
    tolerance = {"sgd": 1e-5, "adam": 1e-4}[name]
    for i in range(2):
        found = trees.take(states.variables, i)["params"]
        assert_close(found, expected(i, shifted), tolerance)
    for wrong in (made(RATE), made(0.1)):
        with pytest.raises(AssertionError):
            assert_close(found, expected(1, wrong), tolerance)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restart_zeroes_all_that_is_kept_of_gradients(name):
    trainer = make(name)
    states = sparse(trainer, dense(), masks_of(dense()))
    before = states.opt_state
    after = trainer.restart(states, LAST).opt_state
    fresh = trainer.init(SEEDS).opt_state
    schedules = [
        path
        for path, x in optax.tree_utils.tree_get_all_with_path(after, "count")
        if "Schedule" in path[-1].tuple_name
    ]
    assert len(schedules) == (name != "drifting")
    assert jax.tree.structure(after) == jax.tree.structure(before)
    for (path, new), old, first in zip(
        jax.tree_util.tree_leaves_with_path(after),
        *map(jax.tree.leaves, (before, fresh)),
        strict=True,
    ):
        is_rate = any(path[: len(p) - 1] == p[:-1] for p in schedules) and any(
            str(path[-1]) == ".count" and path[:-1] == p[:-1] for p in schedules
        )
        np.testing.assert_array_equal(new, old if is_rate else first)
        assert (new.dtype, new.sharding) == (old.dtype, old.sharding)


@pytest.mark.parametrize(("name", "tolerance"), [("sgd", 0), ("adam", 1e-6)])
def test_masks_that_keep_everything_change_no_bit(name, tolerance):
    """Of SGD; in Adam a product and a sum round at once where no mask stands between."""
    trainer = make(name)
    states = trainer.run(trainer.init(SEEDS), SEEDS, 0, FIRST)
    variables = host(states).variables
    begun = host(sparse(trainer, variables, prune.dense(variables)))
    straight = host(trainer.run(trainer.restart(states, FIRST), SEEDS, FIRST, LAST))
    assert_close(begun.variables, straight.variables, tolerance)
    assert_close(begun.opt_state, straight.opt_state, tolerance)
    states = trainer.run(trainer.init(SEEDS), SEEDS, 0, LAST)
    with pytest.raises(AssertionError):  # without the restart
        assert_close(begun.variables, host(states).variables, 10 * tolerance)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_training_commutes_with_permuting(norm):
    """The same noise; to the rounding of ten steps of sums in another order."""
    trainer, variables = make("sgd", norm), dense(norm)
    masks = masks_of(variables)
    spec = trainer.model.spec
    p = permutation.random(jax.random.key(3), spec, trees.take(variables, 0))
    move = functools.partial(permutation.permute, spec, p)
    assert_same(move(masks), masks_of(host(move(variables))))  # pruning commutes
    found = sparse(trainer, host(move(variables)), host(move(masks)))
    unmoved = host(sparse(trainer, variables, masks))
    assert_close(host(found).variables, move(unmoved.variables), 2e-6)
    assert_same(host(found).masks, move(masks))
    other = sparse(trainer, host(move(variables)), masks)
    with pytest.raises(AssertionError):  # the mask left where it was
        assert_close(host(other).variables, move(unmoved.variables), 1e-2)


def test_one_program_for_dense_networks_and_one_for_all_masks():
    trainer, variables = make.__wrapped__(), dense()
    states = trainer.restart(trainer.place(host(trainer.init(SEEDS))), 0)
    trainer.run(states, SEEDS, 0, 3)
    assert trainer.program._cache_size() == 1
    for fraction in (0.3, 0.6, 0.9):
        masks = masks_of(variables, fraction)
        states = host(sparse(trainer, variables, masks, stop=9))
        assert_same(states.masks, masks)
        states = trainer.restart(trainer.place(states), 9)  # as from a checkpoint
        trainer.run(states, SEEDS, 9, LAST)
    assert trainer.program._cache_size() == 2
    assert trainer._restart._cache_size() == 3  # of dense ones, of new and old states


@pytest.mark.parametrize("devices", [1, 2, 3])
def test_devices_agree_with_four(devices):
    """Padded stacks, split batches, or one after the other."""
    trainer, other = make(), make(devices=devices)
    assert trainer.mesh.size != other.mesh.size or devices == 3
    variables = dense()
    masks = masks_of(variables)
    one, two = (host(sparse(x, variables, masks)) for x in (trainer, other))
    assert_same(one.masks, two.masks)
    assert_close(one.variables, two.variables, 1e-5)
    assert not pruned_entries(other, two, masks).any()


def test_a_network_that_diverges_keeps_its_zeros():
    trainer = make()
    variables = jax.tree.map(np.array, dense())
    masks = masks_of(variables)
    variables["params"]["head"]["bias"][1, 0] = np.inf
    states = host(sparse(trainer, variables, masks))
    assert states.diverged.tolist() == [train.RUNNING, FIRST, train.RUNNING]
    assert not pruned_entries(trainer, states, masks).any()


def test_networks_that_begin_alone_are_those_that_begin_together():
    trainer, alone = make(), make(seeds=1)
    variables = dense()
    masks = masks_of(variables)
    together = host(sparse(trainer, variables, masks))
    first = [trees.take(x, [0]) for x in (variables, masks)]
    one = host(sparse(alone, *first), 1)
    assert_close(trees.take(together.variables, [0]), one.variables, 1e-5)
    assert dataclasses.is_dataclass(one)
