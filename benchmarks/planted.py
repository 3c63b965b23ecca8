"""Planted permutations: which share of a network's units each method finds again.

    python benchmarks/planted.py [--networks=mlp_16,mlp_64,resnet_4,transformer_16]
        [--noise=0,0.1,0.3,1,3] [--methods=weight_matching,weight_matching*8]
        [--repeats=3] [--epochs=20] [--out=planted]

Networks are trained on scikit-learn's digits: an MLP of three hidden layers, a ResNet-8
with LayerNorm, a transformer of two blocks and four heads; `family_width`. Each is
permuted at random, noise is added to all its weights (a normal number times NOISE times
the leaf's root mean square), and each method aligns it to the network it was.

The share is of units that are back in their places, modulo those that cannot be told
apart (`extras.unidentifiable`: dead on the training images, constant, twins, or without
outgoing weights), over all names, in percent; the least of the repeats after the mean.
`weight_matching*8` is the best of 8 runs by the method's own objective. By default all
registered methods that align two networks are run, and `weight_matching*8`.

Where a share is below 100, `weights` tells why: it is by how much, in percent, the found
permutation's inner product of weights is above that of the planted one. Below 0, a better
one exists that was not found (or not sought: by activations); at 0 or above, the noise
has made another permutation at least as good. `gap` is how far the found one is below the
optimum at most, by `align.bound`.
"""

import argparse
import csv
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import transformer

from linconn_jax import align, data, models, optimizers, train
from linconn_jax import permutation as pm
from linconn_jax.extras import recovered, unidentifiable
from linconn_jax.report import style
from linconn_jax.typing import Array, PyTree

BATCH = 64
RATES = {"mlp": ("sgd", 0.05), "resnet": ("sgd", 0.1), "transformer": ("adam", 3e-3)}


@dataclasses.dataclass(frozen=True)
class Row:
    """What one method found of one planted permutation; the shares by axis name."""

    network: str
    noise: float
    method: str
    repeat: int
    shares: Mapping[str, float]
    recovered: float
    weights: float
    gap: float
    seconds: float


def build(name: str, digits: data.Dataset) -> tuple[models.Model, PyTree, Callable]:
    """A model of the digits, its spec, and activations of all names but heads."""
    family, width = name.split("_")
    if family != "transformer":
        depth = {"mlp": 3, "resnet": 8}[family]
        model = models.build(
            family,
            width=int(width),
            depth=depth,
            image_shape=digits.image_shape,
            classes=digits.classes,
            mean=digits.mean,
            std=digits.std,
        )
        return model, model.spec, model.activations
    heads = 4
    start = functools.partial(
        transformer.init,
        shape=digits.image_shape,
        depth=2,
        width=int(width),
        heads=heads,
        inside=int(width) // heads,
    )
    model = models.from_functions(
        start,
        transformer.apply,
        name=name,
        inputs=digits.train.images[:2],
    )
    return model, transformer.spec(depth=2), transformer.activations


