"""The page of an experiment that was stopped: any part of its rows may be missing."""

import made_up
import matplotlib.pyplot as plt
import pytest
import synthetic_study

from linconn_jax import files
from linconn_jax.report import select_rows
from linconn_jax.study import Study

CHANGES = {
    "seeds": 3,
    "pairs": ((0, 1), (1, 2)),
    "methods": ("naive", "random", "weight_matching"),
    "methods_compared__methods": ("weight_matching", "activation_matching"),
    "experiments": tuple(synthetic_study.EXPERIMENTS),
    "strong__simplices": ((3, 2),),
    "simultaneous__random": True,
    "joint__widths": (3,),
    "joint__sets": (2,),
    "pruning__levels": 2,
    "pruning__rewind_epoch": 1,
    "layers__curves": ("put_in", "leave_out", "bottom_up", "top_down"),
    "compositions__longest": 3,
}
SHARES = (0.01, 0.1, 0.3, 0.7)


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """With all rows of all experiments, made up."""
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.MonkeyPatch.context() as patch:
        made_up.patch(patch)
        study = Study(synthetic_study.settings(**CHANGES), folder)
        for experiment in study.experiments():
            made_up.run(study, experiment)
    return folder


@pytest.mark.parametrize("name", list(synthetic_study.EXPERIMENTS))
def test_words_of_any_part_of_the_rows(name, workdir):
    path = workdir / "requests" / f"{name}.json"
    whole, section = files.read_sealed(path), synthetic_study.EXPERIMENTS[name]
    units = whole["units"]
    parts = [units[: max(1, int(share * len(units)))] for share in SHARES]
    parts += [units[-max(1, len(units) // 3) :], units]
    try:
        for part in parts:
            files.write_sealed(path, whole | {"units": part})
            rows = select_rows(workdir, name)
            section.tables(rows)
            section.sentences(rows)
    finally:
        files.write_sealed(path, whole)
    assert section.tables(rows)
    assert rows.rows["is_judged"].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(synthetic_study.EXPERIMENTS))
def test_figures_of_any_part_of_the_rows(name, workdir):
    path = workdir / "requests" / f"{name}.json"
    whole, section = files.read_sealed(path), synthetic_study.EXPERIMENTS[name]
    units = whole["units"]
    try:
        for share in SHARES:
            part = units[: max(1, int(share * len(units)))]
            files.write_sealed(path, whole | {"units": part})
            rows = select_rows(workdir, name)
            section.figures(rows)
            panel = section.panel(rows)
            if panel:
                panel(plt.figure().add_subplot())
            plt.close("all")
    finally:
        files.write_sealed(path, whole)
