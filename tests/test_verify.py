"""Right specs pass, every mistake is caught, and what is missed is reported."""

import collections
import dataclasses
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spec_mutants import mutants
from verify_cases import CASES, struct

from linconn_jax.permutation import (
    Axes,
    Block,
    Concat,
    Stacked,
    Units,
    describe,
    examine,
    permute,
    verify,
)
from linconn_jax.permutation._verify.completeness import Coupling
from linconn_jax.permutation._verify.perturbation import Trials
from linconn_jax.permutation._verify.probe import put

BY_NAME = {case.name: case for case in CASES}


def check(case, spec=None, **options):
    spec = case.spec if spec is None else spec
    return verify(case.apply, spec, case.variables, *case.inputs, **options)


def edited(case, **leaves):
    return {**case.spec, **leaves}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_right_specs_pass(case):
    report = check(case)
    assert report.ok, report
    assert report.complete, report
    assert report.function.worst < 1e-12
    assert report.labels.least > 1e-3
    for count in (report.labels.dropped, report.labels.swapped):
        assert count.tried == count.of
    assert report.labels.dropped.of > 4
    assert report.verdict == "right, and complete as far as was tried"
    report.raise_if_wrong()
    report.raise_if_incomplete()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_mutant_is_caught(case):
    missed, how = [], collections.Counter()
    discovery = examine(case.apply, case.variables, *case.inputs)
    for what, spec in mutants(case.spec, case.variables):
        if what.startswith("bk:"):  # the outputs do not depend on it, see below
            continue
        try:
            report = check(case, spec, elements=2, discovery=discovery)
        except ValueError:
            how["misfit"] += 1
            continue
        how["wrong" if not report.function.ok else "incomplete"] += 1
        if report.ok and report.complete:
            missed.append(what)
    assert not missed
    assert how["wrong"] >= 8
    assert how["incomplete"] >= 2


def test_a_label_on_what_has_no_effect_cannot_be_tested():
    # A bias of the keys adds the same to all scores of a query; softmax ignores it.
    report = check(BY_NAME["attention"])
    assert report.idle_leaves == ("bk",)
    assert report.labels.idle == ("bk axis 0 (heads)", "bk axis 1 (qk)")
    assert "untestable bk axis 1 (qk)" in str(report)


