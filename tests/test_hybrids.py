"""Mixtures of alignments: what they are, and the experiment on them."""

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest
import synthetic_study

from experiments import layers, layers_figures, layers_words
from linconn_jax import permutation, report
from linconn_jax.study import (
    Aligned,
    AlignmentKey,
    Barrier,
    Hybrid,
    Study,
    hybrid,
    pair,
)

WIDTH, NAMES = 16, ("dense_1", "dense_2", "dense_3")
EPOCHS = 12


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Four small networks on digits, and the experiment run."""
    chosen = synthetic_study.settings(
        dataset__mock=None,
        widths=(WIDTH,),
        seeds=4,
        pairs=None,
        train__epochs=EPOCHS,
        train__batch_size=64,
        checkpoints__epochs=(1, 4),
        layers__pairs=None,
        layers__curves=layers.CURVES,
    )
    made = Study(chosen, tmp_path_factory.mktemp("layers"))
    made.run(layers.EXPERIMENT)
    return made


@pytest.fixture(scope="module")
def rows(study):
    return report.select_rows(study.workdir, "layers")


def key(study, method="random", draw=0, step=None):
    ends = tuple(study.network(WIDTH, seed, step) for seed in (0, 1))
    return AlignmentKey(method, ends, draw)


# ---- another random key ----


def test_another_draw_is_another_alignment_and_the_first_keeps_its_name(study):
    first, second = key(study), key(study, draw=1)
    assert "draw" not in first.identity(study)
    assert "draw" not in first.columns(study)
    assert second.identity(study) == first.identity(study) | {"draw": 1}
    found = [study.alignment(x).permutation for x in (first, second)]
    assert found[0] != found[1]
    assert (
        found[1] == study.alignments.find(second).permutation
    )  # found again, the same


# ---- what a hybrid is ----


def test_names_are_permuted_as_their_own_alignment_says(study):
    one, two = key(study), key(study, draw=1)
    network = study.network(WIDTH, 1)
    mixed = hybrid(network, [(one, NAMES[:1]), (two, NAMES[1:])])
    p, q = (study.alignment(x).permutation for x in (one, two))
    spec = study.runs(WIDTH).recipe.network.spec
    plain = network.variables(study)
    wanted = permutation.from_indices(
        spec, plain, {"dense_1": p["dense_1"]} | {n: q[n] for n in NAMES[1:]}
    )
    moved = permutation.permute(spec, wanted, plain)
    same = jax.tree.map(np.array_equal, mixed.variables(study), moved)
    assert all(jax.tree.leaves(same))
    for other in (one, two):  # control: neither alone is it
        alone = Aligned(network, other).variables(study)
        same = jax.tree.map(np.array_equal, alone, moved)
        assert not all(jax.tree.leaves(same))


def test_what_it_computes_stays(study):
    network = study.network(WIDTH, 1)
    parts = [(key(study), NAMES[1:2]), (key(study, draw=1), NAMES[::2])]
    apply, (images, _) = study.runs(WIDTH).recipe.network.apply, study.examples("test")
    before, after = (
        apply(x.variables(study), images) for x in (network, hybrid(network, parts))
    )
    np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-4)


def test_one_alignment_is_no_mixture(study):
    network, one = study.network(WIDTH, 1), key(study)
    assert hybrid(network, [(one, NAMES)]) == Aligned(network, one)
    assert hybrid(network, [(one, NAMES[:1]), (one, NAMES[1:])]) == Aligned(
        network, one
    )
    parts = [(key(study, draw=1), ()), (one, NAMES)]
    assert hybrid(network, parts) == Aligned(network, one)


def test_the_order_of_parts_is_no_part_of_what_it_is(study):
    network = study.network(WIDTH, 1)
    parts = (key(study), NAMES[:1]), (key(study, draw=1), NAMES[1:])
    one, other = Hybrid(network, parts), Hybrid(network, parts[::-1])
    assert one.identity(study) == other.identity(study)
    changed = dataclasses.replace(
        one, parts=((parts[0][0], NAMES[1:]), (parts[1][0], NAMES[:1]))
    )
    assert one.identity(study) != changed.identity(study)


def test_names_that_are_missing_unknown_or_there_twice_are_refused(study):
    network, one, two = study.network(WIDTH, 1), key(study), key(study, draw=1)
    with pytest.raises(ValueError, match=r"\['dense_1'\] twice"):
        hybrid(network, [(one, NAMES), (two, NAMES[:1])])
    with pytest.raises(ValueError, match="one alignment"):
        hybrid(network, [])
    with pytest.raises(ValueError, match=r"missing \['dense_3'\]"):
        hybrid(network, [(one, NAMES[:1]), (two, NAMES[1:2])]).variables(study)


def test_all_that_were_aligned_are_behind_it(study):
    parts = (key(study, step=0), NAMES[:1]), (key(study), NAMES[1:])
    mixed = hybrid(study.network(WIDTH, 1), parts)
    last = study.steps(WIDTH)[-1]
    assert {(x.seed, x.step) for x in mixed.sources} == {
        (seed, step) for seed in (0, 1) for step in (0, last)
    }


# ---- the experiment ----


def test_which_names_a_line_takes():
    groups = (("a", "a/in"), ("b",), ("c",))
    assert layers.taken("put_in", groups, 0) == ("a", "a/in")
    assert layers.taken("leave_out", groups, 1) == ("a", "a/in", "c")
    assert layers.taken("bottom_up", groups, 1) == ("a", "a/in", "b")
    assert layers.taken("top_down", groups, 1) == ("b", "c")


def value(found, **columns):
    (number,) = report.select.where(found, metric="loss", **columns)["value"]
    return number


@pytest.mark.parametrize("seeds", [(0, 1), (2, 3)])
def test_the_ends_of_all_curves_are_the_plain_barriers(study, rows, seeds):
    """At t = T that of P_T, and where all is of P_t that of P_t, bit for bit."""

    def plain(step):
        ends = (study.network(WIDTH, seed) for seed in seeds)
        at = [study.network(WIDTH, seed, step) for seed in seeds]
        task = Barrier(pair(*ends, method="weight_matching", fitted=at))
        (number,) = (
            row["value"]
            for row in study.measure(task)
            if row["quantity"] == "barrier"
            and (row["metric"], row["split"]) == ("loss", "train")
            and row["baseline"] == "interpolated"
        )
        return number

    computed = study.results.computed
    found = report.select.where(layers_figures.lines(rows.rows), seeds=seeds)
    first, *_, last = study.steps(WIDTH)
    for curve in layers.CURVES:
        of = report.select.where(found, curve=curve, control="")
        for place in range(len(NAMES) - (curve in ("bottom_up", "top_down"))):
            top = curve == "top_down"
            end = {"t": EPOCHS, "place": place + top}
            assert value(of, **end) == plain(last)
        for step, epoch in ((first, 0), (last, EPOCHS)):
            assert value(of, t=epoch, place=float("inf")) == plain(step)
    assert study.results.computed == computed  # the same rows, not others like them
    assert plain(first) != plain(last)  # control


def test_lines_hold_what_was_measured(study, rows):
    found = report.select.where(
        layers_figures.lines(rows.rows), seeds=(0, 1), control=""
    )
    early, late = key(study, "weight_matching", step=0), key(study, "weight_matching")
    a, b = (study.network(WIDTH, seed) for seed in (0, 1))
    for curve, place in (
        ("put_in", 1),
        ("leave_out", 2),
        ("bottom_up", 1),
        ("top_down", 1),
    ):
        some = {"put_in": NAMES[1:2], "leave_out": NAMES[:2], "bottom_up": NAMES[:2]}
        names = some.get(curve, NAMES[1:])
        rest = tuple(name for name in NAMES if name not in names)
        measured = study.measure(
            Barrier((a, hybrid(b, [(early, names), (late, rest)])))
        )
        (wanted,) = (
            row["value"]
            for row in measured
            if (row["quantity"], row["metric"]) == ("barrier", "loss")
            and (row["split"], row["baseline"]) == ("train", "interpolated")
        )
        assert value(found, curve=curve, place=place, t=0) == wanted


def test_controls_are_told_from_epochs(rows):
    found = layers_figures.lines(rows.rows)
    for control in ("again", "random"):
        of = report.select.where(found, control=control, metric="loss")
        assert set(of["t"]) == {EPOCHS}
        assert len(of[of["curve"] == "put_in"]) == 2 * (len(NAMES) + 1)  # pairs; all
    told = report.select.where(found, control="random", metric="loss", curve="put_in")
    fitted = report.select.where(found, control="", metric="loss", t=EPOCHS)
    assert told["value"].mean() > fitted["value"].mean()


def test_what_is_settled_is_compared_with_all_second_runs_of_each_pair():
    """Pairs differ by more than layers cost; costs are of each pair by itself."""
    base = {(0, 1): 1.0, (2, 3): 3.0}
    early = {0.0: 0.5, 1.0: 0.12, 5.0: 0.18, 10.0: 0.0}
    again = {((0, 1), 1): 0.05, ((0, 1), 2): 0.1, ((2, 3), 1): 0.15, ((2, 3), 2): 0.2}
    made = [
        (seeds, t, "", 0, base[seeds] + cost)
        for seeds in base
        for t, cost in early.items()
    ]
    made += [(x, 10.0, "again", d, base[x] + cost) for (x, d), cost in again.items()]
    names = ["seeds", "t", "control", "part_draw", "value"]
    found = pd.DataFrame(made, columns=names)
    found = found.assign(curve="put_in", place=0.0, named="only dense_1", width=8)
    (said,) = layers_words.settled(found, 8)
    assert "dense_1 at no epoch (from epoch 1 on)" in said
    assert "There are 4 second runs, of 2 pairs" in said
    assert "cost 0.050 to 0.200" in said
    lower = found.assign(value=found["value"].mask(found["t"] == 5, 0))
    assert "dense_1 at no epoch" not in layers_words.settled(lower, 8)[0]
    assert layers_words.settled(found[found["control"] == ""], 8) == []


def test_the_section(rows):
    section = layers.EXPERIMENT
    (table,) = section.tables(rows)
    names = [line[1] for line in table.rows]
    assert names.count("only dense_2") == names.count("all layers") == 1
    text = " ".join(section.sentences(rows))
    assert "costs most" in text
    assert "dense_3 " in text
    drawn = section.figures(rows)
    assert [x.name for x in drawn] == ["layers", "layers_agreement"]
    assert "2 pairs" in drawn[0].caption


def test_no_verdict_of_networks_near_chance(rows):
    near = dataclasses.replace(rows, rows=rows.rows.assign(is_judged=False))
    (said,) = layers.EXPERIMENT.sentences(near)
    assert "no verdict" in said


def test_one_layer_cannot_be_mixed(tmp_path):
    study = Study(synthetic_study.settings(model__depth=1), tmp_path)
    study.run(layers.EXPERIMENT)
    found = report.select_rows(study.workdir, "layers")
    assert layers.EXPERIMENT.tables(found) == layers.EXPERIMENT.figures(found) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers__widths": (99,)}, r"layers.widths \[99\]"),
        ({"layers__pairs": ((0, 99),)}, "layers.pairs"),
        ({"layers__epochs": (0.77,)}, "which is not recorded"),
        ({"layers__curves": ("sideways",)}, "curves"),
    ],
)
def test_settings_are_refused(tmp_path, changes, message):
    chosen = synthetic_study.settings(**changes)
    with pytest.raises(ValueError, match=message):
        Study(chosen, tmp_path).tasks(layers.EXPERIMENT)


def test_networks_without_units_to_permute_are_refused(tmp_path):
    one = {"widths": (1,), "simultaneous__widths": (1,)}
    study = Study(synthetic_study.settings(**one), tmp_path)
    with pytest.raises(ValueError, match="of width 1 have no units"):
        study.tasks(layers.EXPERIMENT)
