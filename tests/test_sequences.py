"""One permutation for sequences of networks, of whatever kind, and what chance does."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_study import EXPERIMENTS, settings

from linconn_jax import report, results
from linconn_jax.report import select
from linconn_jax.study import (
    Agreement,
    AlignmentKey,
    Barrier,
    Network,
    Study,
    experiments,
    pair,
    sequences,
)

SMALL = dict(
    dataset__mock=None,  # digits, which they learn
    dataset__train_examples=512,
    dataset__test_examples=64,
    seeds=2,
    pairs=None,
    widths=(8, 12),
    simultaneous__widths=(12,),
    strong__simplices=(),
    train__epochs=10,
    train__batch_size=32,
)
PLACES = 3  # epochs 0, 1 and 10
LAST = 160


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("sequences")


@pytest.fixture(scope="module")
def study(workdir):
    made = Study(settings(**SMALL), workdir)
    made.train()
    return made


def ends(study, step=None, width=12):
    return tuple(study.network(width, seed, step) for seed in (0, 1))


# ---- keys ----


def test_the_first_draw_is_what_there_was_before(study):
    """Keys of rows and alignments on disk, written before there were draws."""
    key = AlignmentKey("weight_matching", ends(study))
    assert key.identity(study).keys() == {"method", "options", "networks"}
    assert key.columns(study) == {
        "method": "weight_matching",
        "reference": 0,
        "fit_step": LAST,
        "fit_epoch": 10.0,
    }
    one, two = ends(study, 16), ends(study)
    aligned = Barrier(pair(*two, method="weight_matching", fitted=one)).key(study)
    assert aligned.keys() == {
        *("config", "dataset", "model", "family", "width", "step", "epoch", "k"),
        *("method", "reference", "fit_step", "fit_epoch", "seeds", "path", "points"),
        *("vertices", "precision", "limit", "diverged"),
    }
    assert (aligned["fit_step"], aligned["step"]) == (16, LAST)
    first, last = (AlignmentKey("weight_matching", x) for x in (one, two))
    agreed = Agreement(first, last).key(study)
    assert agreed.keys() == {
        *("config", "dataset", "model", "family", "width", "step", "epoch", "seed"),
        *("method", "reference", "fit_step", "fit_epoch", "seeds", "fits", "diverged"),
    }
    assert (agreed["fit_step"], agreed["step"], agreed["seeds"]) == (16, LAST, [0, 1])


def test_another_draw_has_another_key_and_another_permutation(study):
    draws = [AlignmentKey("random", ends(study), draw) for draw in (0, 1, 2)]
    assert len({str(key.identity(study)) for key in draws}) == 3
    assert [key.columns(study).get("draw") for key in draws] == [None, 1, 2]
    found = [study.alignment(key).permutation for key in draws]
    assert found[0] != found[1] != found[2] != found[0]
    assert study.alignments.find(draws[1]).permutation == found[1]


@dataclasses.dataclass(frozen=True)
class Leveled(Network):
    """A network that stands at a level of something."""

    level: int = 0

    def identity(self, study):
        return super().identity(study) | {"level": self.level}

    def columns(self, study):
        return super().columns(study) | {"level": self.level}


def test_where_an_alignment_was_found_is_told_in_every_column_of_places(study):
    two = [Leveled(12, seed, LAST, level=7) for seed in (0, 1)]
    columns = AlignmentKey("weight_matching", tuple(two)).columns(study)
    assert columns["fit_level"] == 7
    assert {x for x in columns if x.startswith("fit_")} == {
        "fit_step", "fit_epoch", "fit_level",
    }  # fmt: skip
    key = Barrier(pair(*two, method="weight_matching")).key(study)
    assert (key["level"], key["fit_level"]) == (7, 7)


def test_places_are_told_from_columns():
    kind = sequences.kind("steps")
    rows = pd.DataFrame({"epoch": [0.0, 2.0, 3.0], "fit_epoch": [None, 2.0, (1, 2)]})
    assert kind.places(rows).tolist() == [0, 2, 3]
    np.testing.assert_equal(kind.places(rows, "fit_").tolist(), [np.nan, 2, np.nan])

    class Leveled(sequences.SequenceKind):
        name, column, otherwise = "leveled", "level", 0

    rows = pd.DataFrame({"level": [None, 1.0], "fit_level": [(1, 2), None]})
    assert Leveled().places(rows).tolist() == [0, 1]
    np.testing.assert_equal(Leveled().places(rows, "fit_").tolist(), [np.nan, 0])
    assert Leveled().places(rows[["fit_level"]]).tolist() == [0, 0]


def test_what_is_no_kind_of_sequence_is_refused(unchecked):
    free = unchecked(importlib.import_module("linconn_jax.study.sequences"))
    with pytest.raises(ValueError, match="subclass of linconn_jax.study.sequences"):
        free.register("steps")
    with pytest.raises(ValueError, match="must be one of steps"):
        sequences.kind("levels_of_nothing")


# ---- experiments ----


def parts(workdir, name):
    experiment = experiments()[name]
    chosen = report.select_rows(workdir, name)
    return experiment, chosen, *experiment.parts(chosen)


def test_steps_with_everything_beside_them(workdir, study):
    """Every line is there, and the first draw's rows are what they are without."""
    changes = {
        "simultaneous__random": True,
        "simultaneous__together": "joint_weight_matching",
    }
    made = Study(settings(**SMALL, **changes), workdir)
    made.run(EXPERIMENTS["simultaneous"])
    experiment, chosen, barriers, agreed = parts(workdir, "simultaneous")
    one = select.where(barriers, metric="loss")
    counts = one.groupby(["source", "draw"]).size().to_dict()
    assert counts == {
        ("naive", 0): PLACES,
        ("random", 0): PLACES,
        ("alone", 0): PLACES**2,
        ("alone", 1): 2 * PLACES - 1,  # anew at each, and P_T at all
        ("joint", 0): PLACES,
        ("joint", 1): PLACES,
    }
    assert len(set(select.where(one, source="random")["fit_step"])) == 1
    null = agreed[agreed["draw"] > 0]
    alone = select.where(null, source="alone", axis="all")
    assert alone["found"].tolist() == alone["place"].tolist() == [0.0, 1.0, 10.0]
    [table] = experiment.tables(chosen)
    names = [row[1] for row in table.rows]
    assert names == [
        "naive", "random permutation", "0", "1", "10", "10, again", "each anew",
        "each anew, again", "all 3 at once", "all 3 at once, again",
    ]  # fmt: skip
    assert table.headers[-1] == "of two runs"
    assert [x.name for x in experiment.figures(chosen)] == [
        "simultaneous_lines", "simultaneous_matrix", "agreement",
    ]  # fmt: skip
    assert "the null" in experiment.figures(chosen)[-1].caption

    # The second draw must not leak into the means of the first.
    Study(settings(**SMALL, simultaneous__draws=1), workdir).run(
        EXPERIMENTS["simultaneous"]
    )
    [plain] = experiment.tables(report.select_rows(workdir, "simultaneous"))
    assert plain.headers[-1] == "agreement with P_T"
    before = {row[1]: [str(cell) for cell in row] for row in table.rows}
    for row in plain.rows:
        assert before[row[1]][: len(row)] == [str(cell) for cell in row]
    rows = results.load(workdir, experiment="simultaneous")
    assert rows["draw"].isna().all()