@pytest.mark.parametrize(
    ("name", "leaves", "words"),
    [
        ("mlp", {"w2": Axes("one", None), "b2": Axes(None), "w3": Axes(None, None)},
         ["b2 axis 0, w2 axis 1, w3 axis 0 could be a name of 4 units"]),
        ("conv", {"kernel": Axes(None, None, None, None), "dense": Axes(None, "dense"),
                  "scale": Axes(None, None, None, None), "bias": Axes()},
         ["dense axis 0 as 4x4", "could be a name of 4 units"]),
        ("stack", {"up": Axes(None, "stream", "u"), "bias": Axes(None, "u"),
                   "down": Axes(None, "u", "stream")},
         ["u could lie under an axis of length 2"]),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)  # fmt: skip
def test_missed_symmetries_are_named(name, leaves, words):
    case = BY_NAME[name]
    report = check(case, edited(case, **leaves))
    assert report.ok, report
    assert not report.complete
    for each in words:
        assert each in report.verdict
    with pytest.raises(ValueError, match="misses symmetries"):
        report.raise_if_incomplete()


def test_channels_before_positions_are_found():
    def apply(v, x):
        hidden = jnp.tanh(jnp.einsum("bpi,ic->bcp", x, v["w"]))
        return hidden.reshape(len(x), -1) @ v["dense"]

    spec = {"w": Axes(None, None), "dense": Axes(None, None)}
    variables = {"w": struct(2, 4), "dense": struct(12, 2)}
    report = verify(apply, spec, variables, struct(6, 3, 2))
    missed = "w axis 1, dense axis 0 as 4x3 could be a name of 4 units"
    assert report.completeness.missed == (missed,)


def test_slices_that_nothing_reads_miss_nothing():
    spec = {"a": Stacked(Axes(None, "u"), Axes(None, None)), "b": Axes("u", None)}
    variables = {"a": struct(2, 3, 5), "b": struct(5, 2)}
    report = verify(
        lambda v, x: jnp.tanh(x @ v["a"][0]) @ v["b"], spec, variables, struct(6, 3)
    )
    assert report.complete, report


def test_names_made_one_and_nesting_left_out_are_named():
    case = BY_NAME["dense"]
    both = jax.tree.map(lambda axes: axes, case.spec)
    both.update(
        first=Axes(None, "a"),
        second=Axes("a", "a"),
        start=Axes(Concat("a", "a"), "h"),
        input=Axes(Concat("a", "a"), Concat("h", "h")),
    )
    report = check(case, both)
    assert report.ok
    assert "a in input axis 0 part 1, second axis 1" in report.verdict
    case = BY_NAME["attention"]
    plain = edited(
        case,
        **{n: Axes("stream", "heads", Units("qk")) for n in ("wq", "wk")},
        **{n: Axes("heads", Units("qk")) for n in ("bq", "bk")},
    )
    report = check(case, plain)
    assert report.ok
    assert report.completeness.missed == ("qk could lie under heads",)


def test_names_the_wrong_name_and_stops():
    case = BY_NAME["mlp"]
    report = check(case, edited(case, b2=Axes(None)))
    assert report.function.wrong == ("two",)
    assert report.labels is None
    assert report.verdict == "WRONG: permuting two changes the function"
    with pytest.raises(ValueError, match="permuting two changes"):
        report.raise_if_wrong()


def test_random_elements_go_by_permute_itself(monkeypatch):
    function = importlib.import_module("linconn_jax.permutation._verify.run")

    def wrong(spec, permutation, tree):
        return {**permute(spec, permutation, tree), "b1": tree["b1"]}

    monkeypatch.setattr(function, "permute", wrong)
    report = check(BY_NAME["mlp"])
    assert not report.ok
    assert (
        report.function.wrong == ()
    )  # by moves of occurrences alone the spec is right
    assert "some names together" in report.verdict


def test_seeds_draw_other_variables_and_agree():
    errors = {check(BY_NAME["mlp"], seed=seed).labels.least for seed in range(3)}
    assert len(errors) == 3
    assert check(BY_NAME["mlp"], seed=1).labels.least in errors


def test_what_one_network_hides_another_shows(monkeypatch):
    case = BY_NAME["mlp"]

    def closed_at_first(trials, draw):
        network = put({**trials.draw(), 2: np.array(draw - 1.5)})  # the gate
        return network, trials.run(network)

    monkeypatch.setattr(Trials, "_network", closed_at_first)
    report = verify(
        lambda v, x: jax.nn.relu(v["gate"]) * case.apply(v, x),
        edited(case, gate=Axes()),
        {**case.variables, "gate": struct()},
        *case.inputs,
    )
    assert report.ok, report
    assert report.labels.least > 1e-3


@pytest.mark.parametrize("seed", range(8))
def test_units_are_levelled_in_all_readings_at_once(seed):
    shape, spec = {"a": struct(24)}, {"a": Axes(None)}
    trials = Trials(lambda v: v["a"], spec, shape, (), seed, left=10)
    (one,) = trials.occurrences
    coupling = Coupling(trials, [one.divided(4, slow=slow) for slow in (False, True)])
    (leaf,) = coupling.levelled.values()
    i, j = coupling.pair
    assert np.array_equal(leaf.reshape(6, 4)[:, i], leaf.reshape(6, 4)[:, j])
    assert np.array_equal(leaf.reshape(4, 6)[i], leaf.reshape(4, 6)[j])
    assert len(np.unique(leaf)) >= 24 - 6 - 6  # and no more than that


def test_given_values_are_not_used():
    case = BY_NAME["mlp"]
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape), case.variables)
    images = jax.random.normal(jax.random.key(0), (5, 4))
    right = verify(case.apply, case.spec, zeros, images)
    assert right.ok
    assert right.complete
    assert not verify(case.apply, edited(case, b1=Axes(None)), zeros, images).ok


