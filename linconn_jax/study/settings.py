"""Every setting there is: its default, what it must be, and what it means.

A config is a plain nested dict. `parse` makes frozen dataclasses of it, once; the config
files' defaults and `--help` are made from the same declarations. Methods and experiments
bring a dataclass of their own, a section under their name.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from linconn_jax import align, checks, data, declared, models
from linconn_jax.checks import Kind, setting
from linconn_jax.declared import Option, describe, identity

__all__ = ["Option", "Settings", "describe", "identity", "options", "parse"]

Number = int | float  # an integer stays one, as in the keys of results
_NAME = checks.optional(checks.TEXT)
_NUMBER = checks.number()
_PRECISION = "of matrix products, at least: a device may compute more exactly"
_OWN = checks.optional(checks.FUNCTION)
_NORM = checks.optional(_NUMBER)
_CONSTANTS = checks.one_of(*data.NORMALIZATIONS)
_EPOCHS = checks.several(_NUMBER).called("a tuple of numbers of epochs")
_SEED = checks.whole(0, 2**32 - 1).called("a seed", "seeds from 0 to 2**32 - 1")
SEEDS = checks.several(_SEED, least=1, distinct=True)
PAIRS = checks.several(checks.pair(_SEED)).called("a tuple of pairs of different seeds")
OPTIONAL_PAIRS = checks.optional(PAIRS)
_WIDTH = checks.whole(1, models.LARGEST["width"])
_WIDTH = _WIDTH.called("a width", f"widths from 1 to {models.LARGEST['width']}")
WIDTHS = checks.several(_WIDTH)
_SCOPE = checks.one_of("global", "layer")
_STEPS = checks.several(checks.whole(0).called("", "steps"))


def _limit(help: str, most: int | None = None) -> Any:
    """A setting that is a number of things, by default None."""
    return setting(None, checks.optional(checks.whole(1, most)), help)


def method() -> Kind:
    """The name of a registered method."""
    return checks.one_of(*align.methods(), many="methods")


def aligning() -> Kind:
    """The name of a registered method other than naive."""
    return checks.one_of(*(name for name in align.methods() if name != "naive"))


def methods() -> Kind:
    """Names of registered methods."""
    return checks.several(method())


def _first_seeds(count: Any) -> tuple[int, ...]:
    return tuple(range(checks.whole(1, 10_000_000).convert(count)))


_FIRST = Kind("a number of seeds, from 1 to 10000000", "", _first_seeds)


def _copies(value: Any) -> "Copies":
    if not isinstance(value, Mapping) or not {"of"} <= set(value) <= {"of", "at_epoch"}:
        raise checks.Refused
    of, epoch = value["of"], value.get("at_epoch", 0)
    return Copies(_SEED.convert(of), _NUMBER.convert(epoch))


def _model(value: Any) -> dict[str, Any]:
    given = declared.plain(checks.DICT.convert(value))
    if given.pop("function", None) is not None:
        given.pop("family", None)
        given = {"function": checks.FUNCTION.convert(value["function"]), **given}
    if not {"family", "function"} & given.keys() or "width" in given:
        raise checks.Refused
    return given


_SEEDS = checks.either(_FIRST, SEEDS)
_COPIES = Kind('{"of": seed, "at_epoch": number of epochs, 0 if left out}', "", _copies)
_MODEL = Kind(
    "a dict with family or function='package.module:function', and its options, but the "
    "width",
    "",
    _model,
)
DEFINING = ("dataset", "model", "train")
"""Sections that say which networks a study has."""
_PLACES = ("dataset.folder", "dataset.data_dir")
_METHODS = ("naive", "random", "weight_matching", "activation_matching")


@dataclasses.dataclass(frozen=True)
class Copies:
    """Networks that are spawned from one: seed `of` at `at_epoch`."""

    of: int
    at_epoch: Number = 0


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The data."""

    name: str | None = setting(None, _NAME, "one that data.load knows; digits if None")
    folder: str | None = setting(None, _NAME, "your copy of the official archives")
    data_dir: str | None = setting(None, _NAME, "of prepared sets; ~/.cache if None")
    train_examples: int | None = _limit("only the first so many")
    test_examples: int | None = _limit("only the first so many")
    mock: int | None = _limit("random images instead, to try out", data.MOST_MOCKED)
    function: str | None = setting(None, _OWN, "that makes and names yours", added=True)
    normalization: str = setting("own", _CONSTANTS, "whose mean and std", added=True)


