"""Reports: which rows they take, means by hand, divergence, what cannot be averaged."""

import re

import pytest
import synthetic_rows
from synthetic_rows import Fake, simultaneous, strong, text_of, training, weak

from linconn_jax import report, results, simplex
from linconn_jax.report import select, selection


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The rows of a workdir with everything in it."""
    workdir = tmp_path_factory.mktemp("full")
    synthetic_rows.fill(workdir)
    return results.load(workdir)


def lines(frame, experiment):
    """The cells of each line of a printed table."""
    text = report.summary(frame, experiment)
    table = [line for line in text.splitlines() if not line.startswith("note:")]
    return [re.split(r"\s{2,}", line.strip()) for line in table[3:]]


def line(frame, experiment, *start):
    found = [x for x in lines(frame, experiment) if x[: len(start)] == list(start)]
    assert len(found) == 1, found
    return found[0]


def test_weak_means_by_hand(full):
    # pairs (0,1), (0,2), (1,2): 0.1 * 8 / 16 + 0.01 * mean(0, 0, 1)
    assert line(full, "weak", "16", "weight matching") == [
        "16", "weight matching", "3", "0", "0.053", "0.005", "0.107", "0.011",
    ]  # fmt: skip
    assert line(full, "weak", "8", "naive")[4] == "1.003"


def test_only_the_interpolated_baseline_is_averaged(full):
    rows = selection.prepare(full).rows
    assert select.barriers(rows)["value"].max() < 5.0
    assert (
        select.barriers(rows, "mean")["value"].min() > 6.9
    )  # control: others are there


def test_strong_means_and_counts_by_hand(full):
    cells = line(
        full, "strong", "16", "weight matching", "pair, through a third network"
    )
    assert cells[3:6] == ["3", "0", "0.150"]  # 1.5 * 2 * 0.1 * 8 / 16
    cells = line(full, "strong", "8", "activation matching", "simplex of 3 networks")
    assert cells[3:6] == ["3", "0", "0.400"]


def test_a_naive_simplex_counts_once_in_all_its_orders(full):
    stored = full[(full["k"] == 3) & (full["method"] == "naive")]
    assert stored["seeds"].nunique() == 3
    assert line(full, "strong", "8", "naive", "simplex of 3 networks")[3] == "1"
    aligned = line(full, "strong", "8", "weight matching", "simplex of 3 networks")
    assert aligned[3] == "3"  # to three different references


def test_simultaneous_largest_and_end_by_hand(full):
    # P found at step 10: 0.55 at step 40 alone, 0.05 before; P_T comes from weak: 0.05
    cells = line(full, "simultaneous", "16", "1")
    assert cells[2:] == ["1", "0.550", "4", "0.550", "0.055", "0.055", "0.250"]
    assert line(full, "simultaneous", "16", "4")[3] == "0.050"
    assert line(full, "simultaneous", "16", "naive")[3:5] == ["0.500", "1"]


def test_simultaneous_takes_only_pairs_followed_along_training(full):
    rows = selection.prepare(full).rows
    found = select.simultaneous(rows)
    assert set(found["seeds"]) == {"0,1"}
    assert set(found["width"]) == {16}
    assert set(found["method"]) == {"naive", "weight_matching"}
    assert set(select.weak(rows)["seeds"]) == {"0,1", "0,2", "1,2"}
    assert select.weak(rows)["last"].all()


def test_training_means_by_hand(full):
    cells = line(full, "trajectory", "8")
    assert cells == ["8", "3", "4", "40", "0.200", "0.020", "none"]


def test_diverged_seeds_leave_the_means_and_are_counted_and_named(tmp_path):
    for part, stopped in (("kept", ()), ("marked", {(16, 2)})):
        fake = Fake(tmp_path / part, diverged=stopped)
        weak(fake)
        strong(fake)
        training(fake)
    frame = results.load(tmp_path / "marked")
    assert line(frame, "weak", "16", "weight matching")[2:5] == ["1", "2", "0.050"]
    assert line(frame, "weak", "8", "weight matching")[2:5] == ["3", "0", "0.103"]
    assert line(frame, "trajectory", "16")[4:] == ["0.150", "0.015", "2"]
    assert "note: width 16: training of seed 2 diverged" in report.summary(
        frame, "weak"
    )
    unmarked = results.load(tmp_path / "kept")  # control: the mark does it
    assert line(unmarked, "weak", "16", "weight matching")[2:5] == ["3", "0", "0.053"]
    assert "diverged" not in report.summary(unmarked, "weak")


def test_pairs_through_a_diverged_reference_are_left_out(tmp_path):
    fake = Fake(tmp_path, diverged={(16, 2)})
    strong(fake)
    frame = results.load(tmp_path)
    third = frame[(frame["path"] == "through") & (frame["seeds"] == "0,1")]
    assert set(third.loc[third["width"] == 16, "diverged"]) == {""}  # vertices are fine
    name = "pair, through a third network"
    cells = line(frame, "strong", "16", "weight matching", name)
    assert cells[3:] == ["0", "3", "–", "–", "–", "–"]
    assert line(frame, "strong", "8", "weight matching", name)[3:5] == ["3", "0"]


def test_agreements_of_diverged_seeds_are_left_out(tmp_path):
    fake = Fake(tmp_path, diverged={(16, 1)})
    simultaneous(fake, pairs=((0, 1), (2, 3)))
    rows = selection.prepare(results.load(tmp_path)).rows
    assert set(select.agreement(rows)["seeds"]) == {"2,3"}


def test_everything_diverged_still_gives_a_page(tmp_path):
    fake = Fake(tmp_path, diverged={(16, 0), (16, 1), (16, 2)})
    weak(fake, widths=(16,))
    text = text_of(report.write(tmp_path).read_text(encoding="utf-8"))
    assert "seed 0, 1, 2 diverged" in text


def test_a_number_that_is_not_finite_is_told_and_not_skipped(tmp_path):
    fake = Fake(tmp_path)
    weak(fake, widths=(8,))
    fake.barrier(8, (3, 4), float("nan"), method="naive")
    cells = line(results.load(tmp_path), "weak", "8", "naive")
    assert cells[2:] == ["4", "0", *["not finite"] * 4]
    assert line(results.load(tmp_path), "weak", "8", "weight matching")[4] == "0.103"
    text = text_of(report.write(tmp_path).read_text(encoding="utf-8"))
    assert "not finite" in text
    assert "not finite (" not in text  # a range of nothing


@pytest.mark.parametrize("kind", ["points", "options", "config", "model"])
def test_what_cannot_be_averaged_together_is_not(tmp_path, kind):
    fake = Fake(tmp_path)
    weak(fake, widths=(8,))
    chosen = {"method": "activation_matching"}
    if kind == "points":
        chosen["coords"] = simplex.segment(3)
    elif kind == "options":
        chosen["options"] = {"similarity": "pearson"}
    else:
        other = {"config": "another", "model": "mlp-7x8-relu-none"}[kind]
        original = fake.key
        fake.key = lambda width, **more: original(width, **more) | {kind: other}
    fake.barrier(8, (0, 1), 99.0, **chosen)
    frame = results.load(tmp_path)
    assert (frame["value"] == 99.0).any()
    cells = line(frame, "weak", "8", "activation matching")
    assert cells[2:5] == ["3", "0", "0.203"]
    assert "are in this workdir but not in this report" in report.summary(frame, "weak")


def test_same_options_make_no_note(full):
    assert "note:" not in report.summary(full, "weak")
