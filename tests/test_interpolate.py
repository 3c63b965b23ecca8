"""The evaluator against a NumPy loop; one device against several; compile counts."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linconn_jax import interpolate, metrics, parallel, simplex, trees
from linconn_jax.barrier import barrier
from linconn_jax.interpolate import evaluate_simplex
from linconn_jax.models.base import program


def apply(variables, images):
    hidden = jax.nn.relu(images @ variables["w"] + variables["b"][None])
    return hidden @ variables["v"]


def network(seed):
    keys = jax.random.split(jax.random.key(seed), 3)
    shapes = {"w": (4, 6), "b": (6,), "v": (6, 3)}
    return {
        n: jax.random.normal(k, s)
        for (n, s), k in zip(shapes.items(), keys, strict=True)
    }


def examples(n=53):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 4)).astype(np.float32), rng.integers(0, 3, n)


def by_loop(vertices, coords, images, labels):
    loss, error = [], []
    for row in coords:
        v = {
            n: sum(c * np.float64(vertices[n][i]) for i, c in enumerate(row))
            for n in vertices
        }
        logits = np.maximum(images @ v["w"] + v["b"], 0) @ v["v"]
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss.append(-log_p[np.arange(len(labels)), labels].mean())
        error.append((logits.argmax(axis=1) != labels).mean())
    return np.array(loss), np.array(error)


@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("batch_size", [1, 10, 53, 1000])
def test_against_a_numpy_loop(k, batch_size):
    vertices = trees.stack([network(i) for i in range(k)])
    coords = simplex.grid(k, 2) if k > 2 else simplex.segment(5)
    images, labels = examples()
    found = evaluate_simplex(
        apply, vertices, coords, images, labels, batch_size=batch_size
    )
    loss, error = by_loop(vertices, coords, images, labels)
    # 1e-5 relative: float32 sums of tens of products against float64.
    np.testing.assert_allclose(found.loss, loss, rtol=1e-5)
    np.testing.assert_array_equal(found.error, error)
    assert found.examples == 53


def test_swapped_vertices_are_told_apart():
    vertices = trees.stack([network(0), network(1)])
    coords = np.array([[0.9, 0.1], [0.1, 0.9]])
    found = evaluate_simplex(apply, vertices, coords, *examples())
    swapped = evaluate_simplex(apply, trees.take(vertices, [1, 0]), coords, *examples())
    np.testing.assert_allclose(found.loss, swapped.loss[::-1], rtol=1e-6)
    assert abs(found.loss[0] - found.loss[1]) > 0.01


def compiled(*functions, k=2, coords=None):
    """How many programs are compiled to evaluate functions one after the other."""
    vertices = trees.stack([network(i) for i in range(k)])
    interpolate._evaluate.clear_cache()
    for function in functions:
        for row in (simplex.segment(3),) if coords is None else coords:
            evaluate_simplex(function, vertices, row, *examples())
    return interpolate._evaluate._cache_size()


def test_one_compile_for_any_number_of_points():
    assert compiled(apply, k=3, coords=[simplex.grid(3, r) for r in (1, 2, 5, 12)]) == 1


def test_functions_that_compute_the_same_share_a_program():
    def shifted(shift):
        return lambda v, x: apply(v, x) + shift

    def called_back(shift):
        def host(logits):
            return np.asarray(logits) + np.float32(shift)

        return lambda v, x: jax.pure_callback(host, (y := apply(v, x)), y)

    large = np.linspace(0, 1, 53 * 3, dtype=np.float32).reshape(53, 3)
    assert compiled(*(lambda v, x: apply(v, x) for _ in range(4))) == 1
    assert compiled(shifted(large), shifted(large.copy())) == 1
    # What differs only in captured numbers, small or many, or on the host, does differ.
    other = large.copy()
    other[40, 1] += 1e-6
    assert compiled(shifted(large), shifted(other)) == 2
    assert compiled(shifted(1.0), shifted(1.0 + 2**-20)) == 2
    vertices, data = trees.stack([network(0), network(1)]), examples()
    with jax.numpy_rank_promotion("allow"):
        one, two = (
            evaluate_simplex(called_back(shift), vertices, simplex.segment(2), *data)
            for shift in (np.array([1, 0, 0]), np.array([0, 9, 0]))
        )
    assert abs(one.loss - two.loss).max() > 0.1


@pytest.fixture(params=[False, True])
def simplified(request):
    """Whether programs hold arrays among their operands, where no text shows them."""
    before = jax.config.jax_use_simplified_jaxpr_constants
    jax.config.update("jax_use_simplified_jaxpr_constants", request.param)
    yield
    jax.config.update("jax_use_simplified_jaxpr_constants", before)


@pytest.mark.parametrize("inside", [lambda f: f, jax.jit], ids=["plain", "jit"])
def test_functions_that_hold_other_arrays_are_others(inside, simplified):
    def holding(array):
        return lambda v, x: apply(v, x) + inside(lambda y: 0 * y + array)(x[:, :3])

    array = np.linspace(0, 1, 53 * 3, dtype=np.float32).reshape(53, 3)
    other = array + np.float32([[3, 0, 0]])
    vertices, data = trees.stack([network(0), network(1)]), examples()
    one, two = (
        evaluate_simplex(holding(x), vertices, simplex.segment(2), *data)
        for x in (array, other)
    )
    assert abs(one.loss - two.loss).max() > 0.1
    digests = [
        program((holding(x), (network(0), data[0]))) for x in (array, array + 0, other)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_functions_that_are_the_same_in_one_precision_are_not_in_all():
    def named(v, x):
        hidden = jax.nn.relu(jnp.dot(x, v["w"], precision="highest") + v["b"][None])
        return jnp.dot(hidden, v["v"], precision="highest")

    vertices, data = trees.stack([network(0), network(1)]), examples()
    found = []
    interpolate._evaluate.clear_cache()
    for precision in ("float32", "bfloat16"):
        for function in (lambda v, x: apply(v, x), named):
            coords = simplex.segment(2)
            evaluate_simplex(function, vertices, coords, *data, precision=precision)
        found.append(interpolate._evaluate._cache_size())
    assert found == [1, 3]
    with jax.default_matmul_precision("float32"):
        one, two = (program((f, (network(0), data[0]))) for f in (apply, named))
    assert one != two


def test_only_real_points_are_computed():
    """A device is given its share of few points, and skips the rest."""
    seen = []

    def counting(v, x):
        jax.debug.callback(lambda w: seen.append(1), v["b"][0])
        return apply(v, x)

    vertices = trees.stack([network(0), network(1)])
    for points in (11, 25, 30):
        seen.clear()
        coords = simplex.segment(points)
        found = evaluate_simplex(counting, vertices, coords, *examples())
        jax.effects_barrier()
        assert len(seen) == points  # one batch each
        loss, _ = by_loop(vertices, coords, *examples())
        np.testing.assert_allclose(found.loss, loss, rtol=1e-5)
    [((_, real), here)] = interpolate._calls(coords[:11], parallel.make_mesh(25))
    assert np.flatnonzero(real).tolist() == sorted(here)
    share = np.bincount(here // (len(real) // 4), minlength=4)
    assert share.tolist() == [3, 3, 3, 2]


def test_products_are_float32_unless_asked_otherwise(monkeypatch):
    """JAX's own default is TF32 on recent GPUs, and less on TPUs."""
    program, texts = interpolate._evaluate, []

    def spied(*arguments, **static):
        texts.append(program.lower(*arguments, **static).as_text())
        return program(*arguments, **static)

    monkeypatch.setattr(interpolate, "_evaluate", spied)
    vertices = trees.stack([network(0), network(1)])

    def precisions(function=apply, **options):
        evaluate_simplex(function, vertices, simplex.segment(2), *examples(), **options)
        return set(re.findall(r"dot_general.*precision = \[(\w+), \w+\]", texts[-1]))

    assert precisions() == precisions(precision="float32") == {"HIGHEST"}
    assert precisions(precision="tensorfloat32") == {"HIGH"}
    assert precisions(precision="bfloat16") == {"DEFAULT"}  # what it would be else
    assert precisions() == {"HIGHEST"}

    def chosen(v, x):
        return jnp.dot(apply(v, x), jnp.eye(3), precision=jax.lax.Precision.HIGH)

    assert precisions(chosen) == {"HIGHEST", "HIGH"}
    assert jax.config.jax_default_matmul_precision is None


