"""How alike two networks' units can be made by permutations and by orthogonal maps.

    python benchmarks/rotations.py [--networks mlp_32 transformer_32] [--pairs 4]
        [--workdir runs/joint] [--count 9]

Of each axis name that lies under no other, the correlation ⟨X, Y Q⟩ / (‖X‖ ‖Y‖) of the
centred activations X and Y `[samples, units]` of two independent networks, after the
nonlinearity or the norm: as they are, by the best permutation Q, by the best orthogonal
map Q (Procrustes), and by the best permutation after a random rotation of Y. Where that
last one, which looks for permutations where there can be none, is as large as the second,
the best permutation has found nothing. Means over pairs of networks.
"""

import argparse
from pathlib import Path

import numpy as np
from networks import build, trained

from linconn_jax import data, trees
from linconn_jax.align import assignment

DRAWS = 5
"""Random rotations of each pair."""
COLUMNS = ("as they are", "permutation", "after rotation", "orthogonal")


def alike(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> list[float]:
    """The correlations, in the order of `COLUMNS`."""
    x, y = (z - z.mean(axis=0) for z in (np.float64(x), np.float64(y)))
    similarity = x.T @ y / (np.linalg.norm(x) * np.linalg.norm(y))
    rotations = (_rotation(len(similarity), rng) for _ in range(DRAWS))
    rotated = [_permuted(similarity @ q) for q in rotations]
    orthogonal = np.linalg.svd(similarity, compute_uv=False).sum()
    return [
        float(np.trace(similarity)),
        _permuted(similarity),
        float(np.mean(rotated)),
        float(orthogonal),
    ]


def _rotation(units: int, rng: np.random.Generator) -> np.ndarray:
    """A random orthogonal matrix, uniformly distributed (Mezzadri 2007)."""
    q, r = np.linalg.qr(rng.normal(size=(units, units)))
    return q * np.sign(np.diag(r))


def _permuted(similarity: np.ndarray) -> float:
    """What the best permutation reaches."""
    return float(assignment.value(similarity, assignment.maximize(similarity)).sum())


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=["mlp_32", "transformer_32"])
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--count", type=int, default=9)
    parser.add_argument("--workdir", type=Path, default=Path("runs/joint"))
    options = parser.parse_args()
    dataset = data.load("digits")
    inputs = dataset.train.images[:500]
    print("| network | units | " + " | ".join(COLUMNS) + " |")
    for name in options.networks:
        model, rng = build(name, dataset), np.random.default_rng(0)
        networks = trained(name, model, dataset, options.count, options.workdir)
        found: dict[str, list] = {}
        for i in range(options.pairs):
            each = [trees.take(networks, j) for j in (2 * i, 2 * i + 1)]
            first, second = (model.read(x, inputs) for x in each)
            for units in first:
                if first[units].ndim == 2:
                    some = alike(first[units], second[units], rng)
                    found.setdefault(units, []).append(some)
        for units, rows in found.items():
            cells = [f"{x:.3f}" for x in np.mean(rows, axis=0)]
            print(f"| {name} | {units} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
