"""All methods compared: what is asked for, and what is said of it, on a tiny study."""

import numpy as np
import pandas as pd
import pytest
from synthetic_study import EXPERIMENTS, learning, settings

from experiments import methods_figures as figures
from experiments import methods_tables as told
from linconn_jax import align, permutation, report
from linconn_jax.report import select
from linconn_jax.study import (
    Agreement,
    AlignmentKey,
    Barrier,
    Objective,
    Study,
    pair,
)

OWN = EXPERIMENTS["methods"]
COSINE = "activation matching, cosine"


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made = Study(learning(widths=(12,)), tmp_path_factory.mktemp("methods") / "work")
    made.run(OWN)
    return made


@pytest.fixture(scope="module")
def rows(study):
    return report.select_rows(study.workdir, "methods")


def options(study, **changes):
    kind = align.method("activation_matching").settings
    return kind(**vars(study.settings.sections["activation_matching"]) | changes)


def test_every_method_and_variant_takes_part(study, rows):
    found = [(method, own and own.similarity) for method, own in OWN.compared(study)]
    variants = [("activation_matching", x) for x in ("pearson", "cosine")]
    known = align.methods().items()
    every = [n for n, method in known if not (method.sequences or method.joint)]
    every = ["naive", *every]
    assert found == [*((name, None) for name in every), *variants]
    asked = learning(widths=(12,), methods_compared__methods=("joint_weight_matching",))
    named = OWN.compared(Study(asked, study.workdir))
    assert "joint_weight_matching" in dict(named)
    named = figures.named(rows.everything)
    barriers = select.barriers(named, split="train", metric="loss")
    counts = barriers.groupby("name").size().to_dict()
    labels = ["naive", "random permutation", "weight matching"]
    kinds = [f"activation matching, {x}" for x in ("raw", "pearson", "cosine")]
    assert counts == dict.fromkeys([*labels, *kinds], 2)
    agreed = select.where(named, quantity="agreement", axis="all")
    assert len(agreed) == 2 * 15  # pairs of seeds; pairs of six methods


def test_options_of_a_key_replace_the_study_s(study):
    """Options equal to the study's are the same alignment; others are another one."""
    ends = study.network(12, 0), study.network(12, 1)
    plain = AlignmentKey("activation_matching", ends)
    same, other = (
        AlignmentKey("activation_matching", ends, options=options(study, **x))
        for x in ({}, {"similarity": "cosine"})
    )
    assert plain.identity(study) == same.identity(study) != other.identity(study)
    assert set(plain.identity(study)) == {"method", "options", "networks"}
    changed = Study(
        learning(widths=(12,), activation_matching__similarity="cosine"), study.workdir
    )
    changed.train()
    assert other.identity(study) == plain.identity(changed)
    found, expected = study.alignment(other), changed.alignments.find(plain)
    agreed = permutation.agreement(found.permutation, expected.permutation)
    assert all(x == 1 for x in agreed.values())
    assert found.objective == expected.objective != study.alignment(plain).objective


def test_objectives_are_those_of_the_alignments(study, rows):
    found = select.where(figures.named(rows.everything), quantity="objective")
    found = select.where(found, name=COSINE, seeds=(1, 2))
    ends = study.network(12, 1), study.network(12, 2)
    own = options(study, similarity="cosine")
    alignment = study.alignment(AlignmentKey("activation_matching", ends, options=own))
    assert dict(zip(found["metric"], found["value"], strict=True)) == {
        "found": alignment.objective,
        "naive": alignment.naive,
        "sweeps": alignment.sweeps,
    }
    assert alignment.objective > alignment.naive
    key = AlignmentKey("random", ends)
    assert list(Objective(key).rows(study)) == []


def test_agreements_are_of_the_two_named(study, rows):
    agreed = figures.named(rows.everything)
    agreed = select.where(agreed, quantity="agreement", axis="all", seeds=(0, 1))
    ends = study.network(12, 0), study.network(12, 1)
    own = options(study, similarity="cosine")
    both = (
        AlignmentKey("naive", ends),
        AlignmentKey("activation_matching", ends, options=own),
    )
    *_, whole = Agreement(*both).rows(study)
    row = select.where(agreed, name="naive", other=COSINE)
    assert row["value"].tolist() == [whole["value"]]
    p = study.alignment(both[1]).permutation
    fixed = [np.asarray(index) == np.arange(len(index)) for index in p.values()]
    assert whole["value"] == pytest.approx(np.concatenate(fixed).mean())
    turned = figures.agreements(agreed)
    assert len(turned) == 2 * len(agreed)
    back = select.where(turned, name=COSINE, other="naive")
    assert back["value"].tolist() == [whole["value"]]


def test_barriers_are_shared_with_the_other_experiments(study):
    """What weak asks for with its options is not measured again."""
    before = {path.name for path in study.results.folder.iterdir()}
    ends = study.network(12, 0), study.network(12, 1)
    for method in study.settings.methods:
        key = Barrier(pair(*ends, method=method)).key(study)
        assert study.results.has(key)
    study.measure(Barrier(pair(*ends, method="weight_matching")))
    assert {path.name for path in study.results.folder.iterdir()} == before


def test_the_section(rows):
    tables = OWN.tables(rows)
    assert len(tables) == 3
    assert [row[1] for row in tables[0].rows].count(COSINE) == 1
    drawn = OWN.figures(rows)
    assert [x.name for x in drawn] == ["methods_barriers", "methods_agreement"]


def barriers(values):
    """Rows of barriers of methods on pairs, as `named` gives them."""
    common = {"quantity": "barrier", "baseline": "interpolated", "split": "train"}
    return pd.DataFrame(
        [
            {
                **common,
                "metric": metric,
                "width": 8,
                "seeds": (0, i),
                "value": value,
                "method": method,
                "name": method,
                "variant": 0,
                "is_judged": True,
                "axis": None,
                "other": method,
            }
            for metric in ("loss", "error")
            for method, several in values.items()
            for i, value in enumerate(several, 1)
        ]
    )


def test_the_lowest_is_counted_pair_by_pair():
    found = barriers(
        {
            "naive": [0.9, 0.9, 0.9],
            "weight_matching": [0.1, 0.2, 0.3],
            "activation_matching": [0.2, 0.1, 0.3],
        }
    )
    table = told.lowest(found)[0]
    assert table.rows[0] == ("loss", "8", "3", "0", "2", "2")  # the third is shared
    said = told.at_the_end(found)
    assert "weight_matching has the lowest mean training loss barrier of 3" in said[0]
    assert "naive 0.900" in said[0]
    unjudged = found.assign(is_judged=False)
    assert told.lowest(unjudged) == told.at_the_end(unjudged) == []


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        ((("weight_matching", {"draws": 2}),), "weight_matching"),
        ((("activation_matching", {"similarty": "raw"}),), "similarity"),
        ((("activation_matching", {"similarity": "none"}),), "one of raw"),
        ((("naive", {}),), "a tuple of"),
    ],
)
def test_wrong_variants_are_refused(variants, words):
    with pytest.raises(ValueError, match=words):
        Study(settings(methods_compared__variants=variants), "nowhere").tasks(OWN)
