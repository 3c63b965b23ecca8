"""Many alignments in one call: each is that of a single call, bit for bit."""

import importlib
import itertools
import threading

import jax
import numpy as np
import pytest
from test_joint import KEY, mlp, network, pixels

from linconn_jax import align, trees
from linconn_jax import permutation as pm
from linconn_jax.align import _ascent, _moments, _shared

RECORD = ("objective", "naive", "history", "converged", "reached")


def networks_of(model, count):
    return [network(model, i) for i in range(count)]


def alone(model, networks, groups, **options):
    return [
        align.joint(
            model.spec,
            [networks[n] for n in group],
            key=jax.random.fold_in(KEY, i),
            **options,
        )
        for i, group in enumerate(groups)
    ]


def assert_same(found, others):
    assert len(found) == len(others)
    for a, b in zip(found, others, strict=True):
        assert a.permutations == b.permutations
        assert [getattr(a, x) for x in RECORD] == [getattr(b, x) for x in RECORD]


def test_pairs_are_those_of_weight_matching_bit_for_bit():
    model = mlp(width=12, depth=3)
    networks = networks_of(model, 4)
    pairs = list(itertools.combinations(range(4), 2))
    found = align.each(model.spec, networks, key=KEY)
    each = [
        align.weight_matching(
            model.spec, networks[i], networks[j], key=jax.random.fold_in(KEY, n)
        )
        for n, (i, j) in enumerate(pairs)
    ]
    assert_same(found, each)
    assert all(x.spec is model.spec for x in found)
    assert all(x.seconds > 0 for x in found)
    stacked = trees.stack(networks)
    assert_same(align.each(model.spec, stacked, pairs, key=KEY), each)
    # Another order of the groups is another key for each.
    turned = align.each(model.spec, networks, pairs[::-1], key=KEY)
    assert any(
        a.permutations != b.permutations
        for a, b in zip(found, turned[::-1], strict=True)
    )
    bound = pm.bind(model.spec, networks[0])
    assert_same(align.each(bound, networks, pairs[:2], key=KEY), each[:2])


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("activation_matching", {"similarity": "pearson"}),
        ("fused_matching", {"restarts": 2}),
        ("merge_many", {"restarts": 1}),
    ],
)
def test_groups_are_those_of_joint_bit_for_bit(method, settings):
    model = mlp(width=8, depth=2)
    networks = networks_of(model, 5)
    groups = [(3, 4), (0, 1), (2, 0, 1), (4, 3)]
    data = dict(method=method, settings=settings, apply=model.apply, inputs=pixels(50))
    found = align.each(model.spec, networks, groups, key=KEY, batch_size=20, **data)
    single = alone(model, networks, groups, batch_size=20, **data)
    assert_same(found, single)
    other = alone(model, networks[::-1], groups, batch_size=20, **data)
    assert any(
        a.permutations != b.permutations for a, b in zip(found, other, strict=True)
    )


def test_two_sequences_are_a_group():
    model = mlp(width=6, depth=2)
    networks = networks_of(model, 4)
    method = dict(method="joint_weight_matching")
    groups = [(0, 1, 2, 3), (0, 2)]
    found = align.each(model.spec, networks, groups, key=KEY, **method)
    for i, (group, one) in enumerate(zip(groups, found, strict=True)):
        half = len(group) // 2
        sides = [[networks[n] for n in x] for x in (group[:half], group[half:])]
        own = jax.random.fold_in(KEY, i)
        alike = align.joint_weight_matching(model.spec, *sides, key=own)
        assert alike.permutations == one.permutations
        assert alike.objective == one.objective


@pytest.fixture
def read(monkeypatch):
    """Numbers of networks whose activations were read, call by call."""
    seen, moments = [], _moments.moments

    def watched(networks, *given, **options):
        seen.append(len(networks))
        return moments(networks, *given, **options)

    monkeypatch.setattr(_moments, "moments", watched)
    return seen


def test_activations_of_each_network_are_read_once(read):
    model = mlp(width=4, depth=2)
    networks = networks_of(model, 7)
    groups = [*itertools.combinations(range(4), 2), (4, 5), (6, 5)]
    data = dict(method="activation_matching", apply=model.apply, inputs=pixels(8))
    align.each(model.spec, networks, groups[::-1], key=KEY, **data)
    assert sorted(read) == [3, 4]


