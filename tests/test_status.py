"""A status says what is done and left, as it is on disk, and computes nothing."""

import os

import pytest
from synthetic_study import EXPERIMENTS, files, run_all, settings

from experiments import paper, status
from linconn_jax import data, progress, results
from linconn_jax.study import Runs, Study, budget
from linconn_jax.trajectory.tables import RECORD_FILE

SMALL = {
    "seeds": 3,
    "widths": (3, 4),
    "pairs": ((0, 1),),
    "strong__simplices": ((3, 2),),
    "dataset__mock": None,
    "dataset__train_examples": 32,
    "dataset__test_examples": 32,
}


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A workdir in which everything but the report was done."""
    study = Study(settings(**SMALL), tmp_path_factory.mktemp("done") / "work")
    run_all(study)
    return study.workdir


def told(workdir):
    """Numbers by width or experiment, and the lines below the tables."""
    text = status.text(Study(settings(**SMALL), workdir))
    lines = [line.split() for line in text.splitlines() if line.strip()]
    cells = {one[0]: [int(x) for x in one[1:] if x.isdigit()] for one in lines}
    known = {"3", "4", "trajectory", "weak", "simultaneous", "strong"}
    return {name: cells[name] for name in known}, text


def test_nothing_is_done_and_nothing_is_written(tmp_path):
    found, text = told(tmp_path / "work")
    assert not (tmp_path / "work").exists()
    assert found["3"][:5] == [3, 0, 3, 0, 9]  # steps 0, 4 and 8 of each
    assert found["weak"] == [8, 0, 8, 6, 0, 6]  # 2 widths, 4 methods
    assert "time: no pace is known" in text


def test_everything_is_done(done):
    before = files(done)
    found, text = told(done)
    assert files(done) == before
    assert found["4"][:5] == [3, 3, 0, 9, 0]
    assert all(one[2] == one[5] == 0 for name, one in found.items() if name[0] > "9")
    assert sum(one[0] for name, one in found.items() if name[0] > "9") > 30
    assert "0 bytes needed" in text
    assert "time: all is done" in text


def test_what_is_gone_is_left_again(copy):
    study = Study(settings(**SMALL), copy)
    study.check()
    tasks = study.tasks(EXPERIMENTS["weak"])
    for task in tasks[1:4]:
        (copy / "results" / f"{results.files.digest(task.key(study))}.json").unlink()
    gone = {a for task in tasks[1:4] for a in task.alignments}
    study.alignments.path(next(iter(gone))).unlink()
    found, text = told(copy)
    asked, stored, left, aligned, there, to_find = found["weak"][:6]
    assert (asked, left) == (len(tasks), 3)
    assert stored == asked - left
    assert (aligned - there, to_find) == (1, 1)
    assert "left by the pace so far" in text


def test_a_run_that_was_stopped(monkeypatch, tmp_path):
    study, real = Study(settings(**SMALL), tmp_path / "w"), progress.Task.advance

    def stopped(self, *args, **kwargs):
        if "4-relu" in self.what:
            raise KeyboardInterrupt
        real(self, *args, **kwargs)

    monkeypatch.setattr(progress.Task, "advance", stopped)
    with pytest.raises(KeyboardInterrupt):
        study.run(EXPERIMENTS["weak"])
    monkeypatch.undo()
    found, _ = told(study.workdir)
    assert found["3"][:3] == [3, 3, 0]
    assert found["4"][:3] == [3, 0, 3]
    with pytest.raises(
        ValueError, match="holds no results yet, but networks: "
    ) as said:
        results.load(study.workdir)
    assert "3 of mlp-3x3-relu-none (trained)" in str(said.value)
    assert "3 of mlp-3x4-relu-none (step " in str(said.value)
    assert f"python -m experiments.weak --config=FILE.py --workdir={study.workdir}" in (
        str(said.value)
    )


def test_the_pace_is_that_of_the_writing(copy):
    """Whatever is done to a checkpoint's folder later."""
    runs = Study(settings(**SMALL), copy).runs(3)
    checkpoints = runs.groups((0,))[0].folder / "checkpoints"
    for i, step in enumerate((0, 4, 8)):
        os.utime(checkpoints / str(step) / RECORD_FILE, (12 * i, 12 * i))
        os.utime(checkpoints / str(step), (10**6, 10**6))
    assert status.pace(runs, (0, 1, 2)) == 12 / 4 / 3  # steps, and networks


