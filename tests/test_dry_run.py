"""What a dry run counts is what a run then computes; it writes nothing."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from synthetic_study import EXPERIMENTS as ALL
from synthetic_study import files, settings

from experiments.dry_run import dry_run
from linconn_jax.study import Experiment, Study

ROOT = Path(__file__).parent.parent
EXPERIMENTS = {n: e for n, e in ALL.items() if not e.asked_by_name or n == "sparse"}
SMALL = {
    "seeds": 3,
    "strong__simplices": ((3, 2),),
    "pairs": ((0, 1), (1, 2)),
    "pruning__levels": 1,
}


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


def counts(study, experiments=None):
    """`{width or experiment: [all, done, to do, ...]}` as the dry run says."""
    text = dry_run(study, (experiments or EXPERIMENTS).values())
    lines = [line.split() for line in text.splitlines()]
    found = {}
    for first, *cells in (line for line in lines if len(line) > 4):
        numbers = [int(cell) for cell in cells if cell.isdigit()]
        if numbers and (first in EXPERIMENTS or first.isdigit() or experiments):
            found[first] = numbers
    return found


def stored(workdir):
    """Measurements and alignments on disk."""
    return [len([*(workdir / f).glob("*")]) for f in ("results", "permutations")]


def to_do(found):
    """Measurements and alignments that all experiments together lack."""
    asked = [found[name][2:4] for name in EXPERIMENTS if name in found]
    return np.sum(asked, axis=0).tolist()


@pytest.mark.slow
def test_counts_are_what_runs_compute(tmp_path):
    workdir = tmp_path / "work"
    before = counts(Study(settings(**SMALL), workdir))
    assert not workdir.exists()
    assert before["3"][:3] == [3, 0, 3]
    assert before["weak"][:3] == [8, 0, 8]  # 2 pairs, 4 methods
    for name, experiment in EXPERIMENTS.items():
        had = stored(workdir)
        Study(settings(**SMALL), workdir).run(experiment)
        new = np.subtract(stored(workdir), had).tolist()
        assert new == before[name][2:4], name
    assert to_do(before) == stored(workdir)

    kept = files(workdir)
    after = counts(Study(settings(**SMALL), workdir))
    assert files(workdir) == kept
    assert after["3"][:3] == [3, 3, 0]
    assert to_do(after) == [0, 0]
    assert all(after[name][0] == after[name][1] for name in EXPERIMENTS)

    # Half of it: another seed, and some of the files are gone.
    for folder in ("results", "permutations"):
        for path in sorted((workdir / folder).iterdir())[::2]:
            path.unlink()
    more = SMALL | {"seeds": 4}
    half = counts(Study(settings(**more), workdir))
    assert half["3"][:3] == [4, 3, 1]
    had = stored(workdir)
    study = Study(settings(**more), workdir)
    for experiment in EXPERIMENTS.values():
        study.run(experiment)
    found = np.subtract(stored(workdir), had)
    assert found[0] == to_do(half)[0]
    assert found[1] == to_do(half)[1]


def test_diverged_networks(tmp_path):
    broken = SMALL | {"train__learning_rate": 1e30}
    found = counts(Study(settings(**broken), tmp_path / "work"))
    assert found["weak"][:3] == [8, 0, 8]
    study = Study(settings(**broken), tmp_path / "work")
    study.train()
    kept = files(study.workdir)
    # That sparse networks diverge, too, is known once they are trained.
    dense = {n: e for n, e in EXPERIMENTS.items() if not e.asked_by_name}
    found = counts(Study(settings(**broken), study.workdir), dense)
    assert files(study.workdir) == kept
    for experiment in dense.values():
        study.run(experiment)
    assert to_do(found) == stored(study.workdir)


@dataclasses.dataclass(frozen=True)
class Norm:
    """A measurement from outside, with nothing but a key and rows."""

    level: int
    demanding: bool = False

    def key(self, study):
        return {"quantity": "norm", "level": self.level}

    def rows(self, study):
        leaves = jax.tree.leaves(study.network(3, 0, 0).variables(study))
        if self.demanding:
            raise ValueError("give me real ones")
        yield {"value": float(sum(abs(leaf).sum() for leaf in leaves))}


class Norms(Experiment):
    """Of several levels."""

    name = "norms"
    title = "Norms"

    def tasks(self, study):
        return [*map(Norm, range(5)), Norm(9, demanding=True), Norm(0)]


def test_a_measurement_from_outside(tmp_path, capsys):
    study = Study(settings(**SMALL), tmp_path / "work")
    assert counts(study, {"norms": Norms()})["norms"][:4] == [6, 0, 6, 0]
    Norms.tasks = lambda self, study: [Norm(9, demanding=True)]
    assert counts(study, {"norms": Norms()})["norms"][:4] == [1, 0, 1, 0]
    assert "a Norm cannot be timed: give me real ones" in capsys.readouterr().err
    assert not study.workdir.exists()


def test_the_flag(tmp_path):
    line = [
        sys.executable,
        "-m",
        "experiments.paper",
        "--dry_run",
        "--plugin=departure",
    ]
    line += [
        f"--config={ROOT}/configs/digits.py:smoke",
        f"--workdir={tmp_path / 'work'}",
    ]
    environment = {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [*line, "--config.dataset.mock=64", "--config.widths=(4,)"]
        + ["--config.simultaneous.widths=(4,)"],
        cwd=ROOT / "tests" / "outside",
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.split() for line in done.stderr.splitlines() if line}
    assert lines["departure"][1:5] == ["3", "0", "3", "0"]
    assert lines["weak"][1:5] == ["12", "0", "12", "9"]
    assert "by a probe of" in done.stderr
    assert not (tmp_path / "work").exists()
