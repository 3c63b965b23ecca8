"""The networks of a study: one recipe, one width, any number of seeds, on disk.

Seeds that were trained together share a trajectory; seeds asked for later are trained as
a further group beside it, so that nothing is ever trained twice.
"""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linconn_jax import data, models, optimizers, train, trajectory, trees
from linconn_jax.data import Dataset, augment
from linconn_jax.models import Model
from linconn_jax.results import digest
from linconn_jax.study.recording import Seeds, record, restore_one
from linconn_jax.trajectory import Trajectory
from linconn_jax.typing import Variables

Settings = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What defines the training of networks, whatever their seeds.

    Attributes:
      dataset: the data.
      model: family and options of `models.build`.
      train: epochs, batch_size, learning_rate, optimizer, momentum, nesterov,
        weight_decay, clip_norm, decay, warmup_epochs, milestone_epochs, factor,
        label_smoothing, augment.
      copies: None, or `{"of": seed, "at_epoch": e}`: every network starts as a copy of
        that seed's at that epoch (0: the same initialisation) and goes on with SGD
        noise of its own.
    """

    dataset: Dataset
    model: Settings
    train: Settings
    copies: Settings | None = None

    @functools.cached_property
    def network(self) -> Model:
        """The model, built for the data."""
        return models.build(
            **self.model,
            image_shape=self.dataset.image_shape,
            classes=self.dataset.classes,
            mean=self.dataset.mean,
            std=self.dataset.std,
        )

    @property
    def steps_per_epoch(self) -> int:
        """Batches in a pass over the training set; the incomplete last one is dropped."""
        examples, size = self.dataset.train.examples, self.train["batch_size"]
        if not isinstance(size, int) or not 1 <= size <= examples:
            raise ValueError(
                f"train.batch_size={size!r}; it must be an integer in 1..{examples}, the "
                "number of training examples"
            )
        return examples // size

    @property
    def total_steps(self) -> int:
        """Length of training."""
        return self.step_of(self.train["epochs"], "train.epochs")

    def step_of(self, epoch: Any, option: str = "epoch") -> int:
        """The step at which an epoch (a whole one, or a part) ends."""
        if not isinstance(epoch, int | float) or not epoch >= 0:
            raise ValueError(f"{option}={epoch!r}; it must be a number of at least 0")
        return round(epoch * self.steps_per_epoch)

    @property
    def definition(self) -> Settings:
        """JSON-able identity of the networks, up to their seeds."""
        described = {
            "dataset": {"name": self.dataset.name, "digest": self.dataset.digest},
            "model": {"name": self.network.name, **self.model},
            "train": self.train,
            "copies": self.copies,
        }
        return json.loads(
            json.dumps(described)
        )  # tuples as the lists they come back as

    def trainer(self, seeds: int, *, at_once: int | None = None) -> train.Trainer:
        """A trainer of this recipe for a number of networks."""
        settings = self.train
        milestones = settings["milestone_epochs"]
        rate = optimizers.schedule(
            settings["learning_rate"],
            total_steps=self.total_steps,
            decay=settings["decay"],
            warmup_steps=self.step_of(settings["warmup_epochs"], "train.warmup_epochs"),
            milestones=[self.step_of(e, "train.milestone_epochs") for e in milestones],
            factor=settings["factor"],
        )
        optimizer = optimizers.optimizer(
            settings["optimizer"],
            rate,
            momentum=settings["momentum"],
            nesterov=settings["nesterov"],
            weight_decay=settings["weight_decay"],
            clip_norm=settings["clip_norm"],
        )
        return train.trainer(
            self.network,
            optimizer,
            self.dataset.train.images,
            self.dataset.train.labels,
            seeds=seeds,
            batch_size=settings["batch_size"],
            label_smoothing=settings["label_smoothing"],
            augment=augment.by_name(settings["augment"]),
            at_once=at_once,
        )


class Runs:
    """The trajectories of one recipe under one folder."""

    def __init__(self, recipe: Recipe, workdir: Path, record_at: Sequence[int]):
        self.recipe = recipe
        self.steps = tuple(record_at)
        self.workdir = workdir
        self.folder = workdir / "trajectories" / _folder_name(recipe)
        self._groups: list[Trajectory] = []

    @functools.cached_property
    def config_digest(self) -> str:
        """Digest of what defines the networks, for the keys of results."""
        return digest(self.recipe.definition)

    def ensure(self, seeds: Sequence[int], *, at_once: int | None = None) -> None:
        """Trains the seeds that are missing and finishes those that were interrupted.

        Raises:
          ValueError: the folder holds networks of another recipe.
        """
        have: set[int] = set()
        for group in self._stored():
            if set(group.seeds) & set(seeds):
                self._record(group.seeds, at_once)
                have |= set(group.seeds)
        missing = tuple(s for s in seeds if s not in have)
        if missing:
            self._record(missing, at_once)
        self._groups = self._stored()

    @functools.lru_cache(maxsize=8)  # noqa: B019 - a handful of runs live as long as a study
    def _loaded(self, group: int, step: int) -> Variables:
        return self._groups[group].load(step)

    def network(self, seed: int, step: int) -> Variables:
        """Variables of one seed at one recorded step, as host arrays."""
        for i, group in enumerate(self._groups):
            if seed in group.seeds:
                return trees.take(self._loaded(i, step), group.seeds.index(seed))
        raise ValueError(
            f"seed {seed} is not among the trained ones "
            f"{sorted(s for g in self._groups for s in g.seeds)} of {self.folder}"
        )

    def trajectories(self) -> list[Trajectory]:
        """One for each group of seeds that were trained together."""
        return list(self._groups)

    def diverged(self) -> dict[int, int]:
        """`{seed: step}` of the seeds whose training was stopped."""
        return {s: t for g in self._groups for s, t in g.diverged.items()}

    def _stored(self) -> list[Trajectory]:
        return [trajectory.open(f) for f in sorted(self.folder.glob("seeds_*"))]

    def _record(self, names: tuple[int, ...], at_once: int | None) -> None:
        folder = self.folder / f"seeds_{_ranges(names)}"
        if folder.exists():
            stored = trajectory.open(folder)
            if stored.complete and stored.config == self.recipe.definition:
                return
        copies = self.recipe.copies
        init, steps, parent = names, self.steps, None
        trainer = self.recipe.trainer(len(names), at_once=at_once)
        if copies is not None:
            start = self.recipe.step_of(copies["at_epoch"], "copies.at_epoch")
            init, steps = (copies["of"],) * len(names), _from(start, self.steps)
            parent = self._parent(trainer, copies["of"], start) if start else None
        record(
            trainer,
            folder,
            self.recipe.definition,
            seeds=Seeds(names, init, names),
            steps=steps,
            parent=parent,
        )

    def _parent(self, trainer: train.Trainer, seed: int, step: int) -> train.TrainState:
        """State of the network that the copies are spawned from, trained if needed."""
        recipe = dataclasses.replace(self.recipe, copies=None)
        steps = sorted({0, step, *self.steps})
        runs = Runs(recipe, self.workdir, steps)
        runs.ensure((seed,))
        group = next(g for g in runs.trajectories() if seed in g.seeds)
        return restore_one(trainer, group.folder, seed, step)


def load_dataset(settings: Settings) -> Dataset:
    """`data.load` from a config's `dataset` section."""
    settings = dict(settings)
    return data.load(settings.pop("name"), **settings)


def _folder_name(recipe: Recipe) -> str:
    copies = recipe.copies
    if copies is None:
        return recipe.network.name
    return f"{recipe.network.name}_copies_of_{copies['of']}_at_{copies['at_epoch']}"


def _from(start: int, steps: Sequence[int]) -> tuple[int, ...]:
    return (start, *(s for s in steps if s > start))


def _ranges(seeds: Sequence[int]) -> str:
    """`0-5` for 0..5 and `0-2+7` for 0, 1, 2, 7."""
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return "+".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts)
