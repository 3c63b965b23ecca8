"""Objectives of weight matching: they commute with permutations; formulas by hand."""

import functools
import importlib
import itertools
import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from zoo.case import draw, random_element

from linconn_jax import align, models
from linconn_jax import permutation as pm
from linconn_jax.align import _covariance, _directed, objectives
from linconn_jax.permutation import Axes, Block, Stacked
from linconn_jax.permutation.axis_layout import names

IMAGES = dict(image_shape=(8, 8, 1), classes=10, mean=(0.3,), std=(0.4,))
KEY = jax.random.key(0)
LABELS = np.arange(32) % 10
FLAT = {
    "conv": {"kernel": Axes(None, None, None, "c"), "bias": Axes("c")},
    "dense": {"kernel": Axes(Block(16, "c"), "d"), "bias": Axes("d")},
    "head": {"kernel": Axes("d", None)},
}


def flattened(v, x):
    """A convolution, flattened before a dense layer."""
    x = (x / 255 - 0.5).astype(jnp.float32)
    dims = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(
        x, v["conv"]["kernel"], (2, 2), "SAME", dimension_numbers=dims
    )
    x = jax.nn.relu(x + v["conv"]["bias"][None, None, None])
    x = x.reshape(len(x), -1) @ v["dense"]["kernel"] + v["dense"]["bias"][None]
    return jax.nn.relu(x) @ v["head"]["kernel"]


def network(model, seed=1):
    return jax.tree.map(np.asarray, draw(model.shapes, seed=seed))


def pixels(n=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1)).astype(np.uint8)


@functools.cache
def mlp():
    model = models.build("mlp", width=5, depth=2, norm="none", **IMAGES)
    return model, network(model), network(model, 2)


def case(name):
    """Function, spec and a random network."""
    if name == "flattened":
        shapes = {"conv": {"kernel": (3, 3, 1, 4), "bias": (4,)}}
        shapes["dense"] = {"kernel": (64, 5), "bias": (5,)}
        shapes["head"] = {"kernel": (5, 10)}
        structs = jax.tree.map(
            lambda s: jax.ShapeDtypeStruct(s, np.float32),
            shapes,
            is_leaf=lambda x: isinstance(x, tuple),
        )
        return flattened, FLAT, jax.tree.map(np.asarray, draw(structs))
    if name == "transformer":
        folder = str(Path(__file__).parent.parent / "benchmarks")
        sys.path.insert(0, folder)
        module = importlib.import_module("transformer")
        sys.path.remove(folder)
        sizes = dict(shape=(8, 8, 1), depth=1, width=6, heads=2, inside=3)
        shapes = jax.eval_shape(lambda key: module.init(key, **sizes), KEY)
        return module.apply, module.spec(1), jax.tree.map(np.asarray, draw(shapes))
    if name == "mlp":
        model = mlp()[0]
    else:
        model = models.build(name, width=5, depth=8, norm="batch", **IMAGES)
    return model.apply, model.spec, network(model)


def objective(name, apply, spec):
    """By its name."""
    if name == "covariance":
        return objectives.covariance(spec, apply, pixels())
    if name == "fisher":
        return objectives.fisher(spec, apply, pixels(), LABELS)
    return getattr(objectives, name)(spec)


NAMES = [x for x in objectives.NAMES if x != "linear"]
CASES = ("mlp", "resnet", "transformer", "flattened")


def crossed(names, cases):
    """All of both; what compiles for long is slow."""
    for name, which in itertools.product(names, cases):
        long = which in CASES[1:3] and name not in objectives.OF_WEIGHTS
        marks = [pytest.mark.slow] * long
        yield pytest.param(name, which, marks=marks, id=f"{name}-{which}")


def distance(one, two):
    """The largest difference of a leaf's entries, relative to the leaf's largest."""

    def of(x, y):
        x, y = np.float64(x), np.float64(y)
        return np.abs(x - y).max() / (np.abs(x).max() or 1.0)

    return max(jax.tree.leaves(jax.tree.map(of, one, two)))


def commutes(name, which):
    apply, spec, a = case(which)
    f, p = objective(name, apply, spec), random_element(spec, a, 2)
    made = f(a)
    assert jax.tree.structure(made) == jax.tree.structure(a)
    if "batch_stats" in a:  # which never enter
        equal = np.testing.assert_array_equal
        jax.tree.map(equal, made["batch_stats"], a["batch_stats"])
    assert distance(a, made) > 1e-2  # something has been done
    moved = f(pm.permute(spec, p, a))
    assert distance(made, moved) > 1e-1  # and something was moved
    return distance(pm.permute(spec, p, made), moved)