def test_probabilities_are_no_logits():
    vertices, coords = trees.stack([network(0), network(1)]), simplex.segment(3)

    def softmax(v, x):
        return jax.nn.softmax(apply(v, x))

    with pytest.raises(ValueError, match="leave out the softmax at its end"):
        evaluate_simplex(softmax, vertices, coords, *examples())
    logits = evaluate_simplex(apply, vertices, coords, *examples())
    logs = evaluate_simplex(
        lambda v, x: jnp.log(softmax(v, x)), vertices, coords, *examples()
    )
    np.testing.assert_allclose(logs.loss, logits.loss, rtol=1e-5)
    for rows in ([[0.4, 0.5], [0.9, 0.5]], [[1.5, -0.5]], [[np.nan, 1.0]]):
        assert not metrics.are_probabilities(jnp.array(rows))


@pytest.mark.parametrize("at_once", [1, 3, None])
def test_several_devices_agree_with_one(at_once):
    vertices, coords = trees.stack([network(0), network(1)]), simplex.segment(25)
    assert jax.device_count() == 4
    meshes = [parallel.make_mesh(25, devices=jax.devices()[:n]) for n in (1, 4)]
    one, four = (
        evaluate_simplex(apply, vertices, coords, *examples(), mesh=m, at_once=at_once)
        for m in meshes
    )
    np.testing.assert_allclose(one.loss, four.loss, rtol=1e-6)
    np.testing.assert_array_equal(one.error, four.error)


