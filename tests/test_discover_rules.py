"""Users teach discovery their own primitives; what they get wrong is told or found."""

import re
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Primitive
from jax.interpreters import mlir

from linconn_jax import permutation
from linconn_jax.permutation import Axes, Units
from linconn_jax.permutation._discover import interpret, registry

HIDDEN = {"a": Axes(None, Units("a", 5)), "b": Axes(Units("a", 5), None)}
STAY = {"a": Axes(None, None), "b": Axes(None, None)}
VARIABLES = {"a": jnp.zeros((3, 5)), "b": jnp.zeros((5, 2))}
X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))


def relu_dense(x, w):
    return jnp.maximum(x @ w, 0)


dense = Primitive("relu_dense")
dense.def_impl(relu_dense)
dense.def_abstract_eval(
    lambda x, w: jax.core.ShapedArray((x.shape[0], w.shape[1]), x.dtype)
)
mlir.register_lowering(dense, mlir.lower_fun(relu_dense, multiple_results=False))


def apply(v, x):
    return dense.bind(x, v["a"]) @ v["b"]


@pytest.fixture(autouse=True)
def _own_rules(monkeypatch):
    """What a test registers is gone after it."""
    rules = dict(registry.RULES)
    monkeypatch.setattr(registry, "RULES", rules)
    monkeypatch.setattr(interpret, "RULES", rules)


def by_hand(op, x, w):
    (n, d), (d_of_w, k) = x.symbols, w.symbols
    op.name_after(w, [k])
    return op.output([n, k], summed=[op.tie(d, d_of_w)])


def discover(rule=None):
    if rule:
        permutation.register_rule(dense, rule)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return permutation.discover(apply, VARIABLES, X)


def test_without_a_rule_what_is_touched_stays():
    with pytest.warns(UserWarning, match=r"relu_dense at .*test_discover_rules"):
        assert permutation.discover(apply, VARIABLES, X) == STAY


@pytest.mark.parametrize("rule", [by_hand, lambda op, *_: op.like(relu_dense)])
def test_with_a_rule_the_units_are_found(rule):
    spec = discover(rule)
    assert spec == HIDDEN
    report = permutation.verify(apply, spec, VARIABLES, X)
    assert report.ok
    assert report.complete


def test_a_rule_may_be_registered_by_name_and_replaced():
    permutation.register_rule("relu_dense", lambda op, *_: op.opaque())
    assert discover() == STAY
    permutation.register_rule("relu_dense", by_hand, replace=True)
    assert discover() == HIDDEN


def test_a_rule_may_say_that_it_does_not_know():
    permutation.register_rule(dense, lambda op, x, w: NotImplemented)
    with pytest.warns(UserWarning, match="no rule for the primitives relu_dense"):
        assert permutation.discover(apply, VARIABLES, X) == STAY


def test_what_is_unknown_within_a_function_is_told_at_the_call():
    """Not where the function stands, which the user may never have seen."""

    def inverted(x, w):
        return x @ jnp.linalg.inv(w[:, :3]) @ w

    permutation.register_rule(dense, lambda op, *_: op.like(inverted))
    unknown = permutation.examine(apply, VARIABLES, X).unknown
    assert unknown[0].startswith("lu at ")
    assert all(call.endswith("(apply)") for call in unknown)


def test_axes_can_be_frozen_and_made():
    def first_and_positions(op, x, w):
        op.freeze(w.symbols, 0, -1)
        return op.output([x.symbols[0], op.fixed(5)])

    assert discover(first_and_positions) == STAY


def test_a_wrong_rule_is_caught_by_verify():
    """It does not tie the rows of `w` to the columns of `x`, which stay."""

    def wrong(op, x, w):
        return op.output([x.symbols[0], w.symbols[1]], summed=[w.symbols[0]])

    spec = discover(wrong)
    assert spec["a"].labels[0] is not None
    report = permutation.verify(apply, spec, VARIABLES, X)
    assert not report.ok
    with pytest.raises(ValueError, match="does not fit the function"):
        report.raise_if_wrong()


@pytest.mark.parametrize(
    ("primitive", "rule", "message"),
    [
        (3, by_hand, "must be a jax.extend.core.Primitive or its name"),
        (dense, None, "must be a function"),
        ("dot_general", by_hand, "has a rule; pass replace=True"),
    ],
)
def test_what_is_no_rule_is_refused(primitive, rule, message):
    with pytest.raises(ValueError, match=message):
        permutation.register_rule(primitive, rule)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda op, x, w: None, "relu_dense at .* returned outputs of shapes"),
        (lambda op, x, w: x, r"shapes \[\(4, 3\)\], which must be \[\(4, 5\)\]"),
        (lambda op, x, w: [op.output(x.symbols)] * 2, r"must be \[\(4, 5\)\]"),
        (lambda op, x, w: op.tie(*x.symbols), "lengths 4 and 3"),
        (lambda op, x, w: op.output([4, 5]), "4 is no symbol"),
    ],
)
def test_what_a_rule_gets_wrong_is_told(rule, message):
    permutation.register_rule(dense, rule)
    with pytest.raises(ValueError, match=message):
        permutation.discover(apply, VARIABLES, X)


def test_the_documented_rules_run(capsys):
    """Both code blocks of the guide, one after the other."""
    text = (Path(__file__).parents[1] / "docs" / "symmetries.md").read_text()
    section = text.split("## Primitives of your own")[1].split("\n## ")[0]
    names = {}
    for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(block, names)
    told = capsys.readouterr().out.strip()
    assert f"# {told};" in section
    spec = permutation.discover(names["apply"], names["variables"], names["x"])
    assert str(spec) == told
