"""Rows on disk: computed once, read as one tidy table."""

import math

import made_up
import pytest
import synthetic_study

from linconn_jax import columns, files, provenance, results
from linconn_jax.results import COLUMNS, Results
from linconn_jax.study import Study


def test_rows_are_computed_once(tmp_path):
    made = []

    def compute():
        made.append(1)
        yield {"quantity": "barrier", "value": 0.25}
        yield {"quantity": "barrier", "value": math.inf, "k": 3}  # overrides the key

    key = {"width": 8, "k": 2, "limit": None}
    first = Results(tmp_path)
    rows = first.rows(key, compute)
    assert [row["k"] for row in rows] == [2, 3]
    assert (first.computed, first.reused) == (1, 0)
    again = Results(tmp_path)
    assert again.rows(dict(reversed(key.items())), compute) == rows
    assert (again.computed, again.reused, len(made)) == (0, 1, 1)
    again.rows(key | {"width": 9}, compute)
    assert (again.computed, len(made)) == (1, 2)


def test_options_of_methods_are_columns(tmp_path):
    store = Results(tmp_path)
    for i, size in enumerate((None, 16)):
        found = {"method": "mine", "options": {"size": size, "kind": "a"}}
        moved = {"network": {"seed": 1}, "alignment": found, "i": 1}
        key = {"k": i, "vertices": [{"seed": 0}, moved], "nothing": None}
        store.rows(key, lambda: [{"value": 1.0}])
    store.rows({"k": 2, "vertices": [{"seed": 0}]}, lambda: [{"value": 1.0}])
    frame = results.load(tmp_path).sort_values("k", ignore_index=True)
    assert frame["mine.size"].isna().tolist() == [True, False, True]
    assert frame["mine.size"][1] == 16
    assert frame["mine.kind"].isna().tolist() == [False, False, True]
    assert frame["mine.kind"][0] == frame["mine.kind"][1] == "a"
    more = set(frame.columns) - set(COLUMNS)
    assert more == {"mine.size", "mine.kind"}  # and not "nothing", which says nothing


def test_failed_units_leave_nothing(tmp_path):
    def compute():
        yield {"value": 1.0}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Results(tmp_path).rows({"width": 8}, compute)
    assert list(tmp_path.iterdir()) == []


def test_units_of_different_columns_become_one_table(tmp_path):
    store = Results(tmp_path)
    store.rows({"k": 2, "only": "a"}, lambda: [{"quantity": "barrier", "value": 1.0}])
    store.rows({"k": 3}, lambda: [{"quantity": "value", "value": 2.0, "late": "b"}] * 2)
    store.rows({"k": 4}, lambda: [])
    frame = results.load(tmp_path).sort_values("k", ignore_index=True)
    assert set(COLUMNS) <= set(frame.columns)
    assert frame["k"].tolist() == [2, 3, 3]
    assert frame["value"].tolist() == [1.0, 2.0, 2.0]
    assert frame["only"].isna().tolist() == [False, True, True]
    assert frame["late"].isna().tolist() == [True, False, False]
    assert frame["version"].notna().all()
    assert frame["device"].str.contains("4 cpu").all()
    barriers = results.load(tmp_path, quantities=["barrier"])
    assert barriers["value"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("device", "counts"),
    [("4 cpu x86_64", True), ("1 NVIDIA H100 80GB HBM3", False), ("4 TPU v4", False)],
)
def test_rows_of_another_precision_than_they_say_are_refused(device, counts, tmp_path):
    """Of format 2, when products on accelerators were less than float32."""
    store, key, row = Results(tmp_path), {"precision": "float32"}, {"value": 0.5}
    about = {"device": device, "version": "0.1.0", "jax": "0.10.2"}
    content = {"format": 2, "provenance": about, "rows": [row]}
    files.write_unit(store.folder, key, content)
    for look in (
        lambda: store.rows(key, list),
        lambda: results.load(tmp_path).to_dict("records"),
        lambda: results.check_format(tmp_path) or [row],
    ):
        if counts:
            assert [found["value"] for found in look()] == [0.5]
        else:
            with pytest.raises(ValueError, match=f"{device}.*remove that folder"):
                look()
    files.write_unit(store.folder, key, {**content, "format": provenance.FORMAT})
    assert results.load(tmp_path)["value"].tolist() == [0.5]


@pytest.mark.parametrize("made", [False, True])
def test_no_results(made, tmp_path):
    if made:
        (tmp_path / "results").mkdir()
    with pytest.raises(ValueError, match="holds no results; run python -m"):
        results.load(tmp_path)


@pytest.mark.usefixtures("ordinary_promotion")
def test_every_column_is_explained(tmp_path, monkeypatch):
    made_up.patch(monkeypatch)
    asked = {"seeds": 4, "pairs": ((0, 1),), "strong__simplices": ()}
    asked |= {"pruning__levels": 2, "pruning__rewind_epoch": 1}
    study = Study(synthetic_study.settings(**asked), tmp_path)
    for name in ("layers", "sparse", "transport", "methods", "stability"):
        made_up.run(study, synthetic_study.EXPERIMENTS[name])
    names = results.load(tmp_path).columns
    assert {"fit_level", "part_epoch", "fit_spawned_at", "mask_of"} <= {*names}
    assert all(columns.explained(name) for name in names)
    assert columns.explained("fit_level").startswith(COLUMNS["level"])
    with pytest.raises(ValueError, match="no column 'nothing'"):
        columns.explained("fit_nothing")


def test_an_option_of_two_values_is_that_of_neither(tmp_path):
    one, two = ({"method": "m", "options": {"a": x, "b": 1}} for x in (1, 2))
    made = Results(tmp_path)
    made.rows({"fits": [one, two]}, lambda: [{"value": 1.0}])
    made.rows({"fits": [one, one]}, lambda: [{"value": 2.0}])
    found = results.load(tmp_path).set_index("value")
    assert found["m.a"].isna().to_dict() == {1.0: True, 2.0: False}
    assert (found["m.b"] == 1).all()