def test_permuting_all_vertices_alike_changes_nothing():
    order = np.random.default_rng(0).permutation(6)

    def move(v):
        return {"w": v["w"][:, order], "b": v["b"][order], "v": v["v"][order]}

    pair = [network(0), network(1)]
    coords = simplex.segment()
    both = [
        evaluate_simplex(apply, trees.stack(x), coords, *examples()).loss
        for x in (pair, [move(v) for v in pair])
    ]
    # 1e-5 relative: the same products summed in another order in float32.
    np.testing.assert_allclose(both[0], both[1], rtol=1e-5)
    a, b = (barrier(x, coords).value for x in both)
    assert a == pytest.approx(b, abs=1e-5)
    one_moved = trees.stack([pair[0], move(pair[1])])
    half = evaluate_simplex(apply, one_moved, coords, *examples())
    assert np.abs(half.loss - both[0]).max() > 1e-2


def test_integer_leaves_are_left_alone():
    counted = [{**network(i), "count": jnp.int32(5)} for i in range(2)]
    found = evaluate_simplex(
        apply, trees.stack(counted), simplex.segment(3), *examples()
    )
    plain = evaluate_simplex(
        apply, trees.stack([network(0), network(1)]), simplex.segment(3), *examples()
    )
    np.testing.assert_array_equal(found.loss, plain.loss)


