"""Planted permutations: which share of a network's units each method finds again.

    python benchmarks/planted.py [--noise=0,0.1,0.3,1,3]
        [--networks=mlp_16,mlp_64,mlp_256,resnet_4,transformer_16]
        [--methods=weight_matching,weight_matching:restarts=8]
        [--k=2] [--repeats=3] [--workdir=runs/planted]

Networks are trained on scikit-learn's digits (`networks.py`). Of k networks the first is
one of them as it is; each of the others is the same permuted at random, and noise is
added to all its weights (a normal number times NOISE times the leaf's root mean square).
Each method aligns the k networks; one for pairs brings each to the first.

The share is of units of the others that are back in their places, modulo those that
cannot be told apart (`extras.unidentifiable`: dead on the training images, constant,
twins, or without outgoing weights), over all names, in percent; the least of the repeats
after the mean. By default all registered methods that align networks are run but learned
alignment, and weight matching as the best of 8 runs.

Where a share is below 100, `weights` tells why: it is by how much, in percent, the found
permutations' inner product of weights (over all pairs) is above that of the planted ones.
Below 0, better ones exist that were not found (or not sought: by activations); at 0 or
above, the noise has made other permutations at least as good. `gap` is how far the found
ones are below the optimum at most, by `align.bound`. The workdir gets the networks,
`planted.csv` with all rows, `planted.md` with a table of the shares, and the figure.
"""

import argparse
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from networks import aligned, build, fitted, trained
from planted_report import Row, draw, table, write

from linconn_jax import align, data, trees
from linconn_jax import permutation as pm
from linconn_jax.extras import recovered, unidentifiable
from linconn_jax.typing import Array, PyTree


def noisy(network: PyTree, size: float, rng: np.random.Generator) -> PyTree:
    """The network, to each leaf normal noise of `size` times its root mean square."""

    def one(leaf: Array) -> np.ndarray:
        scale = size * float(np.sqrt(np.mean(np.square(leaf, dtype=np.float64))))
        return np.asarray(leaf + scale * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(one, network)


def shares(
    planted: pm.Permutation, found: pm.Permutation, flags: Mapping[str, Any]
) -> dict[str, float]:
    """By name, the units of a network permuted by `planted` that `found` puts back.

    Modulo units that cannot be told apart; `flags` are of the network before.
    """
    back = pm.compose(planted, found)
    still = pm.compose(planted, pm.inverse(planted))
    return recovered(back, still, flags)


def product(
    spec: pm.BoundSpec, networks: Sequence[PyTree], permutations: Sequence
) -> float:
    """The sum over all pairs of the inner products of networks, each permuted.

    Of parameters that carry a name.
    """
    numbers = {*align.trained(spec, networks[0])} & {x.leaf for x in spec.pieces}
    moved = [
        spec.leaves(pm.permute(spec, p, x))
        for p, x in zip(permutations, networks, strict=True)
    ]
    return sum(
        float(np.vdot(np.float64(a[i]), b[i]))
        for a, b in itertools.combinations(moved, 2)
        for i in numbers
    )


def planted(
    spec: pm.BoundSpec, network: PyTree, k: int, noise: float, repeat: int
) -> tuple[list[pm.Permutation], list[PyTree]]:
    """Permutations of k - 1 networks, and all k."""
    rng, key = np.random.default_rng(repeat), jax.random.key(repeat)
    keys = [key, *(jax.random.fold_in(key, i) for i in range(1, k - 1))]
    drawn = [jax.tree.map(np.asarray, pm.random(x, spec)) for x in keys]
    others = [noisy(pm.permute(spec, p, network), noise, rng) for p in drawn]
    return drawn, [network, *others]


def measure(name: str, dataset: data.Dataset, options: argparse.Namespace) -> list[Row]:
    """All noises, methods and repeats of one network."""
    model, rows = build(name, dataset), []
    networks = trained(name, model, dataset, options.repeats, options.workdir)
    inputs = dataset.train.images
    for repeat in range(options.repeats):
        network = trees.take(networks, repeat)
        spec = pm.bind(model.spec, network)
        read = pm.ActivationReader(spec, model.apply, network)
        flags = unidentifiable(model.apply, spec, network, inputs, activations=read)
        for noise in options.noise:
            drawn, several = planted(spec, network, options.k, noise, repeat)
            truth = [spec.identity(), *map(pm.inverse, drawn)]
            told = product(spec, several, truth)
            upper = align.joint_bound(spec, several)
            for method in options.methods:
                alignment = aligned(model, dataset, several, method, repeat)
                found = alignment.permutations
                each = [
                    shares(p, q, flags) for p, q in zip(drawn, found[1:], strict=True)
                ]
                reached = product(spec, several, found)
                rows.append(
                    Row(
                        *(name, options.k, noise, method, repeat),
                        shares={x: min(one[x] for one in each) for x in each[0]},
                        recovered=np.mean([pm.overall(x, drawn[0]) for x in each]),
                        weights=reached / told - 1,
                        gap=max(0.0, 1 - reached / upper),
                        seconds=alignment.seconds,
                    )
                )
    unknown = sum(int((x.classes < 0).sum()) for x in flags.values())
    units = sum(x.classes.size for x in flags.values())
    print(
        f"\n{name}: {fitted(model, dataset, networks)}; of {units} units {unknown} are "
        "dead, constant or without outgoing weights in the last repeat"
    )
    return rows


def registered() -> list[str]:
    """All methods that align networks, and weight matching with restarts."""
    known = align.methods()
    chosen = [n for n, x in known.items() if x.aligns and not x.sequences]
    chosen.remove("learned")
    return ["weight_matching:restarts=8", *chosen]


def main() -> None:
    """Prints tables, and writes the rows and a figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def several(kind: Callable) -> Callable:
        return lambda text: [kind(x) for x in text.split(",")]

    default = "mlp_16,mlp_64,mlp_256,resnet_4,transformer_16"
    parser.add_argument("--networks", type=several(str), default=default)
    parser.add_argument("--noise", type=several(float), default="0,0.1,0.3,1,3")
    parser.add_argument("--methods", type=several(str), default=registered())
    parser.add_argument("--k", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workdir", type=Path, default=Path("runs/planted"))
    options = parser.parse_args()
    dataset, rows = data.load("digits"), []
    for name in options.networks:
        some = measure(name, dataset, options)
        table(some, options.methods)
        rows += some
        write(rows, options.methods, options.workdir)
    draw(rows, options.methods, options.workdir)


if __name__ == "__main__":
    main()
