"""What a checkpoint costs, beside `np.save` of the same bytes, measured in one run.

    python benchmarks/checkpoint.py [--count=40] [--folder=FOLDER]

Eight seeds of MLPs 3×64 and 3×512 on 8×8 and 28×28 inputs, with momentum. Columns, all
in milliseconds a checkpoint, medians: `call` is the time for which `save` holds up
training when the disk keeps pace; `background` is from the call until the checkpoint is
on disk; `np.save` is one synchronous write of the same bytes, and `+ fsync` the same
forced to disk, as orbax does; `load` reads and checks the variables of all seeds.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax import trajectory
from linconn_jax.typing import PyTree

SEEDS = 8


def network(inputs: int, width: int) -> PyTree:
    """Random parameters of `SEEDS` MLPs with three hidden layers and layer norm."""
    sizes = [inputs, width, width, width, 10]
    keys = jax.random.split(jax.random.key(0), 4)
    layers = {}
    for i, key in enumerate(keys):
        kernel = jax.random.normal(key, (SEEDS, sizes[i], sizes[i + 1]))
        units = jnp.ones((SEEDS, sizes[i + 1]))
        layers[f"dense_{i}"] = {"kernel": kernel, "bias": units}
        layers[f"norm_{i}"] = {"scale": units, "bias": units}
    return {"params": layers}


def milliseconds(function: Callable[[], object]) -> float:
    """Time that one call takes."""
    began = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - began)


def write_plainly(path: Path, arrays: list[np.ndarray], sync: bool) -> None:
    """`np.save` of each array into one file."""
    with path.open("wb") as file:
        for array in arrays:
            np.save(file, array)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def measure(inputs: int, width: int, count: int, folder: Path) -> dict[str, float]:
    """Medians over `count` checkpoints; the kinds of writing take turns."""
    variables = network(inputs, width)
    resume = (jax.tree.map(jnp.negative, variables["params"]), jnp.zeros(SEEDS))
    diverged = jnp.full(SEEDS, -1, jnp.int32)
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves((variables, resume))]
    times: dict[str, list[float]] = {}
    run = folder / f"mlp_{width}"
    plain = folder / "plain.npy"
    steps = range(count + 1)
    with trajectory.record(run, {}, seeds=range(SEEDS), steps=steps) as recorder:
        for step in steps:

            def save(step: int = step) -> None:
                metrics = {"train_loss": jnp.ones(SEEDS)}
                recorder.save(step, variables, resume, diverged, metrics)

            call = milliseconds(save)
            row = {"call": call, "background": call + milliseconds(recorder.wait)}
            for name, sync in (("np.save", False), ("np.save + fsync", True)):
                plain.unlink(missing_ok=True)
                row[name] = milliseconds(
                    lambda s=sync: write_plainly(plain, arrays, sync=s)
                )
            if step:  # the first compiles
                for name, value in row.items():
                    times.setdefault(name, []).append(value)
    reading = trajectory.open(run)
    times["load"] = [milliseconds(lambda s=s: reading.load(s)) for s in reading.steps]
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {"MB": sum(array.nbytes for array in arrays) / 1e6, **medians}


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--count", type=int, default=40, help="checkpoints of each size"
    )
    parser.add_argument(
        "--folder", help="where to write; a temporary folder by default"
    )
    options = parser.parse_args()
    for inputs, width in ((64, 64), (784, 512)):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            row = measure(inputs, width, options.count, Path(folder))
        columns = ", ".join(f"{name} {value:.1f}" for name, value in row.items())
        ratio = row["background"] / row["np.save + fsync"]
        print(f"MLP 3×{width}, {SEEDS} seeds: {columns}; background ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