def test_a_broken_network_is_an_error_not_a_prediction():
    broken = jax.tree.map(lambda x: x * np.nan, network(0))
    found = evaluate_simplex(
        apply, trees.stack([network(0), broken]), simplex.segment(2), *examples()
    )
    assert np.isfinite(found.loss[0])
    assert np.isnan(found.loss[1])
    assert found.error[1] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vertices": trees.stack([network(0)])}, "k=1"),
        ({"vertices": network(0)}, "share one leading axis"),
        ({"vertices": {}}, "share one leading axis"),
        ({"coords": np.ones((3, 2))}, "sums to 2"),
        ({"coords": simplex.segment(3)[:, :1]}, r"must be \[points, 2\]"),
        ({"coords": simplex.grid(3, 2)}, r"must be \[points, 2\]"),
        ({"labels": np.zeros(52, int)}, "53 inputs and 52 labels"),
        ({"images": np.zeros((0, 4)), "labels": np.zeros(0, int)}, "at least one"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"at_once": 0}, "at_once=0"),
        ({"precision": "high"}, "precision='high'; it must be one of float32, tensor"),
        ({"labels": np.zeros(53, int) - 1}, "labels go from -1"),
        (
            {"labels": np.arange(53) % 3 + 1},
            "from 1 to 3; classes are counted from 0 to 2",
        ),
        ({"apply": lambda v, x: (apply(v, x), {})}, "apply returned tuple"),
        ({"apply": lambda v, x: apply(v, x).mean(axis=0)}, r"array of shape \(3,\)"),
        ({"coords": np.array([[1.5, -0.5]])}, "outside the simplex"),
    ],
)
def test_refused(change, message):
    images, labels = examples()
    given = {
        "vertices": trees.stack([network(0), network(1)]),
        "coords": simplex.segment(3),
        "images": images,
        "labels": labels,
    }
    given = {"apply": apply, **given, **change}
    with pytest.raises(ValueError, match=message):
        evaluate_simplex(given.pop("apply"), **given)


def test_arrays_on_other_devices_are_named():
    second = jax.devices()[1]
    vertices, coords = trees.stack([network(0), network(1)]), simplex.segment(3)
    images, labels = examples()
    for there, match in (
        ((jax.device_put(vertices, second), images, labels), r"vertices/\S+ lies on"),
        (
            (vertices, jax.device_put(images, second), labels),
            "images lies on .*1.*mesh=",
        ),
    ):
        with pytest.raises(ValueError, match=match):
            evaluate_simplex(apply, there[0], coords, *there[1:])
        mesh = parallel.make_mesh(25, devices=[second])
        found = evaluate_simplex(apply, there[0], coords, *there[1:], mesh=mesh)
        expected = evaluate_simplex(apply, vertices, coords, images, labels)
        np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-6)


def test_points_at_once_are_counted(unchecked):
    vertices, coords = trees.stack([network(0), network(1)]), simplex.segment(3)
    evaluate = unchecked(interpolate).evaluate_simplex
    with pytest.raises(ValueError, match=r"at_once=2\.0; it must be an integer"):
        evaluate(apply, vertices, coords, *examples(), at_once=2.0)


def test_one_example_as_lists(unchecked):
    vertices = trees.stack([network(0), network(1)])
    images, labels = examples(1)
    found = unchecked(interpolate).evaluate_simplex(
        apply, vertices, simplex.segment(2), images.tolist(), labels.tolist()
    )
    expected = by_loop(vertices, simplex.segment(2), images, labels)[0]
    np.testing.assert_allclose(found.loss, expected, rtol=1e-5)
    assert found.examples == 1


def test_a_vertex_of_coordinate_zero_is_not_there():
    broken = jax.tree.map(lambda x: x * np.inf, network(1))
    vertices = trees.stack([network(0), broken, network(2)])
    coords = np.array([[0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    found = evaluate_simplex(apply, vertices, coords, *examples())
    whole = trees.stack([network(0), network(2)])
    expected = evaluate_simplex(apply, whole, coords[:, [0, 2]], *examples())
    np.testing.assert_array_equal(found.loss, expected.loss)


def test_padding_is_masked_out():
    """53 examples in batches of 10: the last batch is padded with zeros of class 0."""
    vertices, coords = trees.stack([network(0), network(1)]), simplex.segment(3)
    images, labels = examples()
    at_once = evaluate_simplex(apply, vertices, coords, images, labels)
    cut = evaluate_simplex(apply, vertices, coords, images, labels, batch_size=10)
    np.testing.assert_allclose(cut.loss, at_once.loss, rtol=1e-6)
    np.testing.assert_array_equal(cut.error, at_once.error)
