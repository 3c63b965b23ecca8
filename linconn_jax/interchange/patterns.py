"""Names with holes: "layer{s}.{b}" reads them, "stage_{s}_block_{b+1}" writes them."""

import re

_HOLE = re.compile(r"\{(?P<name>\w+|#)(?P<shift>[+-]\d+)?(?::(?P<width>\d+))?\}")


def compile(pattern: str) -> re.Pattern:
    """A regular expression for a pattern that reads.

    A hole such as "{block}" stands for one or more characters other than ".".

    Raises:
      ValueError: a hole is malformed, unnamed or has arithmetic.
    """
    _check(pattern)
    expression, end, seen = "", 0, set()
    for hole in _HOLE.finditer(pattern):
        name = hole["name"]
        if not name.isidentifier() or hole["shift"] or hole["width"]:
            raise ValueError(
                f"{hole[0]} in {pattern!r} must be a plain name, as in {{block}}; "
                "counting and arithmetic belong in the tree's pattern"
            )
        expression += re.escape(pattern[end : hole.start()])
        expression += f"(?P={name})" if name in seen else f"(?P<{name}>[^.]+)"
        end = hole.end()
        seen.add(name)
    return re.compile(expression + re.escape(pattern[end:]))


def fill(pattern: str, holes: dict[str, str], count: int) -> str:
    """The name that a pattern writes.

    Args:
      pattern: "{block}" is what the reading pattern found under that name, "{block+1}"
        that number plus one, "{#}" is `count`, and "{#:2}" writes it in two digits.
      holes: what the reading pattern found.
      count: 1 for the first match of a rule, 2 for the next.

    Raises:
      ValueError: a hole that was not read, or arithmetic with something not a number.
    """

    def one(hole: re.Match) -> str:
        if hole["name"] != "#" and hole["name"] not in holes:
            raise ValueError(f"{hole[0]} in {pattern!r} is not in the torch pattern")
        value = str(count) if hole["name"] == "#" else holes[hole["name"]]
        if not (hole["shift"] or hole["width"]):
            return value
        if not value.isdecimal():
            raise ValueError(f"{hole[0]} in {pattern!r}: {value!r} is not a number")
        number = int(value) + int(hole["shift"] or 0)
        return f"{number:0{hole['width'] or 1}d}"

    _check(pattern)
    return _HOLE.sub(one, pattern)


def _check(pattern: str) -> None:
    rest = _HOLE.sub("", pattern)
    if "{" in rest or "}" in rest:
        raise ValueError(
            f"{pattern!r} has a brace that is no hole; holes are written {{block}}, and "
            "in the tree's pattern also {block+1}, {block:2}, {#} and {#:2}"
        )


def natural(name: str) -> list[tuple[int, str]]:
    """A sort key in which "features.3" comes before "features.10"."""
    parts = re.split(r"(\d+)", name)
    return [(int(x), "") if x.isdecimal() else (-1, x) for x in parts]