def test_the_number_of_tries_is_bounded_and_said():
    report = check(BY_NAME["attention"], max_tries=10)
    assert (report.labels.dropped.tried, report.labels.dropped.of) == (10, 20)
    assert report.labels.swapped.tried == 0
    assert report.completeness.split.tried == 0
    assert "dropped 10 of 20" in str(report)
    assert report.verdict.startswith("right as far as was tried, which was not all: ")
    assert "10 of 20 labels left out" in report.verdict
    assert not report.complete


@pytest.mark.parametrize("options", [{"max_tries": 0}, {"elements": 0}])
def test_nothing_to_try_is_an_error(options):
    with pytest.raises(ValueError, match="it must be an integer of at least 1"):
        check(BY_NAME["mlp"], **options)


def test_time_is_bounded_and_progress_is_said(monkeypatch, capsys):
    perturbation = importlib.import_module(
        "linconn_jax.permutation._verify.perturbation"
    )
    report = check(BY_NAME["attention"], seconds=0)
    assert (report.labels.dropped.tried, report.labels.dropped.of) == (1, 20)
    assert not report.complete
    assert "1 of 20 labels left out" in report.verdict
    with pytest.raises(
        ValueError, match="may miss symmetries.*give verify seconds=None"
    ):
        report.raise_if_incomplete()
    assert not capsys.readouterr().err
    monkeypatch.setattr(perturbation, "SECONDS_BETWEEN_LINES", 0.0)
    assert check(BY_NAME["attention"], seconds=None).complete
    lines = capsys.readouterr().err.splitlines()
    assert "  verify: permuting all units; 1 runs" in lines[0]
    assert any("labels dropped, 20 of 20" in line for line in lines)


# Models that want positive variables, narrow ones, and odd trees.


def norm(v, x):
    x = (x @ v["w"]) / jnp.sqrt(v["var"])[None] * jnp.log(v["scale"])
    return jnp.tanh(x) @ v["head"]


NORM = {
    "w": Axes(None, "u"),
    "var": Axes("u"),
    "scale": Axes(),
    "head": Axes("u", None),
}


@pytest.mark.parametrize("values", [True, False])
def test_variables_that_must_be_positive(values):
    shapes = {"w": (3, 5), "var": (5,), "scale": (), "head": (5, 2)}
    variables = {n: struct(*s) for n, s in shapes.items()}
    if values:
        variables = {n: jnp.full(s, 2.0) for n, s in shapes.items()}
        variables["w"], variables["head"] = -variables["w"], -variables["head"]
    report = verify(norm, NORM, variables, struct(6, 3))
    assert report.ok
    assert report.complete
    assert report.how == "positive where the given variables are, else normal"
    assert not verify(norm, {**NORM, "var": Axes(None)}, variables, struct(6, 3)).ok


def test_draws_that_hide_nan_are_passed_over():
    """What compiled ReLUs do on some machines: NaN in, 0 out, and nothing matters."""

    def apply(v, x):
        x = jnp.nan_to_num(jnp.tanh(x @ v["w"]) / jnp.sqrt(v["var"].min()))
        return (x * v["var"][None]) @ v["head"]

    shapes = {"w": (3, 5), "var": (5,), "head": (5, 2)}
    variables = {n: struct(*s) for n, s in shapes.items()}
    spec = {"w": Axes(None, "u"), "var": Axes("u"), "head": Axes("u", None)}
    report = verify(apply, spec, variables, struct(6, 3))
    assert report.how == "positive where the given variables are, else normal"
    assert report.ok
    assert report.labels.least > 1e-3


