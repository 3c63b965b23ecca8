"""The main job from the command line: what it writes, reuses, refuses and survives."""

import dataclasses
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import command_lines
import numpy as np
import pytest

from linconn_jax import align, results, trajectory

ROOT = Path(__file__).parent.parent
CONFIG = "--config=configs/digits.py:smoke"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """One data folder and one compilation cache for all processes of this file."""
    cache = tmp_path_factory.mktemp("cache")
    return {**os.environ, "XDG_CACHE_HOME": str(cache), "JAX_PLATFORMS": "cpu"}


def start(environment, experiment, workdir):
    line = [sys.executable, "-m", f"experiments.{experiment}"]
    # A job in the background of a shell ignores SIGINT, and would hand that on.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [*line, CONFIG, f"--workdir={workdir}"],
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def run(environment, experiment, workdir):
    process = start(environment, experiment, workdir)
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
    methods = [align.method(x) for x in ("activation_matching", "fused_matching")]
    more = {
        f"{method.name}.{field.name}"
        for method in methods
        for field in dataclasses.fields(method.settings)
    }
    assert set(rows.columns) - more == set(results.COLUMNS)
    assert {"barrier", "value", "agreement", "training"} <= set(rows["quantity"])
    assert set(rows["method"].dropna()) == {
        "naive",
        "random",
        "weight_matching",
        "activation_matching",
        "fused_matching",
    }
    four = rows[rows["quantity"] == "barrier"].groupby(["metric", "split"]).size()
    assert len(four) == 4
    assert set(rows["k"].dropna()) == {1, 2, 3}


def test_permuted_networks_compute_what_they_did(done):
    rows = results.load(done, quantities=["value"])
    rows = rows[(rows["k"] == 2) & (rows["vertex"] == 1)]
    own = rows.assign(seed=rows["seeds"].str[1])
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


LINES = {
    "no config": (["weak"], "--config"),
    "no such config": (["weak", "--config=configs/absent.py"], "absent"),
    "no such mode": (["weak", "--config=configs/digits.py:tiny"], "tiny"),
    "no such section": (["weak", CONFIG, "--config.trian.epochs=1"], "trian"),
    "no such setting": (["weak", CONFIG, "--config.train.epoch=1"], "epoch"),
    "no config but text": (["weak", "--config=README.md"], "(README.md, line"),
    "another type": (["weak", CONFIG, "--config.train.epochs=ten"], "epochs"),
    "an argument": (["weak", CONFIG, "extra"], "['extra']; flags begin with --"),
    "no such flag": (["weak", CONFIG, "--wrkdir=x"], "wrkdir"),
    "half a launch": (
        ["JAX_COORDINATOR_ADDRESS=localhost:1", "weak", CONFIG],
        "JAX_NUM_PROCESSES",
    ),
    "nothing to report": (["report", CONFIG], "holds no results"),
    "a file for a workdir": (["weak", CONFIG, "--workdir=setup.py"], "setup.py"),
}


@pytest.fixture(scope="module")
def answers(environment, tmp_path_factory):
    """Exit code, output and messages of each wrong command line."""
    workdir = tmp_path_factory.mktemp("wrong") / "w"
    lines = {
        name: words if "--workdir" in words[-1] else [*words, f"--workdir={workdir}"]
        for name, (words, _) in LINES.items()
    }
    found = command_lines.answers(lines, **environment)
    assert not workdir.exists()
    return found


@pytest.mark.parametrize("name", LINES)
def test_wrong_command_lines(name, answers):
    code, out, said = answers[name]
    assert (code, out) == (2, ""), said
    assert said.count("error: ") == 1, said
    assert LINES[name][1] in said
    assert "Traceback" not in said


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


def finished(workdir):
    """How many checkpoints, permutations and results are there."""
    patterns = ("results/[0-9a-f]*", "permutations/[0-9a-f]*", "trajectories/*/*/*/*")
    paths = [path for pattern in patterns for path in workdir.glob(pattern)]
    return sum(path.name.removesuffix(".json").isalnum() for path in paths)


def stop_at(process, workdir, count, moment, how):
    """Sends a signal some seconds after so many files were finished."""
    while finished(workdir) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    time.sleep(moment)
    assert process.poll() is None, "it had ended already"
    process.send_signal(how)
    return process.communicate(timeout=60)


def check_stops(environment, done, workdir, signals, seed):
    """`weak`, stopped all along training and sweep, ends in the bits of a whole run."""
    moments = random.Random(seed)
    whole = 8 + 18 + 24  # checkpoints, permutations, barriers; rows of training are no
    for i, how in enumerate(signals):
        first, last = (int(0.9 * whole * part / len(signals)) for part in (i, i + 1))
        process = start(environment, "weak", workdir)
        count, moment = moments.randint(first, last), moments.uniform(0.0, 0.05)
        said = stop_at(process, workdir, max(count, 1), moment, how)
        if how == signal.SIGINT:
            assert process.returncode == 130, said
            assert "start again to go on" in said[1]
            assert "Traceback" not in said[1]
        assert finished(workdir) < whole
    code, text = run(environment, "weak", workdir)
    assert code == 0, text
    assert finished(workdir) == whole
    left = [p for p in workdir.rglob("*") if re.search("[.](tmp|[0-9a-f]{8})$", p.name)]
    left += [p for p in workdir.rglob("checkpoints/*") if not p.name.isdecimal()]
    assert left == []
    networks, rows = final(workdir)
    expected_networks, expected_rows = final(done)
    assert_equal(networks, expected_networks)
    for name, unit in rows.items():
        assert unit == expected_rows[name]


def test_stopped_runs_end_in_the_same_bits(environment, done, tmp_path):
    signals = (signal.SIGINT, signal.SIGKILL, signal.SIGKILL)
    check_stops(environment, done, tmp_path / "stopped", signals, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_twenty_kills(environment, done, tmp_path, seed):
    signals = (signal.SIGKILL,) * 4
    check_stops(environment, done, tmp_path / "killed", signals, seed)


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
    one, other = together(environment, "trajectory", workdir)
    stop_at(one, workdir, 6, 0.0, signal.SIGKILL)  # of 8: in the second width
    other.kill()
    other.communicate()
    left = finished(workdir)
    assert 6 <= left < 8
    for process in together(environment, "weak", workdir):
        out, error = process.communicate(timeout=240)
        assert process.returncode == 0, out + error
    networks, rows = final(workdir)
    expected_networks, expected_rows = final(done)
    # 1e-4: 110 steps of float32 sums over another number of devices.
    assert_equal(networks, expected_networks, tolerance=1e-4)
    assert len(rows) == 24
    for name, unit in rows.items():
        methods = {row.get("baseline") for row in unit}
        assert methods >= {"interpolated", "mean", "max"}
        found = [row["value"] for row in unit if row["metric"] == "loss"]
        expected = [r["value"] for r in expected_rows[name] if r["metric"] == "loss"]
        assert len(found) == len(expected)
        if (
            json.loads((workdir / "results" / name).read_text())["key"]["fit_step"]
            is None
        ):
            # Naive: no assignment that a rounding may turn to another near-optimum.
            np.testing.assert_allclose(found, expected, atol=2e-3)
