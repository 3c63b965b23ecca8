"""Distances: exact oracles, laws, the control, and the experiment on a tiny study."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from synthetic_study import EXPERIMENTS, learning, settings

from experiments import distances_figures as figures
from linconn_jax import models, permutation, report
from linconn_jax.report import select
from linconn_jax.study import Barrier, Distance, Network, RandomDirection, Study, pair
from linconn_jax.study.distances import distances, order_of_use

ALL = EXPERIMENTS["distances"]


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


def model(family="mlp", norm="batch", **options):
    options = {"width": 5, "depth": 2} | options
    shape = {"image_shape": (4, 4, 1), "classes": 3, "mean": (0.5,), "std": (0.2,)}
    return models.build(family, norm=norm, **shape, **options)


def network(of, seed):
    """Every leaf drawn at random, running statistics too."""
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal
    return jax.tree.map(lambda x: draw(x.shape).astype(x.dtype), of.shapes)


def test_numbers_are_those_of_numpy():
    of = model()
    a, b = network(of, 0), network(of, 1)
    found = distances(of.spec, a, b)
    layers = {
        "params/dense_1": [("dense_1", x) for x in ("kernel", "bias")],
        "params/norm_2/scale": [("norm_2", "scale")],
        "all": [(x, y) for x, leaves in a["params"].items() for y in leaves],
    }
    for axis, leaves in layers.items():
        one, two = (
            np.concatenate([np.float64(net["params"][x][y]).ravel() for x, y in leaves])
            for net in (a, b)
        )
        apart = np.linalg.norm(one - two)
        squares = np.mean([np.sum(one**2), np.sum(two**2)])
        cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
        expected = {"l2": apart, "cosine": cosine, "normalised": apart**2 / squares}
        assert found[axis] == pytest.approx(expected, rel=1e-12)
    names = {f"params/{x}/{y}" for x, leaves in a["params"].items() for y in leaves}
    assert found.keys() == names | {f"params/{x}" for x in a["params"]} | {"all"}


def test_running_statistics_do_not_enter():
    of = model()
    a, b = network(of, 0), network(of, 1)
    before = distances(of.spec, a, b)
    state = {name: x for name, x in b.items() if name != "params"}
    assert state
    other = {**b, **jax.tree.map(lambda x: x + 100.0, state)}
    assert distances(of.spec, a, other) == before
    other = {**b, "params": jax.tree.map(lambda x: x + 1.0, b["params"])}
    assert distances(of.spec, a, other) != before


def test_a_network_is_at_no_distance_from_itself():
    of = model(norm="none")
    a = network(of, 0)
    for found in distances(of.spec, a, a).values():
        assert found["l2"] == found["normalised"] == 0
        assert found["cosine"] == pytest.approx(1, abs=1e-15)


def test_what_has_no_length_has_no_cosine():
    of = model(norm="none")
    a = network(of, 0)
    a["params"]["dense_1"]["bias"] *= 0
    assert distances(of.spec, a, a)["params/dense_1/bias"] == {"l2": 0, "normalised": 0}
    opposite = jax.tree.map(lambda x: -x, a)
    assert distances(of.spec, a, opposite)["all"]["normalised"] == pytest.approx(4)


@pytest.mark.parametrize("family", ["mlp", "resnet"])
def test_laws_of_permuting(family):
    """Both permuted alike are as far apart; a planted permutation undone is nothing."""
    of = model(family, depth=8 if family == "resnet" else 2)
    a, b = network(of, 0), network(of, 1)
    p = permutation.random(jax.random.key(0), of.spec, a)
    moved_a, moved_b = (permutation.permute(of.spec, p, x) for x in (a, b))
    before, after = distances(of.spec, a, b), distances(of.spec, moved_a, moved_b)
    assert before.keys() == after.keys()
    for axis in before:
        assert after[axis] == pytest.approx(before[axis], rel=1e-12, abs=1e-12)
    assert distances(of.spec, a, moved_b)["all"] != pytest.approx(
        before["all"], rel=1e-6
    )
    assert distances(of.spec, a, moved_a)["all"]["normalised"] > 1
    undone = permutation.permute(of.spec, permutation.inverse(p), moved_a)
    assert {x["l2"] for x in distances(of.spec, a, undone).values()} == {0.0}


def test_order_of_use():
    """Tree order puts the head before the norms, and a function may be jitted."""
    of = model("mlp", depth=3, norm="layer")
    spec = permutation.bind(of.spec, of.shapes)
    inputs = np.zeros((1, 4, 4, 1), np.float32)
    found = order_of_use(of.apply, of.shapes, inputs)
    layers = [spec.paths[i].split("/")[1] for i in found]
    expected = [f"{kind}_{i}" for i in (1, 2, 3) for kind in ("dense", "norm")]
    assert [name for name, _ in itertools.groupby(layers)] == [*expected, "head"]
    assert sorted(found) == [*range(len(spec.paths))]
    assert order_of_use(jax.jit(of.apply), of.shapes, inputs) == found
    assert found != sorted(found)


# ---- of a study ----


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made = Study(learning(), tmp_path_factory.mktemp("distances") / "work")
    made.run(ALL)
    return made


@pytest.fixture(scope="module")
def rows(study):
    return report.select_rows(study.workdir, "distances")


def test_a_random_direction(study):
    real = study.network(16, 1)
    control = RandomDirection(real)
    a, b = real.variables(study), control.variables(study)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.linalg.norm(y) == pytest.approx(np.linalg.norm(x), rel=1e-6)
        assert x.shape == y.shape
        assert np.asarray(x).dtype == np.asarray(y).dtype
    found = distances(study.runs(16).recipe.network.spec, a, b)
    assert abs(found["all"]["cosine"]) < 0.2
    assert found["all"]["normalised"] == pytest.approx(2 - 2 * found["all"]["cosine"])
    again, other = control.variables(study), RandomDirection(real, 1).variables(study)
    jax.tree.map(np.testing.assert_array_equal, b, again)
    assert distances(study.runs(16).recipe.network.spec, b, other)["all"]["l2"] > 0
    identity = [x.identity(study) for x in (control, RandomDirection(real, 1), real)]
    assert len({str(x) for x in identity}) == 3


def test_rows_are_of_the_networks(study, rows):
    ends = [study.network(16, seed) for seed in (0, 1)]
    moved = pair(*ends, method="weight_matching")
    spec = study.runs(16).recipe.network.spec
    expected = distances(spec, *(x.variables(study) for x in moved))
    own = figures.at_end(rows.rows)
    own = select.where(own, width=16, seeds=(0, 1), method="weight_matching")
    own = own[own["control"].isna()]
    assert len(own) == sum(map(len, expected.values()))
    for row in own.itertuples():
        assert row.value == expected[row.axis][row.metric]
    naive = distances(spec, *(x.variables(study) for x in ends))
    assert expected["all"]["l2"] < naive["all"]["l2"]


def test_rows_of_equal_vertices_are_another_measurement(study):
    """A distance and a barrier of one pair do not share a key."""
    ends = study.network(16, 0), study.network(16, 1)
    assert Distance(ends).key(study) != Barrier(ends).key(study)


def test_diverged_networks_have_no_distance(study, monkeypatch):
    monkeypatch.setattr(Study, "diverged", lambda self, vertices: [1])
    task = Distance((Network(16, 0, 8), Network(16, 1, 8)))
    assert [np.isnan(row["value"]) for row in task.rows(study)] == [True] * 3
    assert {row["axis"] for row in task.rows(study)} == {"all"}
    assert task.key(study)["diverged"] == [1]


def test_where_all_diverge_the_start_is_not_taken_for_the_end(tmp_path):
    """Of networks that diverged nothing is said, and they are counted as left out."""
    made = Study(settings(train__learning_rate=1e20), tmp_path)
    made.run(ALL)
    rows = report.select_rows(tmp_path, "distances")
    table, *others = ALL.tables(rows)
    assert {row[2:5] for row in table.rows} == {("0", "2", "–")}
    assert others == ALL.sentences(rows) == ALL.figures(rows) == []


def test_lines_along_training(study, rows):
    """Each line holds what it says: of the networks at those steps."""
    found = select.where(figures.along(rows.rows), axis="all", metric="normalised")
    assert set(found["width"]) == {16}
    spec, steps = study.runs(16).recipe.network.spec, study.steps(16)
    epochs = study.runs(16).recipe.steps_per_epoch

    def distance(*ends):
        told = distances(spec, *(x.variables(study) for x in ends))
        return told["all"]["normalised"]

    for step in steps:
        a, b = (study.network(16, seed, step) for seed in (0, 1))
        last = [study.network(16, seed, steps[-1]) for seed in (0, 1)]
        options = {"method": "weight_matching"}
        expected = {
            "naive": [distance(a, b)],
            "P_T": [distance(*pair(a, b, fitted=last, **options))],
            "anew": [distance(*pair(a, b, **options))],
            "start": [
                distance(study.network(16, s, 0), x) for s, x in ((0, a), (1, b))
            ],
            "end": [distance(x, study.network(16, s)) for s, x in ((0, a), (1, b))],
        }
        for name, values in expected.items():
            line = figures.line(found, name)
            assert line[line["at"] == step / epochs]["value"].tolist() == values


def test_the_section(rows):
    tables = ALL.tables(rows)
    first = tables[0].text()
    assert "random direction, weight matching" in first
    assert len(tables) == 3
    assert [row[0] for row in tables[1].rows] == [
        *("dense_1", "dense_2", "dense_3", "head", "all")
    ]
    said = ALL.sentences(rows)
    assert any(
        "weight matching: the normalised squared distance of 2 pairs" in x for x in said
    )
    assert any("it falls at" in x for x in said)
    assert any("from its own start" in x for x in said)
    drawn = ALL.figures(rows)
    assert [x.name for x in drawn] == [
        *("distances_width", "distances_layers", "distances_training")
    ]
    assert all("2 pairs" in x.caption for x in drawn[:2])
    assert "1 pair." in drawn[2].caption


def test_where_one_of_a_pair_is_left_out(rows):
    """Its partner's own way through training is no pair, and there is a page."""
    gone = [0 in seeds for seeds in rows.rows["seeds"]]
    parts = rows.rows[~np.array(gone)], rows.rows[gone]
    some = dataclasses.replace(rows, rows=parts[0], left_out=parts[1])
    assert [row[2:4] for row in ALL.tables(some)[0].rows[:1]] == [("1", "1")]
    assert [x.name for x in ALL.figures(some)] == [
        "distances_width",
        "distances_layers",
    ]
    assert not any("from its own start" in x for x in ALL.sentences(some))


def test_wrong_settings_are_refused():
    for changes, word in (
        ({"distances__widths": (5,)}, "distances.widths"),
        ({"distances__pairs": ((0, 9),)}, "distances.pairs"),
    ):
        with pytest.raises(ValueError, match=word):
            Study(settings(**changes), "nowhere").tasks(ALL)
