"""From outside the package, in one file each: methods, an experiment, data, a network.

The files are in tests/outside. One command line takes all of them together, and their
rows and the page are looked at.
"""

import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import experiments
from linconn_jax import align, data, models, permutation, results, study
from linconn_jax.study import Barrier, Study, pair, tasks

ROOT = Path(__file__).parent.parent
OUTSIDE = ROOT / "tests" / "outside"
LINE = (
    "--plugin=best_of_random",
    "--plugin=to_mean",
    "--plugin=departure",
    f"--config={ROOT}/configs/digits.py:smoke",
    "--config.dataset.function=blobs:load",
    "--config.model.function=stateful_equinox:network",
    "--config.widths=(8,)",
    "--config.methods=('naive','weight_matching','best_of_random')",
    "--config.best_of_random.draws=7",
    "--config.simultaneous.widths=(8,)",
    "--config.simultaneous.method=best_of_random",
    "--config.strong.methods=('weight_matching','to_mean')",
    "--config.to_mean.rounds=1",
    "--config.departure.seeds=(0,2)",
)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A workdir in which everything from outside has run."""
    folder = tmp_path_factory.mktemp("outside")
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    line = [sys.executable, "-m", "experiments.paper", *LINE]
    done = subprocess.run(
        [*line, f"--workdir={folder / 'work'}"],
        cwd=OUTSIDE,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "best of random" in done.stderr  # the printed tables use its label
    assert "From early to late" not in done.stderr
    assert "Barriers from epoch t to the end" in done.stderr
    return folder / "work"


@pytest.fixture(scope="module")
def page(workdir):
    return (workdir / "report" / "index.html").read_text()


def barriers(workdir, experiment, **wanted):
    rows = results.load(workdir, experiment=experiment, quantities=["barrier"])
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows[rows["baseline"] == "interpolated"]


def test_a_pairwise_method(workdir, page):
    found = barriers(workdir, "weak", method="best_of_random")
    naive = barriers(workdir, "weak", method="naive")
    assert len(found) == len(naive) == 3 * 4  # pairs; metrics and splits
    assert (found["value"].to_numpy() != naive["value"].to_numpy()).any()
    options = {v["alignment"]["options"]["draws"] for v in found["vertices"].str[1]}
    assert options == {7}
    assert len(barriers(workdir, "simultaneous", method="best_of_random"))
    assert "best of random" in page


def test_a_joint_method_of_three_networks(workdir, page):
    found = barriers(workdir, "strong", method="to_mean", split="train", metric="loss")
    assert sorted(found["k"]) == [2, 2, 2, 3]  # each pair by the alignment of all
    assert set(found["path"]) == {"joint"}
    found = found[found["k"] == 3]
    moved = found["vertices"].iloc[0]
    assert [v["i"] for v in moved] == [0, 1, 2]
    assert [v["network"]["seed"] for v in moved] == [0, 1, 2]
    naive = barriers(workdir, "strong", method="naive", split="train", metric="loss")
    assert found["value"].item() < naive[naive["k"] == 3]["value"].item()
    assert "to mean" in page
    # Captions say what is aligned to what, which a joint method does otherwise.
    said = "By to mean all networks are aligned at once instead."
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, re.DOTALL)
    told = [caption for caption in captions if said in caption]
    assert any("after aligning the others to the first" in caption for caption in told)
    assert len(told) < len(captions)


def test_permuted_networks_compute_what_they_did(workdir):
    """Every permutation that came from outside is one: own losses stay."""
    rows = results.load(workdir, quantities=["value"])
    rows = rows[rows["vertex"].notna()]
    ends = [v[int(i)] for v, i in zip(rows["vertices"], rows["vertex"], strict=True)]
    own = [end.get("network", end) for end in ends]
    rows = rows.assign(
        seed=[x["seed"] for x in own],
        at=[x["step"] for x in own],
        moved=["network" in end for end in ends],
    )
    spread = rows.groupby(["seed", "at", "split", "metric"])["value"]
    assert rows["moved"].sum() > 100
    # 1e-4: float32 sums in another order.
    assert (spread.max() - spread.min()).max() < 1e-4


def test_an_experiment_with_a_table_and_a_figure(workdir, page):
    found = barriers(workdir, "departure")
    assert len(found) == 2 * 3 * 4  # seeds; steps before the last; metrics and splits
    assert "departure" in results.requested(workdir)
    assert (workdir / "report" / "departure.png").stat().st_size > 5_000
    assert "<h2>From early to late in one run</h2>" in page
    assert "The largest barrier from early to late is" in page
    assert "Barriers from epoch t to the end" in page


def test_a_data_set_and_a_network(workdir):
    rows = results.load(workdir)
    assert set(rows["dataset"]) == {"load"}
    assert set(rows["model"]) == {"equinox-8"}
    assert set(rows["family"]) == {"equinox-W"}
    errors = rows[(rows["quantity"] == "training") & (rows["metric"] == "error")]
    last = errors[errors["step"] == errors["step"].max()]
    assert len(last) == 3
    assert (last["value"] < 0.6).all()  # chance is 0.9: it has learned
    loss = {"split": "train", "metric": "loss"}
    means = {
        m: barriers(workdir, "weak", method=m, **loss)["value"].mean()
        for m in ("naive", "weight_matching")
    }
    assert means["weight_matching"] < means["naive"] / 2


def test_arrays_and_a_model_without_a_config_file(tmp_path, monkeypatch):
    """The same, as one calls it from Python."""
    monkeypatch.syspath_prepend(str(OUTSIDE))
    blobs = importlib.import_module("blobs")
    dataset = data.from_arrays("blobs", **blobs.load())

    def init(key):
        one, two = jax.random.split(key)
        return [jax.random.normal(one, (12, 6)), jax.random.normal(two, (6, 10))]

    def apply(params, inputs):
        return jax.nn.relu(inputs @ params[0]) @ params[1]

    model = models.from_functions(
        init, apply, name="mine-6", inputs=dataset.train.images
    )
    config = {"widths": (6,), "train": {"epochs": 1, "batch_size": 64}}
    own = Study(config, tmp_path, dataset=dataset, model=model)
    own.train()
    ends = [own.network(6, seed) for seed in (0, 1)]
    rows = own.measure(Barrier(pair(*ends, method="weight_matching")))
    assert {row["model"] for row in rows} == {"mine-6"}
    assert isinstance(
        own.alignment(Barrier(pair(*ends, method="random")).alignments[0]).permutation,
        permutation.Permutation,
    )
    # Activations are read from apply: there is nothing to write for them.
    own.alignment(Barrier(pair(*ends, method="activation_matching")).alignments[0])


# ---- a kind of vertex of one's own ----


@dataclasses.dataclass(frozen=True)
class Halved:
    """A network whose weights are halved."""

    network: study.Network

    def identity(self, study):
        return {"halved": self.network.identity(study)}

    def columns(self, study):
        return self.network.columns(study)

    def variables(self, study):
        return jax.tree.map(lambda x: x / 2, self.network.variables(study))

    @property
    def sources(self):
        return self.network.sources


def test_a_vertex_of_ones_own_is_interpolated_and_aligned(tmp_path):
    config = {
        "dataset": {"mock": 32},
        "widths": (3,),
        "train": {"epochs": 1, "batch_size": 8},
    }
    own = Study(config, tmp_path)
    own.train()
    ends = [Halved(own.network(3, seed)) for seed in (0, 1)]
    rows = own.measure(Barrier(pair(*ends, method="weight_matching")))
    assert rows[0]["seeds"] == [0, 1]
    assert rows[0]["path"] == "direct"
    assert rows[0]["vertices"][1]["network"].keys() == {"halved"}
    plain = [own.network(3, seed) for seed in (0, 1)]
    expected = own.measure(Barrier(pair(*plain, method="weight_matching")))
    assert rows[0]["value"] != expected[0]["value"]
    # Halving all weights halves both sides of every inner product.
    one, two = (
        own.alignment(Barrier(pair(*x, method="weight_matching")).alignments[0])
        for x in (ends, plain)
    )
    assert one.permutation == two.permutation
    assert one.objective == pytest.approx(two.objective / 4, rel=1e-5)


def test_agreement_of_joint_alignments_is_told_up_to_a_common_move(tmp_path):
    """Moving all networks alike is the same alignment."""
    still = {"a": np.arange(6)}
    turned = {"a": np.roll(np.arange(6), 1)}
    mixed = {"a": np.array([1, 0, 3, 2, 5, 4])}
    parents = {"a": ()}
    p, r, m = (permutation.Permutation.of(x, parents) for x in (still, turned, mixed))
    one = align.Alignment(None, (p, m))
    other = align.Alignment(None, (r, permutation.compose(m, r)))
    found = [tasks.relative(x) for x in (one, other)]
    assert permutation.agreement(*found)["a"] == 1.0
    assert permutation.agreement(one.permutations[1], other.permutations[1])["a"] < 1


def test_an_edited_network_is_refused_in_an_old_folder(tmp_path):
    """Same name, same shapes, another function."""

    def init(key):
        return {"w": jax.random.normal(key, (64, 10))}

    def of(activation, **options):
        def apply(params, images):
            flat = images.reshape(len(images), -1).astype(np.float32) / 16
            return activation(flat @ params["w"])

        inputs = jax.ShapeDtypeStruct((1, 8, 8, 1), np.uint8)
        return models.from_functions(init, apply, name="mine", inputs=inputs, **options)

    config = {
        "dataset": {"mock": 32},
        "widths": (3,),
        "train": {"epochs": 1, "batch_size": 8},
    }
    Study(config, tmp_path, model=of(jax.nn.relu)).train()
    Study(config, tmp_path, model=of(jax.nn.relu)).train()  # the same again
    with pytest.raises(ValueError, match="another config"):
        Study(config, tmp_path, model=of(jax.numpy.tanh)).train()
    versions = [of(x, version="1").signature for x in (jax.nn.relu, jax.numpy.tanh)]
    assert versions[0] == versions[1]
    with pytest.raises(ValueError, match="function from the width"):
        Study(config | {"widths": (3, 4)}, tmp_path, model=of(jax.nn.relu))


# ---- what is no method, and no experiment ----


def test_what_is_no_method_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"must be an align\.Method"):
        unchecked(importlib.import_module("linconn_jax.align.method")).register(print)
    with pytest.raises(ValueError, match="Python identifier"):
        align.register(align.Method("my method", lambda *a: None))
    with pytest.raises(ValueError, match="must be a frozen dataclass"):
        align.Method("mine", lambda *a: None, settings=dict)
    with pytest.raises(ValueError, match="'weight_matching' is taken"):
        align.register(align.Method("weight_matching", lambda *a: None))
    with pytest.raises(ValueError, match="must be one of naive, random, weight"):
        align.method("wieght_matching")


def given(permutations, **record):
    """What a method says that returns these for two networks of four units."""
    spec = {"w": permutation.Axes("units")}
    networks = [{"w": np.zeros(4)}] * 2
    found = align.Alignment(spec, permutations)
    for name, value in record.items():  # the tests' own check of types would refuse it
        object.__setattr__(found, name, value)
    method = align.Method("mine", lambda *a: found)
    return method(align.Context(spec), networks, jax.random.key(0))


@pytest.mark.parametrize("index", [[0, 0, 1, 2], [0, 1, 2], [0, 1, 2, 4], [0.5] * 4])
def test_a_method_that_returns_no_permutation(index):
    still = permutation.Permutation.of({"units": np.arange(4)}, {"units": ()})
    wrong = permutation.Permutation.of({"units": np.array(index)}, {"units": ()})
    plain = given((still, still), objective=jax.numpy.float32(1))
    assert type(plain.objective) is float
    with pytest.raises(ValueError, match="'units'"):
        given((still, wrong))


def test_a_pairwise_method_that_moves_the_first_network():
    still = permutation.Permutation.of({"units": np.arange(4)}, {"units": ()})
    turned = permutation.Permutation.of({"units": np.arange(4)[::-1]}, {"units": ()})
    assert given((still, turned)).permutation == turned
    with pytest.raises(ValueError, match="moves the first .* joint=True"):
        given((turned, still))


def test_a_method_and_an_experiment_of_one_name(monkeypatch):
    experiments.load()
    known = align.methods()
    both = align.Method("weak", lambda *a: None)
    monkeypatch.setattr(align, "methods", lambda: known | {"weak": both})
    with pytest.raises(ValueError, match="'weak' is a method and an experiment"):
        study.sections()


@pytest.mark.parametrize(
    ("simplices", "named"), [(((3, 2), (3, 4)), "k=3 twice"), (((2, 3),), "at least 3")]
)
def test_kinds_of_simplices_are_never_mixed(simplices, named, tmp_path):
    config = {"dataset": {"mock": 32}, "seeds": 3, "strong": {"simplices": simplices}}
    experiments.load()
    with pytest.raises(ValueError, match=named):
        Study(config, tmp_path).run(experiments.load()["strong"])


def test_numbers_of_numpy_in_a_config_are_kept(tmp_path):
    config = {
        "dataset": {"mock": np.int64(32)},
        "widths": (np.int32(3),),
        "seeds": np.int64(1),
        "train": {"epochs": 1, "batch_size": 8, "learning_rate": np.float32(0.1)},
    }
    Study(config, tmp_path).train()
    kept = json.loads((tmp_path / "config.json").read_text())
    assert kept["widths"] == [3]


@pytest.mark.parametrize("returned", [None, 3, {}])
def test_a_method_that_returns_something_else(returned):
    method = align.Method("mine", lambda *a: returned)
    context = align.Context(None)
    with pytest.raises(ValueError, match="must return an Alignment with 2 perm"):
        method(context, [{}, {}], jax.random.key(0))
    with pytest.raises(ValueError, match="3 networks; it aligns exactly two"):
        method(context, [{}] * 3, jax.random.key(0))


def test_what_is_no_experiment_is_refused(unchecked):
    free = unchecked(importlib.import_module("linconn_jax.study.experiment"))

    class Nameless(study.Experiment):
        pass

    class Weak(study.Experiment):
        name = "weak"
        title = "Mine"

    with pytest.raises(ValueError, match="must be an instance of a subclass"):
        free.register(Nameless)
    with pytest.raises(ValueError, match="has no name"):
        study.register(Nameless())
    experiments.load()
    with pytest.raises(ValueError, match="'weak' is taken"):
        study.register(Weak())