@dataclasses.dataclass(frozen=True)
class Train:
    """How every network is trained."""

    epochs: Number = setting(1, _NUMBER, "passes over the training set")
    batch_size: int = setting(128, checks.whole(1), "examples in a batch")
    optimizer: str = setting("sgd", checks.TEXT, "sgd or adam")
    learning_rate: Number = setting(0.1, _NUMBER, "after warm-up")
    momentum: Number = setting(0.9, _NUMBER, "of sgd")
    nesterov: bool = setting(False, checks.FLAG, "of sgd")
    weight_decay: Number = setting(1e-4, _NUMBER, "coefficient, on all parameters")
    clip_norm: Number | None = setting(None, _NORM, "largest norm of the gradient")
    decay: str = setting("constant", checks.TEXT, "constant, step or cosine")
    warmup_epochs: Number = setting(1.0, _NUMBER, "linear rise of the learning rate")
    milestone_epochs: tuple[Number, ...] = setting((), _EPOCHS, "for decay=step")
    factor: Number = setting(0.1, _NUMBER, "at each milestone, for decay=step")
    restart_epochs: tuple[Number, ...] = setting(
        (), _EPOCHS, "where momentum goes to zero; the schedule goes on", added=True
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

    epochs: tuple[Number, ...] = setting((), _EPOCHS, "at these epochs")
    steps: tuple[int, ...] = setting((), _STEPS, "at these steps")
    every: int | None = _limit("each so many steps")
    log_spaced: int | None = _limit("about so many, at equal ratios of steps")


@dataclasses.dataclass(frozen=True)
class Pruning:
    """Iterative magnitude pruning, of experiments on sparse networks."""

    levels: int = setting(20, checks.whole(1), "beside the dense networks, level 0")
    fraction: float = setting(
        0.2, checks.number(above=0, below=1), "of what is left, removed at each level"
    )
    rewind_epoch: Number = setting(
        1, _NUMBER, "from which levels begin; a recorded one"
    )
    scope: str = setting("global", _SCOPE, "global, or layer for each layer by itself")
    exclude: tuple[str, ...] = setting(
        (), checks.several(checks.TEXT), "patterns of paths of kernels that stay dense"
    )
    epochs: tuple[Number, ...] = setting(
        (), _EPOCHS, "recorded at every level, beside its first and last step"
    )


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """How losses and errors are measured."""

    points: int = setting(25, checks.whole(2), "of a segment")
    examples: int | None = _limit("only the first so many of a split")
    batch_size: int = setting(500, checks.whole(1), "examples taken at once")
    precision: str = setting("float32", checks.PRECISION, _PRECISION, added=True)


@dataclasses.dataclass(frozen=True)
class Settings:
    """All settings of a study, as `parse` makes them.

    Attributes:
      sections: the settings of methods and experiments, by their names.
    """

    dataset: Dataset = dataclasses.field(default_factory=Dataset)
    model: dict[str, Any] = setting(
        {"family": "mlp", "norm": "none", "function": None},
        _MODEL,
        "family and options (depth, norm, ...); a function takes the family's place",
    )
    widths: tuple[int, ...] = setting(
        (64,), checks.several(_WIDTH, least=1, distinct=True), "of the networks"
    )
    seeds: tuple[int, ...] = setting(
        2, _SEEDS, "of the networks; a number n stands for 0 to n-1"
    )
    at_once: int | None = _limit("networks that a device trains together; all if None")
    train: Train = dataclasses.field(default_factory=Train)
    copies: Copies | None = setting(
        None,
        checks.optional(_COPIES),
        "all networks start as copies of one at that epoch",
    )
    checkpoints: Checkpoints = dataclasses.field(default_factory=Checkpoints)
    pruning: Pruning = dataclasses.field(default_factory=Pruning)
    methods: tuple[str, ...] = setting(_METHODS, methods, "that align networks")
    pairs: tuple[tuple[int, int], ...] | None = setting(
        None, checks.optional(PAIRS), "of seeds; all if None"
    )
    experiments: tuple[str, ...] | None = setting(
        None,
        checks.optional(checks.several(checks.TEXT, distinct=True)),
        "that paper runs; None: those that need not be asked for by name",
    )
    evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)
    sections: dict[str, Any] = dataclasses.field(default_factory=dict, init=False)

    def check_pairs(self, name: str, pairs: Any) -> None:
        """Refuses pairs whose seeds are not among the study's."""
        wrong = [pair for pair in pairs if set(pair) - set(self.seeds)]
        if wrong:
            raise ValueError(
                f"{name} holds {wrong}; a pair is two different seeds of {self.seeds}"
            )

    def check_widths(self, name: str, widths: tuple[int, ...]) -> None:
        """Refuses widths that the study has not."""
        if absent := sorted(set(widths) - set(self.widths)):
            raise ValueError(
                f"{name} {absent} are not among widths={self.widths}; add them there"
            )

    def check_section(self, name: str) -> None:
        """Checks what a section that is to be used demands of the other settings.

        Raises:
          ValueError: its own reasons; sections that are not used stand in nobody's way.
        """
        section = self.sections.get(name)
        if hasattr(section, "check"):
            section.check(self)


def options(sections: Mapping[str, type]) -> list[Option]:
    """All settings: those of every study, then the sections."""
    parts = [declared.options(part, f"{name}.") for name, part in sections.items()]
    return sum(parts, declared.options(Settings))


def defining(settings: Settings) -> dict[str, Any]:
    """What says which networks a study has but for widths and seeds, by dotted name."""
    parts = {name: identity(getattr(settings, name)) for name in DEFINING}
    found = {f"{n}.{k}": v for n, part in parts.items() for k, v in part.items()}
    return {n: v for n, v in found.items() if n not in _PLACES}


def parse(config: Mapping[str, Any], sections: Mapping[str, type]) -> Settings:
    """The settings of a config; those that it does not name have their defaults.

    What only the data, the model or the optimiser can tell, they refuse later.

    Args:
      config: a plain nested dict.
      sections: the dataclass of each method's and experiment's own settings, by name.

    Raises:
      ValueError: a setting is unknown or is not what it must be, or pairs are of seeds
        that there are not.
    """
    taken = sorted(sections.keys() & {f.name for f in dataclasses.fields(Settings)})
    if taken:
        raise ValueError(
            f"{taken[0]!r} is a setting of every study; a method or an experiment with "
            "settings of its own must have another name"
        )
    declared.refuse_unknown(config, [option.name for option in options(sections)])
    found = declared.build(Settings, config)
    for name, part in sections.items():
        found.sections[name] = declared.build(part, config.get(name, {}), f"{name}.")
    found.check_pairs("pairs", found.pairs or ())
    return found