@pytest.mark.parametrize(("name", "which"), [*crossed(NAMES, CASES)])
def test_objectives_commute_with_permutations(name, which):
    # 1e-3: roots of float32 gradients and moments, small entries of large sums.
    assert commutes(name, which) < 1e-3


FAULTS = {
    "another root": (_covariance, "_root", np.linalg.cholesky, "covariance", "mlp"),
    "no parents": (_directed, "_above", lambda *_: set(), "cosine", "transformer"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_commute_is_found(fault, monkeypatch):
    *broken, name, which = FAULTS[fault]
    if fault == "another root":  # of a matrix that may be singular
        broken[2] = lambda x: np.linalg.cholesky(x + 1e-3 * np.eye(len(x)))
    monkeypatch.setattr(*broken)
    assert commutes(name, which) > 1e-2


@pytest.mark.parametrize(("name", "which"), [*crossed(NAMES, CASES[::2])])
def test_planted_permutations_are_recovered(name, which):
    apply, spec, a = case(which)
    f, p = objective(name, apply, spec), random_element(spec, a, 3)
    moved = pm.permute(spec, p, a)
    found = align.weight_matching(spec, a, moved, key=KEY, objective=f, restarts=4)
    assert found.objective > 1.01 * found.naive
    # Modulo units that the objective cannot tell apart (dead ones have no gradients).
    assert distance(f(a), f(found.apply(moved))) < 1e-3
    assert distance(f(a), f(moved)) > 1e-1
    upper = align.bound(spec, f(a), f(moved))
    assert align.gap(found, upper) < 1e-3


def kernels(v):
    return [v["params"][x]["kernel"] for x in ("dense_1", "dense_2", "head")]


def test_covariance_by_hand():
    """`W_A √Σ_A √Σ_B (W_B Qᵀ)ᵀ` for each layer, and biases as they are."""
    model, a, b = mlp()
    f = objectives.covariance(model.spec, model.apply, pixels())
    total = 0.0
    x = pixels().reshape(32, -1).astype(np.float64)
    x = (x - x.mean()) / x.std()
    sides = []
    for v in (a, b):
        hidden = model.read(v, pixels())
        each = [x, *(np.float64(hidden[n]) for n in ("dense_1", "dense_2"))]
        roots = []
        for h in each:
            values, vectors = np.linalg.eigh(h.T @ h / len(h))
            roots.append(vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T)
        sides.append([r @ w for r, w in zip(roots, kernels(v), strict=True)])
    for ours, theirs in zip(*sides, strict=True):
        total += np.vdot(ours, theirs)
    for layer in ("dense_1", "dense_2"):
        biases = (np.float64(v["params"][layer]["bias"]) for v in (a, b))
        total += np.vdot(*biases)
    found = align.weight_matching(model.spec, a, b, key=KEY, objective=f)
    # 1e-4: moments of float32 activations.
    assert found.naive == pytest.approx(total, rel=1e-4)
    own = np.vdot(sides[0][1], sides[0][1])
    h = np.float64(model.read(a, pixels())["dense_1"])
    energy = np.square(h @ kernels(a)[1]).sum(axis=1).mean()
    assert own == pytest.approx(energy, rel=1e-4)
    linear = align.weight_matching(model.spec, a, b, key=KEY)
    assert linear.naive != pytest.approx(total, rel=0.1)


def test_fisher_by_hand():
    model, a, _ = mlp()
    made = objectives.fisher(model.spec, model.apply, pixels(), LABELS, batch_size=16)(
        a
    )

    def loss(v, x, y):
        return -jax.nn.log_softmax(model.apply(v, x[None]))[0, y]

    gradient = jax.jit(jax.grad(loss))
    each = [gradient(a, x, y) for x, y in zip(pixels(), LABELS, strict=True)]
    for path in (("dense_1", "kernel"), ("dense_2", "bias"), ("head", "kernel")):

        def of(tree, path=path):
            return np.float64(tree["params"][path[0]][path[1]])

        mean = np.mean([of(g) ** 2 for g in each], axis=0)
        wanted = of(a) * np.sqrt(mean)
        np.testing.assert_allclose(of(made), wanted, rtol=1e-3, atol=1e-6)


def test_cosine_and_normalised_by_hand():
    model, a, _ = mlp()
    layer = a["params"]["dense_2"]
    whole = np.vstack([layer["kernel"], layer["bias"]])
    unit = objectives.cosine(model.spec)(a)["params"]["dense_2"]
    wanted = whole / np.linalg.norm(whole, axis=0)
    np.testing.assert_allclose(np.vstack([unit["kernel"], unit["bias"]]), wanted, 1e-5)
    one = objectives.normalised(model.spec)(a)["params"]["dense_2"]
    wanted = layer["kernel"] / np.linalg.norm(whole)
    np.testing.assert_allclose(one["kernel"], wanted, 1e-5)
    found = align.weight_matching(model.spec, a, a, key=KEY, objective="normalised")
    # The head's bias has no name and is not compared.
    head = a["params"]["head"]
    parts = [np.vdot(head[x], head[x]) for x in ("kernel", "bias")]
    assert found.objective == pytest.approx(2 + parts[0] / sum(parts), rel=1e-5)
    # Without biases in the objective there are none in its norms.
    less = align.weight_matching(
        model.spec, a, a, key=KEY, objective="normalised", leaves=is_kernel
    )
    assert less.objective == pytest.approx(3, rel=1e-5)


def is_kernel(path):
    return path.endswith("kernel")


def test_units_are_along_the_axis_of_the_bias():
    spec = {"weight": Axes("out", "in"), "bias": Axes("out"), "up": Axes("in", None)}
    rng = np.random.default_rng(0)
    shapes = {"weight": (3, 4), "bias": (3,), "up": (4, 2)}
    a = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    made = objectives.cosine(spec)(a)
    squares = np.square(made["weight"]).sum(1) + made["bias"] ** 2
    np.testing.assert_allclose(squares, 1, rtol=1e-5)
    # Without a bias of its own as in the layer that has one; the last where none has.
    np.testing.assert_allclose(np.square(made["up"]).sum(1), 1, rtol=1e-5)
    alone = objectives.cosine({"up": spec["up"]})({"up": a["up"]})
    np.testing.assert_allclose(np.square(alone["up"]).sum(0), 1, rtol=1e-5)


FIRST, LAST = (Axes("a", None), Axes("a")), (Axes(None, "a"), Axes("a"))


@pytest.mark.parametrize(
    ("layers", "bare", "units"),
    [
        ([FIRST], Axes("b", "a"), 0),
        ([LAST], Axes("a", "b"), 1),
        ([FIRST, LAST], Axes("b", "a"), 1),  # which do not agree
        ([FIRST], Axes("b", "a", None, None), 0),
        ([LAST], Axes(None, None, "a", "b"), 3),
        ([FIRST, (Axes(None, None, "b"), Axes("b"))], Axes("b", "a"), 0),
        ([FIRST], Stacked(Axes("b", "a"), Axes("b", "a")), 1),
    ],
)
def test_layers_without_a_bias_are_as_those_that_have_one(layers, bare, units):
    sizes = {"a": 3, "b": 5, None: 2}
    spec = {str(n): {"w": w, "b": b} for n, (w, b) in enumerate(layers)}
    spec["bare"] = {"w": bare}

    def leaf(axes):
        if isinstance(axes, Stacked):
            return np.zeros((len(axes.axes), *leaf(axes.axes[0]).shape))
        return np.zeros([sizes[next(names(x), None)] for x in axes.labels])

    tree = {x: {n: leaf(axes) for n, axes in y.items()} for x, y in spec.items()}
    bound = pm.bind(spec, tree)
    number = bound.paths.index("bare/w")
    found = _directed.directed(bound, range(len(bound.paths)))[number]
    assert found.outputs[-1] == units


@pytest.mark.parametrize(
    ("shape", "units", "axis"),
    [
        ((4, 3, 3, 3), 0, 1),  # (out, in, height, width)
        ((3, 3, 3, 4), 3, 2),  # (height, width, in, out)
        ((4, 3, 5, 5), 0, 1),
        ((4, 5, 5, 3), 0, 3),
        ((3, 4, 3, 3), 1, None),  # either side of the units
        ((4, 5, 3, 3), 0, None),
        ((4, 1, 5, 5), 0, None),
    ],
)
def test_a_kernel_is_weighed_along_the_channels_of_the_data(shape, units, axis):
    axes = Axes(*("c" if k == units else None for k in range(4)))
    bound = pm.bind({"w": axes}, {"w": np.zeros(shape)})
    leaf = _directed.Directed("", tuple((x,) for x in axes.labels), (), (units,))
    inputs = np.random.default_rng(0).normal(size=(6, 7, 7, 3))
    found = _covariance._of_inputs(leaf, bound, 0, inputs)
    assert axis is None if found is None else found[0] == axis


def test_fisher_leaves_what_has_no_gradient():
    spec = {"w": Axes(None, "a"), "v": Axes("a", None), "n": Axes(), "gone": Axes()}
    a = {"w": np.eye(3, 2), "v": np.ones((2, 10)), "n": np.array(7), "gone": None}

    def apply(v, x):
        return x @ v["w"] @ v["v"]

    x = np.ones((4, 3), np.float32)
    made = objectives.fisher(spec, apply, x, np.arange(4))(a)
    assert made["n"] == 7
    assert made["gone"] is None
    assert not np.allclose(made["v"], a["v"])


def test_slices_of_a_stack_are_layers():
    spec = {"w": Stacked(Axes("s", "a"), Axes("s", "b")), "e": Axes(None, "s")}
    rng = np.random.default_rng(0)
    a = {"w": rng.normal(size=(2, 3, 4)), "e": rng.normal(size=(2, 3))}
    a = {n: x.astype(np.float32) for n, x in a.items()}
    squares = np.square(objectives.normalised(spec)(a)["w"]).sum((1, 2))
    np.testing.assert_allclose(squares, 1, rtol=1e-5)
    squares = np.square(objectives.cosine(spec)(a)["w"]).sum(1)
    np.testing.assert_allclose(squares, 1, rtol=1e-5)


@pytest.mark.parametrize("name", objectives.OF_WEIGHTS)
def test_running_statistics_never_enter(name):
    model = models.build("mlp", width=5, depth=2, norm="batch", **IMAGES)
    a, b = network(model), network(model, 2)
    stats = jax.tree.map(lambda x: 100 * x[::-1], b["batch_stats"])
    args = dict(key=KEY, objective=name)
    found = align.weight_matching(model.spec, a, b, **args)
    same = align.weight_matching(model.spec, a, {**b, "batch_stats": stats}, **args)
    assert found.objective == same.objective
    only = {"params": a["params"]}
    assert align.weight_matching(model.spec, only, b, **args).naive == found.naive


@pytest.mark.parametrize("name", objectives.NAMES)
def test_studies_name_them(name):
    model, a, b = mlp()
    context = dict(apply=model.apply, inputs=pixels(), labels=LABELS)
    settings = {"objective": name, "restarts": 2}
    found = align.joint(
        model.spec,
        [a, b],
        key=KEY,
        method="weight_matching",
        settings=settings,
        **context,
    )
    f = "linear" if name == "linear" else objective(name, model.apply, model.spec)
    direct = align.weight_matching(model.spec, a, b, key=KEY, objective=f, restarts=2)
    assert found.permutations == direct.permutations
    assert len(found.reached) == 2
    method = align.method("weight_matching")
    chosen = method.settings(**settings)
    method.check(align.Context(model.spec, **context), model.shapes, chosen)
    if name in ("covariance", "fisher"):
        with pytest.raises(ValueError, match="inputs"):
            method.check(align.Context(model.spec), model.shapes, chosen)


def test_refusals():
    model, a, b = mlp()

    def match(f):
        return align.weight_matching(model.spec, a, b, key=KEY, objective=f)

    with pytest.raises(ValueError, match="give objective=align.objectives.fisher"):
        match("fisher")
    with pytest.raises(ValueError, match="objective='cos'; it must be one of linear"):
        match("cos")
    with pytest.raises(ValueError, match="32 inputs and 31 labels"):
        objectives.fisher(model.spec, model.apply, pixels(), LABELS[1:])
    with pytest.raises(ValueError, match="give the model's apply"):
        objectives.fisher(model.spec, model.apply, pixels(), None)
    with pytest.raises(ValueError, match="give one of them"):
        match(objectives.covariance(model.spec, None, pixels()))
    assert math.isfinite(match(objectives.cosine(model.spec)).objective)
