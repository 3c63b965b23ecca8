"""Iterative magnitude pruning on disk: gone on with, damaged, killed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from synthetic_imp import (
    LAST,
    LEVELS,
    REWIND,
    SEEDS,
    assert_same,
    imp,
    level,
    make,
    mask,
    networks,
)
from synthetic_study import files

from linconn_jax import files as kept
from linconn_jax import prune
from linconn_jax.study import Single, Spawned
from linconn_jax.study.pruned import Pruned
from linconn_jax.train import Trainer

pytestmark = pytest.mark.usefixtures("ordinary_promotion")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("imp") / "work"
    imp(make(workdir))
    return workdir


@pytest.fixture
def copy(done, tmp_path):
    return shutil.copytree(done, tmp_path / "copy")


def test_nothing_changes_when_all_is_there(done):
    before = files(done)
    imp(make(done))
    assert files(done) == before


@pytest.mark.slow
def test_more_seeds_train_only_what_is_missing(copy):
    before = files(copy)
    study = make(copy, seeds=(0, 1, 4, 7, 9))
    runs = imp(study)
    after = files(copy)
    new = {n for n in after if n not in before and "lock" not in n}
    assert {n: before[n] for n in before if n in after and n != "config.json"} == {
        n: x for n, x in after.items() if n in before and n != "config.json"
    }
    assert all("/seeds_7+9/" in n for n in new if n.startswith("trajectories/"))
    assert sum(n.startswith("masks/") for n in new) == 2 * LEVELS
    rewound = runs[0].network(9, REWIND)
    assert_same(runs[3].network(9, REWIND), prune.apply(mask(study, 3, 9), rewound))


def test_tasks_train_the_levels_that_they_need_and_no_more(tmp_path):
    study = make(tmp_path)
    task = Single(study.network(3, 1, start=level(study, 2)))
    study.check([task])
    assert not list(tmp_path.iterdir())
    study.train([task])
    folder, stem = tmp_path / "trajectories", study.runs(3).folder.name
    assert {str(p.relative_to(folder)) for p in folder.glob("*/seeds_*")} == {
        f"{stem}/seeds_0-1+4",
        f"{stem}_pruned_1_rewound_to_1_fraction_0.3/seeds_1",
        f"{stem}_pruned_2_rewound_to_1_fraction_0.3/seeds_1",
    }
    key = task.key(study)
    assert key["level"] == 2
    assert 1 - key["sparsity"] == pytest.approx(0.49, abs=0.01)
    assert all(np.isfinite(row["value"]) for row in study.measure(task))


def test_a_level_that_is_stopped_goes_on_with_its_masks(copy, monkeypatch):
    expected = networks(copy)
    for number in (2, 3):
        shutil.rmtree(make(copy).runs(3, level(make(copy), number)).folder)

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", stopped)
        with pytest.raises(KeyboardInterrupt):
            imp(make(copy))
    study = make(copy)
    assert study.runs(3, level(study, 2)).group(0).resumable == (REWIND,)
    imp(study)
    assert_same(networks(copy), expected)


def test_all_seeds_of_a_level_are_trained_at_once(tmp_path):
    """Whatever is asked for first, in one program and counted beforehand."""
    study = make(tmp_path)
    asked = [(2, 0), (1, 4), (2, 1)]
    tasks = [Single(study.network(3, s, start=level(study, i))) for i, s in asked]
    told = {start and start.level: s for (_, start), s in study.asked(tasks).items()}
    assert list(told.items()) == [(None, SEEDS), (1, (0, 4, 1)), (2, (0, 1))]
    study.train(tasks)
    names = {path.name for path in tmp_path.glob("trajectories/*pruned_1*/*")}
    assert names == {"seeds_0-1+4"}


@pytest.mark.parametrize("lost", [(REWIND,), (LAST,), (REWIND, LAST)])
def test_lost_checkpoints_and_masks_of_a_level_are_made_anew(lost, copy):
    expected = networks(copy)
    study = make(copy)
    folder = study.runs(3, level(study, 2)).group(0).folder
    masks = {p.name: p.read_bytes() for p in (copy / "masks").iterdir()}
    for step in lost:
        shutil.rmtree(folder / "checkpoints" / str(step))
    for path in (copy / "masks").iterdir():
        path.unlink()
    imp(make(copy))
    assert_same(networks(copy), expected)
    made = {p.name: p.read_bytes() for p in (copy / "masks").iterdir()}
    assert made.items() <= masks.items()
    assert len(made) >= 2 * len(SEEDS)


@pytest.mark.parametrize("at", [0, 20, 200, -30, -1])
def test_a_damaged_mask_is_one_clear_error_and_made_anew(at, copy):
    study = make(copy)
    key = level(study, 1).mask(study, 3, 0)
    path = kept.unit_path(copy / "masks", {"mask": key.identity(study)})
    expected = path.read_bytes()
    wrong = bytearray(expected)
    wrong[at] ^= 1
    path.write_bytes(wrong)
    with pytest.raises(ValueError, match=f"{path.name} is damaged.*delete it"):
        make(copy).masks.get(key)
    path.unlink()
    assert_same(make(copy).masks.get(key), make(copy).masks.get(key))
    assert path.read_bytes() == expected


def test_a_mask_of_another_key_is_refused(copy):
    one, two = sorted((copy / "masks").iterdir())[:2]
    shutil.copy(two, one)
    study = make(copy)
    keys = [level(study, i).mask(study, 3, seed) for i in (1, 2, 3) for seed in SEEDS]
    with pytest.raises(ValueError, match=f"{one.name} is damaged.*another key"):
        [study.masks.get(key) for key in keys]


def test_a_damaged_checkpoint_of_a_level_is_reported_and_trained_anew(copy):
    expected = networks(copy)
    study = make(copy)
    folder = study.runs(3, level(study, 2)).group(0).folder
    table = folder / "checkpoints" / str(LAST) / "variables" / "0.0"
    content = bytearray(table.read_bytes())
    content[5] ^= 1
    table.write_bytes(content)
    for path in (copy / "trajectories").glob("*pruned_3*"):
        shutil.rmtree(path)
    for path in (copy / "masks").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=f"step {LAST} .* is damaged.*delete"):
        imp(make(copy))
    shutil.rmtree(folder / "checkpoints" / str(LAST))
    imp(make(copy))
    assert_same(networks(copy), expected)


def test_masks_that_do_not_fit_the_checkpoint_are_refused(copy, monkeypatch):
    """A level that was begun with other masks is not gone on with."""
    study = make(copy)
    folder = study.runs(3, level(study, 2)).group(0).folder
    shutil.rmtree(folder / "checkpoints" / str(LAST))
    study = make(copy)
    real = study.masks.get

    def others(key):
        return jax.tree.map(lambda x: np.roll(x, 1), real(key))

    monkeypatch.setattr(study.masks, "get", others)
    with pytest.raises(ValueError, match="step 4 .*differs"):
        study.runs(3, level(study, 2)).ensure(SEEDS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rewind_epoch": 1.5}, "step 6, at epoch 1.5, which is not recorded; add it"),
        ({"rewind_epoch": 2}, "rewinds to epoch 2; it must be less than"),
        ({"exclude": ("*/none",)}, "matches none of the kernels"),
        ({"level": 40}, "level 15 of pruning has 0 weights to remove"),
        ({"level": 40, "scope": "layer"}, "level 14 of pruning has 0 weights to"),
        ({"exclude": ("*/dense_1/kernel",)}, "has 72 weights to remove .* 48 are left"),
    ],
)
def test_refused_before_anything_is_trained(change, message, tmp_path):
    study = make(tmp_path)

    def asked():
        study.check([Single(study.network(3, 0, start=level(study, 1, **change)))])

    with pytest.raises(ValueError, match=message):
        asked()
    assert not list(tmp_path.iterdir())


RULES = {"fraction": 0.4, "scope": "layer", "exclude": ("*/dense_2/kernel",)}


@pytest.mark.parametrize("name", RULES)
def test_another_rule_has_a_folder_of_its_own(name, copy):
    """And is trained beside the first, whose networks stay."""
    before = files(copy)
    study = make(copy, **{f"pruning__{name}": RULES[name]})
    first = [Single(study.network(3, 0, start=level(study, 1)))]
    study.check(first)
    study.train(first)
    assert study.runs(3, level(study, 1)).left((0,)) == [0]
    after = files(copy)
    del before["config.json"]  # which tells the settings of the last run
    assert before.items() <= after.items()
    assert any("_pruned_1_rewound_to_1_" in x for x in after.keys() - before.keys())


def test_a_whole_epoch_is_one_start_however_it_is_written():
    assert Pruned(1, 5) == Pruned(1, 5.0) != Pruned(1, 5.5)
    assert Pruned(1, 5.0).folder == "pruned_1_rewound_to_5"
    assert Spawned(3.0).folder == "spawned_at_3_noise_1"


# ---- stopped at any moment ----

SEQUENCE = """
import json, os, random, signal, sys, time
from pathlib import Path
sys.path.append("tests")
import jax
jax.config.update("jax_compilation_cache_dir", sys.argv[2])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
from synthetic_imp import imp, make  # before JAX has started any thread

