"""Alignment learned through the loss: planted permutations, the promise, and refusals."""

import jax
import numpy as np
import pytest
from test_align import mlp, network, pixels

from linconn_jax import align, barrier, interpolate, simplex, trees
from linconn_jax import permutation as pm
from linconn_jax.align import _learned_method, _learning, learned

KEY = jax.random.key(0)
FAST = {"steps": 40, "rounds": 2, "every": 10, "batch_size": 16}
METHOD = align.method("learned")


@pytest.fixture(scope="module")
def task():
    """A small network, its permuted copies, and examples that it classifies itself."""
    model = mlp(width=8, depth=1)
    one = network(model, 0)
    moves = [pm.random(jax.random.key(i), model.spec, one) for i in (1, 2)]
    copies = [pm.permute(model.spec, p, one) for p in moves]
    inputs = pixels(120)
    labels = np.asarray(model.apply(one, inputs)).argmax(axis=-1).astype(np.int32)
    return model, [one, *copies], inputs, labels


def barriers(model, networks, permutations, inputs, labels):
    moved = [
        pm.permute(model.spec, p, x)
        for p, x in zip(permutations, networks, strict=True)
    ]
    coords = simplex.points(3, 6) if len(networks) == 3 else simplex.segment(13)
    found = interpolate.evaluate_simplex(
        model.apply, trees.stack(moved), coords, inputs, labels
    )
    return barrier.barrier(found.loss, coords).value


def run(task, count=3, **options):
    model, networks, inputs, labels = task
    options = {"key": KEY, **FAST, **options}
    return learned(model.spec, model.apply, networks[:count], inputs, labels, **options)


@pytest.mark.parametrize(
    ("gradient", "steps", "rate"),
    [("sinkhorn", 120, 0.2), ("straight_through", 1000, 0.05)],
)
def test_it_lowers_the_barrier_from_wherever_it_starts(task, gradient, steps, rate):
    model, networks, inputs, labels = task
    found = run(task, gradient=gradient, steps=steps, learning_rate=rate)
    assert found.objective > found.naive
    assert found.objective == max(found.naive, *found.history)
    assert found.permutations[0] == pm.identity(model.spec, networks[0])
    there, naive = (
        barriers(model, networks, p, inputs, labels)
        for p in (found.permutations, [found.permutations[0]] * 3)
    )
    assert there < 0.8 * naive


def test_it_is_the_same_for_the_same_key(task):
    first, again = run(task), run(task)
    assert first.permutations == again.permutations
    assert first.history == again.history
    other = run(task, key=jax.random.key(1))
    assert other.history != first.history


def test_it_is_never_worse_than_its_start_on_what_is_kept_aside(task):
    """Steps as long as these make a mess of it; the perfect start is kept."""
    model, networks, *_ = task
    perfect = [
        align.weight_matching(model.spec, networks[0], x, key=KEY).permutation
        for x in networks
    ]
    found = run(task, initial=perfect, learning_rate=50.0)
    assert found.history[0] == found.objective == pytest.approx(0, abs=1e-5)
    assert min(found.history) < -0.1  # control: it has gone elsewhere
    assert list(found.permutations) == perfect
    assert found.converged
    nothing = run(task, initial=perfect, steps=0)
    assert nothing.history == found.history[:1]
    spoiled = run(
        task, 2, initial=[perfect[0], perfect[0]], learning_rate=50.0, steps=0
    )
    assert spoiled.objective == spoiled.naive  # networks as they are


def test_all_networks_are_free_and_the_first_is_put_back(task):
    """To move all networks alike changes neither barriers nor what is returned."""
    model, networks, *_ = task
    shared = pm.random(jax.random.key(5), model.spec, networks[0])
    perfect = [
        align.weight_matching(model.spec, networks[0], x, key=KEY).permutation
        for x in networks
    ]
    found = run(task, initial=[pm.compose(p, shared) for p in perfect], steps=0)
    assert found.objective == pytest.approx(0, abs=1e-5)
    assert list(found.permutations) == perfect


