"""Options that methods share: some of the names, where to start, in which order."""

import functools
import itertools

import jax
import numpy as np
import pytest
from test_align_nested import network as weights_of
from test_joint import KEY, joint, mlp, network, pixels

from linconn_jax import align, trees
from linconn_jax import permutation as pm
from linconn_jax.align import (
    _activation_matching,
    _activations,
    _ascent,
    _options,
    _together,
)
from linconn_jax.permutation import Axes

DATA = dict(inputs=pixels())


def networks_of(model, count):
    return [network(model, i) for i in range(count)]


def paired(method):
    def align_pair(model, networks, **options):
        given = (model.spec, *networks[:2])
        return method(*given, **dict(key=KEY) | options)

    return align_pair


def by_activations(model, networks, **options):
    given = (model.spec, model.apply, *networks[:2], DATA["inputs"])
    return align.activation_matching(*given, **options)


def many(method, **own):
    def align_all(model, networks, **options):
        data = dict(apply=model.apply, **DATA) if own else {}
        given = dict(key=KEY, restarts=1) | data | options
        return method(model.spec, networks, **given)

    return align_all


def sequences(model, networks, **options):
    halves = networks[:1] * 2, networks[1:3]
    return align.joint_weight_matching(model.spec, *halves, key=KEY, **options)


PAIRED = {
    "weight_matching": paired(align.weight_matching),
    "activation_matching": by_activations,
    "joint_weight_matching": sequences,
}
MANY = {
    "merge_many": many(align.merge_many),
    "fused_matching": many(align.fused_matching, told=True),
    "frank_wolfe": many(align.frank_wolfe),
}
SOME = PAIRED | MANY


@pytest.mark.parametrize("method", SOME)
def test_names_that_are_not_chosen_stay(method):
    model = mlp(width=5, depth=3)
    networks = networks_of(model, 3)
    find = functools.partial(SOME[method], model, networks)
    still = pm.bind(model.spec, networks[0]).identity()
    found = find(names=["dense_2"])
    assert found.permutations == find(names=lambda x: x == "dense_2").permutations
    assert any((p["dense_2"] != still["dense_2"]).any() for p in found.permutations)
    for p, name in itertools.product(found.permutations, ("dense_1", "dense_3")):
        np.testing.assert_array_equal(p[name], still[name])
    every = find()
    assert find(names=list(still)).permutations == every.permutations
    assert any((p["dense_1"] != still["dense_1"]).any() for p in every.permutations)


def test_the_chosen_name_is_assigned_as_brute_force_does():
    model = mlp(width=4, depth=3)
    a, b = networks_of(model, 2)
    still = pm.bind(model.spec, a).identity()
    hidden = pm.random(jax.random.key(3), model.spec, a)
    start = still.replace({n: np.asarray(p) for n, p in hidden.items()})

    def value(order):
        one = start.replace({**start, "dense_2": np.array(order)})
        there = align.weight_matching(
            model.spec, a, b, key=KEY, initial=one, max_sweeps=0
        )
        return there.objective

    best = max(itertools.permutations(range(4)), key=value)
    found = align.weight_matching(
        model.spec, a, b, key=KEY, initial=start, names=["dense_2"]
    )
    assert tuple(found.permutation["dense_2"]) == best
    np.testing.assert_array_equal(found.permutation["dense_1"], start["dense_1"])
    np.testing.assert_array_equal(found.permutation["dense_3"], start["dense_3"])
    # Names that are not assigned may be left out of a start, and stay then.
    left = align.weight_matching(
        model.spec, a, b, key=KEY, initial={"dense_2": best}, names=["dense_2"]
    )
    np.testing.assert_array_equal(left.permutation["dense_1"], still["dense_1"])


