"""What permuting a network costs beside copying its arrays, measured in one run.

    python benchmarks/permute.py [--width=64] [--rounds=40]

VGG-16 with layer norm, every unit moved. The ways take turns, and each keeps its result
until all have had theirs, so that all write to memory in the same state. Milliseconds of
arrays on the host (NumPy), in JAX, and of the same as part of a jitted program, the best
of all rounds: what other processes add falls on long calls more than on short ones.
"""

import argparse
import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax import models, permutation, trees
from linconn_jax.typing import PyTree


def network(width: int) -> tuple[PyTree, PyTree]:
    """The spec of a VGG-16 for 32×32 images, and random variables on the host."""
    model = models.build(
        "vgg",
        width=width,
        image_shape=(32, 32, 3),
        classes=10,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return model.spec, jax.tree.map(
        lambda x: rng.normal(size=x.shape).astype(np.float32), shapes
    )


def milliseconds(
    ways: dict[str, Callable[[], PyTree]], rounds: int
) -> dict[str, float]:
    """Least time of each way."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 2):
        kept = []
        for name, way in ways.items():
            began = time.perf_counter()
            kept.append(jax.block_until_ready(way()))
            if number > 1:  # the first ones compile and grow the memory
                times[name].append(1000 * (time.perf_counter() - began))
    return {name: min(values) for name, values in times.items()}


def main() -> None:
    """Prints times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    spec, host = network(options.width)
    there = jax.tree.map(jnp.asarray, host)
    p = permutation.random(jax.random.key(0), spec, host)
    on_host = jax.tree.map(np.asarray, p)
    copy_in_jit = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))
    permute_in_jit = jax.jit(functools.partial(permutation.permute, spec))
    found = milliseconds(
        {
            "copy, NumPy": lambda: jax.tree.map(np.copy, host),
            "permute, NumPy": lambda: permutation.permute(spec, on_host, host),
            "copy, JAX": lambda: jax.tree.map(jnp.copy, there),
            "permute, JAX": lambda: permutation.permute(spec, p, there),
            "copy, jit": lambda: copy_in_jit(there),
            "permute, jit": lambda: permute_in_jit(p, there),
        },
        options.rounds,
    )
    print(f"VGG-16-{options.width}, {trees.size(host) / 1e6:.1f} M numbers")
    for name, value in found.items():
        print(f"  {name:16} {value:7.2f} ms")
    for kind in ("NumPy", "JAX", "jit"):
        ratio = found[f"permute, {kind}"] / found[f"copy, {kind}"]
        print(f"  ratio, {kind}: {ratio:.2f}")


if __name__ == "__main__":
    main()