def trained(
    name: str, model: models.Model, digits: data.Dataset, seeds: int, epochs: int
) -> list[PyTree]:
    """Networks of so many seeds, on the host."""
    kind, rate = RATES[name.split("_")[0]]
    steps = epochs * (digits.train.examples // BATCH)
    schedule = optimizers.schedule(
        rate, total_steps=steps, decay="cosine", warmup_steps=steps // 10
    )
    trainer = train.trainer(
        model,
        optimizers.optimizer(kind, schedule, weight_decay=1e-4),
        digits.train.images,
        digits.train.labels,
        seeds=seeds,
        batch_size=BATCH,
    )
    states = trainer.run(trainer.init(range(seeds)), range(seeds), 0, steps)
    variables = jax.device_get(states.variables)
    return [jax.tree.map(lambda x, i=i: x[i], variables) for i in range(seeds)]


def noisy(network: PyTree, size: float, rng: np.random.Generator) -> PyTree:
    """The network, to each leaf normal noise of `size` times its root mean square."""

    def one(leaf: Array) -> np.ndarray:
        scale = size * float(np.sqrt(np.mean(np.square(leaf, dtype=np.float64))))
        return np.asarray(leaf + scale * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(one, network)


def relative(alignment: align.Alignment) -> pm.Permutation:
    """What moves the second network to the first, of a method that may move both."""
    first, second = (jax.tree.map(np.asarray, p) for p in alignment.permutations)
    return pm.compose(second, pm.inverse(first))


def shares(
    planted: pm.Permutation, found: pm.Permutation, flags: Mapping[str, Any]
) -> dict[str, float]:
    """By name, the units of a network permuted by `planted` that `found` puts back.

    Modulo units that cannot be told apart; `flags` are of the network before.
    """
    back = pm.compose(planted, found)
    still = pm.compose(planted, pm.inverse(planted))
    return recovered(back, still, flags)


def product(spec: pm.BoundSpec, a: PyTree, b: PyTree, p: pm.Permutation) -> float:
    """The inner product ⟨a, P[b]⟩ over parameters that carry a name."""
    numbers = {*align.trained(spec, a)} & {piece.leaf for piece in spec.pieces}
    ours, theirs = spec.leaves(a), spec.leaves(pm.permute(spec, p, b))
    pairs = ((np.float64(ours[i]), np.float64(theirs[i])) for i in numbers)
    return float(sum(np.vdot(x, y) for x, y in pairs))


def run(name: str, context: align.Context, networks: list, key: Array) -> Any:
    """The alignment of a method, or for `name*n` the best of n runs of it."""
    method, _, times = name.partition("*")
    keys = jax.random.split(key, int(times or 1))
    found = [align.method(method)(context, networks, k) for k in keys]
    best = max(found, key=lambda x: x.objective)
    return dataclasses.replace(best, seconds=sum(x.seconds for x in found))


def measure(name: str, digits: data.Dataset, options: argparse.Namespace) -> list[Row]:
    """All noises, methods and repeats of one network."""
    model, labels, activations = build(name, digits)
    inputs = digits.train.images
    rows, errors = [], []
    networks = trained(name, model, digits, options.repeats, options.epochs)
    for repeat, network in enumerate(networks):
        rng, key = np.random.default_rng(repeat), jax.random.key(repeat)
        spec = pm.bind(labels, network)
        context = align.Context(
            spec, model.apply, activations, inputs, digits.train.labels
        )
        flags = unidentifiable(
            model.apply, spec, network, inputs, activations=_read(activations)
        )
        logits = jax.jit(model.apply)(network, inputs)
        errors.append(float(np.mean(logits.argmax(-1) != digits.train.labels)))
        for noise in options.noise:
            planted = jax.tree.map(np.asarray, pm.random(key, spec))
            other = noisy(pm.permute(spec, planted, network), noise, rng)
            told = product(spec, network, other, pm.inverse(planted))
            upper = align.bound(spec, network, other)
            for method in options.methods:
                alignment = run(method, context, [network, other], key)
                found = relative(alignment)
                back = shares(planted, found, flags)
                reached = product(spec, network, other, found)
                rows.append(
                    Row(
                        *(name, noise, method, repeat, back),
                        recovered=pm.overall(back, planted),
                        weights=reached / told - 1,
                        gap=max(0.0, 1 - reached / upper),
                        seconds=alignment.seconds,
                    )
                )
    unknown = sum(int((x.classes < 0).sum()) for x in flags.values())
    units = sum(x.classes.size for x in flags.values())
    print(
        f"\n{name}: train error {np.mean(errors):.3f}; of {units} units {unknown} are "
        "dead, constant or without outgoing weights in the last repeat"
    )
    return rows


def _read(activations: Callable) -> Callable:
    return lambda variables, images: activations(variables, images, at="relu")


def table(rows: list[Row], methods: list[str]) -> None:
    """Prints a line for each noise and method of one network."""
    width = max(map(len, methods))
    for noise in dict.fromkeys(row.noise for row in rows):
        for method in methods:
            some = [x for x in rows if (x.noise, x.method) == (noise, method)]
            each = np.array([100 * x.recovered for x in some])
            worst = min(some, key=lambda x: x.recovered)
            least = min(worst.shares, key=worst.shares.get)
            mean = {x: np.mean([getattr(y, x) for y in some]) for x in _MEANS}
            print(
                f"  noise {noise:<5g} {method:{width}}  recovered {each.mean():6.2f} "
                f"(least {each.min():6.2f})  weights {100 * mean['weights']:+.3f}  "
                f"gap {100 * mean['gap']:.3f}  {mean['seconds']:.2f} s"
                + (
                    f"  worst {least} {100 * worst.shares[least]:.1f}"
                    if worst.shares[least] < 1
                    else ""
                )
            )


_MEANS = ("weights", "gap", "seconds")


def draw(rows: list[Row], methods: list[str], folder: Path) -> None:
    """Writes all rows, and a figure with one panel for each network."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "planted.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        fields = [f.name for f in dataclasses.fields(Row) if f.name != "shares"]
        writer.writerow([*fields, "least_share"])
        for row in rows:
            values = [getattr(row, field) for field in fields]
            writer.writerow([*values, min(row.shares.values())])
    networks = list(dict.fromkeys(row.network for row in rows))
    columns = min(3, len(networks))
    lines = math.ceil(len(networks) / columns)
    with style.context():
        made, axes = style.figure(3.2 * columns, 2.6 * lines + 0.5, lines, columns)
        for panel, network in zip(axes.flat, networks, strict=False):
            for method in methods:
                _line(
                    panel,
                    [x for x in rows if (x.network, x.method) == (network, method)],
                )
            panel.set_title(network.replace("_", " "))
            panel.set_xscale("symlog", linthresh=0.05)
            panel.set_xlabel("noise / weights")
            panel.set_ylabel("units recovered (%)")
            panel.set_ylim(-3, 103)
        for panel in axes.flat[len(networks) :]:
            panel.set_axis_off()
        style.legend_above(made, 2)
        style.write(made, folder, "planted")


def _line(panel: Any, rows: list[Row]) -> None:
    if not rows:
        return
    method, _, times = rows[0].method.partition("*")
    look = style.look(method)
    noises = sorted({row.noise for row in rows})
    each = [[100 * x.recovered for x in rows if x.noise == noise] for noise in noises]
    label = look.label + (f", best of {times}" if times else "")
    options = {"color": look.colour, "marker": look.marker, "label": label}
    panel.plot(noises, [np.mean(x) for x in each], "--" if times else "-", **options)


def registered() -> list[str]:
    """All methods that align two networks, and weight matching with restarts."""
    known = align.methods()
    return [name for name, x in known.items() if x.aligns and not x.sequences] + [
        "weight_matching*8"
    ]


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
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    digits, rows = data.load("digits"), []
    for name in options.networks:
        some = measure(name, digits, options)
        table(some, options.methods)
        rows += some
    if options.out:
        draw(rows, options.methods, options.out)


if __name__ == "__main__":
    main()
