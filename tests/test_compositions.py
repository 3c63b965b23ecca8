"""Alignments one after another: their direction, and the experiment on them."""

import jax
import numpy as np
import pytest
import synthetic_study

from experiments import compositions, compositions_figures
from linconn_jax import data, models, permutation, report
from linconn_jax.study import (
    AlignmentKey,
    Barrier,
    Composed,
    Given,
    Likeness,
    Study,
    chain,
    composed,
    pair,
)

WM = "weight_matching"


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


# ---- planted permutations ----


def network(v, x):
    h = jax.nn.relu(x @ v["a"] + v["b"][None])
    return jax.nn.relu(h @ v["c"]) @ v["d"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A network and two random permutations of it; and those permutations."""
    rng = np.random.default_rng(0)
    shapes = {"a": (40, 8), "b": (8,), "c": (8, 7), "d": (7, 20)}
    first = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    x = rng.normal(size=(60, 40)).astype(np.float32)
    spec = permutation.discover(network, first, x)
    moves = [permutation.random(jax.random.key(i), spec, first) for i in (1, 2)]
    others = [permutation.permute(spec, p, first) for p in moves]
    given = models.from_networks(network, [first, *others], x)
    labels = np.asarray(network(first, x).argmax(axis=1))  # it is always right
    dataset = data.from_arrays(
        "planted", train=(x, labels), test=(x, labels), classes=20
    )
    folder = tmp_path_factory.mktemp("planted")
    study = Given({}, folder, networks=given, dataset=dataset)
    return study, spec, moves


def of(study):
    return [study.network(study.widths[0], seed) for seed in study.seeds]


def test_planted_permutations_are_composed(planted):
    """From C to B to A is what undoes C's permutation; the other order is not."""
    study, spec, (to_b, to_c) = planted
    a, b, c = of(study)
    _, moved = composed([a, b, c], method=WM)
    found = moved.permutation(study)
    assert found == permutation.inverse(to_c)
    same = jax.tree.map(np.array_equal, moved.variables(study), a.variables(study))
    assert all(jax.tree.leaves(same))
    c_to_b, b_to_a = (
        study.alignment(AlignmentKey(WM, x)).permutation for x in ((b, c), (a, b))
    )
    assert c_to_b == permutation.compose(permutation.inverse(to_c), to_b)
    # controls: the wrong order, and the wrong direction
    assert permutation.compose(b_to_a, c_to_b) != permutation.inverse(to_c)
    assert permutation.compose(c_to_b, permutation.inverse(b_to_a)) != found


def test_a_composition_has_no_barrier_and_a_wrong_one_has(planted):
    study, *_ = planted
    a, b, c = of(study)
    (value,) = _losses(study, Barrier(composed([a, b, c], method=WM)))
    assert abs(value) < 1e-5
    (value,) = _losses(study, Barrier(pair(a, c, method="naive")))
    assert value > 0.05
    (value,) = _losses(study, Barrier(composed([a, b, a], method=WM)))
    assert abs(value) < 1e-5


def test_likeness_of_planted_permutations(planted):
    study, _, (_, to_c) = planted
    a, b, c = of(study)
    rows = [
        *Likeness(chain([a, b, c], method=WM), chain([a, c], method=WM)).rows(study)
    ]
    assert [row["axis"] for row in rows] == ["a", "c", "all"]
    assert {row["value"] for row in rows} == {1.0}
    assert [row["chance"] for row in rows] == pytest.approx([1 / 8, 1 / 7, 2 / 15])
    around = chain([a, b, c, a], method=WM)
    assert {row["value"] for row in Likeness(around).rows(study)} == {1.0}
    # control: C's own permutation against the identity
    still = permutation.agreement(
        to_c, permutation.compose(to_c, permutation.inverse(to_c))
    )
    rows = [*Likeness(chain([a, c], method=WM)).rows(study)]
    wanted = [float(still[name]) for name in ("a", "c")]
    assert [row["value"] for row in rows[:2]] == pytest.approx(wanted)
    assert max(wanted) < 1


def test_a_chain_in_the_wrong_order_is_refused(planted):
    study, *_ = planted
    a, b, c = of(study)
    right = chain([a, b, c], method=WM)
    assert Composed(c, right).path == "composed"
    with pytest.raises(ValueError, match="order in which they are applied"):
        Composed(c, right[::-1])
    with pytest.raises(ValueError, match="order in which they are applied"):
        Likeness(right[::-1], right)


def test_columns(planted):
    study, *_ = planted
    a, b, c = of(study)
    key = Barrier(composed([a, b, c], method=WM)).key(study)
    wanted = {"path": "composed", "route": [0, 1, 2], "length": 2, "reference": [0, 1]}
    assert {name: key[name] for name in wanted} == wanted
    assert key["seeds"] == [0, 2]
    key = Barrier(composed([a, b, a], method=WM)).key(study)
    assert (key["path"], key["route"], key["seeds"]) == ("cycle", [0, 1, 0], [0, 0])
    assert composed([a, b], method=WM) == pair(a, b, method=WM)


def _losses(study, task):
    return [
        row["value"]
        for row in study.measure(task)
        if (row["quantity"], row["metric"]) == ("barrier", "loss")
        and (row["split"], row["baseline"]) == ("train", "interpolated")
    ]


# ---- the experiment ----


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Four small networks on digits, and the experiment run."""
    chosen = synthetic_study.settings(
        dataset__mock=None,
        widths=(16,),
        seeds=4,
        pairs=None,
        train__epochs=20,
        train__batch_size=64,
        model__depth=2,
        compositions__longest=5,
    )
    made = Study(chosen, tmp_path_factory.mktemp("compositions"))
    made.run(compositions.EXPERIMENT)
    return made


@pytest.fixture(scope="module")
def rows(study):
    return report.select_rows(study.workdir, "compositions")


def test_every_kind_and_length_is_there(rows):
    found = compositions_figures.kinds(rows.rows)
    agreed = report.select.where(found, quantity="agreement", axis="all")
    counts = agreed.groupby(["kind", "length"]).size().to_dict()
    lengths = {("composed", 2): 4, ("composed", 3): 4, ("second run", 1): 4}
    cycles = {("cycle", n): 4 for n in (2, 3, 4)}
    assert counts == lengths | cycles
    loss = report.select.where(found, quantity="barrier", metric="loss")
    counts = loss.groupby(["kind", "length"]).size().to_dict()
    plain = {(kind, n): 4 for kind in ("direct", "naive", "random") for n in (1, 2, 3)}
    plain |= {("itself", n): 4 for n in (2, 3, 4)}
    assert counts == lengths | cycles | plain


def test_what_stands_beside_a_path_has_the_same_ends(study, rows):
    found = compositions_figures.kinds(rows.rows)
    loss = report.select.where(found, quantity="barrier", metric="loss", length=3)
    own = report.select.where(loss, kind="composed")
    for kind in ("direct", "naive", "random"):
        assert set(report.select.where(loss, kind=kind)["seeds"]) == set(own["seeds"])
    a, d = (study.network(16, seed) for seed in (0, 3))
    direct = report.select.where(loss, kind="direct", seeds=(0, 3))["value"]
    assert direct.tolist() == _losses(study, Barrier(pair(a, d, method=WM)))


def test_agreements_lie_between_chance_and_one(rows):
    found = compositions_figures.kinds(rows.rows)
    agreed = report.select.where(found, quantity="agreement", axis="all")
    assert agreed["value"].between(0, 1).all()
    chances = agreed["chance"].dropna()
    np.testing.assert_allclose(chances, 1 / 16)
    second = report.select.where(agreed, kind="second run")["value"].mean()
    assert second > 1 / 16


def test_the_section(rows):
    section = compositions.EXPERIMENT
    (table,) = section.tables(rows)
    assert len(table.rows) == 2 + 3 + 1 + 3 + 3 + 3 + 3
    assert {len(line) for line in table.rows} == {len(table.headers)}
    said = section.sentences(rows)
    assert len(said) == 2
    assert "2 composed alignments agree" in said[0]
    assert [x.name for x in section.figures(rows)] == ["compositions", "cycles"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compositions__widths": (99,)}, r"compositions.widths \[99\]"),
        ({"compositions__longest": 1}, "compositions.longest"),
        ({"seeds": 2, "pairs": None}, "at least 3 networks"),
    ],
)
def test_settings_are_refused(tmp_path, changes, message):
    chosen = synthetic_study.settings(**changes)
    with pytest.raises(ValueError, match=message):
        Study(chosen, tmp_path).tasks(compositions.EXPERIMENT)