@pytest.mark.parametrize("chosen", ["heads", "qk", "stream"])
def test_what_lies_under_a_chosen_name_is_assigned_with_it(chosen):
    spec, a = weights_of("attention", 1)
    bound = pm.bind(spec, a)
    taken = {"heads": {"heads", "qk", "v"}}.get(chosen, {chosen})
    still = bound.identity()
    hidden = jax.tree.map(np.asarray, pm.random(jax.random.key(2), spec, a))
    hidden = still.replace({n: hidden[n] if n in taken else still[n] for n in still})
    b = pm.permute(spec, hidden, a)
    found = align.weight_matching(spec, a, b, key=KEY, names=[chosen])
    assert pm.compose(hidden, found.permutation) == still

    def read(tree, inputs):
        return {"qk": tree["query"], "v": tree["value"], "stream": tree["embed"]}

    _, a = weights_of("attention", 3)
    b = pm.permute(spec, hidden, a)
    given = (spec, None, a, b, np.zeros((2, 1), np.float32))
    found = align.activation_matching(*given, activations=read, names=[chosen])
    assert pm.compose(hidden, found.permutation) == still
    missing = lambda tree, inputs: {"stream": tree["embed"]}  # noqa: E731
    if chosen == "stream":
        one = align.activation_matching(*given, activations=missing, names=[chosen])
        assert one.permutation == found.permutation
    with pytest.raises(ValueError, match="no key for the axis names"):
        align.activation_matching(*given, activations=missing)


@pytest.mark.parametrize("method", SOME)
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["dense_1", "dens_2"], r"names \['dens_2'\] are not in the spec"),
        ([], "chooses none of the axis names"),
        (lambda x: False, "chooses none of the axis names"),
        (lambda x: "dense" in x and 1, "must return True or False"),
        ("dense_1", "must be a list of axis names"),
    ],
)
def test_names_that_choose_nothing_are_refused(method, names, message):
    model = mlp(width=3, depth=2)
    with pytest.raises(ValueError, match=message):
        SOME[method](model, networks_of(model, 3), names=names)


def test_lists_of_lists_are_no_names(unchecked):
    bound = pm.bind({"w": Axes("a")}, {"w": np.zeros(3)})
    with pytest.raises(ValueError, match="must be a list of axis names"):
        unchecked(_options).assigned(bound, [["a"]])


def planted(model, count):
    """Copies of one network, and what brings them together."""
    a = network(model, 1)
    hidden = [pm.random(jax.random.key(i), model.spec, a) for i in range(count)]
    copies = [pm.permute(model.spec, p, a) for p in hidden]
    return copies, [pm.inverse(p) for p in hidden]


@pytest.mark.parametrize("method", MANY)
@pytest.mark.parametrize("count", [2, 4])
def test_k_networks_start_where_they_are_told_to(method, count):
    model = mlp(width=8, depth=2)
    copies, back = planted(model, count)
    find = functools.partial(MANY[method], model, copies)
    bound = {"max_steps" if method == "frank_wolfe" else "max_sweeps": 1}
    found = find(initial=back, **bound)
    assert found.converged  # nothing was left to gain
    first = pm.inverse(back[0])
    # As if all had been turned alike, so that the first one stays.
    assert found.permutations == tuple(pm.compose(p, first) for p in back)
    assert not find(**bound).converged
    again = find(initial=found, **bound)
    assert again.permutations == found.permutations
    assert again.objective == pytest.approx(found.objective, rel=1e-6)
    assert found.naive == find(**bound).naive < found.objective
    turned = find(initial=[pm.compose(p, back[-1]) for p in back], **bound)
    assert turned.permutations == found.permutations


@pytest.mark.parametrize("method", PAIRED)
def test_a_pair_starts_where_it_is_told_to(method):
    model = mlp(width=8, depth=2)
    (a, b), (first, second) = planted(model, 2)
    wanted = pm.compose(second, pm.inverse(first))
    found = PAIRED[method](model, [a, b, b], initial=wanted)
    assert found.sweeps == 1
    assert found.permutation == wanted
    from_nothing = PAIRED[method](model, [a, b, b])
    assert from_nothing.sweeps > 1
    assert from_nothing.permutation == wanted
    assert found.naive == from_nothing.naive < found.objective
    names = [name for name in wanted if name != "dense_1"]
    # Where a name is not assigned the start stays, whatever it is.
    other = wanted.replace({**wanted, "dense_1": np.roll(wanted["dense_1"], 1)})
    kept = PAIRED[method](model, [a, b, b], initial=other, names=names)
    np.testing.assert_array_equal(kept.permutation["dense_1"], other["dense_1"])