def finished(workdir):
    names = [p.name for p in workdir.glob("trajectories/*/*/checkpoints/*")]
    names += [p.stem for p in workdir.glob("masks/[0-9a-f]*.json")]
    return sum(name.isalnum() for name in names)

def child(workdir):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            jax.config.update("jax_num_cpu_devices", int(sys.argv[5]))
            imp(make(workdir))
            code = 0
        finally:
            os._exit(code)
    return pid

folder, kills = Path(sys.argv[1]), int(sys.argv[3])
moments = random.Random(int(sys.argv[4]))
pid, times = child(folder / "whole"), {}
while os.waitpid(pid, os.WNOHANG) == (0, 0):
    times.setdefault(finished(folder / "whole"), time.monotonic())
    time.sleep(0.002)
total = finished(folder / "whole")
times.setdefault(total, time.monotonic())
at = sorted(times.values())
pace = sorted(later - one for one, later in zip(at, at[1:]))[len(at) // 2 - 1]
done, told = False, []
for i in range(kills):
    pid = child(folder / "killed")
    count = 1 + int(0.8 * total * (i + moments.random()) / kills)
    ended = (0, 0)
    while ended == (0, 0) and finished(folder / "killed") < count:
        ended = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.001)
    time.sleep(moments.uniform(0, 2 * pace))
    if ended == (0, 0):
        os.kill(pid, signal.SIGKILL)
        ended = os.waitpid(pid, 0)
    told.append((os.WIFSIGNALED(ended[1]), finished(folder / "killed")))
