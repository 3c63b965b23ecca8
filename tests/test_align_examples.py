"""What is no function, network, example or key is refused, before anything runs."""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linconn_jax import align
from linconn_jax import permutation as pm
from linconn_jax.align import _examples
from linconn_jax.align.objectives import fisher
from linconn_jax.permutation import Axes

SPEC = {"a": Axes(None, "h"), "b": Axes("h", None)}
KEY = jax.random.key(0)
X, Y = np.ones((8, 4), np.float32), np.arange(8, dtype=np.int32) % 3


def network(seed, **more):
    rng = np.random.default_rng(seed)
    shapes = {"a": (4, 5), "b": (5, 3)}
    return {k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()} | more


def apply(variables, inputs):
    return jnp.maximum(inputs @ variables["a"], 0) @ variables["b"]


@dataclasses.dataclass
class Unhashable:
    scale: float = 1.0

    def __call__(self, variables, inputs):
        return self.scale * apply(variables, inputs)


def learned(f, inputs, labels):
    nets = [network(0), network(1)]
    return align.learned(SPEC, f, nets, inputs, labels, key=KEY, steps=2, rounds=1)


def by_fisher(f, inputs, labels):
    objective = fisher(SPEC, f, inputs, labels)
    return align.weight_matching(
        SPEC, network(0), network(1), key=KEY, objective=objective
    )


@pytest.mark.parametrize("call", [learned, by_fisher])
def test_what_fits_is_taken(call):
    assert sorted(call(apply, X, Y).permutation["h"].tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": Y.tolist()}, "labels is a list; it must be an array"),
        ({"inputs": X.tolist()}, "inputs is a list; it must be an array"),
        ({"inputs": None}, "inputs is a NoneType; it must be an array"),
        ({"labels": None}, "labels is a NoneType; it must be an array"),
        ({"apply": None}, "apply is a NoneType; it must be a function"),
        ({"apply": Unhashable()}, "apply is a Unhashable without a hash"),
        ({"networks": [network(0, more="x")]}, "leaf more is a str, no array"),
    ],
)
def test_what_no_loss_can_be_computed_of_is_explained(given, message):
    fine = {"apply": apply, "networks": [network(0)], "inputs": X, "labels": Y}
    _examples.check_loss(pm.bind(SPEC, network(0)), **fine)
    fine |= given
    spec = SPEC | {"more": Axes()} if "more" in fine["networks"][0] else SPEC
    with pytest.raises(ValueError, match=message):
        _examples.check_loss(pm.bind(spec, fine["networks"][0]), **fine)


@pytest.mark.parametrize("call", [learned, by_fisher])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": Y + 5}, "labels go from 5 to 7; classes are counted from 0 to 2"),
        ({"labels": Y[:3]}, "there are 8 inputs and 3 labels"),
        ({"f": lambda v, x: (apply(v, x), 1)}, "returned tuple for one input"),
        ({"f": lambda v, x: {"logits": apply(v, x)}}, "returned dict for one input"),
        ({"f": lambda v, x: apply(v, x)[:, None]}, r"returned an array \[1, 1, 3\]"),
    ],
)
def test_both_look_at_functions_and_labels(call, given, message):
    fine = {"f": apply, "inputs": X, "labels": Y}
    with pytest.raises(ValueError, match=message):
        call(**fine | given)


def test_functions_among_the_leaves_are_named():
    spec = SPEC | {"activation": Axes()}
    nets = [network(i, activation=jax.nn.relu) for i in range(2)]
    message = "leaf activation is a .*, no array; give the arrays of the network alone"
    with pytest.raises(ValueError, match=message):
        align.activation_matching(spec, apply, *nets, X)
    with pytest.raises(ValueError, match=message):
        align.learned(spec, apply, nets, X, Y, key=KEY, steps=2, rounds=1)
    with pytest.raises(ValueError, match="without a hash"):
        align.activation_matching(SPEC, Unhashable(), network(0), network(1), X)


def test_finite_weights_with_a_gradient_that_is_not_are_told():
    with pytest.raises(
        ValueError, match="gradient in leaf a is not finite, though its"
    ):
        by_fisher(apply, np.full_like(X, np.nan), Y)


@pytest.mark.parametrize("key", [3, None, "a", jax.random.split(KEY), np.int64([0, 1])])
def test_keys_that_are_none_are_refused_by_all_methods(unchecked, key):
    module = sys.modules["linconn_jax.align.method"]
    method = unchecked(module).Method("fine", align.method("naive").find)
    both = align.Context(SPEC), [network(0), network(1)]
    assert method(*both, KEY).permutation["h"].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="it must be a key such as"):
        method(*both, key)


def test_products_that_cancel_are_not_above_their_bound():
    """Whole numbers near 0, with a bound of 0 that the objective passes by rounding."""
    spec = {"a": Axes(None, "p"), "t": Axes("p", "q"), "c": Axes("q", None)}
    rng = np.random.default_rng(0)
    shapes = {"a": (1, 2), "t": (2, 2), "c": (2, 3)}
    for _ in range(200):
        both = [
            {k: rng.integers(-1, 2, s).astype(np.float32) for k, s in shapes.items()}
            for _ in range(2)
        ]
        found = align.weight_matching(spec, *both, key=KEY)
        assert align.gap(found, align.bound(spec, *both)) >= 0
