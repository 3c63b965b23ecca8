"""Whether a config's settings make sense, before anything is read or trained."""

import difflib
import math
from collections.abc import Callable
from typing import Any

from linconn_jax.align.activation_matching import SIMILARITIES
from linconn_jax.study.recipe import Settings
from linconn_jax.study.vertices import METHODS

Kind = tuple[str, Callable[[Any], bool]]
"""What a setting must be, in words and as a test."""


def check(config: Settings) -> None:
    """Checks every setting by itself, then those that must fit each other.

    What only the data, the model or the optimiser can tell, they refuse later.

    Raises:
      ValueError: a setting is unknown or missing, is not what it must be, or asks for
        seeds or widths that there are not.
    """
    given = _flat(config)
    for name in given.keys() - _KINDS.keys():
        near = difflib.get_close_matches(name, _KINDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"unknown setting {name}={given[name]!r}{hint}")
    for name, (words, holds) in _KINDS.items():
        if name not in given:
            raise ValueError(f"the setting {name} is missing; it must be {words}")
        if not holds(given[name]):
            raise ValueError(f"{name}={given[name]!r}; it must be {words}")
    _check_pairs(config)
    _check_widths(config)
    _check_simplices(config)


def seeds(config: Settings) -> tuple[int, ...]:
    """Names of the networks: so many from 0, or those that are listed."""
    asked = config["seeds"]
    return tuple(range(asked)) if isinstance(asked, int) else tuple(asked)


def _check_pairs(config: Settings) -> None:
    names = seeds(config)
    for setting, pairs in (
        ("pairs", config["pairs"] or ()),
        ("simultaneous.pairs", config["simultaneous"]["pairs"]),
    ):
        wrong = [pair for pair in pairs if set(pair) - set(names)]
        if wrong:
            raise ValueError(
                f"{setting} holds {wrong}; a pair is two different seeds of {names}"
            )


def _check_widths(config: Settings) -> None:
    widths = tuple(config["widths"])
    absent = sorted(set(config["simultaneous"]["widths"]) - set(widths))
    if absent:
        raise ValueError(
            f"simultaneous.widths {absent} are not among widths={widths}; add them there"
        )


def _check_simplices(config: Settings) -> None:
    most = len(seeds(config))
    for k, _ in config["strong"]["simplices"]:
        if k > most:
            raise ValueError(
                f"strong.simplices asks for k={k} networks; it must lie in 2..{most}, "
                "the number of seeds"
            )


def _flat(config: Settings) -> Settings:
    """Settings by their dotted names, as given on the command line."""
    flat: Settings = {}
    for name, value in config.items():
        inner = name in _SECTIONS and isinstance(value, dict)
        flat |= (
            {f"{name}.{key}": v for key, v in value.items()} if inner else {name: value}
        )
    return flat


# ---- kinds ----


def _is_whole(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: Any) -> bool:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return numeric and math.isfinite(value)


def _at_least(least: int) -> Kind:
    return f"a whole number of at least {least}", lambda x: _is_whole(x, least)


def _or_none(kind: Kind) -> Kind:
    words, holds = kind
    return f"{words}, or None", lambda x: x is None or holds(x)


def _several(what: str, holds: Callable[[Any], bool], least: int = 0) -> Kind:
    """A tuple or list of at least so many."""

    def all_hold(value: Any) -> bool:
        listed = isinstance(value, tuple | list) and len(value) >= least
        return listed and all(map(holds, value))

    return f"a tuple of {what}" + (", at least one" if least else ""), all_hold


def _different(kind: Kind) -> Kind:
    words, holds = kind
    return f"{words}, each once", lambda x: holds(x) and len(set(x)) == len(x)


def _one_of(*choices: str) -> Kind:
    return f"one of {', '.join(choices)}", lambda x: x in choices


def _is_seed(value: Any) -> bool:
    return _is_whole(value) and value < 2**32  # which is what a JAX key takes


def _are_two(value: Any, holds: Callable[[Any], bool]) -> bool:
    listed = isinstance(value, tuple | list) and len(value) == 2
    return listed and all(map(holds, value))


