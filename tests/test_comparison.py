"""`compare`: networks and data of one's own, in one call."""

import functools
import json
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linconn_jax
from linconn_jax import (
    align,
    comparison,
    data,
    models,
    permutation,
    report,
    results,
    trees,
)
from linconn_jax.report import select
from linconn_jax.study import Given, Study

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(30, 4)).astype(np.float32)
SETTINGS = {"evaluate": {"points": 3}}


def network(seed, units=5):
    rng = np.random.default_rng(seed + 4)
    sizes = {"w": (4, units), "b": (units,), "v": (units, 3)}
    return {name: rng.normal(size=s).astype(np.float32) for name, s in sizes.items()}


def apply(net, inputs):
    return jax.nn.relu(inputs @ net["w"] + net["b"][None, :]) @ net["v"]


LABELS = np.argmax(apply(network(0), INPUTS), axis=1)  # of a network that has learnt
compare = functools.partial(linconn_jax.compare, apply, settings=SETTINGS)


def values(found, **columns):
    """Losses at all points, by the numbers of the networks."""
    rows = select.where(found.rows, quantity="value", metric="loss", **columns)
    made = {}
    for seeds, value in zip(rows["seeds"], rows["value"], strict=True):
        made.setdefault(tuple(seeds), []).append(value)
    return made


def barriers(found, method):
    rows = select.where(found.barriers, method=method, metric="loss", split="train")
    return dict(zip(map(tuple, rows["seeds"]), rows["value"], strict=True))


@pytest.fixture
def no_page(monkeypatch):
    """Pages take seconds to draw."""
    monkeypatch.setattr(report, "write", lambda folder, experiments: folder)


def permuted(net, seed):
    """The same function, its units in another order."""
    order = np.random.default_rng(seed).permutation(net["b"].size)
    return {"w": net["w"][:, order], "b": net["b"][order], "v": net["v"][order]}


@pytest.mark.parametrize("k", [2, 3, 7])
def test_copies_with_permuted_units_are_recovered_listed_or_stacked(k):
    first = network(0)
    nets = [first, *(permuted(first, seed) for seed in range(1, k))]
    found = compare(nets, (INPUTS, LABELS))
    pairs = {(i, j) for i in range(k) for j in range(i + 1, k)}
    everyone = {tuple(range(k))}
    naive, aligned = (barriers(found, m) for m in ("naive", "weight_matching"))
    assert naive.keys() == aligned.keys() == pairs | everyone
    assert max(aligned.values()) < 1e-5
    assert max(naive.values()) > 0.1  # the control: they are not aligned as they are
    assert found.alignments["weight_matching"].keys() == pairs
    assert found.page is None
    for one in found.aligned("weight_matching"):
        jax.tree.map(np.testing.assert_array_equal, one, first)
    stacked = compare(trees.stack(nets), (INPUTS, LABELS))
    assert barriers(stacked, "naive") == naive
    assert stacked.tables == found.tables


def test_a_second_call_computes_only_what_is_new(tmp_path, monkeypatch):
    computed = []
    real = results.Results.rows

    def rows(self, key, compute):
        def told():
            computed.append(tuple(key["seeds"]) if "seeds" in key else ())
            return compute()

        return real(self, key, told)

    monkeypatch.setattr(results.Results, "rows", rows)
    nets, data = [network(seed) for seed in range(3)], (INPUTS, LABELS)
    once = compare(nets[:2], data, workdir=tmp_path)
    assert set(computed) >= {(0, 1)}
    assert once.page == tmp_path / "report" / "index.html"
    page = once.page.read_bytes()
    computed.clear()
    again = compare(nets[:2], data, workdir=tmp_path)
    assert computed == []
    assert again.rows.equals(once.rows)
    assert again.page.read_bytes() == page
    more = compare(nets, data, workdir=tmp_path)
    assert set(computed) == {(0, 2), (1, 2), (0, 1, 2)}
    computed.clear()
    # Others in the same folder, with one number changed: no row is taken for theirs.
    other = jax.tree.map(np.copy, nets[1])
    other["v"][0, 0] += 1
    changed = compare([nets[0], other], data, workdir=tmp_path)
    assert set(computed) >= {(0, 1)}
    assert {tuple(x) for x in changed.rows["seeds"].dropna()} == {(0, 1)}
    fresh = compare([nets[0], other], data)
    assert values(changed, method="naive") == values(fresh, method="naive")
    assert values(changed, method="naive") != values(once, method="naive")
    assert values(more, method="naive")[0, 1] == values(once, method="naive")[0, 1]


