"""What a value must be: kinds of values, each in words and as a conversion.

    size = checks.check("batch_size", size, checks.whole(1))

gives the value back as a plain Python one (numpy's numbers become Python's, lists become
tuples), or raises one ValueError: which value, and what it must be. A dataclass of
settings declares its fields with `setting`, or by annotation alone.
"""

import copy
import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


class Refused(Exception):
    """A value is not of the kind."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a value must be.

    Attributes:
      words: after "it must be", such as "an integer of at least 1".
      many: several of them, such as "integers of at least 1".
      convert: value -> the same as a plain Python value; raises `Refused`.
    """

    words: str
    many: str
    convert: Callable[[Any], Any]

    def called(self, words: str, many: str = "") -> "Kind":
        """The same kind in other words."""
        return Kind(words, many or words, self.convert)


def check(name: str, value: Any, kind: Kind, *, why: str = "") -> Any:
    """The value, converted.

    Args:
      name: of the argument or setting.
      value: as it was given.
      kind: what it must be.
      why: what the message ends with.

    Raises:
      ValueError: it is of another kind.
    """
    try:
        return kind.convert(value)
    except Refused:
        reason = f": {why}" if why else ""
        raise ValueError(f"{name}={value!r}; it must be {kind.words}{reason}") from None


def setting(
    default: Any = dataclasses.MISSING,
    kind: Kind | Callable[[], Kind] | None = None,
    help: str = "",
    *,
    added: bool = False,
) -> Any:
    """A field of a dataclass of settings.

    Args:
      default: its value where none is given.
      kind: what it must be, or a function that tells this when settings are read; by
        default what the annotation says.
      help: one line for `--help`.
      added: whether the field is younger than results on disk. It is then left out of
        their keys while it has its default, so that they are still found.
    """
    told = {"kind": kind, "help": help, "added": added}
    if isinstance(default, dict | list):
        make = functools.partial(copy.deepcopy, default)
        return dataclasses.field(default_factory=make, metadata=told)
    return dataclasses.field(default=default, metadata=told)


# ---- kinds ----


def whole(least: int | None = None, most: int | None = None) -> Kind:
    """Integers; True and False are none."""
    return _numeric("integer", int | np.integer, (least, most, None, None))


def number(
    least: int | float | None = None,
    most: int | float | None = None,
    *,
    above: int | float | None = None,
    below: int | float | None = None,
) -> Kind:
    """Finite numbers; an integer stays one."""
    allowed = int | float | np.integer | np.floating
    return _numeric("number", allowed, (least, most, above, below))


def one_of(*choices: Any, many: str = "names") -> Kind:
    """One of these values; `many` is what several are called."""
    listed = ", ".join(map(str, choices))

    def convert(value: Any) -> Any:
        value = value.item() if isinstance(value, np.generic) else value
        for choice in choices:
            alike = isinstance(value, bool) == isinstance(choice, bool)
            if alike and isinstance(value, type(choice)) and value == choice:
                return choice
        raise Refused

    return Kind(f"one of {listed}", f"{many} among {listed}", convert)


def optional(kind: Kind) -> Kind:
    """The kind, or None."""

    def convert(value: Any) -> Any:
        return None if value is None else kind.convert(value)

    return Kind(f"{kind.words}, or None", f"{kind.many}, or None", convert)


def either(*kinds: Kind) -> Kind:
    """The first of the kinds that takes the value."""

    def convert(value: Any) -> Any:
        for kind in kinds:
            try:
                return kind.convert(value)
            except Refused:
                continue
        raise Refused

    return Kind(
        ", or ".join(kind.words for kind in kinds),
        " or ".join(kind.many for kind in kinds),
        convert,
    )


def several(kind: Kind, least: int = 0, *, distinct: bool = False) -> Kind:
    """A tuple or list of any length from `least` on."""
    words = f"a tuple of {kind.many}"
    words += ", at least one" if least == 1 else f", at least {least}" if least else ""
    words += ", each once" if distinct else ""

    def convert(value: Any) -> tuple:
        found = _items(value, kind)
        if len(found) < least or (distinct and len(set(found)) < len(found)):
            raise Refused
        return found

    return Kind(words, words.replace("a tuple", "tuples", 1), convert)


def group(*kinds: Kind) -> Kind:
    """A tuple or list with one value of each kind, in this order."""
    words = f"({', '.join(kind.words for kind in kinds)})"

    def convert(value: Any) -> tuple:
        if len(_items(value, ANYTHING)) != len(kinds):
            raise Refused
        return tuple(kind.convert(x) for kind, x in zip(kinds, value, strict=True))

    return Kind(words, words, convert)


def pair(kind: Kind) -> Kind:
    """Two different values of a kind."""

    def convert(value: Any) -> tuple:
        found = _items(value, kind)
        if len(found) != 2 or found[0] == found[1]:
            raise Refused
        return found

    return Kind(
        f"two different {kind.many}", f"pairs of different {kind.many}", convert
    )


def _numeric(noun: str, allowed: Any, limits: tuple) -> Kind:
    named = ("of at least", "of at most", "above", "below")
    tests = (operator.ge, operator.le, operator.gt, operator.lt)
    rules = [x for x in zip(named, tests, limits, strict=True) if x[2] is not None]
    within = " and ".join(f"{words} {limit}" for words, _, limit in rules)
    if None not in limits[:2]:
        within = f"from {limits[0]} to {limits[1]}"
    within = f" {within}" if within else ""

    def convert(value: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise Refused
        plain = int(value) if isinstance(value, int | np.integer) else float(value)
        if not math.isfinite(plain):
            raise Refused
        if not all(holds(plain, limit) for _, holds, limit in rules):
            raise Refused
        return plain

    article = "an" if noun[0] in "aeiou" else "a"
    return Kind(f"{article} {noun}{within}", f"{noun}s{within}", convert)


def _of_class(words: str, many: str, taken: Any, plain: Callable) -> Kind:
    def convert(value: Any) -> Any:
        if not isinstance(value, taken):
            raise Refused
        return plain(value)

    return Kind(words, many, convert)


def _filled(value: str) -> str:
    if not value:
        raise Refused
    return str(value)


def _function(value: str) -> str:
    module, _, name = value.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
        raise Refused
    return str(value)


def _items(value: Any, kind: Kind) -> tuple:
    if not isinstance(value, tuple | list):
        raise Refused
    return tuple(map(kind.convert, value))


ANYTHING = _of_class("anything", "anything", object, lambda value: value)
TEXT = _of_class("a name", "names", str, _filled)
STRING = _of_class("a string", "strings", str, str)
FLAG = _of_class("True or False", "True or False", bool | np.bool_, bool)
DICT = _of_class("a dict", "dicts", Mapping, dict)
PRECISION = one_of("float32", "tensorfloat32", "bfloat16", many="precisions")
"""Of matrix products and convolutions, as `jax.default_matmul_precision` names them. A
device computes at least as exactly: a CPU in float32 always, a GPU in TF32 for both
others. JAX's own default is less than float32 on GPUs and TPUs."""
FUNCTION = _of_class("'package.module:function'", "functions", str, _function)