def _is_pair(value: Any) -> bool:
    return _are_two(value, _is_seed) and value[0] != value[1]


def _are_copies(value: Any) -> bool:
    named = isinstance(value, dict) and set(value) == {"of", "at_epoch"}
    return named and _is_seed(value["of"]) and _is_number(value["at_epoch"])


_TEXT: Kind = ("a name", lambda x: isinstance(x, str) and x != "")
_NUMBER: Kind = ("a number", _is_number)
_FLAG: Kind = ("True or False", lambda x: isinstance(x, bool))
_EPOCHS = _several("numbers of epochs", _is_number)
_PAIRS = _several("pairs of different seeds", _is_pair)
_WIDTHS = _several("widths of at least 1", lambda x: _is_whole(x, 1))
_SEEDS = _different(_several("seeds from 0 to 2**32 - 1", _is_seed, least=1))
_SIMPLICES = _several(
    "(k, resolution), with k networks of at least 2 and a resolution of at least 1",
    lambda x: _are_two(x, lambda y: _is_whole(y, 1)) and x[0] >= 2,
)
_METHODS = _several(f"methods among {', '.join(METHODS)}", lambda x: x in METHODS)

_SECTIONS = (
    "dataset",
    "train",
    "checkpoints",
    "activation_matching",
    "evaluate",
    "simultaneous",
    "strong",
)
_KINDS: dict[str, Kind] = {
    "dataset.name": _TEXT,
    "dataset.folder": _or_none(_TEXT),
    "dataset.data_dir": _or_none(_TEXT),
    "dataset.train_examples": _or_none(_at_least(1)),
    "dataset.test_examples": _or_none(_at_least(1)),
    "dataset.mock": _or_none(_at_least(1)),
    "model": (
        "a dict with the family and its options, but the width",
        lambda x: isinstance(x, dict) and "family" in x and "width" not in x,
    ),
    "widths": _different(
        _several("widths of at least 1", lambda x: _is_whole(x, 1), least=1)
    ),
    "seeds": (
        f"a number of seeds, at least 1, or {_SEEDS[0]}",
        lambda x: _is_whole(x, 1) or _SEEDS[1](x),
    ),
    "at_once": _or_none(_at_least(1)),
    "train.epochs": _NUMBER,
    "train.batch_size": _at_least(1),
    "train.optimizer": _TEXT,
    "train.learning_rate": _NUMBER,
    "train.momentum": _NUMBER,
    "train.nesterov": _FLAG,
    "train.weight_decay": _NUMBER,
    "train.clip_norm": _or_none(_NUMBER),
    "train.decay": _TEXT,
    "train.warmup_epochs": _NUMBER,
    "train.milestone_epochs": _EPOCHS,
    "train.factor": _NUMBER,
    "train.label_smoothing": (
        "a number of at least 0 and below 1",
        lambda x: _is_number(x) and 0 <= x < 1,
    ),
    "train.augment": _TEXT,
    "copies": (
        'None or {"of": seed, "at_epoch": number of epochs}',
        lambda x: x is None or _are_copies(x),
    ),
    "checkpoints.epochs": _EPOCHS,
    "checkpoints.steps": _several("steps", _is_whole),
    "checkpoints.every": _or_none(_at_least(1)),
    "checkpoints.log_spaced": _or_none(_at_least(1)),
    "methods": _METHODS,
    "pairs": _or_none(_PAIRS),
    "activation_matching.at": _TEXT,
    "activation_matching.similarity": _one_of(*SIMILARITIES),
    "activation_matching.examples": _at_least(1),
    "evaluate.points": _at_least(2),
    "evaluate.examples": _or_none(_at_least(1)),
    "evaluate.batch_size": _at_least(1),
    "simultaneous.widths": _WIDTHS,
    "simultaneous.pairs": _PAIRS,
    "simultaneous.method": _one_of(*METHODS[1:]),
    "strong.methods": _METHODS,
    "strong.simplices": _SIMPLICES,
}
"""Every setting of `configs/defaults.py`; what is in `model` depends on the family."""