def test_another_function_or_data_is_another_comparison(tmp_path, no_page):
    nets, data = [network(0), network(1)], (INPUTS, LABELS)
    once = values(compare(nets, data, workdir=tmp_path), method="naive")
    doubled = linconn_jax.compare(
        lambda net, x: 2 * apply(net, x),
        nets,
        data,
        workdir=tmp_path,
        settings=SETTINGS,
    )
    assert values(doubled, method="naive") != once
    other = compare(nets, (INPUTS[::-1], LABELS), workdir=tmp_path)
    assert values(other, method="naive") != once


def test_test_data_are_measured_only_where_given(tmp_path, no_page):
    nets, data = [network(0), network(1)], (INPUTS, LABELS)
    alone = compare(nets, data, workdir=tmp_path)
    assert set(alone.barriers["split"]) == {"train"}
    both = compare(nets, data, test=data, workdir=tmp_path)
    assert set(both.barriers["split"]) == {"train", "test"}
    train, test = (values(both, split=s, method="naive") for s in ("train", "test"))
    assert train == test == values(alone, method="naive")
    held_out = compare(nets, data, test=(INPUTS[::-1], LABELS), workdir=tmp_path)
    assert values(held_out, split="test", method="naive") != test


def test_equinox_modules_are_taken_whole():
    def make(seed):
        return eqx.nn.MLP(4, 3, 6, 1, activation=jax.nn.tanh, key=jax.random.key(seed))

    def called(net, x):
        return jax.vmap(net)(x)

    nets = [make(seed) for seed in range(3)]
    found = linconn_jax.compare(called, nets, (INPUTS, LABELS), settings=SETTINGS)
    moved = found.aligned("weight_matching")
    for before, after in zip(nets, moved, strict=True):
        assert after.activation is before.activation
        np.testing.assert_allclose(
            called(after, INPUTS), called(before, INPUTS), atol=1e-5
        )
    assert not np.array_equal(nets[1].layers[0].weight, moved[1].layers[0].weight)
    halves = [eqx.partition(net, eqx.is_array) for net in nets]
    together = eqx.combine(trees.stack([arrays for arrays, _ in halves]), halves[0][1])
    again = linconn_jax.compare(called, together, (INPUTS, LABELS), settings=SETTINGS)
    assert values(again) == values(found)


def test_methods_activations_and_a_spec_of_ones_own():
    nets = [network(0), network(1)]
    spec = permutation.discover(apply, nets[0], INPUTS)
    (name,) = permutation.parents(spec)

    def hidden(net, inputs):
        return {name: jax.nn.relu(inputs @ net["w"] + net["b"][None, :])}

    found = compare(nets, (INPUTS, LABELS), activations=hidden)
    assert set(found.rows["method"].dropna()) == {
        "naive",
        "weight_matching",
        "activation_matching",
    }
    direct = align.activation_matching(spec, None, *nets, INPUTS, activations=hidden)
    kept = found.alignments["activation_matching"][0, 1]
    assert kept.permutation == direct.permutation
    read = align.activation_matching(spec, apply, *nets, INPUTS)
    assert read.permutation == direct.permutation
    alone = compare(nets, (INPUTS, LABELS), methods=["naive"])
    assert set(alone.rows["method"].dropna()) == {"naive"}
    for one, moved in zip(nets, alone.aligned("naive"), strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, moved)
    frozen = jax.tree.map(lambda x: permutation.Axes(*[None] * x.ndim), nets[0])
    still = compare(nets, (INPUTS, LABELS), spec=frozen)
    assert values(still, method="naive") == values(still, method="weight_matching")
    assert values(still, method="naive") != values(found, method="weight_matching")