def test_sweeps_of_activation_matching_are_bounded(monkeypatch):
    model = mlp(width=8, depth=2)
    networks = networks_of(model, 2)
    assert by_activations(model, networks).sweeps == 2
    monkeypatch.setattr(_activation_matching, "MAX_SWEEPS", 1)
    found = by_activations(model, networks)
    assert found.sweeps == 1
    assert not found.converged


def test_a_step_gains_what_the_names_that_moved_do():
    model = mlp(width=6, depth=2)
    bound = pm.bind(model.spec, network(model, 0))
    rng = np.random.default_rng(0)
    pairs = {
        pair: {name: rng.normal(size=(6, 6)) for name in bound.parents}
        for pair in itertools.combinations(range(3), 2)
    }
    term = _activations.Activations(bound, bound.parents, pairs, (0, 1, 2))
    step = bound.identity().replace({**bound.identity(), "dense_2": rng.permutation(6)})
    gain, before = term.gain(1, step, {"dense_2"}), term.objective()
    term.step(1, step, {"dense_2"})
    assert gain == pytest.approx(term.objective() - before)
    assert abs(gain) > 1e-3


@pytest.mark.parametrize("method", MANY)
def test_names_that_are_not_assigned_need_no_start(method):
    model = mlp(width=8, depth=2)
    copies, back = planted(model, 3)
    own = [{"dense_2": p["dense_2"]} for p in back]
    still = pm.bind(model.spec, copies[0]).identity()
    whole = [still.replace({**still, **p}) for p in own]
    found, wanted = (
        MANY[method](model, copies, initial=x, names=["dense_2"]) for x in (own, whole)
    )
    assert found.permutations == wanted.permutations
    with pytest.raises(ValueError, match="dense_1"):
        MANY[method](model, copies, initial=own)


@pytest.mark.parametrize("method", MANY)
def test_names_that_are_not_assigned_stay_where_they_start(method):
    model = mlp(width=8, depth=2)
    copies, back = planted(model, 3)
    still = pm.bind(model.spec, copies[0]).identity()
    starts = [still.replace({**still, "dense_1": p["dense_1"]}) for p in back]
    found = MANY[method](model, copies, initial=starts, names=["dense_2"])
    wanted = _together.relative(back)
    assert found.permutations == wanted  # that of dense_1 by the start alone
    if method == "frank_wolfe":  # its last step was of the networks as they stay
        assert found.history[-2] == pytest.approx(found.history[-1])
    # A start that is wrong stays as well, in runs that begin elsewhere, too.
    starts[1] = starts[1].replace({**starts[1], "dense_1": starts[2]["dense_1"]})
    kept = _together.relative(starts)
    found = MANY[method](model, copies, initial=starts, names=["dense_2"], restarts=2)
    for p, start in zip(found.permutations, kept, strict=True):
        np.testing.assert_array_equal(p["dense_1"], start["dense_1"])
    assert found.naive == MANY[method](model, copies, names=["dense_2"]).naive


@pytest.mark.parametrize("method", MANY)
def test_stacks_are_taken_as_lists_are(method):
    model = mlp(width=4, depth=1)
    networks = networks_of(model, 3)
    found = MANY[method](model, trees.stack(networks))
    assert found.permutations == MANY[method](model, networks).permutations
    with pytest.raises(ValueError, match="given in a list or a tuple, or stacked"):
        MANY[method](model, {"params": 3})


@pytest.mark.parametrize("method", MANY)
def test_starts_that_do_not_fit_are_refused(method):
    model = mlp(width=4, depth=2)
    networks = networks_of(model, 3)
    still = pm.bind(model.spec, networks[0]).identity()
    short = still.replace({**still, "dense_1": np.zeros(4, int)})
    for initial, message in (
        ([still] * 2, "initial has 2 permutations for 3 networks"),
        ([still, still, short], "not a rearrangement"),
    ):
        with pytest.raises(ValueError, match=message):
            MANY[method](model, networks, initial=initial)


