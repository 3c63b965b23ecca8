"""Kinds of values: what each takes, as what, and what it refuses."""

import numpy as np
import pytest

from linconn_jax import checks
from linconn_jax.checks import check

LOSS = checks.number(0, below=1)
TAKEN = [
    (checks.whole(1), np.int32(3), 3),
    (checks.whole(0, 5), 5, 5),
    (checks.whole(), -2, -2),
    (checks.number(), 1, 1),
    (checks.number(), np.float32(0.5), 0.5),
    (LOSS, 0, 0),
    (checks.FLAG, np.True_, True),
    (checks.TEXT, np.str_("a"), "a"),
    (checks.STRING, "", ""),
    (checks.FUNCTION, "a.b:c", "a.b:c"),
    (checks.one_of("raw", "cosine"), "raw", "raw"),
    (checks.one_of(1, 2), np.int64(2), 2),
    (checks.optional(checks.whole(1)), None, None),
    (checks.several(checks.number()), [1, np.float64(2)], (1, 2.0)),
    (checks.several(checks.whole(1), 1, distinct=True), (2, 1), (2, 1)),
    (checks.group(checks.whole(2), checks.TEXT), [2, "a"], (2, "a")),
    (checks.pair(checks.whole(0)), [0, np.int64(1)], (0, 1)),
    (checks.either(checks.whole(1), checks.several(checks.whole())), [4], (4,)),
    (checks.DICT, {"a": 1}, {"a": 1}),
]
REFUSED = [
    (checks.whole(1), 0),
    (checks.whole(0, 5), 6),
    (checks.whole(), 1.0),
    (checks.whole(), True),
    (checks.whole(), np.True_),
    (checks.whole(), "1"),
    (checks.whole(), None),
    (checks.whole(), np.array([1])),
    (checks.number(), float("nan")),
    (checks.number(), np.float32("inf")),
    (checks.number(), False),
    (checks.number(above=0), 0),
    (LOSS, 1.0),
    (checks.FLAG, 1),
    (checks.TEXT, ""),
    (checks.FUNCTION, "a.b"),
    (checks.FUNCTION, "a b:c"),
    (checks.one_of("raw"), "dot"),
    (checks.one_of(1), True),
    (checks.one_of("raw"), np.array(["raw"])),
    (checks.optional(checks.whole(1)), 0),
    (checks.several(checks.number()), 1),
    (checks.several(checks.TEXT), "ab"),
    (checks.several(checks.whole(), 1), ()),
    (checks.several(checks.whole(), distinct=True), (1, np.int64(1))),
    (checks.group(checks.whole(2), checks.TEXT), (2,)),
    (checks.group(checks.whole(2), checks.TEXT), (1, "a")),
    (checks.pair(checks.whole()), (1, 1)),
    (checks.pair(checks.whole()), (1, 2, 3)),
    (checks.either(checks.whole(1), checks.TEXT), 0),
    (checks.DICT, [("a", 1)]),
]


@pytest.mark.parametrize(("kind", "value", "expected"), TAKEN)
def test_taken(kind, value, expected):
    found = check("it", value, kind)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_refused(kind, value):
    with pytest.raises(ValueError, match="it=") as caught:
        check("it", value, kind)
    assert str(caught.value) == f"it={value!r}; it must be {kind.words}"


def test_words():
    assert checks.whole(1).words == "an integer of at least 1"
    assert checks.whole(0, 5).words == "an integer from 0 to 5"
    assert LOSS.words == "a number of at least 0 and below 1"
    assert checks.optional(LOSS).words == "a number of at least 0 and below 1, or None"
    widths = checks.several(checks.whole(1), 1, distinct=True)
    assert widths.words == "a tuple of integers of at least 1, at least one, each once"
    with pytest.raises(ValueError, match="of at least 2: a segment has two ends"):
        check("points", 1, checks.whole(2), why="a segment has two ends")


def test_a_kind_of_its_own_words_takes_the_same():
    kind = checks.whole(2).called("a number of networks")
    assert check("k", np.int64(2), kind) == 2
    with pytest.raises(ValueError, match="k=1; it must be a number of networks"):
        check("k", 1, kind)
