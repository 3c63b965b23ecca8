"""Iterative magnitude pruning: the laws of the sequence."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
import synthetic_study
from synthetic_imp import (
    LAST,
    LEVELS,
    REWIND,
    SEEDS,
    assert_same,
    imp,
    level,
    make,
    mask,
    networks,
)

from linconn_jax import files as kept
from linconn_jax import prune
from linconn_jax.study import AlignmentKey, Barrier, Single, Study, Training, pair
from linconn_jax.train import Trainer

pytestmark = pytest.mark.usefixtures("ordinary_promotion")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("imp") / "work"
    imp(make(workdir))
    return workdir


@pytest.fixture
def copy(done, tmp_path):
    return shutil.copytree(done, tmp_path / "copy")


# ---- laws ----


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_densities_are_exact_and_masks_are_nested(scope, done, copy):
    changes = {"pruning__scope": scope, "pruning__exclude": ("*/head/kernel",)}
    workdir = done if scope == "global" else copy / "layers"
    changes = {} if scope == "global" else changes
    study = make(workdir, **changes)
    imp(study)
    shapes, rule = study.runs(3).recipe.network.shapes, study.settings.pruning
    rule = {name: getattr(rule, name) for name in ("scope", "exclude")}
    for seed in SEEDS:
        for number in range(1, LEVELS + 1):
            above, here = (mask(study, i, seed) for i in (number - 1, number))
            found = prune.densities(here).overall
            assert found == prune.planned_density(shapes, 0.3, number, **rule)
            columns = study.network(3, seed, start=level(study, number)).columns(study)
            assert columns["level"] == number
            assert 1 - columns["sparsity"] == pytest.approx(found)
            for more, fewer in zip(*map(jax.tree.leaves, (above, here)), strict=True):
                assert not (fewer & ~more).any()
            if scope == "layer":
                assert here["params"]["head"]["kernel"].all()
    one, other = (mask(study, 1, seed) for seed in SEEDS[:2])
    assert prune.overlap(one, other).overall < 0.8  # each seed has its own


def test_a_mask_is_what_is_left_of_the_level_before(done):
    study, differ = make(done), []
    for number in (1, 2, 3):
        for seed in SEEDS:
            before = study.runs(3, level(study, number - 1)).network(seed, LAST)
            expected = prune.magnitude(before, mask(study, number - 1, seed), 0.3)
            assert_same(mask(study, number, seed), expected)
            start = study.runs(3, level(study, number - 1)).network(seed, REWIND)
            wrong = prune.magnitude(start, mask(study, number - 1, seed), 0.3)
            differ.append(prune.overlap(expected, wrong).overall < 1)
    assert any(differ)  # not of where training began


def test_weights_are_rewound_bit_for_bit_and_stay_pruned(done):
    study = make(done)
    for number in (1, 2, 3):
        runs = study.runs(3, level(study, number))
        assert runs.steps == (REWIND, LAST)
        for seed in SEEDS:
            here = mask(study, number, seed)
            rewound = study.runs(3).network(seed, REWIND)
            assert_same(runs.network(seed, REWIND), prune.apply(here, rewound))
            trained = runs.network(seed, LAST)
            assert_same(trained, prune.apply(here, trained))
            moved = trained["params"]["head"]["bias"]
            assert (moved != rewound["params"]["head"]["bias"]).all()


def test_a_level_that_prunes_nothing_is_the_dense_run(done, copy, monkeypatch):
    """With the optimiser restarted where the dense run restarts it: bit for bit."""
    study = make(copy)
    monkeypatch.setattr(prune, "magnitude", lambda variables, masks, *_, **__: masks)
    runs = study.runs(3, level(study, 1, fraction=0.5))
    shutil.rmtree(copy / "masks")
    for folder in (copy / "trajectories").glob("*pruned*"):
        shutil.rmtree(folder)
    runs.ensure(SEEDS)
    assert all(x.all() for x in jax.tree.leaves(mask(study, 1, 0, fraction=0.5)))
    for seed in SEEDS:
        for step in (REWIND, LAST):
            assert_same(runs.network(seed, step), study.runs(3).network(seed, step))
    other = make(copy / "other", train__restart_epochs=())
    runs = imp(other, levels=1)
    with pytest.raises(AssertionError):
        assert_same(runs[0].network(0, LAST), runs[1].network(0, LAST))


def test_a_restart_is_done_where_training_goes_on_from_a_stop(copy, monkeypatch):
    expected, real = networks(copy), Trainer.run
    folder = make(copy).runs(3).folder
    shutil.rmtree(folder)

    def stopped(self, states, seeds, start, stop):
        if start >= REWIND:
            raise KeyboardInterrupt
        return real(self, states, seeds, start, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", stopped)
        with pytest.raises(KeyboardInterrupt):
            make(copy).train()
    assert make(copy).runs(3).group(0).resumable == (REWIND,)
    make(copy).train()
    assert_same(networks(copy), expected)


# ---- divergence ----


def test_a_level_that_diverges_is_marked_and_the_sequence_goes_on(tmp_path):
    study = make(tmp_path, train__learning_rate=1e20)
    runs = imp(study, levels=2)
    vertices = [study.network(3, 0, start=level(study, i)) for i in range(3)]
    for number, each in enumerate(runs):
        assert set(each.diverged()) == set(SEEDS)
        assert study.diverged([vertices[number]]) == [0]
        found = prune.densities(mask(study, number, 0)).overall
        assert found == pytest.approx(0.7**number, abs=0.02)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(each.network(0, LAST)))
    assert study.diverged([dataclasses.replace(vertices[2], step=REWIND)]) == []
    row = study.measure(Barrier(pair(*vertices[1:3], method="naive")))[0]
    assert np.isnan(row["value"])


# ---- what it costs ----


def test_one_set_of_programs_for_all_levels(tmp_path):
    """Training, evaluating and aligning: nothing is compiled after the first level."""
    compiled = []

    def listen(event, seconds, **_):
        if event.endswith("backend_compile_duration"):
            compiled.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    study, counts = make(tmp_path), []
    for number in range(LEVELS + 1):
        before = len(compiled)
        ends = [study.network(3, s, start=level(study, number)) for s in (0, 1)]
        study.train([Single(end) for end in ends])
        study.measure(Barrier(pair(*ends, method="weight_matching")))
        counts.append(len(compiled) - before)
    assert sum(counts[:2]) > 0  # of which a run of all tests has some already
    assert counts[2:] == [0] * (LEVELS - 1)


# ---- what was there before ----


def test_keys_of_dense_networks_are_those_of_before(tmp_path):
    """Literally: a key that grows a field makes every row and alignment be made anew."""
    study = Study(synthetic_study.settings(), tmp_path)
    one, two = study.network(3, 0), study.network(3, 1, 4)
    tasks = [
        Barrier(pair(one, two, method="naive")),
        Barrier(pair(one, two, method="weight_matching")),
        Single(one),
        Training(3, 2),
    ]
    keys = [task.key(study) for task in tasks]
    aligned = AlignmentKey("weight_matching", (one, two)).identity(study)
    assert [kept.digest(key) for key in (*keys, aligned)] == [
        "6ab1247c38517f1c",
        "8457b21103d43700",
        "82f59856a7bf869a",
        "781d1884ec700647",
        "d8e604128f9d3431",
    ]


def test_devices_agree(done, tmp_path):
    """Four here, against one, and none but the same masks."""
    one = tmp_path / "one"
    with pytest.MonkeyPatch.context() as patch:
        devices = jax.devices()
        patch.setattr(jax, "devices", lambda: devices[:1])
        study = make(one)
        runs = imp(study)
        assert study.runs(3).recipe.trainer(len(SEEDS)).mesh.size == 1
    expected = make(done)
    for number, each in enumerate(runs):
        other = expected.runs(3, level(expected, number))
        for seed in SEEDS:
            assert_same(mask(study, number, seed), mask(expected, number, seed))
            a, b = (x.network(seed, LAST) for x in (each, other))
            # 1e-6: eight steps of float32 sums in another order.
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), a, b)
