"""Copies that share the past: the same bits with the same noise, trained once, told."""

import jax
import numpy as np
import pandas as pd
import pytest
from synthetic_study import settings

from experiments import stability_words
from experiments.stability import EXPERIMENT
from linconn_jax import report, results, train
from linconn_jax.report import select
from linconn_jax.study import Barrier, Spawned, Study

LAST = 8  # two epochs of four steps


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


@pytest.fixture
def trained_steps(monkeypatch):
    """A list to which every call of the trainer adds its steps."""
    steps, run = [], train.Trainer.run

    def counted(self, states, noise, start, stop):
        steps.append(stop - start)
        return run(self, states, noise, start, stop)

    monkeypatch.setattr(train.Trainer, "run", counted)
    return steps


def small(workdir, **changes):
    few = {
        "seeds": 3,
        "pairs": None,
        "strong__simplices": (),
        "stability__widths": (3,),
    }
    return Study(settings(**few | changes), workdir)


def of_copies(study, *starts, seeds=(0, 1, 2)):
    """A measurement of each seed against its copy, for each start."""
    ends = [
        (study.network(3, s), study.network(3, s, start=x))
        for x in starts
        for s in seeds
    ]
    return [Barrier(both) for both in ends]


def distance(study, start, step=LAST):
    """The largest difference of any weight between networks and their copies."""
    found = 0.0
    for seed in (0, 1, 2):
        both = (study.runs(3, x).network(seed, step) for x in (None, start))
        each = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), *both)
        found = max(found, *jax.tree.leaves(each))
    return found


def test_copies_with_the_same_noise_are_the_network(tmp_path):
    """At any epoch, to the last bit; others are only there where they were spawned."""
    study = small(tmp_path)
    same, other = ([Spawned(k, noise) for k in (0, 1)] for noise in (0, 1))
    tasks = of_copies(study, *same, *other)
    study.train(tasks)
    for start in same:
        assert distance(study, start) == 0.0
    for start in other:
        assert distance(study, start, 4 * start.at_epoch) == 0.0
        assert distance(study, start) > 1e-3
    rows = [row for task in tasks[:6] for row in study.measure(task)]
    barriers = [row for row in rows if row["quantity"] == "barrier"]
    assert {row["noise"] for row in rows} == {0}
    assert max(abs(row["value"]) for row in barriers if row["metric"] == "error") == 0
    assert max(abs(row["value"]) for row in barriers) < 1e-6


def test_networks_are_trained_once_for_all_epochs(tmp_path, trained_steps):
    study = small(tmp_path / "at_once", checkpoints__epochs=(0.5, 1, 1.5))
    starts = [Spawned(k) for k in (0, 0.5, 1, 1.5)]
    study.train(of_copies(study, *starts))
    assert sum(trained_steps) == 8 + 8 + 6 + 4 + 2
    assert study.needs(of_copies(study, *starts)) is not None
    trained_steps.clear()
    study = small(tmp_path / "later", checkpoints__epochs=(0.5, 1, 1.5))
    study.train()  # knows of no copies
    study.train(of_copies(study, *starts))
    assert (
        sum(trained_steps) == 8 + 6 + 8 + 6 + 4 + 2
    )  # once more, up to the last epoch
    assert not any(sum(study.runs(3, x).left((0, 1, 2))) for x in (None, *starts))


def test_epochs_that_are_not_recorded_are_refused(tmp_path):
    study = small(tmp_path)
    with pytest.raises(ValueError, match=r"epoch 0.5 .* not recorded; add it"):
        study.network(3, 0, start=Spawned(0.5))
    with pytest.raises(ValueError, match="epoch 2; it must be less than"):
        study.network(3, 0, start=Spawned(2))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stability__of": (0, 7)}, r"stability.of \[7\] .* seeds=\(0, 1, 2\)"),
        ({"stability__widths": (4,)}, r"stability.widths \[4\] .* widths=\(3,\)"),
        ({"stability__epochs": (0, 2)}, r"holds \[2\]; .* train.epochs=2"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, changes, said):
    with pytest.raises(ValueError, match=said):
        small(tmp_path, **changes).tasks(EXPERIMENT)


