"""Settings on a command line: room for those that a config lacks, and clear refusals."""

import ast
import dataclasses
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_dict import placeholder

from linconn_jax import checks, declared
from linconn_jax.declared import Option

PREFIX = "config."
LITERAL = (bool, int, float, str, tuple, list)
"""What may be of several types, such as a number or a tuple of seeds."""
ANYTHING = (*LITERAL, dict)


class _Parser(flags.ArgumentParser):
    """Reads a Python literal from the command line; anything else is a string."""

    def parse(self, argument: Any) -> Any:
        return _literal(argument)


class _OrNone(flags.ArgumentParser):
    """Reads None, or what another parser reads."""

    def __init__(self, inner: flags.ArgumentParser):
        self._inner = inner

    def parse(self, argument: Any) -> Any:
        return None if argument == "None" else self._inner.parse(argument)


for _type in (LITERAL, ANYTHING, dict):
    config_flags.register_flag_parser_for_type(_type, _Parser())
for _type, _inner in (
    (int, flags.IntegerParser()),
    (float, flags.FloatParser()),
    (str, flags.ArgumentParser()),
):
    config_flags.register_flag_parser_for_type(_type, _OrNone(_inner))


def given(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and value of each flag, written as `--name=value` or in two words."""
    for word, after in zip(words, [*words[1:], "-"], strict=True):
        if word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            yield name, value if equals or after.startswith("-") else after


def prepare(flag: flags.Flag, words: Sequence[str], known: Iterable[Option]) -> None:
    """Lets the flag of a config file take every setting that `words` give.

    A config holds what `configs/defaults.py` lists; an option of a model, or what a
    setting holds that is a dict or None by default, it takes from then on as well.

    Raises:
      ValueError: a section is given a value, as if it were a setting.
    """
    known, names = list(known), []
    for name, value in given(words):
        if name.startswith(PREFIX):
            name = name.removeprefix(PREFIX)
            _refuse_section(name, value, known)
            if any(_takes(option, name) for option in known):
                names.append(name)
    flag.parser = _ConfigFile(flag.parser, names)


class _ConfigFile(flags.ArgumentParser):
    """Reads a config file, and makes room in it for some settings."""

    def __init__(self, reader: flags.ArgumentParser, names: Sequence[str]):
        self._reader, self._names = reader, names

    def parse(self, argument: str) -> ConfigDict:
        config = self._reader.parse(argument)
        for name in self._names:
            _make_room(config, name)
        return config

    def flag_type(self) -> str:
        return self._reader.flag_type()


def _make_room(config: ConfigDict, name: str) -> None:
    """Gives a config a setting, with no value yet, unless it has it."""
    *sections, last = name.split(".")
    for section in sections:
        inner = config.get(section)
        if not isinstance(inner, ConfigDict):
            with config.unlocked():
                if section in config:
                    del config[section]  # None, or a dict: a field keeps its type
                config[section] = ConfigDict(inner or {})
        config = config[section]
    if last not in config:
        with config.unlocked():
            config[last] = placeholder(ANYTHING)


def _takes(option: Option, name: str) -> bool:
    """Whether a setting of this name is the option, or something in it."""
    inside = name.startswith(f"{option.name}.") and _inside(option) is not None
    return name == option.name or inside


def _inside(option: Option) -> list[str] | None:
    """What is known to be in a setting that is a dict; None of any other."""
    for member in declared.members(option.annotation):
        if dataclasses.is_dataclass(member):
            return [field.name for field in dataclasses.fields(member)]
        if (typing.get_origin(member) or member) is dict:
            return list(option.default or ())
    return None


def _refuse_section(name: str, value: str, known: Sequence[Option]) -> None:
    options = [o for o in known if o.name.startswith(f"{name}.")]
    inner = [o.name.removeprefix(f"{name}.") for o in options]
    alone = next((o for o in known if o.name == name), None)
    if alone is not None:
        inner = _inside(alone) or []
    literal = _literal(value)
    nothing = alone is not None and alone.default is None and literal is None
    if not inner or nothing or isinstance(literal, dict):
        return
    fitting = [x for x, o in zip(inner, options, strict=False) if _fits(o, literal)]
    raise ValueError(
        f"--config.{name}={value}: {name} holds the settings {', '.join(inner)}; give "
        f"one of them, such as --config.{name}.{(fitting or inner)[0]}={value}"
    )


def _fits(option: Option, value: Any) -> bool:
    try:
        option.kind.convert(value)
    except checks.Refused:
        return False
    return True


def _literal(argument: Any) -> Any:
    """The value of a Python literal; whatever is none stays as it is."""
    try:
        return ast.literal_eval(argument)
    except (SyntaxError, ValueError):
        return argument
