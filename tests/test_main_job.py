"""The main job from the command line: what it writes, reuses, refuses and survives."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from linconn_jax import results, trajectory

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """One data folder and one compilation cache for all processes of this file."""
    cache = tmp_path_factory.mktemp("cache")
    return {**os.environ, "XDG_CACHE_HOME": str(cache), "JAX_PLATFORMS": "cpu"}


def start(environment, experiment, workdir, *options, config="configs/digits.py:smoke"):
    line = [sys.executable, "-m", f"experiments.{experiment}"]
    line += [f"--config={config}"] if config else []
    line += [f"--workdir={workdir}", *options]
    return subprocess.Popen(
        line,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(*arguments, **keywords):
    process = start(*arguments, **keywords)
    out, error = process.communicate(timeout=300)
    return process.returncode, out + error


@pytest.fixture(scope="module")
def done(environment, tmp_path_factory):
    """A workdir in which `paper` has run."""
    workdir = tmp_path_factory.mktemp("paper") / "work"
    code, text = run(environment, "paper", workdir)
    assert code == 0, text
    return workdir


def test_everything_is_there(done):
    assert (done / "report" / "index.html").stat().st_size > 100_000
    rows = results.load(done)
    assert set(results.COLUMNS) <= set(rows.columns)
    assert {"barrier", "value", "agreement", "training"} <= set(rows["quantity"])
    assert set(rows["method"].dropna()) == {
        "naive",
        "random",
        "weight_matching",
        "activation_matching",
    }
    four = rows[rows["quantity"] == "barrier"].groupby(["metric", "split"]).size()
    assert len(four) == 4
    assert set(rows["k"].dropna()) == {2, 3}


def test_permuted_networks_compute_what_they_did(done):
    rows = results.load(done, quantities=["value"])
    rows = rows[(rows["k"] == 2) & (rows["point"] == "0,1")]
    own = rows.assign(seed=rows["seeds"].str.split(",").str[1])
    keys = ["width", "seed", "step", "split", "metric"]
    naive = own[own["method"] == "naive"].drop_duplicates(keys).set_index(keys)["value"]
    moved = own[(own["method"] != "naive") & (own["path"] == "direct")]
    assert len(moved) > 20
    expected = naive.reindex(moved.set_index(keys).index).to_numpy()
    # 1e-4: float32 sums in another order through four layers.
    np.testing.assert_allclose(moved["value"], expected, atol=1e-4)


def test_nothing_is_done_twice(environment, done):
    before = {p: p.stat().st_mtime_ns for p in (done / "results").iterdir()}
    code, text = run(environment, "weak", done)
    assert code == 0
    assert "0 results computed" in text
    assert "train" not in text.split("results computed")[0].replace("trained", "")
    assert {p: p.stat().st_mtime_ns for p in (done / "results").iterdir()} == before


def test_more_seeds_train_only_the_missing(environment, done, tmp_path):
    workdir = tmp_path / "more"
    shutil.copytree(done, workdir)
    code, text = run(environment, "trajectory", workdir, "--config.seeds=4")
    assert code == 0, text
    assert "train 1 x mlp-3x8" in text
    folders = sorted(p.name for p in (workdir / "trajectories").glob("*/seeds_*"))
    assert folders == ["seeds_0-2", "seeds_0-2", "seeds_3", "seeds_3"]


BAD = {
    "--config.train.epochs=6": "epochs",
    "--config.dataset.name=digitz": "digitz",
    "--config.widths=(8,16,0)": "width=0",
    "--config.seeds=0": "seeds=0",
    "--config.train.batch_size=0": "batch_size=0",
    "--config.train.batch_size=5000": "batch_size=5000",
    "--config.train.optimizer=lion": "lion",
    "--config.train.decay=linear": "linear",
    "--config.train.augment=rotate": "rotate",
    "--config.train.learning_rate=-1.0": "learning_rate=-1.0",
    "--config.train.label_smoothing=2.0": "label_smoothing=2.0",
    "--config.model.family=vit": "vit",
    "--config.model.norm=group": "group",
    "--config.checkpoints.epochs=(1,99)": "99",
    "--config.evaluate.points=1": "points=1",
    "--config.evaluate.batch_size=0": "batch_size=0",
    "--config.methods=('sorting',)": "sorting",
    "--config.pairs=((0,9),)": "9",
    "--config.activation_matching.similarity=dot": "dot",
    "--config.activation_matching.at=pool": "pool",
    "--config.dataset.folder=nowhere": "nowhere",
    "--config.strong.simplices=((1,3),)": "1",
    "--config.strong.simplices=((9,3),)": "9",
    "--config.simultaneous.widths=(7,)": "7",
}


ATTEMPT = """
import contextlib, io, json, sys
from configs import digits
from experiments import cli, simultaneous, strong, weak
from linconn_jax.study import Study

def attempt(option, workdir):
    path, _, text = option.removeprefix("--config.").partition("=")
    *parents, last = path.split(".")
    config = section = digits.get_config("smoke")
    for parent in parents:
        section = section[parent]
    try:
        value = eval(text)
    except (NameError, SyntaxError):
        value = text
    with section.unlocked(), section.ignore_type():
        section[last] = value

    def everything(_):
        study = Study(config.to_dict(), workdir)
        for experiment in (weak, simultaneous, strong):
            experiment.run(study)

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = cli._guarded(everything, ["test"])
    return code, said.getvalue()

