"""Every setting there is: its default, what it must be, and what it means.

A config is a plain nested dict. `parse` makes frozen dataclasses of it, once; the config
files' defaults and `--help` are made from the same declarations. Methods and experiments
bring a dataclass of their own, a section under their name.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

from linconn_jax import checks, declared
from linconn_jax.checks import Kind, setting
from linconn_jax.declared import Option, describe, identity
from linconn_jax.study.kinds import (
    NUMBER,
    OPTIONAL_PAIRS,
    OPTIONAL_WIDTHS,
    PAIRS,
    SEED,
    SEEDS,
    WIDTH,
    WIDTHS,
    Number,
    aligning,
    limit,
    method,
    methods,
    plain,
    some_widths,
)
from linconn_jax.study.parts import (
    Checkpoints,
    Copies,
    Dataset,
    Evaluate,
    Pruning,
    Train,
)

__all__ = [
    "OPTIONAL_PAIRS",
    "OPTIONAL_WIDTHS",
    "PAIRS",
    "SEEDS",
    "WIDTHS",
    "Copies",
    "Number",
    "Option",
    "Settings",
    "Train",
    "aligning",
    "describe",
    "identity",
    "method",
    "methods",
    "options",
    "parse",
    "plain",
    "some_widths",
]


def _first_seeds(count: Any) -> tuple[int, ...]:
    return tuple(range(checks.whole(1, 10_000_000).convert(count)))


_FIRST = Kind("a number of seeds, from 1 to 10000000", "", _first_seeds)


def _copies(value: Any) -> "Copies":
    if not isinstance(value, Mapping) or not {"of"} <= set(value) <= {"of", "at_epoch"}:
        raise checks.Refused
    of, epoch = value["of"], value.get("at_epoch", 0)
    return Copies(SEED.convert(of), NUMBER.convert(epoch))


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
MANY = 500
"""Seeds above which not all of their pairs are taken."""
DEFINING = ("dataset", "model", "train")
"""Sections that say which networks a study has."""
_PLACES = ("dataset.folder", "dataset.data_dir")
_METHODS = ("naive", "random", "weight_matching", "activation_matching")


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
        (64,), checks.several(WIDTH, least=1, distinct=True), "of the networks"
    )
    seeds: tuple[int, ...] = setting(
        2, _SEEDS, "of the networks; a number n stands for 0 to n-1"
    )
    at_once: int | None = limit("networks that a device trains together; all if None")
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

    def all_pairs(self) -> tuple[tuple[int, int], ...]:
        """The pairs of seeds that are named, or all.

        Raises:
          ValueError: there are none, or so many that they must be named.
        """
        if self.pairs is not None:
            return self.pairs
        if len(self.seeds) < 2:
            raise ValueError(f"seeds={self.seeds}; a pair needs at least 2 of them")
        if len(self.seeds) > MANY:
            raise ValueError(
                f"there are {len(self.seeds)} seeds, of which all pairs are too many to "
                "be measured; give the pairs that should be, pairs=((0, 1), ...)"
            )
        return tuple(itertools.combinations(self.seeds, 2))

    def check_pairs(self, name: str, pairs: Any) -> None:
        """Refuses pairs whose seeds are not among the study's."""
        wrong = [pair for pair in pairs if set(pair) - set(self.seeds)]
        if wrong:
            raise ValueError(
                f"{name} holds {wrong}; a pair is two different seeds of {self.seeds}"
            )

    def some(self, name: str, widths: tuple[int, ...] | None) -> tuple[int, ...]:
        """The widths that an experiment looks at: those named, or the widest.

        Raises:
          ValueError: the study has not all of them.
        """
        if absent := sorted(set(widths or ()) - set(self.widths)):
            raise ValueError(
                f"{name}.widths {absent} are not among widths={self.widths}; add them "
                "there"
            )
        return (max(self.widths),) if widths is None else widths

    def check_part(self, name: str, own: Any) -> None:
        """Refuses widths and pairs of a section that the study has not.

        Wherever they are settings they are some of the study's, and None stands for what
        the help says.

        Raises:
          ValueError: naming them.
        """
        self.some(name, own.widths)
        self.check_pairs(f"{name}.pairs", getattr(own, "pairs", None) or ())

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
