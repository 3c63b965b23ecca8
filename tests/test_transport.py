"""Masks taken from one network to another, and networks trained under them."""

import re
import shutil

import jax
import made_up
import numpy as np
import pytest
import synthetic_study

from linconn_jax import permutation, prune, results
from linconn_jax.report import ends, select, select_rows
from linconn_jax.study import Single, Study, experiment
from linconn_jax.study.overlaps import Density, Overlap
from linconn_jax.study.pruned import Pruned
from linconn_jax.study.transplants import Transplanted, dense_alignment

WIDTH, SOURCES = 3, ((0, 1), (1, 2), (2, 0))


def settings(**changes):
    """Three networks, two levels that are rewound to the first epoch."""
    few = {"seeds": 3, "pairs": None, "strong__simplices": ((3, 2),)}
    pruned = {"pruning__levels": 2, "pruning__rewind_epoch": 1}
    chosen = {"transport__widths": (WIDTH,), **changes}
    return synthetic_study.settings(**few, **pruned, **chosen)


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The study after `transport`."""
    study = Study(settings(), tmp_path_factory.mktemp("transport"))
    study.run(experiment("transport"))
    return study


def start(study, origin, level=2, sources=SOURCES):
    """A transplanted one."""
    return Transplanted(Pruned.at(level, study.settings.pruning), origin, sources)


def mask(study, origin, seed):
    """Of one network."""
    return study.masks.get(start(study, origin).mask(study, WIDTH, seed))


def equal(one, other):
    """Whether trees are equal."""
    return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))


def test_masks_are_moved_as_their_networks_are(done):
    level = Pruned.at(2, done.settings.pruning)
    for seed, source in SOURCES:
        theirs = done.masks.get(level.mask(done, WIDTH, source))
        key = dense_alignment(done, WIDTH, seed, source, "weight_matching")
        found = done.alignment(key)
        network = done.network(WIDTH, source, start=level).variables(done)
        kept = jax.tree.map(lambda x: np.asarray(x) != 0, found.apply(network))
        masks = mask(done, "permuted", seed)
        # What is left of the permuted network lies under the permuted mask.
        under = jax.tree.map(lambda k, m: not (k & ~m).any(), kept, masks)
        assert all(jax.tree.leaves(under))
        spec = done.runs(WIDTH).recipe.network.spec
        moved = permutation.permute(spec, found.permutation, theirs)
        assert equal(masks, moved)
        assert equal(mask(done, "unpermuted", seed), theirs)


def test_a_mask_moved_the_wrong_way_is_another(done):
    level, differ = Pruned.at(2, done.settings.pruning), []
    for seed, source in SOURCES:
        key = dense_alignment(done, WIDTH, seed, source, "weight_matching")
        found = done.alignment(key)
        back = permutation.inverse(found.permutation)
        theirs = done.masks.get(level.mask(done, WIDTH, source))
        spec = done.runs(WIDTH).recipe.network.spec
        moved = permutation.permute(spec, back, theirs)
        differ.append(not equal(moved, mask(done, "permuted", seed)))
    assert any(differ)


@pytest.mark.parametrize("origin", ["permuted", "unpermuted", "random"])
def test_networks_keep_to_their_masks_and_begin_at_the_rewind_step(done, origin):
    chosen = start(done, origin)
    runs, dense = done.runs(WIDTH, chosen), done.runs(WIDTH)
    for seed, source in SOURCES:
        masks = mask(done, origin, seed)
        of = seed if origin == "random" else source
        own = done.masks.get(chosen.level.mask(done, WIDTH, of))
        assert prune.densities(masks).overall == prune.densities(own).overall
        assert 0 < prune.densities(masks).overall < 1
        first = prune.apply(masks, dense.network(seed, runs.steps[0]))
        assert equal(runs.network(seed, runs.steps[0]), first)
        last = runs.network(seed, runs.steps[-1])
        assert equal(last, prune.apply(masks, last))
        assert not equal(last, first)


def test_random_masks_keep_the_densities_of_the_layers_of_the_own_mask(done):
    level = Pruned.at(2, done.settings.pruning)
    for seed, _ in SOURCES:
        own = done.masks.get(level.mask(done, WIDTH, seed))
        drawn = mask(done, "random", seed)
        assert prune.densities(drawn).leaves == prune.densities(own).leaves
        assert not equal(drawn, own)


def test_masks_from_others_are_networks_of_their_own(done):
    other = start(done, "unpermuted", sources=((0, 2), (1, 2), (2, 0)))
    one = start(done, "unpermuted")
    assert done.runs(WIDTH, other).left((0, 1, 2)) == [4, 4, 4]
    assert done.runs(WIDTH, one).left((0, 1, 2)) == [0, 0, 0]
    with pytest.raises(ValueError, match="no source of a mask for seed 1"):
        start(done, "random", sources=((0, 2),)).mask(done, WIDTH, 1)


OTHERS = (((0, 1),), ((0, 2),), ((0, 2), (1, 2)), ((0, 1), (2, 1)))


@pytest.mark.parametrize("origin", ["permuted", "unpermuted"])
def test_a_mask_of_another_origin_has_a_folder_of_its_own(done, origin):
    """Of one network, and of two that share a source."""
    folders = {
        done.runs(WIDTH, start(done, origin, sources=sources))._group_folder((0,))
        for sources in OTHERS
    }
    assert len(folders) == 2  # seed 0 has the mask of 1, or that of 2


@pytest.mark.slow
def test_a_mask_of_another_origin_is_trained_beside_the_first(done, tmp_path):
    folder = shutil.copytree(done.workdir, tmp_path / "copy")
    study = Study(settings(), folder)
    for sources in OTHERS:
        chosen = start(study, "unpermuted", level=1, sources=sources)
        seeds = [seed for seed, _ in sources]
        study.train([Single(study.network(WIDTH, x, start=chosen)) for x in seeds])
        for seed in seeds:
            last = study.network(WIDTH, seed, start=chosen).variables(study)
            under = prune.apply(study.masks.get(chosen.mask(study, WIDTH, seed)), last)
            assert equal(last, under)


def test_rows_tell_each_arm_and_overlaps_are_recomputed_from_masks(done):
    rows = results.load(done.workdir, experiment="transport")
    single = rows[(rows["quantity"] == "value") & (rows["metric"] == "error")]
    arms = single.groupby(["level", "mask"], dropna=False).size()
    assert set(arms) == {6}  # two splits, three networks
    assert len(arms) == 2 * 4 + 1
    seen = rows[(rows["quantity"] == "overlap") & (rows["axis"] == "all")]
    naive = seen[(seen["level"] == 2) & (seen["method"] == "naive")]
    level = Pruned.at(2, done.settings.pruning)
    for value, (a, b) in zip(naive["value"], SOURCES, strict=True):
        one, two = (done.masks.get(level.mask(done, WIDTH, x)) for x in (a, b))
        kernels = [
            (x, y)
            for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
            if x.ndim == 2
        ]
        both = sum((x & y).sum() for x, y in kernels)
        assert value == pytest.approx(both / sum((x | y).sum() for x, y in kernels))


def test_what_is_left_of_each_layer_is_recorded(done):
    rows = results.load(done.workdir, experiment="transport")
    found = rows[(rows["quantity"] == "density") & (rows["level"] == 2)]
    level = Pruned.at(2, done.settings.pruning)
    for seed in (0, 1, 2):
        own = found[found["seeds"].map(lambda x, s=seed: x == [s])]
        mask_ = prune.densities(done.masks.get(level.mask(done, WIDTH, seed)))
        wanted = {**mask_.leaves, "all": mask_.overall}
        assert dict(zip(own["axis"], own["value"], strict=True)) == wanted
        assert len(wanted) > 2


def test_rows_tell_in_which_network_a_mask_was_found(done):
    """Who is left out takes what was trained under its mask along."""
    rows = results.load(done.workdir, experiment="transport")
    own = rows[(rows["quantity"] == "value") & (rows["level"] == 1)]
    for seed, source in SOURCES:
        of = own[own["seeds"].map(lambda x, s=seed: x == [s])].groupby("mask")
        found = {mask: part["mask_of"].map(str).unique() for mask, part in of}
        wanted = {"permuted": [source], "unpermuted": [source], "random": [seed]}
        assert found == {mask: [str(x)] for mask, x in wanted.items()}
    assert own[own["mask"].isna()]["mask_of"].isna().all()


def test_a_network_under_the_mask_of_one_near_chance_is_left_out(done, monkeypatch):
    monkeypatch.setattr(ends, "TRAINED_SHARE", 2)
    near = {WIDTH: {1: 0.9}}
    monkeypatch.setattr(ends, "near_chance", lambda *args: near)
    found = select_rows(done.workdir, "transport").rows
    single = select.where(found, quantity="value", metric="error", level=1)
    left = {m: {*part["seeds"]} for m, part in single.groupby("mask", dropna=False)}
    assert left["permuted"] == left["unpermuted"] == {(2,)}  # 0 has the mask of 1
    assert left["random"] == {(0,), (2,)}


def test_an_overlap_with_a_mask_of_one_that_diverged_is_marked(done, monkeypatch):
    """Masks of level 2 are found at the end of level 1."""
    second = Pruned.at(2, done.settings.pruning)
    at = [done.network(WIDTH, seed, start=second) for seed in (0, 1)]
    assert Overlap(*at).key(done)["diverged"] == []
    level = done.runs(WIDTH, Pruned.at(1, done.settings.pruning))
    monkeypatch.setattr(level, "diverged", lambda: {1: 5})
    assert Overlap(*at).key(done)["diverged"] == [1]
    assert Density(at[1]).key(done)["diverged"] == [1]
    assert Density(at[0]).key(done)["diverged"] == []


def test_one_that_diverges_under_a_mask_is_counted_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr(ends, "TRAINED_SHARE", 2)
    made_up.patch(monkeypatch)
    study, made = Study(settings(), tmp_path), experiment("transport")
    level = study.runs(WIDTH, Pruned.at(2, study.settings.pruning))
    monkeypatch.setattr(level, "diverged", lambda: {1: 5})
    made_up.run(study, made)
    rows = select_rows(tmp_path, "transport")
    (note,) = rows.notes
    assert "level 2 of pruning: training of seed 1 diverged" in note
    accuracies, *_ = made.tables(rows)
    assert [line[-1] for line in accuracies.rows] == ["0/0/0/0/0"] * 2 + ["1/0/0/0/0"]
    (said,) = made.sentences(rows)
    assert "of 5" in said  # 3 networks and 2 levels, without one
    assert "of 6" not in said.partition("own mask")[2].partition(".")[0]


def test_its_section_is_made_from_its_rows(done, monkeypatch):
    made = experiment("transport")
    gone = select_rows(done.workdir, "transport")  # networks of width 3 learn nothing
    assert made.tables(gone) == made.figures(gone) == []
    assert "No verdict" in made.sentences(gone)[0]
    monkeypatch.setattr(ends, "TRAINED_SHARE", 2)
    rows = select_rows(done.workdir, "transport")
    accuracies, overlaps, _ = made.tables(rows)
    assert [line[2] for line in accuracies.rows] == ["0", "1", "2"]
    assert [line[2] for line in overlaps.rows] == ["1", "2"]
    told = select.where(rows.rows, quantity="value", metric="error", split="test")
    dense = 1 - told[told["level"].isna()]["value"].mean()
    assert accuracies.rows[0][-3].mean == pytest.approx(dense)
    (said,) = made.sentences(rows)
    compared = r"mask in (\d), equal in (\d) and lower in (\d) of (\d)"
    counts = re.findall(compared, said)
    assert len(counts) == 3
    assert all(sum(map(int, x[:3])) == int(x[3]) == 6 for x in counts)
    names = [drawing.name for drawing in made.figures(rows)]
    assert names == ["transport_accuracy", "transport_overlap"]


def test_pairs_that_make_no_sense_are_refused(tmp_path):
    wrong = {
        "transport__pairs": ((0, 1), (0, 2)),
        "transport__widths": (7,),
    }
    for name, value in wrong.items():
        study = Study(settings(**{name: value}), tmp_path)
        with pytest.raises(ValueError, match=name.replace("__", ".")):
            study.tasks(experiment("transport"))
