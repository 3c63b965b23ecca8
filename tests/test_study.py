"""Studies on disk: reused, refused, damaged, copied, and beside foreign files."""

import itertools
import random
import resource
import shutil

import jax
import numpy as np
import pytest
from synthetic_study import EXPERIMENTS, files, run_all, settings

from experiments import report
from linconn_jax import files as kept
from linconn_jax import models, permutation, results, simplex
from linconn_jax import trajectory as trajectories
from linconn_jax.metrics import cross_entropy
from linconn_jax.study import AlignmentKey, Barrier, Study, Training, pair, spanned

LAST = 8  # two epochs of four steps


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A workdir in which all experiments have run."""
    workdir = tmp_path_factory.mktemp("study") / "work"
    study = Study(settings(), workdir)
    run_all(study)
    return workdir


def trained(workdir, **changes):
    study = Study(settings(**changes), workdir)
    study.train()
    return study


def segment(study, a, b, method):
    """Rows of a pair at the end of training."""
    ends = study.network(3, a), study.network(3, b)
    return study.measure(Barrier(pair(*ends, method=method)))


def group(workdir, name="seeds_0-6"):
    return next((workdir / "trajectories").glob(f"*/{name}"))


# ---- what is there is used ----


def test_nothing_on_disk_changes_when_all_is_there(done):
    before = files(done)
    assert len(before) > 100
    study = Study(settings(), done)
    run_all(study)
    assert files(done) == before


def test_rows_are_the_same_when_computed_anew(copy):
    before = {p.name: kept.read_unit(p) for p in (copy / "results").iterdir()}
    shutil.rmtree(copy / "results")
    shutil.rmtree(copy / "permutations")
    study = Study(settings(), copy)
    run_all(study)
    after = {p.name: kept.read_unit(p) for p in (copy / "results").iterdir()}
    assert after == before


def test_alignments_of_earlier_versions_are_read(copy):
    """Units of rows and alignments were one format; those on disk are still used."""
    study, again = trained(copy), trained(copy)
    key = AlignmentKey("weight_matching", (study.network(3, 0), study.network(3, 1)))
    found, path = study.alignment(key), study.alignments.path(key)
    lists = [
        {n: np.asarray(x).tolist() for n, x in p.items()} for p in found.permutations
    ]
    names = ("objective", "naive", "history", "converged")
    content = {name: getattr(found, name) for name in names} | {"permutations": lists}
    identity = {"alignment": key.identity(study)}
    path.unlink()
    kept.write_unit(path.parent, identity, content)
    before = files(path.parent)
    assert again.alignment(key).permutations == found.permutations
    assert again.alignment(key).history == found.history
    assert files(path.parent) == before


def test_values_are_those_of_the_networks(done):
    """The rows against networks loaded, permuted and evaluated by hand."""
    study = trained(done)
    rows = segment(study, 0, 1, "random")
    run = trajectories.open(group(done))
    model = study.runs(3).recipe.network
    images, labels = study.dataset.test.images, study.dataset.test.labels
    errors = []
    for seed in (0, 1):
        logits = np.asarray(model.apply(run.load(LAST, seed), images))
        errors.append(float((logits.argmax(axis=1) != labels).mean()))
    found = {
        tuple(row["point"]): row["value"]
        for row in rows
        if (row["quantity"], row["metric"], row["split"]) == ("value", "error", "test")
    }
    assert [found[1, 0], found[0, 1]] == errors
    permutation = study.alignment(
        AlignmentKey("random", (study.network(3, 0), study.network(3, 1)))
    ).permutation
    assert any((p != np.arange(3)).any() for p in permutation.values())


def test_a_segment_is_between_permuted_networks(done):
    """The middle of a segment by hand, and told from the inverse permutation's."""
    study = trained(done)
    model, images = study.runs(3).recipe.network, study.dataset.test.images
    a, b = (trajectories.open(group(done)).load(LAST, seed) for seed in (1, 2))
    drawn = permutation.random(jax.random.fold_in(jax.random.key(2), 2), model.spec, b)

    def middle(p):
        moved = permutation.permute(model.spec, p, b)
        half = jax.tree.map(lambda x, y: (x + y) / 2, a, moved)
        logits, labels = model.apply(half, images), study.dataset.test.labels
        return float(cross_entropy(logits, labels).mean())

    rows = segment(study, 1, 2, "random")
    (found,) = (
        row["value"]
        for row in rows
        if row["quantity"] == "value"
        and (row["metric"], row["split"], row["point"]) == ("loss", "test", [0.5, 0.5])
    )
    assert found == pytest.approx(middle(drawn), rel=1e-5)
    assert abs(found - middle(permutation.inverse(drawn))) > 1e-3


