"""Dataclasses of settings: what they declare, and how values are read into them."""

import dataclasses
import difflib
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from linconn_jax import checks
from linconn_jax.checks import Kind

PLUGIN = (
    "those of a method or an experiment of your own are known once its module is "
    "imported: --plugin=module"
)
"""What helps where a setting is unknown."""


@dataclasses.dataclass(frozen=True)
class Option:
    """A declared setting.

    Attributes:
      name: dotted, as on the command line.
      kind: what it must be.
      annotation: its Python type.
      default: `dataclasses.MISSING` where one must be given.
      help: what it means.
    """

    name: str
    kind: Kind
    annotation: Any
    default: Any
    help: str


def options(declaring: type, at: str = "") -> list[Option]:
    """The settings that a dataclass declares, those of dataclasses in it included.

    Args:
      declaring: its fields are declared by `checks.setting`, or by annotation alone;
        what these mean may stand under "Attributes:" in its docstring.
      at: where it stands, such as "train.".

    Raises:
      ValueError: it is no dataclass, or an annotation that says nothing is alone.
    """
    if not (isinstance(declaring, type) and dataclasses.is_dataclass(declaring)):
        raise ValueError(f"{declaring!r} holds settings; it must be a dataclass")
    found = []
    for field, annotation in _fields(declaring):
        if dataclasses.is_dataclass(annotation):
            found += options(annotation, f"{at}{field.name}.")
        else:
            found.append(_option(declaring, field, annotation, at))
    return found


def build(declaring: type, given: Mapping[str, Any], at: str = "") -> Any:
    """The dataclass, with the values that are given and defaults for the rest.

    Raises:
      ValueError: naming the setting that is not what it must be.
    """
    values = {}
    for field, annotation in _fields(declaring):
        name = f"{at}{field.name}"
        if dataclasses.is_dataclass(annotation):
            part = given.get(field.name, {})
            values[field.name] = build(annotation, part, f"{name}.")
            continue
        option = _option(declaring, field, annotation, at)
        value = given.get(field.name, option.default)
        if value is dataclasses.MISSING:
            raise ValueError(
                f"the setting {name} is missing; it must be {option.kind.words}"
            )
        values[field.name] = checks.check(name, value, option.kind)
    return declaring(**values)


def refuse_unknown(
    given: Mapping[str, Any], known: Iterable[str], at: str = ""
) -> None:
    """Refuses what no setting of the dotted names `known` can take.

    Raises:
      ValueError: naming the first, and the setting that is spelled most like it.
    """
    known = tuple(known)
    for key, value in given.items():
        name = f"{at}{key}"
        if name in known:
            continue
        inner = [x.removeprefix(f"{name}.") for x in known if x.startswith(f"{name}.")]
        if inner and isinstance(value, Mapping):
            refuse_unknown(value, known, f"{name}.")
        elif inner:
            raise ValueError(
                f"{name}={value!r}; it must be a dict of the settings {', '.join(inner)}"
            )
        else:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else PLUGIN
            raise ValueError(f"unknown setting {name}={value!r}; {hint}")


def identity(settings: Any) -> Any:
    """JSON-able content of settings, as it is kept in keys of results.

    Fields that were added later are left out while they have their default.
    """
    if dataclasses.is_dataclass(settings):
        return {
            field.name: identity(getattr(settings, field.name))
            for field in dataclasses.fields(settings)
            if not field.metadata.get("added")
            or getattr(settings, field.name) != _default(field)
        }
    if isinstance(settings, Mapping):
        return {key: identity(value) for key, value in settings.items()}
    if isinstance(settings, tuple | list):
        return [identity(value) for value in settings]
    return settings


def plain(value: Any) -> Any:
    """Nested dicts, tuples and lists with numpy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        found = [plain(inner) for inner in value]
        return found if isinstance(value, list) else tuple(found)
    return value


def describe(known: Iterable[Option]) -> str:
    """Settings for `--help`: name and default, meaning, and what each must be."""
    lines = []
    for option in known:
        missing = option.default is dataclasses.MISSING
        lines.append(option.name if missing else f"{option.name}={option.default!r}")
        told = f"{option.help} ({option.kind.words})".lstrip()
        lines += textwrap.wrap(
            told, 80, initial_indent=" " * 4, subsequent_indent=" " * 4
        )
    return "\n".join(lines)


def members(annotation: Any) -> tuple:
    """The types that a union is made of; of any other annotation, itself."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)


def _fields(declaring: type) -> list[tuple[dataclasses.Field, Any]]:
    """Fields that are set from outside, with their annotations."""
    hints = typing.get_type_hints(declaring)
    return [(f, hints[f.name]) for f in dataclasses.fields(declaring) if f.init]


def _option(
    declaring: type, field: dataclasses.Field, annotation: Any, at: str
) -> Option:
    kind, name = field.metadata.get("kind"), f"{at}{field.name}"
    if kind is None:
        try:
            kind = _of_type(annotation)
        except ValueError as error:
            raise ValueError(f"setting {name}: {error}") from None
    kind = kind if isinstance(kind, Kind) else kind()
    told = field.metadata.get("help") or _told(declaring, field.name)
    return Option(name, kind, annotation, _default(field), told)


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _told(declaring: type, name: str) -> str:
    """What the docstring says of an attribute."""
    found = re.search(
        rf"Attributes:.*?^\s+{name}:(.*?)(?=^\s+\w+:|^\s*$|\Z)",
        declaring.__doc__ or "",
        re.DOTALL | re.MULTILINE,
    )
    return " ".join(found[1].split()).removesuffix(".") if found else ""


def _of_type(annotation: Any) -> Kind:
    """The kind of an annotation: int, float, bool, str, dict, Literal, tuple, or unions.

    Raises:
      ValueError: it is another; declare the field with `setting(default, kind)`.
    """
    if annotation in _BY_TYPE:
        return _BY_TYPE[annotation]
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return checks.one_of(*inner)
    if origin in (typing.Union, types.UnionType):
        kind = checks.either(*(_of_type(a) for a in inner if a is not type(None)))
        return checks.optional(kind) if type(None) in inner else kind
    if origin is dict:
        return checks.DICT
    if origin is list or (origin is tuple and inner[1:] == (...,)):
        return checks.several(_of_type(inner[0]))
    if origin is tuple:
        return checks.group(*map(_of_type, inner))
    raise ValueError(
        f"the annotation {annotation} says nothing that can be checked; it must be made "
        "of int, float, bool, str, tuple, dict, Literal and None, or the field declared "
        "by checks.setting(default, kind)"
    )


_NUMBER = checks.number()
_BY_TYPE = {
    Any: checks.ANYTHING,
    int: checks.whole(),
    float: Kind(_NUMBER.words, _NUMBER.many, lambda x: float(_NUMBER.convert(x))),
    str: checks.STRING,
    bool: checks.FLAG,
    dict: checks.DICT,
    tuple: checks.several(checks.ANYTHING),
    list: checks.several(checks.ANYTHING),
}
