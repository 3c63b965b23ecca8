"""The parts of a study's settings, each a dataclass of its own."""

import dataclasses

from linconn_jax import checks, data
from linconn_jax.checks import setting
from linconn_jax.study.kinds import EPOCHS, NAME, NUMBER, Number, limit

_PRECISION = "of matrix products, at least: a device may compute more exactly"
_OWN = checks.optional(checks.FUNCTION)
_NORM = checks.optional(NUMBER)
_CONSTANTS = checks.one_of(*data.NORMALIZATIONS)
_SCOPE = checks.one_of("global", "layer")
_STEPS = checks.several(checks.whole(0).called("", "steps"))


@dataclasses.dataclass(frozen=True)
class Copies:
    """Networks that are spawned from one: seed `of` at `at_epoch`."""

    of: int
    at_epoch: Number = 0


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The data."""

    name: str | None = setting(None, NAME, "one that data.load knows; digits if None")
    folder: str | None = setting(None, NAME, "your copy of the official archives")
    data_dir: str | None = setting(None, NAME, "of prepared sets; ~/.cache if None")
    train_examples: int | None = limit("only the first so many")
    test_examples: int | None = limit("only the first so many")
    mock: int | None = limit("random images instead, to try out", data.MOST_MOCKED)
    function: str | None = setting(None, _OWN, "that makes and names yours", added=True)
    normalization: str = setting("own", _CONSTANTS, "whose mean and std", added=True)


@dataclasses.dataclass(frozen=True)
class Train:
    """How every network is trained."""

    epochs: Number = setting(1, NUMBER, "passes over the training set")
    batch_size: int = setting(128, checks.whole(1), "examples in a batch")
    optimizer: str = setting("sgd", checks.TEXT, "sgd or adam")
    learning_rate: Number = setting(0.1, NUMBER, "after warm-up")
    momentum: Number = setting(0.9, NUMBER, "of sgd")
    nesterov: bool = setting(False, checks.FLAG, "of sgd")
    weight_decay: Number = setting(1e-4, NUMBER, "coefficient, on all parameters")
    clip_norm: Number | None = setting(None, _NORM, "largest norm of the gradient")
    decay: str = setting("constant", checks.TEXT, "constant, step or cosine")
    warmup_epochs: Number = setting(1.0, NUMBER, "linear rise of the learning rate")
    milestone_epochs: tuple[Number, ...] = setting((), EPOCHS, "for decay=step")
    factor: Number = setting(0.1, NUMBER, "at each milestone, for decay=step")
    restart_epochs: tuple[Number, ...] = setting(
        (), EPOCHS, "where momentum goes to zero; the schedule goes on", added=True
    )
    label_smoothing: Number = setting(0.0, checks.number(0, below=1), "of the loss")
    augment: str = setting("none", checks.TEXT, "none, flip, crop or flip_crop")
    partial_batch: bool = setting(
        False, checks.FLAG, "kept, as the last one", added=True
    )
    precision: str = setting("float32", checks.PRECISION, _PRECISION, added=True)


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """What is recorded beside step 0 and the last step, which always are."""

    epochs: tuple[Number, ...] = setting((), EPOCHS, "at these epochs")
    steps: tuple[int, ...] = setting((), _STEPS, "at these steps")
    every: int | None = limit("each so many steps")
    log_spaced: int | None = limit("about so many, at equal ratios of steps")


@dataclasses.dataclass(frozen=True)
class Pruning:
    """Iterative magnitude pruning, of experiments on sparse networks."""

    levels: int = setting(20, checks.whole(1), "beside the dense networks, level 0")
    fraction: float = setting(
        0.2, checks.number(above=0, below=1), "of what is left, removed at each level"
    )
    rewind_epoch: Number = setting(1, NUMBER, "from which levels begin; a recorded one")
    scope: str = setting("global", _SCOPE, "global, or layer for each layer by itself")
    exclude: tuple[str, ...] = setting(
        (), checks.several(checks.TEXT), "patterns of paths of kernels that stay dense"
    )
    epochs: tuple[Number, ...] = setting(
        (), EPOCHS, "recorded at every level, beside its first and last step"
    )


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """How losses and errors are measured."""

    points: int = setting(25, checks.whole(2), "of a segment")
    examples: int | None = limit("only the first so many of a split")
    batch_size: int = setting(500, checks.whole(1), "examples taken at once")
    precision: str = setting("float32", checks.PRECISION, _PRECISION, added=True)