def test_a_simplex_of_seven(done):
    study = trained(done)
    networks = [study.network(3, seed) for seed in range(7)]
    rows = study.measure(Barrier(spanned(networks, method="naive"), resolution=1))
    values = [row for row in rows if row["quantity"] == "value"]
    coords = simplex.points(7, 1)
    assert len(values) == len(coords) * 4
    assert rows[0]["seeds"] == [0, 1, 2, 3, 4, 5, 6]
    assert (rows[0]["points"], rows[0]["inside"]) == (len(coords), simplex.INSIDE)
    centroid = [float(f"{1 / 7:.6g}")] * 7
    assert [row["vertex"] for row in values if row["point"] == centroid] == [None] * 4


def test_simplices_that_differ_in_nothing_but_their_points_have_keys_of_their_own(done):
    """3 vertices: resolutions 3 and 4 both give 32 points, of which 20 are inside."""
    study = trained(done)
    found = {}
    for k, resolution in itertools.product(range(3, 8), range(1, 7)):
        networks = [study.network(3, seed) for seed in range(k)]
        key = Barrier(spanned(networks, method="naive"), resolution).key(study)
        found.setdefault(kept.digest(key), []).append((k, resolution))
    assert [same for same in found.values() if len(same) > 1] == []


def test_rows_say_the_precision_and_old_keys_stay(done, tmp_path):
    """What was measured or trained in float32 on a CPU is found under the old keys."""

    def described(**changes):
        study = Study(settings(**changes), done)
        runs = study.runs(3)
        runs.check()
        segment = Barrier(pair(*(study.network(3, s) for s in (0, 1)), method="naive"))
        return segment.key(study), study

    key, study = described()
    assert key["precision"] == "float32"
    assert "inside" not in key
    assert study.results.has(key)
    assert "precision" not in study.runs(3).recipe.definition["train"]
    less, study = described(evaluate__precision="tensorfloat32")
    assert less == key | {"precision": "tensorfloat32"}
    assert not study.results.has(less)
    with pytest.raises(ValueError, match="another"):
        described(train__precision="bfloat16")
    study = Study(settings(train__precision="bfloat16"), tmp_path)
    assert study.runs(3).recipe.definition["train"]["precision"] == "bfloat16"
    trained = results.load(done, quantities=["training"])
    assert set(trained["precision"]) == {"float32"}


def test_a_network_that_gives_probabilities_is_refused_before_it_is_trained(tmp_path):
    def made(end):
        def init(key):
            return {"w": jax.random.normal(key, (1024 * 3, 10))}

        def apply(params, x):
            x = x.reshape(len(x), -1).astype("float32") / 255
            return end(x @ params["w"])

        inputs = jax.ShapeDtypeStruct((1, 32, 32, 3), "uint8")
        return models.from_functions(init, apply, name="mine", inputs=inputs)

    config = settings(dataset__name="cifar10")
    with pytest.raises(ValueError, match="probabilities, where the loss takes logits"):
        Study(config, tmp_path / "no", model=made(jax.nn.softmax)).train()
    assert not list((tmp_path / "no").rglob("seeds_*"))
    Study(config, tmp_path / "yes", model=made(jax.nn.log_softmax)).train()


def test_seeds_asked_for_later_are_trained_beside(copy):
    study = trained(
        copy, seeds=(8, 3, 7), pairs=None, simultaneous__pairs=(), strong__simplices=()
    )
    assert sorted(p.name for p in group(copy).parent.iterdir()) == [
        "seeds_0-6",
        "seeds_7-8",
    ]
    one, other = (study.runs(3).network(seed, LAST) for seed in (8, 3))
    kernel = one["params"]["dense_1"]["kernel"]
    assert (kernel != other["params"]["dense_1"]["kernel"]).any()
    expected = trajectories.open(group(copy, "seeds_7-8")).load(LAST, 8)
    np.testing.assert_array_equal(kernel, expected["params"]["dense_1"]["kernel"])


def test_fewer_checkpoints_than_recorded_are_enough(copy):
    before = files(group(copy))
    study = trained(copy, checkpoints__epochs=())
    assert study.steps(3) == (0, LAST)
    assert files(group(copy)) == before


# ---- what does not fit is refused, and nothing changes ----


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"train__epochs": 3}, "train.epochs: 2 there, 3 now"),
        ({"train__momentum": 0.5}, "train.momentum: 0.9 there, 0.5 now"),
        ({"dataset__mock": 33}, "dataset.digest"),
        ({"checkpoints__steps": (3,)}, "steps: [0, 4, 8] there, [0, 3, 4, 8] now"),
    ],
)
def test_another_recipe_in_the_folder_is_refused(changes, named, done):
    before = files(done)
    with pytest.raises(ValueError, match="another config") as caught:
        trained(done, **changes)
    assert named in str(caught.value)
    assert files(done) == before


