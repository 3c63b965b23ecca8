"""Networks near chance: they are named, and no verdict is drawn from them."""

import dataclasses

import numpy as np
import pytest
import synthetic_study
from synthetic_rows import (
    BY_NAME,
    LAST,
    Fake,
    page,
    simultaneous,
    strong,
    text_of,
    training,
    weak,
)

from linconn_jax import barrier, metrics, report
from linconn_jax.report import comparing, ends, sentences
from linconn_jax.study import Barrier, Single, Study, pair

VERDICTS = (
    "at or below 0.02",
    "above 0.02",
    "of at most 0.02",
    "lowers the mean",
    "error barrier ≤ 0.02",
)


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


def _text(sentence):
    return sentence if isinstance(sentence, str) else sentence.text()


def said(workdir, name):
    """What an experiment says of its numbers, and the notes."""
    rows = report.select_rows(workdir, name)
    return " ".join(map(_text, BY_NAME[name].sentences(rows))), " ".join(rows.notes)


# ---- a study, trained and measured ----


SMALL = {
    "dataset__mock": None,
    "model__depth": 1,
    "widths": (16,),
    "simultaneous__widths": (16,),
    "train__batch_size": 64,
    "seeds": 3,
    "methods": ("naive", "weight_matching"),
    "experiments": ("trajectory", "weak", "simultaneous", "strong"),
    "strong__simplices": ((3, 2),),
}


def studied(workdir, **changes):
    """A study of small networks on digits, all experiments run."""
    study = Study(synthetic_study.settings(**SMALL | changes), workdir)
    synthetic_study.run_all(study)
    return study


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A workdir of networks that tiny steps have left at chance."""
    workdir = tmp_path_factory.mktemp("untrained")
    return studied(workdir, train__learning_rate=1e-6).workdir


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study of the same networks, trained."""
    workdir = tmp_path_factory.mktemp("trained")
    return studied(workdir, train__epochs=10)


def test_a_study_of_networks_at_chance_gives_no_verdict(untrained, trained):
    for name in ("weak", "simultaneous", "strong"):
        sentence, note = said(untrained, name)
        assert sentence.startswith("No verdict")
        assert not any(verdict in sentence for verdict in VERDICTS)
        assert "ends near chance (training error 0." in note
        sentence, note = said(
            trained.workdir, name
        )  # control: training makes the verdict
        assert any(verdict in sentence for verdict in VERDICTS)
        assert "chance" not in note
    text = text_of(page(untrained))
    assert not any(verdict in text for verdict in VERDICTS)
    assert "width 16: seed 0, 1, 2 ends near chance (training error 0." in text


def test_control_without_the_look_at_the_ends_they_count_as_connected(
    untrained, monkeypatch
):
    monkeypatch.setattr(ends, "TRAINED_SHARE", 2.0)
    assert "at or below 0.02 at width" in said(untrained, "weak")[0]


def test_the_table_of_training_has_the_networks_own_numbers(untrained, trained):
    trajectory = BY_NAME["trajectory"]
    [table] = trajectory.tables(report.select_rows(trained.workdir, "trajectory"))
    [cells] = [dict(zip(table.headers, row, strict=True)) for row in table.rows]
    assert cells["seeds near chance"] == "none"
    for split in ("train", "test"):
        images, labels = trained.examples(split)
        apply, errors = trained.runs(16).recipe.network.apply, []
        for seed in range(3):
            logits = apply(trained.network(16, seed).variables(trained), images)
            errors.append(np.mean(np.argmax(logits, axis=-1) != labels))
        # 1e-6: means of float32 sums
        assert cells[f"{split} error"].mean == pytest.approx(np.mean(errors), abs=1e-6)
    [table] = trajectory.tables(report.select_rows(untrained, "trajectory"))
    assert [row[-1] for row in table.rows] == ["0, 1, 2"]


def test_a_network_by_itself_is_what_it_is_as_the_end_of_a_segment(trained):
    one, two = trained.network(16, 0), trained.network(16, 1)
    values = {}
    for task in (Single(one), Barrier(pair(one, two, method="naive"))):
        rows = [row for row in trained.measure(task) if row.get("vertex") == 0]
        rows = [row for row in rows if row["quantity"] == "value"]
        values[type(task)] = {(r["split"], r["metric"]): r["value"] for r in rows}
    assert values[Single] == values[Barrier]
    assert len(values[Single]) == 4


def test_chance_by_hand():
    labels = np.array([2, 0, 2, 1])
    assert metrics.chance(labels) == 0.5
    assert metrics.chance(np.zeros(3, int)) == 0.0
    assert metrics.chance(np.arange(10)) == pytest.approx(0.9)


# ---- made-up rows ----