def test_all_positive_as_a_last_resort():
    def apply(v, x):
        return jnp.log(x @ jnp.sqrt(v["a"])) @ v["b"]

    variables = {"a": struct(3, 5), "b": struct(5, 2)}
    images = np.ones((4, 3), np.float32) + np.arange(3, dtype=np.float32)
    spec = {"a": Axes(None, "u"), "b": Axes("u", None)}
    report = verify(apply, spec, variables, images)
    assert report.ok
    assert report.how == "all positive"


def test_outputs_that_are_never_finite_are_refused():
    with pytest.raises(ValueError, match="not finite for any random variables"):
        verify(lambda v: v["a"] / 0.0, {"a": Axes(None)}, {"a": struct(3)})


def test_masked_outputs_may_be_infinite():
    def apply(v, x):
        return jnp.where(
            jnp.arange(3)[None] < 1, -jnp.inf, jnp.tanh(x @ v["a"]) @ v["b"]
        )

    spec = {"a": Axes(None, "u"), "b": Axes("u", None)}
    variables = {"a": struct(3, 5), "b": struct(5, 3)}
    assert verify(apply, spec, variables, struct(4, 3)).ok
    assert not verify(
        apply, {**spec, "b": Axes(None, None)}, variables, struct(4, 3)
    ).ok


@pytest.mark.parametrize("mask", [-1e30, 1e12])
def test_masked_outputs_do_not_set_the_scale(mask):
    case = BY_NAME["mlp"]

    def masked(v, x):
        return jnp.where(jnp.arange(2)[None] < 1, mask, case.apply(v, x))

    report = verify(masked, case.spec, case.variables, *case.inputs)
    assert report.ok, report
    assert report.labels.least > 1e-3
    wrong = verify(masked, edited(case, b1=Axes(None)), case.variables, *case.inputs)
    assert wrong.function.wrong == ("one",)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_narrow_floats_inside_are_found_and_said(dtype):
    case = BY_NAME["mlp"]

    def narrow(v, x):
        return case.apply(jax.tree.map(lambda a: a.astype(dtype), v), x.astype(dtype))

    report = verify(narrow, case.spec, case.variables, *case.inputs)
    assert report.ok, report
    eps = float(jnp.finfo(dtype).eps)
    assert eps ** (2 / 3) <= report.function.tolerance <= eps ** (1 / 2)
    assert report.precision.startswith(f"{jnp.dtype(dtype).name} inside the function")
    assert "test_verify.py" in report.precision
    for what, spec in mutants(case.spec, case.variables):
        if "dropped" in what and "everywhere" not in what:
            assert not verify(narrow, spec, case.variables, *case.inputs).ok, what


def test_a_float32_mask_is_not_narrow():
    case = BY_NAME["mlp"]

    def masked(v, x):
        return case.apply(v, x * jnp.ones((1, 4), jnp.float32))

    report = verify(masked, case.spec, case.variables, *case.inputs)
    assert report.precision == "float64"
    assert report.function.tolerance < 1e-10


Net = collections.namedtuple("Net", "first none rest")


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Rest:
    head: object
    mask: object
    key: object
    scale: object


def test_any_pytree_with_integers_keys_none_and_numbers():
    """Tuples out, whole numbers in: a mask of integers moves, too."""

    def apply(net, x, kind):
        assert net.none is None
        assert kind == "square"
        mask = net.rest.mask.astype(x.dtype)[None]
        hidden = (x @ net.first[0]) ** 2 * mask
        out = hidden @ net.rest.head * net.rest.scale
        noise = jax.random.normal(net.rest.key, (2,))
        return {"out": out + noise[None], "best": jnp.argmax(out, axis=1)}, hidden.sum(
            1
        )

    mask = jnp.array([1, 0, 2, 3, 1], jnp.int32)
    net = Net(
        [struct(3, 5)], None, Rest(struct(5, 2), mask, jax.random.key(0), 2.0)
    )  # fmt: skip
    spec = Net(
        [Axes(None, "u")], Axes(), Rest(Axes("u", None), Axes("u"), Axes(), Axes())
    )
    report = verify(apply, spec, net, struct(6, 3), "square")
    assert report.ok, report
    assert report.complete
    wrong = spec._replace(rest=Rest(Axes("u", None), Axes(None), Axes(), Axes()))
    assert not verify(apply, wrong, net, struct(6, 3), "square").ok


