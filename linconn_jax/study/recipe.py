"""A recipe: what defines the training of networks, whatever their seeds."""

import dataclasses
import functools
import json
from collections.abc import Callable
from typing import Any

import jax
import optax

from linconn_jax import checks, metrics, models, optimizers, train
from linconn_jax.data import Dataset, augment
from linconn_jax.files import digest
from linconn_jax.models import Model
from linconn_jax.study import settings
from linconn_jax.study.settings import Copies, Train


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """Data, model and training of the networks of one width.

    Attributes:
      dataset: the data.
      model: what the config says of the model, without its width.
      width: of the model.
      train: how it is trained.
      copies: None, or every network starts as a copy of seed `of` at `at_epoch` (0: the
        same initialisation) and goes on with SGD noise of its own.
      given: a model that is used instead of what the config says, or a function from
        the width to one.
    """

    dataset: Dataset
    model: dict[str, Any]
    width: int
    train: Train
    copies: Copies | None = None
    given: Model | Callable[[int], Model] | None = None

    @functools.cached_property
    def network(self) -> Model:
        """The model, built for the data."""
        if self.given is None:
            return models.from_settings(self.model, self.dataset, self.width)
        made = self.given if isinstance(self.given, Model) else self.given(self.width)
        return models.made_for(made, self.dataset, self.width)

    @functools.cached_property
    def steps_per_epoch(self) -> int:
        """Batches in a pass; the incomplete last one is dropped unless kept."""
        examples, size = self.dataset.train.examples, self.train.batch_size
        if size > examples:
            raise ValueError(
                f"train.batch_size={size}; it must be an integer in 1..{examples}, the "
                "number of training examples"
            )
        kept = self.train.partial_batch and examples % size > 0
        return examples // size + kept

    @functools.cached_property
    def total_steps(self) -> int:
        """Length of training."""
        steps = self.step_of(self.train.epochs, "train.epochs")
        if steps < 1:
            raise ValueError(
                f"train.epochs={self.train.epochs}; training must have at least one "
                f"step, of which an epoch has {self.steps_per_epoch}"
            )
        if steps >= 2**31:
            raise ValueError(
                f"train.epochs={self.train.epochs} are {steps} steps; they are counted "
                "to 2**31 - 1: train shorter"
            )
        return steps

    @functools.cached_property
    def first_step(self) -> int:
        """Where the networks' own training begins: 0, or where copies are spawned."""
        if self.copies is None:
            return 0
        step = self.step_of(self.copies.at_epoch, "copies.at_epoch")
        if step >= self.total_steps:
            raise ValueError(
                f"copies.at_epoch={self.copies.at_epoch}; it must be less than "
                f"train.epochs={self.train.epochs}, or the copies are not trained"
            )
        return step

    @functools.cached_property
    def restart_steps(self) -> tuple[int, ...]:
        """Where the optimiser starts anew."""
        name = "train.restart_epochs"
        steps = tuple(self.step_of(e, name) for e in self.train.restart_epochs)
        if not all(0 < step < self.total_steps for step in steps):
            raise ValueError(
                f"{name}={self.train.restart_epochs}; each must lie within training, "
                f"between 0 and train.epochs={self.train.epochs}"
            )
        return steps

    def step_of(self, epoch: Any, option: str = "epoch") -> int:
        """The step at which an epoch (a whole one, or a part) ends."""
        return round(
            checks.check(option, epoch, checks.number(0)) * self.steps_per_epoch
        )

    @property
    def outside(self) -> bool:
        """Whether the network is somebody's own."""
        return self.given is not None or "function" in self.model

    @functools.cached_property
    def definition(self) -> dict[str, Any]:
        """JSON-able identity of the networks, up to their seeds."""
        # A network of somebody's own is told by what it computes, ours by their options.
        told = self.network.signature if self.outside else self.model
        described = {
            "dataset": {"name": self.dataset.name, "digest": self.dataset.digest},
            "model": {**told, "name": self.network.name, "width": self.width},
            "train": settings.identity(self.train),
            "copies": self.copies and settings.identity(self.copies),
        }
        # Through JSON: tuples become the lists as which they come back from disk.
        return json.loads(json.dumps(described))

    @functools.cached_property
    def columns(self) -> dict[str, Any]:
        """The columns of rows that say which networks they are about."""
        return {
            "config": digest(self.definition),
            "dataset": self.dataset.name,
            "model": self.network.name,
            "family": self.network.family,
            "width": self.width,
        }

    @functools.cached_property
    def optimizer(self) -> optax.GradientTransformation:
        """The optimiser with its schedule of learning rates."""
        chosen = self.train
        milestones = chosen.milestone_epochs
        rate = optimizers.schedule(
            chosen.learning_rate,
            total_steps=self.total_steps,
            decay=chosen.decay,
            warmup_steps=self.step_of(chosen.warmup_epochs, "train.warmup_epochs"),
            milestones=[self.step_of(e, "train.milestone_epochs") for e in milestones],
            factor=chosen.factor,
        )
        return optimizers.optimizer(
            chosen.optimizer,
            rate,
            momentum=chosen.momentum,
            nesterov=chosen.nesterov,
            weight_decay=chosen.weight_decay,
            clip_norm=chosen.clip_norm,
        )

    @property
    def augmentation(self) -> augment.Augmentation:
        """What is done to every training batch."""
        return augment.by_name(self.train.augment, self.dataset.image_shape)

    def check(self) -> None:
        """Makes all that training needs, but for arrays.

        Raises:
          ValueError: a setting makes no sense for these data.
        """
        _ = self.network, self.first_step, self.optimizer, self.augmentation
        _ = self.restart_steps

    def check_logits(self) -> None:
        """Looks at what a network of somebody's own gives before it is trained.

        Raises:
          ValueError: probabilities, where the loss takes logits.
        """
        if self.outside:
            variables = jax.jit(self.network.init)(train.init_key(0))
            images = self.dataset.train.images[:16]
            logits = jax.jit(self.network.apply)(variables, images)
            metrics.refuse_probabilities(metrics.are_probabilities(logits))

    @functools.lru_cache(maxsize=1)  # noqa: B019 - the last one, for level after level
    def trainer(self, seeds: int, *, at_once: int | None = None) -> train.Trainer:
        """A trainer of this recipe for a number of networks."""
        return train.trainer(
            self.network,
            self.optimizer,
            self.dataset.train.images,
            self.dataset.train.labels,
            seeds=seeds,
            batch_size=self.train.batch_size,
            partial_batch=self.train.partial_batch,
            label_smoothing=self.train.label_smoothing,
            augment=self.augmentation,
            at_once=at_once,
            precision=self.train.precision,
        )