def test_what_is_fitted_is_said_by_the_spec_or_leaves(tmp_path, no_page):
    """A leaf that is marked as state belongs to the key, and nothing is fitted to it."""
    nets = [network(0), network(1)]
    nets = [
        {**net, "b": 50 * net["b"]} for net in nets
    ]  # decides alone where it is seen
    spec = permutation.discover(apply, nets[0], INPUTS)
    marked = {**spec, "b": permutation.Axes(*spec["b"].labels, state=True)}
    by = functools.partial(compare, nets, (INPUTS, LABELS), workdir=tmp_path)
    all_of_it, without = (
        by(spec=x).alignments["weight_matching"][0, 1].permutation
        for x in (spec, marked)
    )
    assert all_of_it != without
    for leaves in (lambda path: path != "b", {"w": True, "b": False, "v": True}):
        found = by(leaves=leaves).alignments["weight_matching"][0, 1]
        assert found.permutation == without
    key = jax.random.key(1)
    chosen = align.weight_matching(
        spec, *nets, key=key, leaves=lambda path: path != "b"
    )
    assert found.objective == pytest.approx(chosen.objective)
    with pytest.raises(ValueError, match="chooses no leaf"):
        by(leaves=lambda path: False)


def test_leaves_of_a_tree_with_params_can_be_chosen():
    nets = [{"params": {**net, "b": 50 * net["b"]}} for net in (network(0), network(1))]
    by = functools.partial(
        linconn_jax.compare, lambda v, x: apply(v["params"], x), settings=SETTINGS
    )
    key, rest = (0, 1), lambda path: path != "params/b"
    found, chosen = (
        by(nets, (INPUTS, LABELS), leaves=x).alignments["weight_matching"][key]
        for x in (None, rest)
    )
    spec = found.spec
    direct = align.weight_matching(spec, *nets, key=jax.random.key(1), leaves=rest)
    assert chosen.permutation == direct.permutation != found.permutation


def test_of_networks_at_chance_there_is_no_verdict(tmp_path):
    learnt = [network(0), permuted(network(0), 1)]
    dead = {
        **network(2),
        "v": np.zeros((5, 3), np.float32),
    }  # class 0, whatever it sees
    wrong = np.mean(LABELS != 0)
    found = compare([*learnt, dead], (INPUTS, LABELS), workdir=tmp_path)
    assert "seed 2 ends near chance" in found.tables
    page = found.page.read_text("utf-8")
    assert re.search(r"Pairs, weight matching: .*0.02 in 1 of 1", page)
    assert not re.search(r"Simplex of 3 networks, \w", page)
    assert re.search(rf"^2 +1.099 +{wrong:.3f} *$", found.tables, re.MULTILINE)
    whole = compare(learnt, (INPUTS, LABELS), workdir=tmp_path)
    assert "near chance" not in whole.tables