def test_the_measurements_and_what_is_near_chance(tmp_path, capsys):
    """Of networks that learned nothing there is no verdict; copies are not told twice."""
    study = small(tmp_path, stability__epochs=(0, 1), stability__copies=2)
    tasks = study.tasks(EXPERIMENT)
    # Two epochs, three pairs of three seeds, two methods; controls; three pairs apart.
    assert len(tasks) == 2 * 3 * 3 * 2 + 2 * 3 + 3 * 2
    assert len({str(task.key(study)) for task in tasks}) == len(tasks)
    study.run(EXPERIMENT)
    capsys.readouterr()
    rows = report.select_rows(tmp_path, "stability")
    assert set(rows.near_chance[3]) == {0, 1, 2}
    assert rows.rows.empty
    (table,) = EXPERIMENT.tables(rows)
    assert all(line[4] == "0" for line in table.rows)
    assert [line[5] for line in table.rows] == ["9", "9", "9", "9", "3", "3", "3", "3"]
    assert EXPERIMENT.figures(rows) == []
    assert EXPERIMENT.sentences(rows)[0].startswith("No verdict")
    plain = results.load(tmp_path, experiment="stability")
    apart = plain[plain["spawned_at"].isna()]
    assert all("start" not in str(x) for x in apart["vertices"])


def barriers(values, method="naive", judged=True):
    """Training error barriers of two pairs at each epoch k."""
    lines = [
        {"spawned_at": k, "seeds": (s, s), "noise": 1, "value": v, "is_judged": judged}
        for k, both in values.items()
        for s, v in enumerate(both)
    ]
    return pd.DataFrame(lines).assign(metric="error", width=3, method=method)


@pytest.mark.parametrize(
    ("values", "mean", "every"),
    [
        ({0: (0.3, 0.1), 1: (0.03, 0.0), 5: (0.0, 0.0)}, 1, 5),
        ({0: (0.0, 0.0), 1: (0.03, 0.03), 5: (0.0, 0.02)}, 5, 5),  # not before the dip
        ({0: (0.0, 0.0), 1: (0.01, 0.02)}, 0, 0),
        ({0: (0.0, 0.0), 1: (0.03, 0.03)}, None, None),
        ({0: (0.0, 0.0), 1: (0.0, float("nan"))}, None, None),
    ],
)
def test_from_which_epoch_on(values, mean, every):
    rows = barriers(values)
    assert stability_words.stays(rows) == mean
    assert stability_words.stays(rows, "max") == every
    assert stability_words.stays(barriers(values, judged=False)) is None


@pytest.mark.slow
def test_digits_are_told_and_drawn(tmp_path):
    """The whole experiment on networks that learn, and its page."""
    study = small(
        tmp_path,
        dataset__mock=None,
        dataset__train_examples=320,
        widths=(24,),
        seeds=2,
        train__epochs=16,
        train__batch_size=16,
        checkpoints__epochs=(1, 6),
        stability__widths=(24,),
        stability__epochs=(0, 6),
        pairs=((0, 1),),
    )
    study.run(EXPERIMENT)
    rows = report.select_rows(tmp_path, "stability")
    assert len(rows.rows)
    naive, aligned, equal, control = EXPERIMENT.sentences(rows)
    assert naive.startswith(
        "Width 24, naive: the training error barrier (mean of 2 pairs)"
    )
    assert "between independent networks" in aligned
    assert equal.startswith("Of 4 copies it leaves the loss barrier exactly")
    assert "of 4 copies" in control
    assert "(k = 0 and 6), 4 have at the end exactly" in control
    (drawing,) = EXPERIMENT.figures(rows)
    assert "seeds 0, 1." in drawing.caption
    (table,) = EXPERIMENT.tables(rows)
    found = select.barriers(rows.rows, split="train", metric="loss", method="naive")
    same = found[found["noise"] == 0]["value"].abs().max()
    other = found[found["noise"] == 1]["value"].min()
    assert same < 1e-6 < 1e-3 < other
    assert [line[1] for line in table.rows] == [
        *["copies"] * 4,
        *["copies, same noise"] * 2,
        *["independent"] * 2,
    ]
    page = report.write(tmp_path, [EXPERIMENT]).read_text()
    assert "trained on other data or with other settings" not in page
