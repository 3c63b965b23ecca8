"""Upper bounds: brute force over all permutations, planted pairs, real networks."""

import itertools

import jax
import numpy as np
import pytest
from test_align import IMAGES, network, planted
from test_align_nested import everything

from linconn_jax import align, models, trees
from linconn_jax import permutation as pm
from linconn_jax.align import _relaxations, _traces, bounds
from linconn_jax.permutation import Axes, Block, Concat, Fixed, Stacked, Units

Q, V = Units("q", under="h"), Units("v", under="h")
M, IN = Units("m", under="f"), Units("in", under=("a", "b"))
TINY = {
    "dense": (
        dict(w=Axes(None, "a"), b=Axes("a"), v=Axes("a", "b"), u=Axes("b", None)),
        dict(w=(2, 4), b=(4,), v=(4, 3), u=(3, 2)),
    ),
    "conv": (
        dict(k=Axes(None, "a", "b"), after=Axes(Block(2, "b"), None), s=Axes("a")),
        dict(k=(3, 3, 4), after=(8, 2), s=(3,)),
    ),
    "recurrent": (
        dict(w=Axes("a", "a"), i=Axes(None, Concat("a", "a")), three=Axes(*"aaa")),
        dict(w=(4, 4), i=(2, 8), three=(4, 4, 4)),
    ),
    "residual": (
        dict(stem=Axes(None, "a"), up=Axes("a", "b"), down=Axes("b", "a")),
        dict(stem=(2, 3), up=(3, 4), down=(4, 3)),
    ),
    "heads": (
        dict(q=Axes("s", "h", Q), v=Axes("s", Block("h", V)), o=Axes("h", V, "s")),
        dict(q=(3, 2, 2), v=(3, 4), o=(2, 2, 3)),
    ),
    "fused": (
        dict(qkv=Axes(None, Block(Units("h", 2), Concat(Q, V))), qq=Axes("h", Q, Q)),
        dict(qkv=(2, 10), qq=(2, 3, 3)),
    ),
    "stacked": (
        dict(w=Stacked(Axes("s", "a"), Axes("s", "b")), e=Axes(None, "s")),
        dict(w=(2, 3, 3), e=(2, 3)),
    ),
    "layers": (
        dict(w=Axes(Fixed("f"), "s", M), e=Axes(None, "s"), b=Axes(Fixed("f"), M)),
        dict(w=(2, 3, 3), e=(2, 3), b=(2, 3)),
    ),
    "beside": (
        {"a": Axes("a", None), "in": Axes("a", "b", IN, None), "ab": Axes("b", "a")},
        {"a": (2, 2), "in": (2, 2, 2, 3), "ab": (2, 2)},
    ),
    "sums": (
        dict(w=Axes(Concat("a", 2), Concat("b", Block(2, "a"))), x=Axes(None)),
        dict(w=(5, 9), x=(4,)),
    ),
}  # fmt: skip
KINDS = ("normal", "noisy", "offset", "ties", "outliers")
CASES = 4


def drawn(shapes, kind, rng, move):
    """Two networks; `move(a)` is one of them permuted at random."""
    a, b = ({n: rng.normal(size=s) for n, s in shapes.items()} for _ in range(2))
    if kind == "noisy":
        b = {n: x + 0.1 * b[n] for n, x in move(a).items()}
    elif kind == "offset":
        a, b = ({n: x + rng.normal(0, 5) for n, x in t.items()} for t in (a, b))
    elif kind == "ties":
        a, b = ({n: np.rint(x) for n, x in t.items()} for t in (a, b))
    elif kind == "outliers":
        a, b = ({n: x**5 * 1e3 for n, x in t.items()} for t in (a, b))
    return a, b


class Group:
    """All elements of a group, as gathers of the entries of each leaf that has names."""

    def __init__(self, spec, shapes):
        places = {n: np.arange(np.prod(s)).reshape(s) for n, s in shapes.items()}
        self.spec = pm.bind(spec, places)
        moved = [
            pm.permute(self.spec, p, places) for p in everything(self.spec, places)
        ]
        carry = {self.spec.paths[x.leaf] for x in self.spec.pieces}
        self.gathers = {n: np.stack([x[n].ravel() for x in moved]) for n in carry}
        self.moved = moved

    def move(self, rng):
        index = self.moved[rng.integers(len(self.moved))]
        return lambda a: {n: x.ravel()[index[n]] for n, x in a.items()}

    def reached(self, a, b):
        """By each element of the group."""
        return sum(b[n].ravel()[x] @ a[n].ravel() for n, x in self.gathers.items())

    def optimum(self, a, b):
        return float(self.reached(a, b).max())

    def norms(self, a, b):
        squares = [sum(np.vdot(t[n], t[n]) for n in self.gathers) for t in (a, b)]
        return float(np.sqrt(np.prod(squares)))


