"""Small made-up trajectories, and processes that record or kill them."""

import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np

from linconn_jax import trajectory

SEEDS = (4, 7, 9)
STEPS = (0, 10, 20)
CONFIG = {"model": {"name": "mlp", "widths": [3, 3]}, "learning_rate": 0.1}

OptState = collections.namedtuple("OptState", ["momentum", "count"])


def make(step, rows=3):
    """Variables, resume, diverged and metrics of one step."""
    rng = np.random.default_rng(step)

    def normal(*shape):
        return rng.normal(size=(rows, *shape)).astype(np.float32)

    variables = {
        "params": {
            "dense_0": {"kernel": normal(2, 3), "bias": normal(3)},
            "scale": normal(),
        },
        "batch_stats": {"norm_0": {"mean": normal(3)}},
    }
    momentum = jax.tree.map(np.negative, variables["params"])
    resume = (OptState(momentum, np.full(rows, step, np.int32)), [np.int32(step)])
    diverged = np.where(np.arange(rows) == 1, step // 2, -1).astype(np.int32)
    return variables, resume, diverged, {"train_loss": normal(), "error": normal()}


def assert_equal(a, b):
    """Same structure, dtypes and values."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def record(folder, *, config=CONFIG, seeds=SEEDS, steps=STEPS, resume_at=()):
    """A recorder of the made-up run."""
    return trajectory.record(
        folder, config, seeds=seeds, steps=steps, resume_at=resume_at
    )


def start(role, *arguments, **environment):
    """A process that runs the function `role` of this file."""
    script = f"import synthetic_trajectory as s; s.{role}(*{arguments!r})"
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.pathsep.join([here, os.path.dirname(here)])
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, seconds=120):
    """Output of a process that must end well, with nothing said on standard error."""
    out, err = process.communicate(timeout=seconds)
    assert (process.returncode, err) == (0, ""), err
    return out


# ---- what the processes do ----


def hold(folder):
    """Records one step and keeps the lock until killed."""
    with record(folder) as recorder:
        recorder.save(0, *make(0))
        recorder.wait()
        sys.stdout.write("holding\n")
        sys.stdout.flush()
        time.sleep(600)


def fill(folder):
    """Records under a limit of 4000 bytes a file, which only step 0 stays within."""
    import resource

    with record(folder) as recorder:
        recorder.save(0, *make(0))
        recorder.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            big = {"params": {"x": np.ones((3, 2000), np.float32)}}
            recorder.save(10, big, *make(10)[1:])
            recorder.wait()
        except OSError as error:
            sys.stdout.write(f"{type(error).__name__} {error}\n")
        else:
            sys.stdout.write("no error\n")
        # The failed save must not be reported a second time.
        recorder._pending.clear()


def advance(state):
    """One made-up training step, exact in every bit."""
    return jax.tree.map(lambda x: x * np.uint32(1664525) + np.uint32(1013904223), state)


def first_state():
    """Where made-up training starts: two trees that tell steps and seeds apart."""
    numbers = np.arange(3 * 500, dtype=np.uint32).reshape(3, 500)
    return {"params": {"w": numbers}}, {"momentum": numbers[:, ::-1].copy()}


def train(folder, total, every, resume_at=(), advance=advance):
    """Trains what is missing, recording; the number of steps that it took."""
    steps = trajectory.record_steps(total, steps_per_epoch=every, every=every)
    taken = 0
    with record(folder, steps=steps, resume_at=resume_at) as recorder:
        for start, stop in recorder.to_do():
            state = first_state()
            if start is not None:
                found = recorder.restore(state[1], start)
                state = found.variables, found.resume
            for step in range(0 if start is None else start, stop + 1):
                if step > (start or 0):
                    state, taken = advance(state), taken + 1
                if step in steps and step != start:
                    losses = {"train_loss": np.full(3, step, np.float32)}
                    recorder.save(step, *state, np.full(3, -1, np.int32), losses)
                time.sleep(0.0005)
    return taken


def train_and_kill(folder, total, every, kills, seed, losses=0):
    """Starts `train` over and over, killed at random moments, and then to its end.

    Moments are counted in checkpoints, however fast these are written.

    It forks before JAX has started any thread, which saves importing JAX each time.
    After the first kills, as many as `losses`, some checkpoint is deleted. Prints the
    number of entries left by each kill, of unfinished ones, and whether the newest
    checkpoint can be resumed from.
    """
    moments, done = random.Random(seed), 0
    checkpoints = os.path.join(folder, "checkpoints")
    while True:
        child = os.fork()
        if child == 0:
            train(folder, total, every)
            sys.stdout.flush()
            os._exit(0)
        if done < kills:
            more = moments.uniform(1, total // every // kills)
            _wait(child, checkpoints, more)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if done >= kills or os.waitstatus_to_exitcode(status) == 0:
            sys.exit(os.waitstatus_to_exitcode(status))
        done += 1
        names = os.listdir(checkpoints)
        steps = _steps(checkpoints)
        newest = [os.path.join(checkpoints, str(s), "resume") for s in steps[-1:]]
        resumes = all(map(os.path.isdir, newest))
        sys.stdout.write(f"{len(steps)} {len(names) - len(steps)} {resumes:d}\n")
        sys.stdout.flush()
        if done <= losses and steps:
            lost = moments.choice(steps)
            shutil.rmtree(os.path.join(checkpoints, str(lost)))


def _wait(child, checkpoints, more):
    """Until so many more checkpoints are there, the last in part; or the child ended."""
    there, began = len(_steps(checkpoints)), time.monotonic()
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while len(_steps(checkpoints)) < there + int(more):
        if os.waitid(os.P_PID, child, ended):
            return
        time.sleep(0.001)
    time.sleep((time.monotonic() - began) / int(more) * (more % 1))


def _steps(checkpoints):
    names = os.listdir(checkpoints) if os.path.isdir(checkpoints) else ()
    return sorted(int(name) for name in names if name.isdecimal())


def one_of_two(folder, index, port):
    """One of two processes with two devices each that record and read one run."""
    jax.config.update("jax_num_cpu_devices", 2)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, index)
    from linconn_jax import parallel

    mesh = parallel.make_mesh(len(SEEDS))
    assert mesh.shape["seed"] == 4

    def save(recorder, step):
        variables, resume, diverged, metrics = make(step)
        stacked, shared = resume
        arrays = parallel.shard((variables, stacked, diverged, metrics), mesh)
        assert not jax.tree.leaves(arrays)[0].is_fully_addressable
        variables, stacked, diverged, metrics = arrays
        recorder.save(step, variables, (stacked, shared), diverged, metrics)

    with record(folder) as recorder:
        assert recorder.restore(make(0)[1]) is None
        save(recorder, 0)
        save(recorder, 10)
    for options in ({"config": {**CONFIG, "learning_rate": 0.2}}, {"seeds": (1, 2, 3)}):
        try:
            with record(folder, **options):
                raise SystemExit("another identity was accepted")
        except ValueError as error:
            if "another config" not in str(error):
                raise
    with record(folder) as recorder:
        checkpoint = recorder.restore(make(0)[1])
        assert checkpoint.step == 10
        assert_equal(checkpoint.resume, make(10)[1])
        assert_equal(checkpoint.variables, make(10)[0])
        save(recorder, 10)  # there already: compared
        save(recorder, 20)
    if index == 0:  # a process may read alone
        assert_equal(trajectory.open(folder).load(20), make(20)[0])
    # Leave together, or the first to leave takes the coordinator away.
    jax.experimental.multihost_utils.sync_global_devices("done")
    jax.distributed.shutdown()