cli._study = lambda: None
cli.flags.FLAGS(["test"], known_only=True)
options, workdir = json.loads(sys.argv[1]), sys.argv[2]
print(json.dumps({option: attempt(option, workdir) for option in options}))
"""


@pytest.fixture(scope="module")
def attempts(environment, done):
    """Exit code and messages of each bad setting, all tried in one process."""
    line = [sys.executable, "-c", ATTEMPT, json.dumps(list(BAD)), str(done)]
    made = subprocess.run(
        line, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


@pytest.mark.parametrize(("option", "named"), BAD.items(), ids=list(BAD))
def test_bad_settings_are_one_clear_error(option, named, attempts):
    code, said = attempts[option]
    assert code == 2, said
    message = said[said.index("error: ") :]
    assert named in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("options", "config", "named"),
    [
        ((), None, "--config"),
        ((), "configs/absent.py", "absent"),
        ((), "configs/digits.py:tiny", "tiny"),
        (("extra",), "configs/digits.py:smoke", "extra"),
    ],
)
def test_bad_command_lines(options, config, named, environment, tmp_path):
    code, text = run(environment, "weak", tmp_path / "w", *options, config=config)
    assert code in (1, 2)
    assert named in text
    assert not (tmp_path / "w" / "trajectories").exists()


def test_damaged_files_are_reported(environment, done, tmp_path):
    workdir = tmp_path / "damaged"
    shutil.copytree(done, workdir)
    victim = sorted((workdir / "results").iterdir())[0]
    content = victim.read_bytes()
    victim.write_bytes(content[: len(content) // 2])
    code, text = run(environment, "report", workdir)
    assert code == 2
    assert victim.name in text
    victim.write_bytes(content)
    for path in (workdir / "permutations").iterdir():
        path.write_bytes(path.read_bytes()[:-40])
    for path in (workdir / "results").iterdir():
        path.unlink()
    code, text = run(environment, "weak", workdir)
    assert code == 2
    assert "permutation file" in text


def test_a_diverged_seed_is_marked_everywhere(environment, tmp_path):
    code, text = run(
        environment, "paper", tmp_path, "--config.train.learning_rate=1e20"
    )
    assert code == 0, text
    rows = results.load(tmp_path, quantities=["barrier"])
    later = rows[rows["step"].astype(str) != "0"]
    assert len(later) > 50
    assert (later["diverged"] != "").all()
    folder = next((tmp_path / "trajectories").glob("*/seeds_*"))
    assert set(trajectory.open(folder).diverged) == {0, 1, 2}
    assert "diverged" in text


def final(workdir):
    """The last checkpoint of every trajectory, and all rows but the provenance."""
    networks = {
        f.relative_to(workdir): trajectory.open(f).load(trajectory.open(f).planned[-1])
        for f in sorted((workdir / "trajectories").glob("*/seeds_*"))
    }
    rows = {}
    for path in sorted((workdir / "results").glob("*.json")):
        rows[path.name] = json.loads(path.read_text())["rows"]
    return networks, rows


def assert_equal(found, expected, tolerance=0.0):
    import jax

    assert found.keys() == expected.keys()
    assert len(found) > 0
    for name in found:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=tolerance, rtol=0),
            found[name],
            expected[name],
        )


def killed_until_done(environment, workdir, moments, generator):
    """Runs `weak`, killed at random moments; returns how many kills hit a live run."""
    hits = 0
    for _ in range(moments):
        process = start(environment, "weak", workdir)
        time.sleep(generator.uniform(2.0, 7.0))
        hits += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    code, text = run(environment, "weak", workdir)
    assert code == 0, text
    return hits


def check_kills(environment, done, workdir, moments, seed):
    hits = killed_until_done(environment, workdir, moments, random.Random(seed))
    assert hits > 0
    networks, rows = final(workdir)
    expected_networks, expected_rows = final(done)
    assert_equal(networks, expected_networks)
    for name, unit in rows.items():
        assert unit == expected_rows[name]


def test_killed_runs_end_in_the_same_bits(environment, done, tmp_path):
    check_kills(environment, done, tmp_path / "killed", 3, seed=0)


@pytest.mark.slow
def test_twenty_kills(environment, done, tmp_path):
    for round_ in range(5):
        check_kills(environment, done, tmp_path / f"killed{round_}", 4, seed=round_ + 1)


def together(environment, experiment, workdir):
    """The experiment in two processes of two devices each, under jax.distributed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        start(
            {
                **environment,
                "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": str(i),
                "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
            },
            experiment,
            workdir,
        )
        for i in range(2)
    ]


@pytest.mark.slow
def test_two_processes_train_resume_and_measure(environment, done, tmp_path):
    workdir = tmp_path / "two"
    processes = together(environment, "trajectory", workdir)
    time.sleep(9)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    for process in together(environment, "weak", workdir):
        out, error = process.communicate(timeout=240)
        assert process.returncode == 0, out + error
    networks, rows = final(workdir)
    # 1e-4: 110 steps of float32 sums over another number of devices.
    assert_equal(networks, final(done)[0], tolerance=1e-4)
    assert rows
