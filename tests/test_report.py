"""Reports: which rows they take, means by hand, divergence, what is not asked for."""

import re

import pytest
import synthetic_rows
from synthetic_rows import (
    BY_NAME,
    Fake,
    page,
    rows,
    simultaneous,
    strong,
    text_of,
    training,
    weak,
)

from linconn_jax import report, results, simplex
from linconn_jax.report import select, sentences


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A workdir with everything in it."""
    workdir = tmp_path_factory.mktemp("full")
    synthetic_rows.fill(workdir)
    return workdir


def summary(workdir, experiment):
    return report.summary(workdir, BY_NAME[experiment])


def lines(workdir, experiment):
    """The cells of each line of a printed table."""
    text = summary(workdir, experiment)
    table = [line for line in text.splitlines() if not line.startswith("note:")]
    return [re.split(r"\s{2,}", line.strip()) for line in table[3:]]


def line(workdir, experiment, *start):
    found = [x for x in lines(workdir, experiment) if x[: len(start)] == list(start)]
    assert len(found) == 1, found
    return found[0]


def test_weak_means_by_hand(full):
    # pairs (0,1), (0,2), (1,2): 0.1 * 8 / 16 + 0.01 * mean(0, 0, 1)
    assert line(full, "weak", "16", "weight matching") == [
        "16", "weight matching", "3", "0",
        "0.053", "0.010", "0.005", "0.001", "0.107", "0.020", "0.011", "0.002",
    ]  # fmt: skip
    assert line(full, "weak", "8", "naive")[4] == "1.003"


def test_only_the_interpolated_baseline_is_averaged(full):
    found = rows(full, "weak")
    assert select.barriers(found)["value"].max() < 5.0
    # control: others are there
    assert select.barriers(found, "mean")["value"].min() > 6.9


def test_strong_means_and_counts_by_hand(full):
    third = "pair, through a third network"
    cells = line(full, "strong", "16", "weight matching", third)
    assert cells[3:6] == ["3", "0", "0.150"]  # 1.5 * 2 * 0.1 * 8 / 16
    cells = line(full, "strong", "8", "activation matching", "simplex of 3 networks")
    assert cells[3:6] == ["3", "0", "0.400"]  # to three different references
    cells = line(full, "strong", "8", "naive", "simplex of 3 networks")
    assert cells[3] == "1"


def test_simultaneous_largest_and_end_by_hand(full):
    # P found at step 10: 0.55 at step 40 alone, 0.05 before
    cells = line(full, "simultaneous", "16", "1")
    assert cells[2:] == [
        "1", "0.550", "4", "0.550", "0.010", "0.055", "0.055", "0.001", "0.250",
    ]  # fmt: skip
    assert line(full, "simultaneous", "16", "4")[3] == "0.050"
    assert line(full, "simultaneous", "16", "naive")[3:5] == ["0.500", "1"]


def test_training_means_by_hand(full):
    cells = line(full, "trajectory", "8")
    assert cells == [
        "8", "3", "4", "40", "0.200", "0.020",
        "0.010", "0.001", "0.020", "0.002", "none", "none",
    ]  # fmt: skip


# ---- who asked for what ----


def test_a_row_that_two_experiments_asked_for_counts_in_both(full):
    alone = results.load(full, experiment="weak")
    shared = results.load(full, experiment="strong")
    everything = results.load(full)
    assert len(everything) < len(alone) + len(shared)
    for experiment, name in (("weak", ()), ("strong", ("pair",))):
        cells = line(full, experiment, "16", "weight matching", *name)
        assert cells[2 + len(name) :][:3] == ["3", "0", "0.053"]


def test_rows_of_another_experiment_do_not_leak(tmp_path):
    fake = Fake(tmp_path)
    weak(fake, widths=(16,), seeds=(0, 1))
    simultaneous(fake, pairs=((2, 3),))
    for method in ("naive", "weight matching", "activation matching"):
        assert line(tmp_path, "weak", "16", method)[2] == "1"
    assert line(tmp_path, "simultaneous", "16", "4")[2] == "1"
    assert set(rows(tmp_path, "simultaneous")["seeds"]) == {(2, 3)}
    there = results.load(tmp_path)  # control: a pair aligned at the end is not weak's
    last = there[(there["step"] == 40) & (there["method"] == "weight_matching")]
    assert {tuple(seeds) for seeds in last["seeds"]} == {(0, 1), (2, 3)}


@pytest.mark.parametrize("kind", ["points", "options", "config", "model"])
def test_what_is_no_longer_asked_for_is_not_averaged(tmp_path, kind):
    fake = Fake(tmp_path)
    chosen = {
        "points": {"coords": simplex.segment(3)},
        "options": {"options": {"similarity": "pearson"}},
        "config": {"config": "another"},
        "model": {"model": "mlp-7x8-relu-none"},
    }
    with fake.experiment("weak"):
        fake.barrier(8, (0, 1), 99.0, method="activation_matching", **chosen[kind])
    assert line(tmp_path, "weak", "8", "activation matching")[4] == "99.000"
    weak(again := Fake(tmp_path), widths=(8,))
    assert (results.load(tmp_path)["value"] == 99.0).any()
    cells = line(tmp_path, "weak", "8", "activation matching")
    assert cells[2:5] == ["3", "0", "0.203"]
    assert again.results.computed == 12


# ---- what has no mean ----


def test_diverged_seeds_leave_the_means_and_are_counted_and_named(tmp_path):
    for part, stopped in (("kept", ()), ("marked", {(16, 2)})):
        fake = Fake(tmp_path / part, diverged=stopped)
        weak(fake)
        strong(fake)
        training(fake)
    marked, kept = tmp_path / "marked", tmp_path / "kept"
    assert line(marked, "weak", "16", "weight matching")[2:5] == ["1", "2", "0.050"]
    assert line(marked, "weak", "8", "weight matching")[2:5] == ["3", "0", "0.103"]
    assert line(marked, "trajectory", "16")[4:6] == ["0.150", "0.015"]
    assert line(marked, "trajectory", "16")[10:] == ["2", "none"]
    assert "note: width 16: training of seed 2 diverged" in summary(marked, "weak")
    # control: the mark does it
    assert line(kept, "weak", "16", "weight matching")[2:5] == ["3", "0", "0.053"]
    assert "diverged" not in summary(kept, "weak")


def test_pairs_through_a_diverged_reference_are_left_out(tmp_path):
    strong(Fake(tmp_path, diverged={(16, 2)}))
    name = "pair, through a third network"
    cells = line(tmp_path, "strong", "16", "weight matching", name)
    assert cells[3:] == ["0", "3", *8 * ["–"]]
    assert line(tmp_path, "strong", "8", "weight matching", name)[3:5] == ["3", "0"]


def test_who_diverges_later_is_left_out_all_along(tmp_path):
    simultaneous(Fake(tmp_path, diverged={(16, 1)}), pairs=((0, 1), (2, 3)))
    stored = results.load(tmp_path, experiment="simultaneous")
    early = stored[[seeds == [0, 1] for seeds in stored["seeds"]]]
    assert [] in [*early["diverged"]]  # the first steps are not marked themselves
    selected = report.select_rows(tmp_path, "simultaneous")
    assert set(selected.rows["seeds"]) == {(2, 3)}
    assert set(selected.left_out["seeds"]) == {(0, 1)}


def test_everything_diverged_still_gives_a_page(tmp_path):
    weak(Fake(tmp_path, diverged={(16, 0), (16, 1), (16, 2)}), widths=(16,))
    assert "seed 0, 1, 2 diverged" in text_of(page(tmp_path))


def test_a_number_that_is_not_finite_is_told_and_not_skipped(tmp_path):
    fake = Fake(tmp_path)
    with fake.experiment("weak"):
        weak(fake, widths=(8,))
        fake.barrier(8, (3, 4), float("nan"), method="naive")
    cells = line(tmp_path, "weak", "8", "naive")
    assert cells[2:4] == ["4", "0"]
    assert cells[4::2] == ["not finite"] * 4
    assert line(tmp_path, "weak", "8", "weight matching")[4] == "0.103"
    text = text_of(page(tmp_path))
    assert "not finite" in text
    assert "not finite (" not in text  # a range of nothing


def test_a_mean_is_the_same_in_any_order(full):
    found = select.barriers(rows(full, "weak"), method="naive", width=8)
    found = found.assign(value=[0.1 * i for i in range(len(found))])
    spreads = [report.tables.spread(x) for x in (found, found[::-1])]
    assert spreads[0] == spreads[1]


# ---- other columns than the width ----


def test_sentences_and_levels_take_any_column(full):
    found = select.barriers(rows(full, "weak"), method="weight_matching", split="train")
    found = found.assign(sparsity=found["width"] / 16)
    assert select.levels(found, "sparsity") == [0.5, 1.0]
    said = sentences.of_levels("Pairs", found, "sparsity")
    assert "(mean of 3 pairs a sparsity)" in said
    assert "above 0.02 at sparsity" not in said
    assert "falls at every step of sparsity, from 0.103 at sparsity 0.5" in said


def test_columns_of_lists_and_rows_without_seeds(tmp_path):
    fake = Fake(tmp_path)
    with fake.experiment("mine"):
        for width, step in ([8, 16], [10, 40]), (8, 40):
            key = {"width": width, "step": step, "mine": [1, 2]}
            fake.store(key, [{"quantity": "flips", "value": 3}])
    found = rows(tmp_path, "mine")
    assert select.levels(found) == [8, (8, 16)]
    assert [*found["step"]] == [(10, 40), 40]
    assert found.groupby("mine")["value"].sum().to_dict() == {(1, 2): 6.0}
    assert select.where(found, width=(8, 16))["value"].tolist() == [3.0]