def test_bytes_are_those_that_checkpoints_take(done):
    whole = settings(**SMALL | {"model__depth": 3})
    runs = Study(whole, done).runs(4)
    need = budget.need(Study(whole, done.parent / "new").runs(4), (0, 1, 2))
    assert need.checkpoints == 9
    at_rest = need.checkpoints * need.network
    # Networks this small: 9 checkpoints of 2 kB; the rest is what describes them.
    assert at_rest < status.used(runs.folder) < need.disk + 9 * 20_000


def test_an_experiment_that_cannot_be_run_is_named(done):
    changed = settings(**SMALL | {"simultaneous__widths": (9,)})
    text = status.text(Study(changed, done))
    assert "simultaneous cannot be run with these settings: " in text
    assert "\nweak " in text


def test_a_section_of_another_name_is_checked_too(done):
    changes = {"methods_compared__widths": (99,), "experiments": ("methods",)}
    text = status.text(Study(settings(**SMALL | changes), done))
    assert "methods cannot be run with these settings: " in text
    assert "methods_compared.widths [99]" in text


def test_paper_refuses_before_it_trains(tmp_path):
    changed = settings(**SMALL | {"simultaneous__widths": (9,)})
    with pytest.raises(ValueError, match="simultaneous.widths"):
        paper.run(Study(changed, tmp_path / "w"))
    assert not (tmp_path / "w").exists()


# ---- one workdir, one study ----

OTHERS = [
    ({"model": {"family": "mlp", "depth": 2, "norm": "none"}}, "model.depth=3"),
    (
        {"train__epochs": 3, "widths": (5,), "simultaneous__widths": ()},
        "train.epochs=2",
    ),
    ({"model": {"family": "mlp", "depth": 3, "norm": "layer"}}, "model.norm='none'"),
]


@pytest.mark.parametrize(("changes", "named"), OTHERS)
def test_another_study_is_refused(changes, named, copy):
    before = files(copy)
    study = Study(settings(**SMALL | changes), copy)
    with pytest.raises(ValueError, match="a workdir is for one study") as said:
        study.train()
    assert named in str(said.value)
    assert files(copy) == before


def test_two_studies_that_begin_at_once_are_told_apart(monkeypatch, tmp_path):
    """The second begins after the first has looked, before anything is trained."""
    one, same, other = (
        Study(settings(**SMALL | changes), tmp_path)
        for changes in ({}, {"methods": ("naive",)}, OTHERS[0][0])
    )
    seen = []

    def ensure(self, seeds, at_once=None):
        seen.append(self.recipe.network.name)
        if len(seen) == 1:
            same.train()
            with pytest.raises(ValueError, match="model.depth=3, .* is at work there"):
                other.train()
            assert {name[:8] for name in seen} == {"mlp-3x3-", "mlp-3x4-"}

    monkeypatch.setattr(Runs, "ensure", ensure)
    one.train()
    other.train()  # nothing was trained in what the config there says
    (tmp_path / "results").mkdir()
    results.files.write_unit(tmp_path / "results", {"k": 2}, {"rows": []})
    with pytest.raises(ValueError, match=r"model\.depth=2.* is for one study"):
        one.train()


def test_the_same_study_goes_on(copy):
    more = {"widths": (5,), "seeds": 4, "simultaneous__widths": (5,), "methods": ()}
    Study(settings(**SMALL | more | {"checkpoints__epochs": ()}), copy).train()
    moved = settings(**SMALL | {"dataset__folder": str(copy)})
    Study(moved, copy, dataset=data.load("digits", train_examples=32)).settings  # noqa: B018


def test_a_table_holds_what_was_asked_for_last(copy, capsys):
    for methods, shown in ((("naive",), False), (("naive", "random"), True)):
        Study(settings(**SMALL | {"methods": methods}), copy).run(EXPERIMENTS["weak"])
        said = capsys.readouterr().err
        assert "naive" in said
        assert ("random permutation" in said) == shown
        assert "weight matching" not in said