def test_a_later_width_is_refused_before_the_first_is_trained(copy):
    before = files(copy)
    with pytest.raises(ValueError, match="another config"):
        trained(copy, widths=(2, 3), train__epochs=3)
    assert files(copy) == before


def test_a_second_process_is_refused(copy):
    shutil.rmtree(group(copy) / "checkpoints" / str(LAST))
    run = trajectories.open(group(copy))
    with (
        trajectories.record(
            group(copy), run.config, seeds=run.seeds, steps=run.planned
        ),
        pytest.raises(ValueError, match="being recorded by pid"),
    ):
        trained(copy)
    trained(copy)
    assert trajectories.open(group(copy)).complete


def test_networks_that_were_never_trained(tmp_path):
    study = Study(settings(), tmp_path)
    with pytest.raises(ValueError, match=r"seed 0 is not among .*Study\.train"):
        segment(study, 0, 1, "naive")
    assert list(tmp_path.iterdir()) == []


def test_no_pairs_of_one_seed(tmp_path):
    one = dict(seeds=1, pairs=None, simultaneous__pairs=(), strong__simplices=())
    with pytest.raises(ValueError, match=r"seeds=\(0,\).*at least 2"):
        Study(settings(**one), tmp_path).pairs  # noqa: B018


def test_a_workdir_that_is_a_file(tmp_path):
    path = tmp_path / "thesis.tex"
    path.write_text("x")
    with pytest.raises(OSError, match=r"thesis\.tex/config\.json could not be written"):
        trained(path)
    assert path.read_text() == "x"


# ---- foreign, half-made and damaged files ----


def test_foreign_files_are_let_alone(copy):
    foreign = (
        "results/notes.json",
        "results/.850be1b6038c93d9.json.tmp",
        "permutations/README",
        "thesis.tex",
        f"{group(copy).parent.relative_to(copy)}/seeds_5.txt",
        f"{group(copy).relative_to(copy)}/notes.txt",
        f"{group(copy).relative_to(copy)}/checkpoints/.DS_Store",
    )
    for name in foreign:
        (copy / name).write_text("mine")
    shutil.copytree(group(copy), group(copy).with_name("seeds_0-6 (copy)"))
    (group(copy).with_name("seeds_4")).mkdir()
    before = files(copy)
    study = Study(settings(), copy)
    run_all(study)
    assert files(copy) == before


@pytest.mark.parametrize("left", [(), ("config.json",)])
def test_a_group_killed_while_it_was_made(left, copy):
    """As a kill leaves it between making the folder and the first checkpoint."""
    folder = group(copy)
    before = trajectories.open(folder).load(LAST)
    (folder / "config.json").rename(copy / "config")
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / ".lock").touch()
    for name in left:
        (copy / "config").rename(folder / name)
    trained(copy)
    jax.tree.map(
        np.testing.assert_array_equal, trajectories.open(folder).load(LAST), before
    )