def test_large_sets_are_read_group_by_group(read, monkeypatch):
    monkeypatch.setattr(_shared, "AT_ONCE", 3)
    model = mlp(width=4, depth=1)
    networks = networks_of(model, 4)
    groups = [(0, 1), (1, 2), (2, 3)]
    data = dict(method="activation_matching", apply=model.apply, inputs=pixels(8))
    found = align.each(model.spec, networks, groups, key=KEY, **data)
    assert read == [2, 2, 2]
    assert_same(found, alone(model, networks, groups, **data))


def test_what_hangs_together():
    groups = [(0, 1), (2, 3), (3, 4), (5, 5), (1, 6)]
    whole = _shared.sets(groups)
    assert whole == [(0, 1, 6), (2, 3, 4), (2, 3, 4), (5,), (0, 1, 6)]
    chain = [(i, i + 1) for i in range(20)]
    assert _shared.sets(chain) == chain  # more than one program takes


def test_each_network_is_fetched_and_the_spec_bound_once(monkeypatch):
    model = mlp(width=4, depth=2)
    networks = [jax.device_put(x) for x in networks_of(model, 4)]
    fetched, asarray = [], np.asarray

    def watched(x, *given, **options):
        if isinstance(x, jax.Array) and x.dtype == np.float32:
            fetched.append(id(x))
        return asarray(x, *given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(np, "asarray", watched)
        align.each(model.spec, networks, key=KEY)
    leaves = [id(x) for x in jax.tree.leaves(networks)]
    assert sorted(fetched) == sorted(leaves)


def test_an_alignment_in_another_thread_computes_in_float32(monkeypatch):
    monkeypatch.setattr(_ascent, "WIDE", 0)
    seen = []

    def find(context, networks, key, settings):
        seen.append((threading.get_ident(), jax.config.jax_default_matmul_precision))
        still = pm.bind(context.spec, networks[0]).identity()
        return align.Alignment(context.spec, (still,) * 2)

    model, method = mlp(), align.Method("theirs", find)
    networks = networks_of(model, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("linconn_jax.align._each.registered", lambda name: method)
        align.each(model.spec, networks, key=KEY, method="theirs")
    assert len(seen) == 6
    assert len({thread for thread, _ in seen}) > 1
    assert {precision for _, precision in seen} == {"float32"}


def test_no_groups_are_no_alignments():
    model = mlp()
    assert align.each(model.spec, networks_of(model, 2), [], key=KEY) == ()


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ([(0, 1), (0, 3)], {}, r"groups\[1\]=\(0, 3\); it must be .* from 0 to 2"),
        ([(0, 1), (2,)], {}, "given 1 networks"),
        (
            [(0, 1), (1, 2)],
            {"method": "activation_matching"},
            "group 0.* no inputs",
        ),
        ([(0, 1)], {"method": "weight"}, "weight"),
        ([(0, 1)], {"settings": {"accep": 1}}, "did you mean weight_matching.accept"),
    ],
)
def test_refused(groups, options, message):
    model = mlp(width=4)
    networks = networks_of(model, 3)
    with pytest.raises(ValueError, match=message):
        align.each(model.spec, networks, groups, key=KEY, apply=model.apply, **options)


def test_numbers_alone_are_no_groups(unchecked):
    model = mlp(width=4)
    function = unchecked(importlib.import_module("linconn_jax.align._each")).each
    with pytest.raises(ValueError, match=r"groups\[0\]=0; it must be"):
        function(model.spec, networks_of(model, 2), [0, 1], key=KEY)


def test_the_group_of_a_broken_network_is_named():
    model = mlp(width=4)
    *networks, last = networks_of(model, 3)
    broken = jax.tree.map(lambda x: x * np.nan, last)
    with pytest.raises(ValueError, match=r"group 1, networks \(0, 2\): .* not finite"):
        align.each(model.spec, [*networks, broken], key=KEY)


def test_what_methods_look_like_is_their_own():
    looks = [(x.colour, x.marker) for x in align.methods().values() if x.colour]
    assert len(set(looks)) == len(looks)
    taken = align.method("star")
    method = align.Method("other", taken.find, colour=taken.colour, marker=taken.marker)
    with pytest.raises(ValueError, match="'other' has the colour .* of 'star'; give"):
        align.register(method)
    assert "other" not in align.methods()
    align.register(taken)  # of itself it may have them
