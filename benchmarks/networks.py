"""Networks of the benchmarks of alignment, by name, trained here.

An MLP of three hidden layers, a ResNet-8 with LayerNorm, and a transformer of two blocks
and four heads, by the name `family_width`; and the methods that align them, by name.
"""

import ast
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import transformer

from linconn_jax import align, interchange, models, optimizers, train
from linconn_jax.align import Alignment
from linconn_jax.data import Dataset
from linconn_jax.interpolate import evaluate_simplex
from linconn_jax.models import Model
from linconn_jax.typing import PyTree

BATCH = 64
HEADS, BLOCKS = 4, 2
"""Of the transformer, whose heads have `width / HEADS` dimensions."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a family is made and trained; the rate falls to zero as a cosine."""

    make: Callable[[Dataset, int], Model]
    optimizer: str
    rate: float
    weight_decay: float
    epochs: int
    warmup: int
    """Epochs in which the rate rises."""


def _model(family: str, dataset: Dataset, width: int, **options: Any) -> Model:
    return models.build(
        family,
        width=width,
        image_shape=dataset.image_shape,
        classes=dataset.classes,
        mean=dataset.mean,
        std=dataset.std,
        **options,
    )


def _transformer(dataset: Dataset, width: int) -> Model:
    """One whose symmetries and activations are read from its function."""
    init = functools.partial(
        transformer.init,
        shape=dataset.image_shape,
        depth=BLOCKS,
        width=width,
        heads=HEADS,
        inside=width // HEADS,
    )
    images = dataset.train.images[:2]
    return models.from_functions(
        init, transformer.apply, name=f"transformer-{width}", inputs=images
    )


RECIPES = {
    "mlp": Recipe(
        functools.partial(_model, "mlp", depth=3, norm="none"),
        *("sgd", 0.1, 1e-3, 100, 1),
    ),
    "resnet": Recipe(
        functools.partial(_model, "resnet", depth=8), *("sgd", 0.1, 1e-4, 20, 2)
    ),
    "transformer": Recipe(_transformer, *("adam", 3e-3, 1.0, 40, 4)),
}


def build(name: str, dataset: Dataset) -> Model:
    """The network of a name `family_width`."""
    family, width = name.split("_")
    return RECIPES[family].make(dataset, int(width))


def trained(
    name: str,
    model: Model,
    dataset: Dataset,
    count: int,
    folder: Path,
    **changes: float | None,
) -> PyTree:
    """Networks of the seeds 0, 1, ..., stacked; kept in the folder.

    `changes` are of the recipe, but for what is None.
    """
    given = {x: value for x, value in changes.items() if value is not None}
    recipe = dataclasses.replace(RECIPES[name.split("_")[0]], **given)
    told = [dataset.name, name, str(count), _described(recipe)]
    path = folder / ("_".join(told) + ".safetensors")
    if path.exists():
        keys = jax.random.split(jax.random.key(0), count)
        shapes = jax.eval_shape(jax.vmap(model.init), keys)
        return interchange.restore(interchange.load(path), like=shapes)
    each = dataset.train.examples // BATCH
    schedule = optimizers.schedule(
        recipe.rate,
        total_steps=recipe.epochs * each,
        decay="cosine",
        warmup_steps=recipe.warmup * each,
    )
    rule = optimizers.optimizer(
        recipe.optimizer, schedule, weight_decay=recipe.weight_decay
    )
    images, labels, seeds = dataset.train.images, dataset.train.labels, range(count)
    trainer = train.trainer(model, rule, images, labels, seeds=count, batch_size=BATCH)
    state = trainer.run(trainer.init(seeds), seeds, 0, recipe.epochs * each)
    networks = jax.tree.map(lambda x: np.asarray(x)[:count], state.variables)
    folder.mkdir(parents=True, exist_ok=True)
    interchange.save(path, networks)
    return networks


def _described(recipe: Recipe) -> str:
    """All by which networks of one name and data can differ, in the name of a file."""
    options = getattr(recipe.make, "keywords", {"heads": HEADS, "blocks": BLOCKS})
    rest = {x.name: getattr(recipe, x.name) for x in dataclasses.fields(recipe)[1:]}
    every = options | {"batch": BATCH} | rest
    return "_".join(f"{x}-{value}" for x, value in every.items())


def fitted(model: Model, dataset: Dataset, networks: PyTree) -> str:
    """What stacked networks have learned: their mean errors and the largest ones."""
    corners = np.eye(len(jax.tree.leaves(networks)[0]))
    told = []
    for name in ("train", "test"):
        split = getattr(dataset, name)
        found = evaluate_simplex(
            model.apply, networks, corners, split.images, split.labels
        ).error
        told.append(f"{name} error {np.mean(found):.4f} (at most {np.max(found):.4f})")
    return ", ".join(told)


def parsed(text: str) -> tuple[str, dict[str, Any]]:
    """Name and settings of `name:option=value:option=value`."""
    name, *options = text.split(":")
    settings = {}
    for option in options:
        key, _, value = option.partition("=")
        try:
            settings[key] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            settings[key] = value
    return name, settings


def aligned(
    model: Model, dataset: Dataset, networks: Any, text: str, seed: int = 0
) -> Alignment:
    """Networks aligned by a method, written as `parsed` reads it."""
    name, settings = parsed(text)
    return align.joint(
        model.spec,
        networks,
        key=jax.random.key(seed),
        method=name,
        apply=model.apply,
        inputs=dataset.train.images,
        labels=dataset.train.labels,
        settings=settings or None,
    )
