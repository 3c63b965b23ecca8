"""Frames by name, permutations on disk, bound specs, trees of every kind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from linconn_jax import files, trees
from linconn_jax import permutation as pm
from linconn_jax.align import Alignment, weight_matching
from linconn_jax.extras import Between, Framed, frames
from linconn_jax.permutation import Axes, Block, Fixed, Stacked, Units, action, store

QK = Units("qk", under="heads")
SPEC = {
    "in": Axes(None, "h"),
    "query": Axes("h", Block(Units("heads", 3), QK)),
    "head": {"w": Axes("h", None), "b": Axes(None)},
}


def network(seed):
    rng = np.random.default_rng(seed)
    shapes = {"in": (5, 8), "query": (8, 12), "head": {"w": (8, 3), "b": (3,)}}
    is_shape = lambda x: isinstance(x, tuple)  # noqa: E731
    draw = lambda s: rng.normal(size=s).astype(np.float32)  # noqa: E731
    return jax.tree.map(draw, shapes, is_leaf=is_shape)


def random(seed):
    return pm.random(jax.random.key(seed), SPEC, network(0))


def assert_same(x, y):
    jax.tree.map(np.testing.assert_array_equal, x, y)


A, B = network(1), network(2)


def placed(tree, where):
    return tree if where == "host" else jax.tree.map(jnp.asarray, tree)


def test_permutations_of_one_spec_stack_and_share_one_program():
    traces = []

    @jax.jit
    def moved(p):
        traces.append(p)
        return pm.permute(SPEC, p, B)

    found = [
        weight_matching(SPEC, x, y, key=jax.random.key(0)).permutation
        for x, y in ((A, B), (B, A), (A, network(3)))
    ]
    each = [moved(p) for p in found]
    assert len(traces) == 1
    many = trees.stack(found)
    assert_same(jax.vmap(lambda p: pm.permute(SPEC, p, B))(many), trees.stack(each))


def test_frames_by_name():
    p = Between(random(1), "B", "A")
    moved = p.apply(SPEC, Framed(B, "B"))
    assert moved.frame == "A"
    assert_same(moved.tree, pm.permute(SPEC, p.permutation, B))
    assert_same(p.inverse().apply(SPEC, moved), Framed(B, "B"))
    assert_same(trees.stack([moved, Framed(A, "A")]).tree, trees.stack([moved.tree, A]))
    to_c = p.then(Between(random(2), "A", "C"))
    assert (to_c.source, to_c.target) == ("B", "C")
    assert to_c.permutation == pm.compose(random(1), random(2))
    jitted = jax.jit(lambda p, framed: p.apply(SPEC, framed))(p, Framed(B, "B"))
    assert jitted.frame == "A"


def test_a_tree_without_a_frame_is_refused(unchecked):
    between = unchecked(frames).Between(random(1), "B", "A")
    with pytest.raises(ValueError, match=r"a dict is given.*Framed\(tree, 'B'\)"):
        between.apply(SPEC, B)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.apply(SPEC, Framed(A, "A")), "did you mean .*inverse"),
        (lambda p: p.apply(SPEC, Framed(A, "C")), "maps frame 'B' to 'A'"),
        (lambda p: pm.permute(SPEC, p.permutation, Framed(B, "B")), "structures"),
        (lambda p: p.then(p), "starts from 'B'"),
        (
            lambda p: trees.stack([Framed(A, "A"), Framed(B, "B")]),
            "has the structure",
        ),
        (lambda p: jax.tree.map(jnp.add, Framed(A, "A"), Framed(B, "B")), "."),
    ],
)
def test_mixed_up_frames_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(Between(random(1), "B", "A"))


def test_saved_and_loaded(tmp_path):
    path = tmp_path / "new" / "p.json"
    for p in (random(1), random(2)):
        pm.save(path, p, method="weight matching", path="a/b", loss=np.float32([0.5]))
        loaded = pm.load(path)
        assert loaded == p
        assert loaded.nesting == p.nesting
        (same,), about = pm.load_all(path)
        assert same == p
        assert about == {"method": "weight matching", "path": "a/b", "loss": [0.5]}


@pytest.mark.parametrize("shape", [(0, 4), (2, 0, 3), (3, 0), (0,)])
def test_empty_index_arrays_keep_their_shape(tmp_path, shape):
    parents = tuple("abc"[: len(shape) - 1])
    p = pm.Permutation.of({"x": np.zeros(shape, int)}, {"x": parents})
    pm.save(tmp_path / "p.json", (p, p))
    for one in pm.load_all(tmp_path / "p.json")[0]:
        assert one["x"].shape == shape
        assert (one["x"].dtype, one) == (int, p)


def test_several_go_into_one_file(tmp_path):
    path, several = tmp_path / "p.json", (random(1), random(2), random(3))
    pm.save(path, several, seeds=(0, 1, 2))
    assert pm.load_all(path) == (several, {"seeds": [0, 1, 2]})
    with pytest.raises(ValueError, match="holds 3 permutations.*load_all"):
        pm.load(path)
    stacked = trees.stack(several)  # a batch is one
    pm.save(path, stacked)
    assert pm.load(path) == stacked


def test_an_alignment_is_saved_and_loaded(tmp_path):
    path = tmp_path / "a.json"
    found = weight_matching(SPEC, A, B, key=jax.random.key(0))
    found.save(path, seeds=[1, 2])
    assert pm.load(path) == found.permutation
    again = Alignment.load(path, SPEC)
    assert again == found
    assert_same(again.apply(B), found.apply(B))
    assert Alignment.load(path, pm.bind(SPEC, A)).permutations == found.permutations
    assert pm.load_all(path)[1]["seeds"] == [1, 2]
    other = pm.bind({**SPEC, "in": Axes("i", "h")}, A)
    with pytest.raises(ValueError, match="does not belong to this spec"):
        Alignment.load(path, other)
    pm.save(path, found.permutations)
    with pytest.raises(ValueError, match="no alignment"):
        Alignment.load(path, SPEC)


def test_alignments_in_workdirs_of_earlier_versions_are_read(tmp_path):
    found = weight_matching(SPEC, A, B, key=jax.random.key(0))
    lists = [
        {n: np.asarray(x).tolist() for n, x in p.items()} for p in found.permutations
    ]
    content = {"objective": found.objective, "naive": found.naive, "converged": True}
    content |= {"history": found.history, "permutations": lists}
    files.write_unit(tmp_path, {"alignment": 1}, content)  # no word of what is nested
    (path,) = files.unit_paths(tmp_path)
    again = Alignment.load(path, pm.bind(SPEC, A))
    assert again.permutations == found.permutations
    assert_same(again.apply(B), found.apply(B))


def test_what_is_not_known_of_an_alignment_is_not_written(tmp_path):
    path, p = tmp_path / "a.json", random(1)
    Alignment(SPEC, (p, p, p), converged=False).save(path)
    with pytest.raises(ValueError, match="holds 3 permutations"):
        pm.load(path)
    assert pm.load_all(path)[1] == {"history": [], "converged": False}
    again = Alignment.load(path, SPEC)
    assert np.isnan([again.objective, again.naive, again.seconds]).all()
    assert again.permutations == (p, p, p)
    assert not again.converged


@pytest.mark.parametrize("damage", ["cut", "text", "sealed", "repeated", "foreign"])
def test_damaged_and_foreign_files_are_refused(tmp_path, damage):
    path = tmp_path / "p.json"
    pm.save(path, random(1))
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        path.write_text("not a permutation")
    elif damage == "sealed":
        files.write_sealed(path, {"rows": [1, 2]})
    elif damage == "repeated":
        files.write_sealed(path, {"permutations": [{"h": [0, 0]}]})
    else:
        path.write_bytes(b"PK" + content)
    with pytest.raises(ValueError, match=r"p\.json is damaged") as caught:
        pm.load(path)
    assert str(caught.value).count("delete it") == 1  # said once


def test_arrays_of_earlier_versions_are_refused(tmp_path):
    path = tmp_path / "p.npz"
    np.savez(path, *random(1).values())
    with pytest.raises(ValueError, match=r"p\.npz is .*of an earlier version"):
        pm.load(path)


def test_no_byte_can_be_damaged_unnoticed(tmp_path):
    path = tmp_path / "p.json"
    spec, tree = {"w": Axes("a", Units("b", under="a"))}, {"w": np.zeros((3, 4))}
    p = pm.random(jax.random.key(0), spec, tree)
    pm.save(path, p)
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
        with pytest.raises(ValueError, match="is damaged"):
            pm.load(path)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        pm.load(tmp_path / "p.npz")


def test_a_folder_is_no_permutation(tmp_path):
    with pytest.raises(ValueError, match="is a folder; give the file"):
        pm.load(tmp_path)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        (dict(loss={1, 2}), "must be JSON.*set"),
        (dict(loss=lambda: 0), "must be JSON.*function"),
        (dict(nesting=3), "nesting.*take another"),
    ],
)
def test_what_json_cannot_say_is_refused_before_anything_is_written(
    tmp_path, about, message
):
    with pytest.raises(ValueError, match=message):
        pm.save(tmp_path / "p.json", random(1), **about)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "at least one"),
        ({"h": np.arange(3)}, "given for a Permutation"),
        ([random(1), pm.identity({"w": Axes("a")}, {"w": np.zeros(3)})], "one spec"),
    ],
)
def test_only_permutations_of_one_spec_are_saved(tmp_path, unchecked, given, message):
    with pytest.raises(ValueError, match=message):
        unchecked(store).save(tmp_path / "p.json", given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("index", "match"),
    [
        (np.zeros(8, int), r"of 'h' is not a rearrangement of 0\.\.7"),
        (np.arange(8) + 0.5, "of 'h' has .* dtype float64; it must hold integers"),
        (np.array(3), r"of 'h' has shape \(\)"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, index, match):
    with pytest.raises(ValueError, match=match):
        pm.save(tmp_path / "p.npz", random(1).replace({**random(1), "h": index}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "call", [lambda v: pm.permute(SPEC, random(1), v), lambda v: pm.sizes(SPEC, v)]
)
def test_masks_are_not_lost_in_silence(call):
    masked = np.ma.masked_greater(np.asarray(B["in"]), 0)
    with pytest.raises(ValueError, match=r"leaf in is a NumPy masked .*filled\(value"):
        call({**B, "in": masked})


def test_shapes_masks_and_none_leaves():
    p = random(1)
    shapes = jax.eval_shape(lambda: placed(B, "device"))
    assert pm.permute(SPEC, p, shapes) == shapes
    mask = jax.tree.map(lambda x: x > 0, B)
    moved = pm.permute(SPEC, p, B)
    assert_same(pm.permute(SPEC, p, mask), jax.tree.map(lambda x: x > 0, moved))
    frozen = {**B, "in": None}
    assert pm.permute(SPEC, p, frozen)["in"] is None
    assert_same(pm.permute(SPEC, p, frozen)["head"], moved["head"])
    only = {"in": None, "query": None, "head": B["head"]}
    assert_same(pm.permute(SPEC, p, only)["head"], moved["head"])
    with pytest.raises(ValueError, match="unknown"):
        pm.permute(SPEC["head"], p, B["head"])
    half = pm.permute(SPEC, p, jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), B))
    assert half["in"].dtype == jnp.bfloat16


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_sharded_arrays_stay_sharded(kind):
    mesh = jax.make_mesh((4,), ("d",), axis_types=(getattr(AxisType, kind),))
    over = lambda *names: jax.NamedSharding(mesh, jax.P(*names))  # noqa: E731
    many = trees.stack([network(i) for i in range(4)])
    expected = pm.permute(SPEC, random(1), many)
    for sharding in (over("d"), over(None), over(None, None, "d")):
        there = {**many, "in": jax.device_put(many["in"], sharding)}
        there["query"] = jax.device_put(many["query"], sharding)
        moved = pm.permute(SPEC, random(1), there)
        assert_same(moved, expected)
        assert moved["in"].sharding == moved["query"].sharding == sharding
        assert_same(jax.jit(pm.permute)(SPEC, random(1), there), expected)


def test_no_device_gets_more_than_its_part(monkeypatch):
    mesh = jax.make_mesh((4,), ("d",), axis_types=(AxisType.Auto,))
    spec, sharding = {"w": Axes("a", "b")}, jax.NamedSharding(mesh, jax.P("d"))
    v = {"w": jax.device_put(np.ones((8, 4)), sharding)}
    # What comes out of the program, before it is placed like the leaf.
    monkeypatch.setattr(action, "_placed", lambda moved, leaf: moved)
    moved = pm.permute(spec, pm.random(jax.random.key(0), spec, v), v)["w"]
    assert moved.sharding.shard_shape(moved.shape) == (2, 4)


def test_inside_a_shard_map_over_a_part_of_an_explicit_mesh():
    kinds = (AxisType.Explicit, AxisType.Explicit)
    mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=kinds)
    p = random(1)
    many = trees.stack([network(i) for i in range(2)])
    there = jax.device_put(many, jax.NamedSharding(mesh, jax.P("x")))
    with jax.set_mesh(mesh):
        moved = jax.jit(
            jax.shard_map(
                lambda v: pm.permute(SPEC, p, v),
                in_specs=jax.P("x"),
                out_specs=jax.P("x"),
                axis_names={"x"},
            )
        )(there)
    assert_same(moved, pm.permute(SPEC, p, many))


def test_leaves_may_lie_on_several_devices():
    devices = jax.devices()
    there = {x: jax.device_put(B[x], devices[i]) for i, x in enumerate(sorted(B))}
    moved = pm.permute(SPEC, random(1), there)
    assert_same(moved, pm.permute(SPEC, random(1), B))
    assert moved["in"].devices() == there["in"].devices()
    assert moved["query"].devices() == there["query"].devices()


def test_a_bound_spec_in_place_of_a_spec():
    bound = pm.bind(SPEC, B)
    p = random(1)
    assert bound == pm.bind(SPEC, A)
    assert hash(bound) == hash(pm.bind(SPEC, A))
    assert bound != pm.bind(SPEC["head"], B["head"])
    assert pm.bind(bound, B) is pm.bind(bound, None) is bound
    assert_same(bound.tree(bound.leaves(B)), B)
    assert bound.identity() == pm.identity(bound) == pm.identity(SPEC, B)
    assert pm.random(jax.random.key(1), bound) == p
    assert pm.from_indices(bound, None, dict(p)) == p
    assert pm.sizes(bound) == pm.sizes(SPEC, B)
    assert pm.parents(bound) == pm.parents(SPEC)
    moved = pm.permute(SPEC, p, B)
    assert_same(pm.permute(bound, p, B), moved)
    assert_same(pm.permute(bound, dict(p), B), moved)
    assert_same(jax.jit(pm.permute)(bound, p, B), moved)
    many = trees.stack([B, A])
    assert_same(trees.take(pm.permute(bound, p, many), 0), moved)
    some = pm.permute(bound, p, {**B, "in": None, "head": {"w": None, "b": None}})
    assert some["in"] is None
    assert_same(some["query"], moved["query"])
    shapes = jax.eval_shape(lambda: placed(B, "device"))
    assert pm.permute(bound, p, shapes) == shapes


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({**B, "in": B["in"][:4]}, r"in has shape \(4, 8\) but has \(5, 8\) in"),
        ({**B, "in": np.zeros(8)}, "in has shape .* labels"),
        ({**B, "out": B["in"]}, r"another structure.*tree has \['out'\]"),
        ({**B, "head": None}, r"another structure.*spec has \['head/b', 'head/w'\]"),
        ({**B, "in": np.ma.masked_greater(B["in"], 0)}, "masked array"),
    ],
)
def test_a_tree_of_another_shape_than_bound_is_refused(tree, message):
    bound = pm.bind(SPEC, B)
    for call in (bound.leaves, lambda x: pm.permute(bound, random(1), x)):
        with pytest.raises(ValueError, match=message):
            call(tree)


def test_a_leaf_that_was_missing_when_bound_is_refused():
    bound = pm.bind(SPEC, {**B, "query": None})
    assert bound.absent == {"heads", "qk"}
    pm.permute(bound, random(1), {**B, "query": None})
    with pytest.raises(ValueError, match="leaf query .* is missing in the tree that"):
        pm.permute(bound, random(1), B)
    with pytest.raises(ValueError, match="no tree is given beside the spec"):
        pm.identity(SPEC)


def test_random_is_uniform_over_nested_groups():
    spec = {"w": Axes(Fixed("layer"), "a", Units("b", under=("layer", "a")))}
    tree = {"w": np.zeros((2, 2, 2), np.float32)}
    keys = jax.random.split(jax.random.key(0), 3200)
    drawn = jax.vmap(lambda k: pm.random(k, spec, tree))(keys)
    rows = np.concatenate([np.reshape(x, (3200, -1)) for x in drawn.values()], axis=1)
    counts = np.unique(rows, axis=0, return_counts=True)[1]
    assert len(counts) == 2 * 2**4
    # 100 expected for each of 32; six standard deviations of a binomial count are 60.
    assert np.abs(counts - 100).max() < 60


def test_agreement_of_nested_names_asks_for_the_same_parent():
    one = pm.identity(SPEC, B)
    swapped = pm.from_indices(SPEC, B, {**one, "heads": np.array([1, 0, 2])})
    inside = np.tile(np.arange(4), (3, 1))
    inside[2] = [1, 0, 2, 3]
    turned = pm.from_indices(SPEC, B, {**one, "qk": inside})
    assert pm.agreement(swapped, one)["heads"] == pytest.approx(1 / 3)
    assert pm.agreement(swapped, one)["qk"] == pytest.approx(1 / 3)
    assert pm.agreement(turned, one)["qk"] == pytest.approx(10 / 12)
    overall = pm.overall(pm.agreement(turned, one), one)
    assert overall == pytest.approx((8 + 3 + 10) / 23)


def test_cycles_are_counted_over_all_parents():
    qk = np.array([[1, 0, 2, 3], [1, 2, 0, 3], [0, 1, 2, 3]])
    p = pm.from_indices(
        SPEC, B, {"h": np.arange(8), "heads": np.array([1, 0, 2]), "qk": qk}
    )
    # Around both heads: the swap of one, then the turn of the other.
    assert pm.cycle_type(p) == {
        "h": (1,) * 8,
        "heads": (2, 1),
        "qk": tuple(sorted((2 * n for n in cycles(qk[0][qk[1]])), reverse=True))
        + (1,) * 4,
    }
    assert pm.order(p) == np.lcm.reduce([2, *pm.cycle_type(p)["qk"]])


def cycles(index):
    """Lengths of the cycles, by iterating until each unit returns."""
    lengths = []
    for start in range(len(index)):
        orbit = [start]
        while index[orbit[-1]] != start:
            orbit.append(index[orbit[-1]])
        if start == min(orbit):
            lengths.append(len(orbit))
    return lengths


def test_stacked_layers_move_by_names_of_their_own():
    spec = {"w": Stacked(Axes("s", "m1"), Axes("s", "m2"))}
    w = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    p = {"s": [2, 0, 1], "m1": [1, 0, 2, 3], "m2": [3, 2, 1, 0]}
    moved = pm.permute(spec, p, {"w": w})["w"]
    for layer, name in enumerate(("m1", "m2")):
        np.testing.assert_array_equal(moved[layer], w[layer][p["s"]][:, p[name]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qk": np.arange(4)}, "4 integers for each of heads"),
        ({"qk": np.zeros((3, 4), int)}, "not a rearrangement"),
        ({"heads": np.arange(4)}, "must be 3 integers"),
    ],
)
def test_nested_index_arrays_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        pm.from_indices(SPEC, B, {**random(1), **change})


def test_a_permutation_of_another_nesting_is_refused():
    spec = {**SPEC, "query": Axes("h", Block(Fixed("heads", 3), QK))}
    fixed = pm.identity(spec, B)
    with pytest.raises(ValueError, match=r"missing \['heads'\]"):
        pm.permute(SPEC, fixed, B)
    flat = {"w": Axes(Units("a", 2), Units("b", under="a"))}
    other = {
        "w": Axes(Fixed("f", 2), "a"),
        "b": Axes(Fixed("f", 2), Units("b", under="f")),
    }
    p = pm.identity(other, {"w": np.zeros((2, 2)), "b": np.zeros((2, 3))})
    with pytest.raises(ValueError, match="lies under"):
        pm.permute(flat, p, {"w": np.zeros((2, 3))})
    alike = pm.identity(flat, {"w": np.zeros((2, 3))})
    assert p != alike  # the same index arrays move other units
    with pytest.raises(ValueError, match="different specs"):
        pm.compose(p, alike)


def test_batches_of_permutations_need_vmap():
    many = trees.stack([random(1), random(2)])
    with pytest.raises(ValueError, match="jax.vmap"):
        pm.permute(SPEC, many, B)
    for call in (pm.inverse, pm.cycle_type, lambda p: pm.compose(p, p)):
        with pytest.raises(ValueError, match="jax.vmap"):
            call(many)