def test_whole_numbers_as_inputs():
    def apply(v, ids):
        return jnp.tanh(v["embed"][ids]) @ v["head"]

    spec = {"embed": Axes(None, "u"), "head": Axes("u", None)}
    variables = {"embed": struct(2, 5), "head": struct(5, 3)}
    for ids in (struct(4, dtype=jnp.int32), np.arange(4) % 2):
        report = verify(apply, spec, variables, ids)
        assert report.ok
        assert report.complete
        assert not verify(apply, {**spec, "head": Axes(None, None)}, variables, ids).ok


def test_a_function_that_ignores_its_variables_proves_nothing():
    report = verify(lambda v, x: x, {"a": Axes("u")}, {"a": struct(3)}, struct(2))
    assert not report.ok
    assert "no label has any effect" in report.verdict


def test_a_name_with_one_label_is_proved_by_the_function_alone():
    def apply(v, x):
        return x * jnp.square(v["w"]).sum()

    report = verify(apply, {"w": Axes("u")}, {"w": struct(3)}, struct(2))
    assert report.ok, report
    assert report.labels.dropped.of == 0
    wrong = verify(
        lambda v, x: x * v["w"], {"w": Axes("u")}, {"w": struct(3)}, struct(3)
    )
    assert not wrong.ok


def test_axes_that_stay_are_named_once_with_the_reason():
    case = BY_NAME["stack"]
    report = check(case, edited(case, **{"in": Axes(None, None)}))
    assert report.stays == {
        "a stack of slices": ("bias axis 0", "down axis 0", "up axis 0"),
        "an input": ("in axis 0",),
        "by this spec; discovery finds that units move here": ("in axis 1",),
        "an axis of the outputs": ("out axis 1",),
    }


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ({"w1": Axes()}, "different structures"),
        ({"b1": Axes("two")}, None),
        ({"w3": Axes("two", "one")}, "must have one length"),
        ({"b1": Axes(Units("one", 4, under="two"))}, "lies under"),
        ({"b1": Axes(Block(3, "one"))}, "length"),
        ({"b1": Stacked(Axes(), Axes())}, "stack of 4 layers"),
    ],
)
def test_specs_that_do_not_fit_are_errors(spec, match):
    case = BY_NAME["mlp"]
    spec = spec if match == "different structures" else edited(case, **spec)
    if match is None:  # fits, but is wrong
        assert not check(case, spec).ok
        return
    with pytest.raises(ValueError, match=match):
        check(case, spec)


def test_the_report_can_be_read():
    text = str(check(BY_NAME["attention"]))
    lines = text.splitlines()
    assert lines[0] == "names"
    assert "  heads   2 units" in lines
    assert "    qk    3 units for each of 2 heads" in lines
    assert "  qk in bk, bq, wk, wq" in lines
    assert any(line.split() == ["in", "axis", "0", "an", "input"] for line in lines)
    assert "an axis of the outputs" in text
    assert lines[-1] == "verdict: right, and complete as far as was tried"


def test_describe_has_one_line_for_each_leaf():
    case = BY_NAME["stack"]
    lines = describe(case.spec, case.variables).splitlines()
    assert lines[0] == "mlp_0   4 units"
    assert lines[-5:] == [
        "bias  2x4    [(mlp_0), (mlp_1)]",
        "down  2x4x6  [(mlp_0, stream), (mlp_1, stream)]",
        "in    5x6    (·, stream)",
        "out   6x2    (stream, ·)",
        "up    2x6x4  [(stream, mlp_0), (stream, mlp_1)]",
    ]
    marked = {**case.spec, "in": Axes(None, "stream", state=True)}
    lines = describe(marked, case.variables).splitlines()
    assert lines[-3] == "in    5x6    (·, stream) state"
    with pytest.raises(ValueError, match="different structures"):
        describe({}, case.variables)