def damaged(content, count):
    """The content cut short, and with each of `count` bytes changed."""
    rng = random.Random(0)
    for length in (0, 1, len(content) // 2, len(content) - 1):
        yield content[:length]
    for at in rng.sample(range(len(content)), min(count, len(content))):
        changed = bytearray(content)
        changed[at] ^= rng.randrange(1, 256)
        yield bytes(changed)


@pytest.mark.parametrize("room", ["results", "permutations"])
def test_damaged_units_are_reported(room, copy):
    one, two = sorted((copy / room).iterdir())[:2]
    content = one.read_bytes()
    for wrong in damaged(content, 2000):
        one.write_bytes(wrong)
        with pytest.raises(ValueError, match=f"{one.name} is damaged.*delete it"):
            kept.read_unit(one)
    shutil.copy(two, one)
    with pytest.raises(ValueError, match=f"{one.name} is damaged.*another key"):
        kept.read_unit(one)
    one.write_bytes(content)
    kept.read_unit(one)


def test_damaged_units_are_not_used(copy):
    for path in (copy / "permutations").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    study = trained(copy)
    study.run(EXPERIMENTS["weak"])  # all from results
    one = sorted((copy / "results").iterdir())[0]
    one.write_bytes(one.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{one.name} is damaged"):
        results.load(copy)
    shutil.rmtree(copy / "results")
    with pytest.raises(ValueError, match="permutations/.* is damaged"):
        trained(copy).run(EXPERIMENTS["weak"])


@pytest.mark.parametrize("step", [0, 4, LAST])
def test_a_damaged_checkpoint_is_reported_and_trained_anew(step, copy):
    folder = group(copy)
    before = trajectories.open(folder).stack()
    table = folder / "checkpoints" / str(step) / "variables" / "0.0"
    content = bytearray(table.read_bytes())
    content[5] ^= 1
    table.write_bytes(content)
    study = trained(copy)
    for path in (copy / "results").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=f"step {step} .* is damaged.*delete"):
        study.run(EXPERIMENTS["simultaneous"])
    shutil.rmtree(folder / "checkpoints" / str(step))
    again = Study(settings(), copy)
    assert again.runs(3).left((0, 9)) == [{0: 4, 4: 8, 8: 8}[step], 8]
    again.run(EXPERIMENTS["simultaneous"])
    jax.tree.map(
        np.testing.assert_array_equal, trajectories.open(folder).stack(), before
    )
    assert again.runs(3).left((0,)) == [0]


def test_a_disk_that_is_full_for_results(copy):
    study = trained(copy)
    for path in (copy / "results").iterdir():
        path.unlink()
    before = files(copy)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        with pytest.raises(OSError, match=r"results/\w+\.json could not be written"):
            study.run(EXPERIMENTS["weak"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(copy) == before
    study.run(EXPERIMENTS["weak"])


def test_what_kills_leave_is_gone_after_the_next_start(copy):
    before = files(copy)
    room = group(copy)
    for folder in (
        copy,
        copy / "results",
        copy / "requests",
        copy / "permutations",
        room,
    ):
        (folder / ".some.json.0123abcd").write_bytes(b"{")
    (room / "checkpoints" / "8.orbax-checkpoint-tmp").mkdir()
    (room / "checkpoints" / "8.orbax-checkpoint-tmp" / "x").touch()
    trained(copy)
    assert files(copy) == before


# ---- copies of one network ----


def copies(workdir, epoch, **changes):
    return Study(settings(copies={"of": 2, "at_epoch": epoch}, **changes), workdir)


@pytest.mark.parametrize("epoch", [0, 1])
def test_copies_share_the_past_only(epoch, copy):
    study = copies(copy, epoch)
    study.train()
    start = epoch * 4
    assert study.steps(3) == tuple(s for s in (0, 4, LAST) if s >= start)
    parent = trajectories.open(group(copy)).load(start, 2)
    runs = study.runs(3)
    for seed in (0, 1):
        jax.tree.map(np.testing.assert_array_equal, runs.network(seed, start), parent)
    first, second = (
        runs.network(seed, LAST)["params"]["dense_1"]["kernel"] for seed in (0, 1)
    )
    assert np.abs(first - second).max() > 1e-4
    study.run(EXPERIMENTS["simultaneous"])  # at the steps that copies have


def test_a_parent_is_trained_where_there_is_none(tmp_path):
    study = copies(tmp_path, 1, seeds=(0, 1), strong__simplices=(), pairs=None)
    study.train()
    names = {p.name for p in (tmp_path / "trajectories").rglob("seeds_*")}
    assert names == {"seeds_2", "seeds_0-1"}
    assert trajectories.open(group(tmp_path, "seeds_2")).steps == (0, 4, LAST)


# ---- divergence ----


def test_seeds_that_diverge_leave_marked_rows(tmp_path, capsys):
    study = Study(settings(train__learning_rate=1e20), tmp_path)
    run_all(study)
    report.run(study)
    assert set(trajectories.open(group(tmp_path)).diverged) == set(range(7))
    assert "diverged" in capsys.readouterr().err
    rows = results.load(tmp_path, quantities=["barrier"])
    later = rows[rows["step"].astype(str) != "0"]
    # 12 rows a barrier: those of before there were draws, and of the second draw at two
    # places each that of P_T and that found anew, which are one at the end.
    assert len(later) == 456 + 3 * 12
    assert later["value"].isna().all()
    assert later["diverged"].map(len).all()
    start = rows[(rows["step"].astype(str) == "0") & rows["fit_step"].isna()]
    assert len(start) == 12  # metrics, splits, baselines
    assert np.isfinite(start["value"]).all()


def test_training_rows_are_means_since_the_checkpoint_before(done, tmp_path):
    def losses(workdir, **changes):
        rows = trained(workdir, **changes).measure(Training(3, 2))
        rows = [r for r in rows if r["metric"] == "loss"]
        return {row["step"]: row["value"] for row in rows}

    parts, whole = losses(done), losses(tmp_path, checkpoints__epochs=())
    assert (set(parts), set(whole)) == ({4, LAST}, {LAST})
    assert abs(parts[4] - parts[LAST]) > 1e-4
    np.testing.assert_allclose((parts[4] + parts[LAST]) / 2, whole[LAST], rtol=1e-6)


def test_a_network_counts_until_the_step_it_diverged_at(done):
    """At checkpoint t, t updates are done: one that fails next has not failed yet."""
    runs = trained(done).runs(3)
    assert runs.stopped([(0, LAST), (1, 0)]) == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "diverged", lambda: {1: 4, 2: 0})
        assert runs.stopped([(0, LAST), (1, 4), (2, 0)]) == []
        assert runs.stopped([(0, LAST), (1, 5), (2, 1), (1, LAST)]) == [1, 2]
