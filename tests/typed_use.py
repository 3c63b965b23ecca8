"""The public faces as a user's type checker sees them; read by mypy, run by nobody.

Each `type: ignore` marks a wrong call: mypy says so if it stops being found.
"""

from pathlib import Path

import jax
import numpy as np

import linconn_jax
from linconn_jax import align, barrier, extras, interpolate, permutation, simplex, trees
from linconn_jax.study import Barrier, Experiment, Network, Study, Task, pair
from linconn_jax.typing import Variables


def apply(variables: Variables, images: jax.Array) -> jax.Array:
    """Logits."""
    return images @ variables["w"]


def aligned(a: Variables, b: Variables, images: jax.Array, labels: jax.Array) -> float:
    """The README's snippet."""
    spec = permutation.discover(apply, a, images)
    report: permutation.Report = permutation.verify(apply, spec, a, images)
    assert str(report)
    found: align.Alignment = align.weight_matching(spec, a, b, key=jax.random.key(0))
    p: permutation.Permutation = permutation.inverse(found.permutation)
    fractions = permutation.agreement(p, found.permutation)
    permutation.save(Path("p.npz"), p, about=fractions)
    ends = trees.stack([a, found.apply(b)])
    coords = simplex.segment(25)
    values = interpolate.evaluate_simplex(apply, ends, coords, images, labels)
    align.weight_matching(spec, a, b)  # type: ignore[call-arg]
    align.weight_matching(spec, a, b, key=jax.random.key(0), max_sweeps="3")  # type: ignore[arg-type]
    permutation.inverse({"a": np.arange(3)})  # type: ignore[arg-type]
    simplex.segment("25")  # type: ignore[arg-type]
    extras.widen(spec, a, ["dense_0"])  # type: ignore[arg-type]
    return barrier.barrier(values.loss, coords).value


def method() -> align.Method:
    """A method of one's own."""
    align.register("naive")  # type: ignore[arg-type]
    return align.register(align.methods()["weight_matching"])


class Mine(Experiment):
    """An experiment of one's own."""

    name = "mine"
    title = "Mine"

    def tasks(self, study: Study) -> list[Task]:
        """One segment."""
        a, b = (Network(64, seed, 100) for seed in (0, 1))
        Network(64, "0", 100)  # type: ignore[arg-type]
        Barrier(3)  # type: ignore[arg-type]
        return [Barrier(pair(a, b, method="naive"))]


def compared(nets: list[Variables], images: jax.Array, labels: jax.Array) -> str:
    """All of it in one call."""
    linconn_jax.compare(apply, nets, images)  # type: ignore[arg-type]
    found = linconn_jax.compare(apply, nets, (images, labels), methods=["naive"])
    return found.tables