def test_another_kind_of_sequence_is_one_file(workdir, study, monkeypatch):
    """Networks of growing width, each as the widest: tests/outside/growing.py."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "outside"))
    importlib.import_module("growing")
    config = settings(**SMALL)
    config["growing_width"] = {"widths": (12,), "together": "joint_weight_matching"}
    made = Study(config, workdir)
    made.run(experiments()["growing_width"])
    experiment, chosen, barriers, agreed = parts(workdir, "growing_width")
    assert select.levels(barriers, "place") == [8, 12]
    assert select.levels(barriers, "found") == [8, 12]
    assert set(barriers["width"]) == {12}
    [table] = experiment.tables(chosen)
    assert [row[1] for row in table.rows][:3] == ["naive", "8", "12"]
    assert "P found at width" in table.headers
    # A network widened computes what it did: its own loss is that of the narrow one.
    rows = chosen.rows[chosen.rows["vertex"] == 0]
    rows = select.where(rows, units=8, metric="loss", split="train", method="naive")
    narrow = made.measure(Barrier(pair(*ends(made, width=8), method="naive")))
    [alone] = [
        row["value"]
        for row in narrow
        if (row["quantity"], row["metric"], row["split"], row.get("vertex"))
        == ("value", "loss", "train", 0)
    ]
    assert rows["value"].item() == pytest.approx(alone, abs=1e-5)
    drawn = experiment.figures(chosen)
    assert [x.name for x in drawn] == [
        "growing_width_lines", "growing_width_matrix", "growing_width_agreement",
    ]  # fmt: skip
    assert (
        drawn[0].figure.axes[0].get_xlabel() == "width w′ of the interpolated networks"
    )
    page = report.write(workdir, [experiment]).read_text()
    assert "growing: one for all widths" not in page  # is in a figure
    assert "One permutation for networks of growing width" in page


# ---- several checkpoints at once ----


def test_joint_fits_sets_of_checkpoints(workdir, study):
    config = settings(**SMALL, joint__widths=(12,), joint__sets=(2, (0, 10)))
    Study(config, workdir).run(EXPERIMENTS["joint"])
    experiment, chosen, barriers, _ = parts(workdir, "joint")
    one = select.where(barriers, metric="loss", draw=0)
    assert (
        select.where(one, source="joint")["at"].tolist()
        == [(1, 10)] * 3 + [(0, 10)] * 3
    )
    assert select.where(one, source="naive")["place"].tolist() == [0, 1, 10]
    alone = select.where(one, source="alone")
    both = sorted(zip(alone["found"], alone["place"], strict=True))
    assert both == [(0, 0), (0, 1), (0, 10), (1, 1), (10, 0), (10, 1), (10, 10)]
    [table] = experiment.tables(chosen)
    names = [row[1] for row in table.rows]
    # not that of epoch 1, which is found anew there only
    assert names[:3] == ["naive", "0", "10"]
    assert names[-4:] == [
        "0, 10 at once", "1, 10 at once", "0, 10 at once, again", "1, 10 at once, again",
    ]  # fmt: skip
    assert [x.name for x in experiment.figures(chosen)] == ["joint_lines"]
    wrong = settings(**SMALL, joint__widths=(12,), joint__sets=((0, 2.5),))
    with pytest.raises(ValueError, match=r"joint.sets holds epochs \[2.5\]"):
        Study(wrong, workdir).tasks(EXPERIMENTS["joint"])
    with pytest.raises(ValueError, match="joint.widths \\[9\\] are not among"):
        Study(settings(**SMALL, joint__widths=(9,)), workdir).tasks(
            EXPERIMENTS["joint"]
        )