@pytest.mark.parametrize(
    ("gradient", "steps", "rate"),
    [("sinkhorn", 100, 0.2), ("straight_through", 600, 0.05)],
)
def test_names_that_are_not_assigned_stay_where_they_start(gradient, steps, rate):
    model = mlp(width=6, depth=2)
    one, inputs = network(model, 0), pixels(120)
    labels = np.asarray(model.apply(one, inputs)).argmax(axis=-1).astype(np.int32)
    two = pm.permute(model.spec, pm.random(jax.random.key(1), model.spec, one), one)
    still = pm.identity(model.spec, one)
    wrong = np.roll(np.arange(6), 1)
    starts = [still, still.replace({**still, "dense_1": wrong})]

    def find(**options):
        task = model, [one, two], inputs, labels
        both = {"gradient": gradient, "learning_rate": rate, "initial": starts}
        return run(task, 2, **both | options)

    found = find(steps=steps, names=["dense_2"])
    np.testing.assert_array_equal(found.permutation["dense_1"], wrong)
    assert found.objective > found.history[0]
    assert (found.permutation["dense_2"] != still["dense_2"]).any()
    every = find(steps=steps)
    assert (every.permutation["dense_1"] != wrong).any()
    # Even where the networks as they are have a lower barrier.
    nothing = find(steps=0, names=["dense_2"])
    assert nothing.objective < nothing.naive
    np.testing.assert_array_equal(nothing.permutation["dense_1"], wrong)


def test_no_step_compiles_anew(task):
    run(task)
    before = [f._cache_size() for f in (_learning.step, _learning.losses)]
    run(task, key=jax.random.key(3), learning_rate=0.3)
    assert [f._cache_size() for f in (_learning.step, _learning.losses)] == before


def test_hard_solves_what_rows_do_not_tell():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, 2, 5, 5))
    scores[0, 0] += 10 * np.eye(5)
    found = _learning.hard({"a": scores})["a"]
    rows = scores.argmax(axis=-1)
    assert (rows[0, 0] == found[0, 0]).all()
    assert (np.sort(found, axis=-1) == np.arange(5)).all()
    assert (np.sort(rows, axis=-1) != np.arange(5)).any()  # control
    np.testing.assert_array_equal(found, align._learning.assignment.maximize(scores))


def test_as_a_method(task):
    model, networks, inputs, labels = task
    context = align.Context(
        model.spec, model.apply, None, inputs, labels, batch_size=64
    )
    options = METHOD.settings(steps=0, start="activation_matching")
    found = METHOD(context, networks, KEY, options)
    for i in (1, 2):
        match = align.activation_matching(
            model.spec, model.apply, networks[0], networks[i], inputs
        )
        assert found.permutations[i] == match.permutation
    still = METHOD(context, networks, KEY, METHOD.settings(steps=0, start="naive"))
    assert still.objective == still.naive == still.history[0]
    METHOD.check(context, networks[0], METHOD.settings(steps=0))
    assert METHOD.settings().start == "fused_matching"


def test_a_stack_and_a_start_as_joint_alignment_has_it(task):
    model, networks, inputs, labels = task
    fast = dict(key=KEY, **FAST)
    data = inputs, labels
    found = learned(model.spec, model.apply, trees.stack(networks), *data, **fast)
    assert found.permutations == run(task).permutations
    context = align.Context(model.spec, model.apply, None, *data)
    options = METHOD.settings(start="random")
    started = _learned_method._start(context, networks, KEY, options)
    joint = align.joint(model.spec, networks, key=KEY, method="random")
    assert tuple(started) == joint.permutations


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 1}, "1 networks are given"),
        ({"initial": ()}, "initial has 0 permutations for 3 networks"),
        ({"gradient": "soft"}, "it must be one of sinkhorn, straight_through"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"kept": 0.001}, "keeps 0 aside and leaves 120"),
        ({"steps": True}, "steps=True; it must be an integer"),
        ({"names": ["dens_1"]}, r"names \['dens_1'\] are not in the spec"),
    ],
)
def test_refusals(task, change, message):
    with pytest.raises(ValueError, match=message):
        run(task, **change)


def test_losses_that_are_not_finite_are_refused(task):
    model, networks, inputs, labels = task
    broken = jax.tree.map(lambda x: x * np.float32(np.nan), networks[1])
    with pytest.raises(ValueError, match=r"themselves are .*nan"):
        learned(model.spec, model.apply, [networks[0], broken], inputs, labels, key=KEY)
    with pytest.raises(ValueError, match="labels go from 77 to 77"):
        learned(model.spec, model.apply, networks, inputs, labels * 0 + 77, key=KEY)
    context = align.Context(model.spec)
    with pytest.raises(ValueError, match="needs the networks' function and training"):
        METHOD(context, networks, KEY)
    full = align.Context(model.spec, model.apply, None, inputs, labels)
    for name in ("learned", "joint_weight_matching"):
        with pytest.raises(ValueError, match=f"start='{name}', from which"):
            METHOD.check(full, networks[0], METHOD.settings(start=name))
