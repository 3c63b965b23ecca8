"""One permutation for all levels of pruning."""

import jax
import made_up
import numpy as np
import pytest
import synthetic_study

from experiments.one_permutation_rows import ALONE, JOINT, lines
from linconn_jax import results
from linconn_jax.barrier import barrier
from linconn_jax.interpolate import evaluate_simplex
from linconn_jax.report import ends, select, select_rows
from linconn_jax.simplex import segment
from linconn_jax.study import AlignmentKey, Study, experiment, sequences

WIDTH, LEVELS = 3, 2
SPARSITIES = (0.0, 0.2, 0.3625)  # ceil(.2 x 240) = 48 and ceil(.2 x 192) = 39 of 240


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The study after `sparse`: two levels, one pair."""
    few = {"seeds": 2, "pairs": None, "strong__simplices": ()}
    pruned = {"pruning__levels": LEVELS, "pruning__rewind_epoch": 1}
    settings = synthetic_study.settings(**few, **pruned)
    study = Study(settings, tmp_path_factory.mktemp("sparse"))
    study.run(experiment("sparse"))
    return study


@pytest.fixture(scope="module")
def rows(done):
    """Training loss barriers over the interpolated baseline."""
    found = results.load(done.workdir, experiment="sparse")
    return select.barriers(found, split="train", metric="loss")


def levels(done, seed):
    """The networks of a seed, from dense to sparse."""
    return sequences.kind("levels").vertices(done, WIDTH, seed)


def test_the_matrix_is_whole_and_the_others_stand_beside_it(rows):
    places = rows["sparsity"].fillna(0.0).round(9)
    assert sorted(set(places)) == pytest.approx(SPARSITIES)
    counts = rows["method"].value_counts().to_dict()
    assert counts["naive"] == counts["random"] == LEVELS + 1
    # At every level, of every level, and again of the dense pair and of each anew.
    first = rows[(rows["method"] == "weight_matching") & (rows["draw"].fillna(0) == 0)]
    assert len(first) == (LEVELS + 1) ** 2
    assert counts["joint_weight_matching"] == 2 * (LEVELS + 1)


def test_the_dense_permutation_is_applied_to_the_sparse_networks(done, rows):
    """Every barrier of P_0 is computed again, by hand."""
    a, b = (levels(done, seed) for seed in (0, 1))
    found = done.alignment(AlignmentKey("weight_matching", (a[0], b[0])))
    coords, apply = segment(3), done.runs(WIDTH).recipe.network.apply
    own = rows[(rows["method"] == "weight_matching") & rows["fit_sparsity"].isna()]
    own = own[own["draw"].fillna(0) == 0]
    by_place = dict(zip(own["sparsity"].fillna(0.0), own["value"], strict=True))
    assert len(by_place) == LEVELS + 1
    differ = []
    for (place, value), one, two in zip(sorted(by_place.items()), a, b, strict=True):
        ends_ = one.variables(done), found.apply(two.variables(done))
        stacked = jax.tree.map(lambda *x: np.stack(x), *ends_)
        losses = evaluate_simplex(apply, stacked, coords, *done.examples("train")).loss
        assert value == pytest.approx(barrier(losses, coords).value, abs=1e-6), place
        plain = jax.tree.map(lambda *x: np.stack(x), ends_[0], two.variables(done))
        losses = evaluate_simplex(apply, plain, coords, *done.examples("train")).loss
        differ.append(abs(value - barrier(losses, coords).value) > 1e-6)
    assert any(differ)


def test_the_dense_pair_is_measured_once_for_all_experiments(done):
    done.run(experiment("weak"))
    weak = results.load(done.workdir, experiment="weak")
    sparse = results.load(done.workdir, experiment="sparse")
    dense = sparse[sparse["sparsity"].isna() & (sparse["method"] == "naive")]
    assert set(dense["unit"]) <= set(weak["unit"])


def test_its_section_tells_sparsities(done, monkeypatch):
    monkeypatch.setattr(ends, "TRAINED_SHARE", 2)
    made, found = experiment("sparse"), select_rows(done.workdir, "sparse")
    (table,) = made.tables(found)
    names = [line[1] for line in table.rows]
    assert {"naive", "random permutation", "0", "0.2", "0.363", "all 3 at once"} <= {
        *names
    }
    assert any("pruning levels" in said for said in made.sentences(found))
    drawn = [drawing.name for drawing in made.figures(found)]
    assert drawn == ["sparse_lines", "sparse_matrix", "sparse_agreement"]


def test_pairs_are_counted_at_each_level(tmp_path, monkeypatch):
    """One of three pairs is gone at one of them."""
    made_up.patch(monkeypatch)
    pairs = ((0, 1), (2, 3), (4, 5))
    changes = {"seeds": 6, "pairs": None, "strong__simplices": ()}
    changes |= {
        "pruning__levels": 2,
        "pruning__rewind_epoch": 1,
        "sparse__pairs": pairs,
    }
    study = Study(synthetic_study.settings(**changes), tmp_path)
    made, last = experiment("sparse"), levels(study, 1)[-1]
    monkeypatch.setattr(study.runs(WIDTH, last.start), "diverged", lambda: {1: 5})
    made_up.run(study, made)
    found = select_rows(tmp_path, "sparse")
    assert "level 2 of pruning: training of seed 1 diverged" in "".join(found.notes)
    said = " ".join(made.sentences(found))
    assert "loss barrier of 2 to 3 pairs at" in said
    (table,) = made.tables(found)
    counts = {line[1]: line[2] for line in table.rows}
    assert counts["naive"] == counts["0"] == "2..3"
    assert counts["0.363"] == "2"  # what was found there is gone everywhere


def test_one_level_and_the_dense_networks_are_two_places(tmp_path, monkeypatch):
    """What is fitted to both at once is no permutation of the level alone."""
    made_up.patch(monkeypatch)
    changes = {"seeds": 2, "pairs": None, "strong__simplices": ()}
    changes |= {"pruning__levels": 1, "pruning__rewind_epoch": 1}
    study = Study(synthetic_study.settings(**changes), tmp_path)
    made = experiment("sparse")
    made_up.run(study, made)
    found = made.parts(select_rows(tmp_path, "sparse"))[0]
    joint = found["method"] == "joint_weight_matching"
    assert set(found[joint]["source"]) == {JOINT}
    (at,) = set(found[joint]["at"])
    assert at == pytest.approx((0.0, 0.2))
    alone = select.where(found, source=ALONE, draw=0, metric="loss", found=at[1])
    assert set(alone["method"]) == {"weight_matching"}
    names = [x.name for x in lines(made.kind, select.where(found, metric="loss"))]
    assert "all 2 at once" in names
    assert "all 2 at once, again" in names