DATA = (INPUTS, LABELS)
NETS = [network(0), network(1)]
THREE = [*NETS, network(2)]
BROKEN = {**network(2), "b": np.full(5, np.nan, np.float32)}
REFUSED = {
    "one network": (dict(networks=NETS[:1]), "holds 1; at least two"),
    "one without a list": (dict(networks=NETS[0]), "dict whose arrays do not share"),
    "another width": (
        dict(networks=[*NETS, network(2, 6)]),
        r"leaf \w+ is .*6.* in network 2 and .*5.* in network 0",
    ),
    "another structure": (
        dict(networks=[NETS[0], {**NETS[1], "more": LABELS}]),
        "networks 1 and 0 differ in structure .one has more",
    ),
    "a stacked list": (
        dict(networks=[{"w": jnp.ones((2, 3))}, {"v": jnp.ones((2, 3))}]),
        "single stacked tree must be no list",
    ),
    "not finite": (dict(networks=[*NETS, BROKEN]), "network 2 .*not finite, in leaf b"),
    "no arrays": (dict(networks=[{"w": 1.0}, {"w": 2.0}]), "that holds arrays"),
    "numbers that are no arrays": (
        dict(networks=[{**NETS[0], "c": 1.0}, {**NETS[1], "c": 2.0}]),
        "leaf c is 2.0 in network 1 and 1.0 in network 0; .*make an array",
    ),
    "labels out of range": (dict(data=(INPUTS, LABELS + 1)), "3 logits.*go to 3"),
    "negative labels": (dict(data=(INPUTS, LABELS - 1)), "from -1 to"),
    "one-hot labels": (dict(data=(INPUTS, np.eye(3)[LABELS])), "one-hot"),
    "other inputs": (dict(data=(INPUTS[:, :3], LABELS)), "apply .*TypeError"),
    "logits and state": (
        dict(apply=lambda net, x: (apply(net, x), {"n": x})),
        r"return the logits alone: lambda network, x: apply\(network, x\)\[0\]",
    ),
    "two more arguments": (
        dict(apply=lambda net, state, x, train: apply(net, x)),
        r"called as apply\(network, inputs\)",
    ),
    "no logits": (dict(apply=lambda net, x: x.sum(1)), "must return logits"),
    "branches": (
        dict(apply=lambda net, x: apply(net, x) if x[0, 0] > 0 else x),
        "JAX can trace",
    ),
    "unknown method": (dict(methods=["weigth_matching"]), "weight_matching"),
    "unknown setting": (dict(settings={"evaluat": {}}), "evaluate"),
    "no method": (dict(methods=()), r"methods=\(\); it must be .* at least one"),
    "resolution 0": (dict(networks=THREE, resolution=0), "resolution=0; it must be"),
    "resolution of a segment": (dict(resolution=5), "resolution=5 beside two networks"),
    **{
        f"{name} without effect": (
            dict(settings={name: value, "evaluate": {"points": 3}}),
            rf"holds \['{name}'\], which .* may hold evaluate, .*activation_matching",
        )
        for name, value in {
            "methods": ("naive",),
            "pairs": ((0, 1),),
            "train": {"epochs": 3},
            "copies": None,
            "checkpoints": {"epochs": (1,)},
            "seeds": 3,
            "widths": (4,),
            "dataset": {"name": "digits"},
            "strong": {"simplices": ()},
        }.items()
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case, unchecked, tmp_path):
    changes, message = REFUSED[case]
    given = {"apply": apply, "networks": NETS, "data": DATA, "workdir": tmp_path}
    with pytest.raises(ValueError, match=message):
        unchecked(comparison).compare(**given | changes)
    assert not (tmp_path / "results").exists()  # nothing was computed before


TRAINS = {
    "dataset": {"name": "digits", "train_examples": 16, "test_examples": 16},
    "widths": (3,),
    "train": {"batch_size": 8},
    "methods": ("naive",),
}


def test_a_comparison_and_a_study_do_not_share_a_workdir(tmp_path, no_page):
    """Neither the config of the other, nor its networks, is touched."""
    theirs, ours, bare = (tmp_path / name for name in ("theirs", "ours", "bare"))
    with jax.numpy_dtype_promotion("standard"):
        Study(TRAINS, theirs).train()
    bare.mkdir()
    (bare / "config.json").write_text('{"architectures": ["mine"]}')
    for workdir in (theirs, bare):
        before = (workdir / "config.json").read_bytes()
        with pytest.raises(ValueError, match="for one study: give another workdir"):
            compare(NETS, DATA, workdir=workdir)
        assert (workdir / "config.json").read_bytes() == before
    with jax.numpy_dtype_promotion("standard"):
        Study(TRAINS, theirs).train()
    compare(NETS, DATA, workdir=ours)
    compare(NETS, DATA, workdir=ours)
    kept = json.loads((ours / "config.json").read_bytes())
    with pytest.raises(ValueError, match="trained elsewhere"):
        Study(TRAINS, ours).train()
    del kept["networks"]  # as earlier versions wrote it
    (ours / "config.json").write_text(json.dumps(kept))
    compare(NETS, DATA, workdir=ours)


def test_of_given_networks_nothing_is_left_to_be_trained(tmp_path):
    several = models.from_networks(apply, NETS, INPUTS)
    mine = data.from_arrays("data", train=DATA, test=DATA)
    study = Given(SETTINGS, tmp_path, networks=several, dataset=mine)
    runs = study.runs(study.widths[0])
    runs.check()
    runs.ensure((0, 1))
    assert runs.lacking((0, 1)) == runs.groups((0, 1)) == list(study.needs()) == []
    assert (runs.left((0, 1)), runs.recorded((0, 1))) == ([0, 0], (0, 0))
    assert (runs.steps, runs.diverged()) == ((0,), {})
    assert list(tmp_path.iterdir()) == []


def test_it_is_listed():
    """Though it is imported when it is asked for."""
    assert "compare" in dir(linconn_jax)


def test_networks_have_the_contract_of_models():
    found = models.from_networks(apply, NETS, INPUTS, name="mine")
    assert (found.model.name, found.model.classes) == ("mine", 3)
    np.testing.assert_array_equal(
        found.model.apply(found.variables[1], INPUTS), apply(NETS[1], INPUTS)
    )
    assert found.model.spec == permutation.discover(apply, NETS[0], INPUTS)
