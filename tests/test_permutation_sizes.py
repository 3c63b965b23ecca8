"""Labels and the sizes solved from them: what is told, and what is refused."""

import jax
import numpy as np
import pytest

from linconn_jax import permutation as pm
from linconn_jax.permutation import Axes, Block, Concat, Fixed, Stacked, Units

QK = Units("qk", under="heads")


def tree(**shapes):
    return {n: jax.ShapeDtypeStruct(s, np.float32) for n, s in shapes.items()}


@pytest.mark.parametrize(
    ("spec", "shapes", "expected"),
    [
        (dict(a=Axes(Block(49, "c"))), dict(a=(98,)), dict(c=2)),
        (dict(a=Axes(Block("c", 49))), dict(a=(98,)), dict(c=2)),
        (dict(a=Axes(Concat("h", "h", "h", "h"))), dict(a=(12,)), dict(h=3)),
        (dict(a=Axes(Concat(5, "h", Block(2, "h")))), dict(a=(14,)), dict(h=3)),
        (dict(a=Axes(Block("h", "h"))), dict(a=(49,)), dict(h=7)),
        (
            dict(a=Axes(Concat("x", "y")), b=Axes(Block("x", 2))),
            dict(a=(7,), b=(6,)),
            dict(x=3, y=4),
        ),
        (
            dict(a=Axes(Block(Concat("x", "y"), "z")), b=Axes("y", "z")),
            dict(a=(20,), b=(3, 4)),
            dict(x=2, y=3, z=4),
        ),
        (
            dict(a=Axes("s", Block(Units("heads", 4), QK))),
            dict(a=(5, 12)),
            dict(heads=4, qk=3, s=5),
        ),
        (dict(a=Axes(Fixed("f"), Units("w", under="f"))), dict(a=(2, 3)), dict(w=3)),
        (
            dict(a=Stacked(Axes("s", "m"), Axes("s", "n"))),
            dict(a=(2, 5, 3)),
            dict(m=3, n=3, s=5),
        ),
    ],
)
def test_sizes_are_solved(spec, shapes, expected):
    found = pm.sizes(spec, tree(**shapes))
    assert found == expected
    assert list(found) == sorted(expected)
    stacked = tree(**{n: (9, *s) for n, s in shapes.items()})
    assert pm.sizes(spec, stacked) == expected


def test_parents():
    spec = {
        "a": Axes(QK, "heads", Fixed("f")),
        "b": Axes(Units("w", under=("f", "heads"))),
    }
    assert pm.parents(spec) == {"heads": (), "qk": ("heads",), "w": ("f", "heads")}
    with pytest.raises(ValueError, match="'f' is Fixed in a but Units in c/0"):
        pm.parents({**spec, "c": [Axes("f")]})
    with pytest.raises(ValueError, match="the spec holds 3 at b; it must be Axes"):
        pm.parents({"a": Axes("x"), "b": 3})


@pytest.mark.parametrize(
    ("spec", "shapes", "message"),
    [
        (
            dict(a=Axes(Block("x", "y"))),
            dict(a=(12,)),
            r"write .*Units\('x', size\)",
        ),
        (dict(a=Axes(Concat("x", "y"))), dict(a=(12,)), r"sizes of \['x', 'y'\]"),
        (dict(a=Axes(Block(5, "x"))), dict(a=(12,)), "no number of units of 'x'"),
        (dict(a=Axes(Concat(5, "x"))), dict(a=(4,)), "no number of units of 'x'"),
        (
            dict(a=Axes("x"), b=Axes(Block(5, "x"))),
            dict(a=(12,), b=(12,)),
            "5×x makes 60: there are 12 units of 'x' in a",
        ),
        (
            dict(a=Axes("x"), b=Axes("x")),
            dict(a=(3,), b=(4,)),
            "3 units in a but 4 in b",
        ),
        (dict(a=Axes(Units("x", 3))), dict(a=(4,)), "3 units in its label at a but 4"),
        (
            dict(a=Axes(Units("x", 3)), b=Axes(Units("x", 4))),
            dict(a=(3,), b=(4,)),
            "at b",
        ),
        (dict(a=Axes(QK)), dict(a=(4,)), "'heads' 0 times"),
        (dict(a=Axes("heads", "heads", QK)), dict(a=(3, 3, 2)), "'heads' 2 times"),
        (dict(a=Axes(Concat("heads", 3), QK)), dict(a=(6, 2)), "'heads' 0 times"),
        (dict(a=Axes("x", Fixed("x"))), dict(a=(3, 3)), "is Units in a but Fixed in a"),
        (
            dict(a=Axes("heads", QK), b=Axes("x", Units("qk", under="x"))),
            dict(a=(3, 2), b=(3, 2)),
            r"under \('heads',\) in a but under \('x',\) in b",
        ),
        (
            dict(a=Axes("heads", QK, Units("z", under="qk"))),
            dict(a=(3, 2, 2)),
            "all parents with the outermost first",
        ),
        (
            dict(a=Axes("heads", QK, Units("z", under=("qk", "heads")))),
            dict(a=(3, 2, 2)),
            "all parents with the outermost first",
        ),
        (dict(a=Stacked(Axes("x"), Axes("y"))), dict(a=(3, 2)), "stack of 3 layers"),
        (dict(a=Stacked(Axes("x"), Axes("y"))), dict(a=(2,)), "labels 2 axes"),
    ],
)
def test_specs_that_do_not_fit_are_refused(spec, shapes, message):
    with pytest.raises(ValueError, match=message):
        pm.sizes(spec, tree(**shapes))


def test_labels_that_mean_the_same_are_equal():
    same = [
        (Axes("a"), Axes(Units("a"))),
        (Axes(Block(2, 3, "a")), Axes(Block(6, "a"))),
        (Axes(Block(1, "a")), Axes("a")),
        (Axes(Block(Block(2, "a"), 3)), Axes(Block(2, "a", 3))),
        (Axes(Concat("a", Concat("b", 1), 2)), Axes(Concat("a", "b", 3))),
        (Axes(Units("a", under="b")), Axes(Units("a", under=("b",)))),
    ]
    for x, y in same:
        assert x == y
        assert hash(x) == hash(y)
    assert Axes(Block(2, "a")) != Axes(Block("a", 2))
    assert Axes("a") != Axes(Fixed("a"))


def test_labels_print_short():
    axes = Axes(None, "a", Block(49, "c"), Block("heads", QK), Block(2, Concat("a", 3)))
    assert str(axes) == "(·, a, 49×c, heads×qk[heads], 2×(a+3))"
    assert str(Stacked(Axes(Fixed("f")), Axes("b"))) == "[(·f), (b)]"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Axes(3), "must be a name"),
        (lambda: Block(), "empty"),
        (lambda: Block(0, "a"), "at least 1"),
        (lambda: Concat(True, "a"), "must be an integer"),
        (lambda: Concat("a", None), "must be a name"),
        (lambda: Units("a", 2.5), "must be an integer"),
        (lambda: Units(3), "must be a string"),
        (lambda: Units("a", under="a"), "different names"),
        (lambda: Stacked(), "one Axes"),
        (lambda: Stacked("a"), "one Axes"),
        (lambda: Stacked(Axes("a"), Axes()), "as many labels"),
    ],
)
def test_labels_that_make_no_sense_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