@pytest.fixture
def visits(monkeypatch):
    """Names in the order in which they are looked at."""
    seen, improve = [], _ascent.Ascent.improve

    def watched(self, site):
        seen.append(site[1])
        return improve(self, site)

    monkeypatch.setattr(_ascent.Ascent, "improve", watched)
    return seen


FLOW = {"c": Axes(None, "c"), "a": Axes("c", "a"), "b": Axes("a", "b")}
FLOW |= {"d": Axes("b", None)}


def flowing(variables, x):
    """A network whose layers the alphabet has in another order."""
    for name in "cab":
        x = jax.nn.relu(x @ variables[name])
    return x @ variables["d"]


def test_layers_are_visited_in_the_order_that_is_asked_for(visits):
    rng = np.random.default_rng(0)
    a, b = ({x: np.float32(rng.normal(size=(9, 9))) for x in FLOW} for _ in range(2))
    inputs = np.ones((4, 9), np.float32)
    flow = pm.depth_order(flowing, a, inputs, spec=FLOW)
    assert flow == (("c",), ("a",), ("b",))
    back = ["b", "a", "c"]
    for order, wanted in ((flow, back[::-1]), (back, back), (flow[::-1], back)):
        visits.clear()
        found = align.weight_matching(FLOW, a, b, key=KEY, order=order)
        assert visits == wanted * found.sweeps
        assert found.sweeps > 1
    visits.clear()
    some = {"names": ["a", "b"], "max_sweeps": 1}
    align.weight_matching(FLOW, a, b, key=KEY, order=back, **some)
    assert visits == ["b", "a"]
    context = align.Context(pm.bind(FLOW, a), flowing, inputs=inputs)
    method = align.method("weight_matching")
    for named, wanted in (("forward", back[::-1]), ("backward", back)):
        settings = method.settings(order=named)
        visits.clear()
        found = method(context, [a, b], KEY, settings)
        assert visits[: len(wanted)] == wanted
        joint = align.method("joint_weight_matching")
        both = joint(context, [a, b], KEY, joint.settings(order=named))
        assert both.permutations == found.permutations
        with pytest.raises(ValueError, match="give apply="):
            method(align.Context(FLOW), [a, b], KEY, settings)
    visits.clear()
    method(context, [a, b], KEY, method.settings(names=("a",)))
    assert {*visits} == {"a"}
    with pytest.raises(ValueError, match="are not in the spec"):
        method.check(context, a, method.settings(names=("root",)))
    with pytest.raises(ValueError, match="all runs would be the same"):
        method.check(context, a, method.settings(order="forward", restarts=2))


@pytest.mark.parametrize(
    "order",
    [
        *("forward", ["dense_1"], ["dense_1", "dense_2", "dense_2"], ["a"], [("b",)]),
        *(None, 3, ["dense_1", None], ["dense_1", [["dense_2"]]]),
    ],
)
def test_orders_that_are_none_are_refused(order, unchecked):
    model = mlp(width=3, depth=2)
    networks = networks_of(model, 2)
    parents = pm.bind(model.spec, networks[0]).parents
    with pytest.raises(ValueError, match="it must be 'random', or all axis names"):
        unchecked(_options).ordered(parents, order, parents)
    fixed = ["dense_1", "dense_2"]
    with pytest.raises(ValueError, match="all runs would be the same"):
        PAIRED["weight_matching"](model, networks, order=fixed, restarts=2)


def test_fused_matching_of_weights_alone():
    model = mlp()
    networks = networks_of(model, 2)
    found = align.joint(model.spec, networks, key=KEY)
    told = align.fused_matching(model.spec, networks, key=KEY)
    assert found.permutations == told.permutations
    assert joint(model, networks, "fused_matching").objective > found.objective
    for half in (dict(apply=model.apply), DATA):
        with pytest.raises(ValueError, match="inputs|give one of them"):
            align.joint(model.spec, networks, key=KEY, **half)