code = os.waitstatus_to_exitcode(os.waitpid(child(folder / "killed"), 0)[1])
print(json.dumps({"code": code, "told": told, "total": total, "pace": pace}))
"""


def check_kills(tmp_path, kills, seed, devices=1):
    line = [sys.executable, "-c", SEQUENCE, tmp_path, tmp_path / "cache"]
    made = subprocess.run(
        [*map(str, line), str(kills), str(seed), str(devices)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    said = json.loads(made.stdout.splitlines()[-1])
    assert said["code"] == 0, made.stderr
    assert said["total"] == 4 + 3 * (2 + len(SEEDS))
    # Of a slow machine's moments, some may come when all is done.
    assert sum(killed for killed, _ in said["told"]) > kills // 3, said
    expected, found = (networks(tmp_path / name) for name in ("whole", "killed"))
    assert found.keys() == expected.keys()
    assert_same(found, expected)
    masks = [
        {p.name: p.read_bytes() for p in (tmp_path / name / "masks").iterdir()}
        for name in ("whole", "killed")
    ]
    assert masks[0] == masks[1]
    left = (tmp_path / "killed").rglob("checkpoints/*")
    assert all(path.name.isdecimal() for path in left)


@pytest.mark.slow
def test_killed_sequences_end_in_the_same_bits(tmp_path):
    check_kills(tmp_path, kills=3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_ten_kills(tmp_path, seed):
    check_kills(tmp_path, kills=10, seed=seed, devices=1 + seed)