def test_one_network_near_chance_leaves_the_means(tmp_path):
    fake = Fake(tmp_path, near={(16, 2)})
    weak(fake)
    training(fake)
    [table] = BY_NAME["weak"].tables(report.select_rows(tmp_path, "weak"))
    counts = {row[:2]: row[2:4] for row in table.rows}
    assert counts["16", "naive"] == ("1", "2")
    assert counts["8", "naive"] == ("3", "0")
    sentence, note = said(tmp_path, "weak")
    assert "mean of 1 to 3 pairs a width" in sentence
    assert "width 16: seed 2 ends near chance (training error 0.900;" in note
    assert "above 0.500 is near chance, 0.5 times at most 1.000" in note
    [table] = BY_NAME["trajectory"].tables(report.select_rows(tmp_path, "trajectory"))
    assert [row[-1] for row in table.rows] == ["none", "2"]


def test_chance_is_that_of_the_data(tmp_path):
    """An error of .09 is guessing if a class has .9 of the data, but not if it has .1."""
    for name, guessing in (("rare", 0.1), ("equal", 0.9)):
        fake = Fake(tmp_path / name, guessing=guessing)
        with fake.experiment("weak"):
            fake.barrier(8, (0, 1), 0.1)
            fake.barrier(8, (0, 1), 0.1, method="weight_matching", end=0.9)
    assert said(tmp_path / "equal", "weak")[1] == ""
    assert "at or below 0.02" in said(tmp_path / "equal", "weak")[0]
    # The network is fine, and its permuted self is not: no verdict of that method.
    sentence, note = said(tmp_path / "rare", "weak")
    assert note == ""
    assert "weight matching: no verdict" in sentence


def test_a_wrong_reference_is_left_out_with_what_it_aligned(tmp_path):
    strong(Fake(tmp_path, near={(16, 2)}))
    rows = report.select_rows(tmp_path, "strong")
    left = rows.left_out
    through = left[(left["path"] == "through") & (left["width"] == 16)]
    assert (0, 1) in set(through["seeds"])
    assert set(rows.rows.loc[rows.rows["width"] == 16, "seeds"]) == {(0, 1)}


def test_early_checkpoints_near_chance_are_not_judged(tmp_path):
    fake = Fake(tmp_path)
    simultaneous(fake)
    before = said(tmp_path, "simultaneous")
    assert "at 2 of 3 recorded epochs" in before[0]
    again = Fake(tmp_path / "early", near_at={0})
    simultaneous(again)
    sentence, note = said(tmp_path / "early", "simultaneous")
    assert note == ""
    assert "at 2 of 2 recorded epochs" in sentence
    assert "(not judged: epoch 0)" in sentence


@pytest.mark.parametrize("told", [True, False])
def test_what_was_stopped_early_has_no_ends_near_chance(told, tmp_path):
    """Rows of step 0 alone, at which all networks guess."""
    fake = Fake(tmp_path, near_at={0})
    with fake.experiment("simultaneous"):
        fake.barrier(16, (0, 1), 0.1, step=0)
        fake.final = fake.final if told else {}  # as in workdirs of earlier versions
    rows = report.select_rows(tmp_path, "simultaneous")
    assert (rows.near_chance == {}) == told
    assert ("ends near chance" in said(tmp_path, "simultaneous")[1]) != told
    assert not rows.everything["is_judged"].any()


def test_early_epochs_are_judged_and_the_last_is_not(tmp_path):
    """Where the permutation found at the end breaks the networks at the end."""
    simultaneous(Fake(tmp_path))
    rows = report.select_rows(tmp_path, "simultaneous")
    broken = rows.rows.assign(is_judged=rows.rows["step"] < LAST)
    text = BY_NAME["simultaneous"].sentences(dataclasses.replace(rows, rows=broken))
    assert "P_T, found at the end" not in " ".join(map(_text, text))


def test_a_comparison_judges_pairs_of_trained_networks(tmp_path):
    """Of the three aligned pairs a wrong permutation has broken one."""
    fake = Fake(tmp_path)
    with fake.experiment("weak"):
        for pair_, end in {(0, 1): 0.01, (0, 2): 9.0, (1, 2): 0.01}.items():
            fake.barrier(8, pair_, 0.1, method="weight_matching", end=end)
        fake.barrier(8, (0, 1, 2), 0.1, method="weight_matching", end=9.0)
    pairs, simplex = comparing.said(report.select_rows(tmp_path, "weak").rows)
    assert pairs == (
        "Pairs, weight matching: the training error barrier is at most 0.02 in 2 of 2; "
        "the largest is 0.010 (1 not judged, with an end near chance)."
    )
    assert simplex == (
        "Simplex of 3 networks, weight matching: no verdict, since an end is near chance."
    )


def test_of_levels_says_where_it_does_not_judge(tmp_path):
    weak(Fake(tmp_path))
    rows = report.select_rows(tmp_path, "weak").rows
    rows = rows[(rows["quantity"] == "barrier") & (rows["baseline"] == "interpolated")]
    rows = rows[(rows["split"] == "train") & (rows["method"] == "weight_matching")]
    told = sentences.of_levels("Pairs", rows.assign(is_judged=rows["width"] == 16))
    assert "not judged at width 8, with ends near chance" in told
    assert "at or below 0.02 at width 16" in told
    assert "no verdict" in sentences.of_levels("Pairs", rows.assign(is_judged=False))


def test_the_definition_is_in_one_place():
    assert ends.TRAINED_SHARE == barrier.TRAINED_SHARE == 0.5