GROUPS = {}


def group(name):
    if name not in GROUPS:
        GROUPS[name] = Group(*TINY[name])
    return GROUPS[name]


def check(name, cases, seed=0):
    """Compares bounds with the best of all permutations; the largest excess of them."""
    these, rng = group(name), np.random.default_rng(seed)
    for kind, _ in itertools.product(KINDS, range(cases)):
        a, b = drawn(TINY[name][1], kind, rng, these.move(rng))
        upper, norms = align.bound(these.spec, a, b), these.norms(a, b)
        # Float64 sums of a hundred numbers, and singular values.
        assert these.optimum(a, b) <= upper + 1e-12 * norms, (kind, upper)
        assert upper <= norms * (1 + 1e-12), kind


@pytest.mark.parametrize("name", TINY)
def test_no_permutation_exceeds_the_bound(name):
    check(name, CASES)


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_no_permutation_exceeds_the_bound_in_many_cases(name):
    check(name, 100, seed=1)


def no_means(x):
    """All parts 0 but the last, whose mean over everything is left out."""
    means = (0 * x.mean(axis=k, keepdims=True) for k in ((2, 3), 3, 2))
    return _traces.Effects(*means, x - x.mean(axis=(2, 3), keepdims=True))


BROKEN = {
    "unsorted": (_relaxations.np, "sort", lambda x, axis: x),
    "small values": (
        _relaxations,
        "von_neumann",
        lambda a, b: 0.5 * float(np.vdot(a, a) * np.vdot(b, b)) ** 0.5,
    ),
    "no means": (_relaxations, "effects", no_means),
    "no assignment": (
        align.assignment,
        "maximize",
        lambda x: np.broadcast_to(np.arange(x.shape[-1]), x.shape[:-1]),
    ),
    "nothing beside": (bounds, "_beside", lambda a, b, pieces: -abs(np.vdot(a, b))),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_bounds_that_are_wrong_are_found(fault, monkeypatch):
    all(map(group, TINY))  # made before anything is broken
    monkeypatch.setattr(*BROKEN[fault])
    with pytest.raises(AssertionError):
        list(map(check, TINY, itertools.repeat(5)))


LABELS = (
    *(None, "a", "b", Concat("a", 2), Concat("a", "b"), Block(2, "b"), Block("b", "a")),
    *("h", Block("h", Q), Block("h", Concat(Q, V, V)), V, Fixed("f"), M),
    *(Block(Fixed("f"), Concat(M, "a")), Block("h", Q, "a"), IN, Block("a", "b", IN)),
)
SIZES = {"a": 3, "b": 2, "h": 2, "q": 3, "v": 2, "f": 2, "m": 3, "in": 2}


def length(label):
    if isinstance(label, Block | Concat):
        total = np.prod if isinstance(label, Block) else sum
        return int(total([length(x) for x in label]))
    return (
        2 if label is None else label if isinstance(label, int) else SIZES[label.name]
    )


def random_spec(rng):
    """A spec of two to four leaves, of one to three axes each, and their shapes."""
    while True:
        drawn = (
            Axes(*rng.choice(np.array(LABELS, object), rng.integers(1, 4)))
            for _ in range(rng.integers(2, 5))
        )
        spec = {f"leaf_{i}": axes for i, axes in enumerate(drawn)}
        shapes = {n: tuple(map(length, x.labels)) for n, x in spec.items()}
        try:
            if pm.bind(spec, {n: np.zeros(s) for n, s in shapes.items()}).pieces:
                return spec, shapes
        except ValueError:  # a nested name without its parents, or of no known size
            continue


def some_elements(spec, rng, count):
    """Random elements of a group, drawn on the host."""
    for _ in range(count):
        indices = {
            n: rng.permuted(np.indices(spec.shape(n))[-1], axis=-1)
            for n in spec.parents
        }
        yield pm.from_indices(spec, None, indices)


def check_random_specs(specs, seed):
    rng = np.random.default_rng(seed)
    for number in range(specs):
        labels, shapes = random_spec(rng)
        places = {n: np.arange(np.prod(s)).reshape(s) for n, s in shapes.items()}
        spec = pm.bind(labels, places)
        moved = [pm.permute(spec, p, places) for p in some_elements(spec, rng, 30)]
        carry = {
            spec.paths[x.leaf] for x in spec.pieces if {*x.names} & {*spec.parents}
        }
        for kind in KINDS if carry else ():
            some = moved[rng.integers(len(moved))]
            a, b = drawn(
                shapes,
                kind,
                rng,
                lambda a, some=some: {n: x.ravel()[some[n]] for n, x in a.items()},
            )
            upper = align.bound(spec, a, b)
            reached = [
                sum(np.vdot(a[n], b[n].ravel()[x[n]]) for n in carry) for x in moved
            ]
            scale = sum(np.linalg.norm(a[n]) * np.linalg.norm(b[n]) for n in carry)
            # Float64 sums of a hundred numbers, and singular values.
            assert max(reached) <= upper + 1e-12 * scale, (number, kind, labels)
            back = {n: x.ravel()[some[n]] for n, x in a.items()}
            own = sum(np.vdot(a[n], a[n]) for n in carry)
            assert abs(align.bound(spec, a, back) - own) <= 1e-12 * own, labels


def test_bounds_of_random_specs():
    check_random_specs(6, seed=0)


@pytest.mark.slow
def test_bounds_of_many_random_specs():
    check_random_specs(400, seed=1)


@pytest.mark.slow
def test_a_planted_residual_network_is_certified():
    model, a, _, moved = planted("resnet")
    spec = pm.bind(model.spec, a)
    named = {piece.leaf for piece in spec.pieces}
    own = sum(np.vdot(x, x) for i, x in enumerate(spec.leaves(a)) if i in named)
    # 1e-6: the float32 sums of the line above.
    assert align.bound(model.spec, a, moved) == pytest.approx(own, rel=1e-6)


def test_weight_matching_below_the_bound_without_running_statistics():
    model = models.build("mlp", width=6, depth=2, norm="batch", **IMAGES)
    a, b = network(model, 1), network(model, 2)
    upper, less = (
        align.bound(model.spec, a, b),
        align.bound(model.spec, a, b, leaves=is_kernel),
    )
    other = jax.tree.map(lambda x: 100 * x, b["batch_stats"])
    assert align.bound(model.spec, a, {**b, "batch_stats": other}) == upper
    key = jax.random.key(0)
    found = align.weight_matching(model.spec, a, b, key=key)
    assert found.objective < upper
    assert 0.1 < align.gap(found, upper) < 1
    found = align.weight_matching(model.spec, a, b, key=key, leaves=is_kernel)
    assert found.objective < less
    moved = pm.permute(model.spec, pm.random(key, model.spec, a), a)
    found = align.weight_matching(model.spec, a, moved, key=key)
    # The objective is found in float32.
    assert align.gap(found, align.bound(model.spec, a, moved)) < 1e-6


def is_kernel(path):
    return "kernel" in path


def test_one_layer_is_solved_exactly():
    spec = {"w": Axes(None, Block("h", Q)), "b": Axes("h"), "q": Axes("h", Q)}
    shapes = {"w": (3, 6), "b": (2,), "q": (2, 3)}
    these, rng = Group(spec, shapes), np.random.default_rng(0)
    a, b = drawn(shapes, "normal", rng, None)
    assert align.bound(spec, a, b) == pytest.approx(these.optimum(a, b), rel=1e-12)


def test_too_many_units_are_bounded_by_norms(monkeypatch):
    exact = align.bound(group("dense").spec, *drawn_once("dense"))
    monkeypatch.setattr(
        _relaxations, "LARGEST", 10
    )  # of the 3 units of b, not of a's 4
    check("dense", 3)
    check("heads", 3)
    assert align.bound(group("dense").spec, *drawn_once("dense")) > exact


def drawn_once(name):
    return drawn(TINY[name][1], "normal", np.random.default_rng(0), None)


def test_the_joint_bound_is_of_all_pairs():
    these, rng = group("residual"), np.random.default_rng(0)
    networks = [drawn(TINY["residual"][1], "normal", rng, None)[0] for _ in range(3)]
    upper = align.joint_bound(these.spec, networks)
    sums = []
    for p, q in itertools.product(these.moved, repeat=2):  # 1 296 of the first still
        moved = [networks[0]]
        for index, x in ((p, networks[1]), (q, networks[2])):
            moved.append({n: x[n].ravel()[index[n]] for n in x})
        pairs = itertools.combinations(moved, 2)
        sums.append(sum(np.vdot(x[n], y[n]) for x, y in pairs for n in x))
    assert (
        max(sums)
        <= upper
        <= sum(these.norms(x, y) for x, y in itertools.combinations(networks, 2))
    )
    a = networks[0]
    copies = [a, *({n: a[n].ravel()[these.moved[i][n]] for n in a} for i in (5, 17))]
    assert align.joint_bound(these.spec, copies) == pytest.approx(3 * these.norms(a, a))


def test_the_joint_bound_takes_a_stack():
    these, rng = group("residual"), np.random.default_rng(0)
    networks = [drawn(TINY["residual"][1], "normal", rng, None)[0] for _ in range(3)]
    upper = align.joint_bound(these.spec, networks)
    stack = {n: np.stack([x[n] for x in networks]) for n in networks[0]}
    assert align.joint_bound(TINY["residual"][0], stack) == upper
    assert align.joint_bound(these.spec, networks[::-1]) == pytest.approx(upper)
    with pytest.raises(ValueError, match="1 networks are given; a bound is of two"):
        align.joint_bound(these.spec, trees.take(stack, [0]))


def check_sequences(name, cases, seed=0):
    """Compares bounds of sequences with the best of all permutations."""
    these, rng = group(name), np.random.default_rng(seed)
    for kind, number in itertools.product(KINDS, range(cases)):
        move = these.move(rng)  # of all pairs alike
        pairs = [drawn(TINY[name][1], kind, rng, move) for _ in range(2 + number % 2)]
        sizes = 10.0 ** rng.uniform(-1, 1, len(pairs))
        a, b = (
            [{n: s * p[i][n] for n in p[i]} for s, p in zip(sizes, pairs, strict=True)]
            for i in range(2)
        )
        norms = np.array([these.norms(x, y) for x, y in zip(a, b, strict=True)])
        for over, scale in (("sum", np.ones(len(a))), ("normalised", norms)):
            upper = align.sequence_bound(these.spec, a, b, over=over)
            reached = sum(
                these.reached(x, y) / s for x, y, s in zip(a, b, scale, strict=True)
            )
            # Float64 sums of a hundred numbers, and singular values.
            most = (norms / scale).sum()
            assert reached.max() <= upper + 1e-12 * most, (kind, over, upper)
            assert upper <= most * (1 + 1e-12), (kind, over)


@pytest.mark.parametrize("name", TINY)
def test_no_permutation_exceeds_the_bound_of_sequences(name):
    check_sequences(name, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_no_permutation_exceeds_the_bound_of_sequences_in_many_cases(name):
    check_sequences(name, 50, seed=1)


@pytest.mark.parametrize("fault", BROKEN)
def test_bounds_of_sequences_that_are_wrong_are_found(fault, monkeypatch):
    all(map(group, TINY))  # made before anything is broken
    monkeypatch.setattr(*BROKEN[fault])
    with pytest.raises(AssertionError):
        list(map(check_sequences, TINY, itertools.repeat(5)))


def test_sequences_planted_alike_are_certified():
    these, rng = group("dense"), np.random.default_rng(0)
    a = [drawn(TINY["dense"][1], "normal", rng, None)[0] for _ in range(3)]
    b = [these.move(np.random.default_rng(5))(x) for x in a]  # all moved alike
    key = jax.random.key(0)
    for over in ("sum", "normalised"):
        found = align.joint_weight_matching(
            these.spec, a, b, key=key, over=over, restarts=8
        )
        upper = align.sequence_bound(these.spec, a, b, over=over)
        # Objectives are found in float32.
        assert align.gap(found, upper) < 1e-6
    b[1] = a[1]  # another permutation would be needed for it
    upper = align.sequence_bound(these.spec, a, b)
    found = align.joint_weight_matching(these.spec, a, b, key=key, restarts=8)
    assert 0 < align.gap(found, upper) < 1
    with pytest.raises(ValueError, match="over='worst'; it must be one of sum, norm"):
        align.sequence_bound(these.spec, a, b, over="worst")
    with pytest.raises(ValueError, match="give as many of each"):
        align.sequence_bound(these.spec, a, b[1:])


def alignment(objective):
    still = pm.identity(group("dense").spec)
    return align.Alignment(group("dense").spec, (still, still), objective=objective)


def test_the_gap():
    assert align.gap(alignment(3.0), 4.0) == 0.25
    assert align.gap(alignment(4.0 + 1e-7), 4.0) == 0
    assert align.gap(alignment(-1.0), 4.0) == np.inf
    assert align.gap(alignment(-1.0), -1.0) == 0
    with pytest.raises(ValueError, match=r"objective 5 is above the bound 4;"):
        align.gap(alignment(5.0), 4.0)
    with pytest.raises(ValueError, match="objective is nan and the bound 4.0"):
        align.gap(alignment(float("nan")), 4.0)


def test_refusals():
    spec, (a, b) = group("dense").spec, drawn_once("dense")
    with pytest.raises(ValueError, match="leaf w has dtype complex128"):
        align.bound(spec, a, {**b, "w": b["w"] * 1j})
    with pytest.raises(ValueError, match="leaf v holds numbers that are not finite"):
        align.bound(spec, {**a, "v": a["v"] * np.nan}, b)
    with pytest.raises(ValueError, match="chooses no leaf"):
        align.bound(spec, a, b, leaves=lambda path: False)
    with pytest.raises(ValueError, match="1 networks are given"):
        align.joint_bound(spec, [a])
