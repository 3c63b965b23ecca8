"""Registries: what is entered once, by name, and listed everywhere."""

import inspect
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """Things with a `name` and an `order`.

    Args:
      kind: what the things are, in a word, for error messages.
      hint: how a thing becomes known, for error messages.
    """

    def __init__(self, kind: str, hint: str):
        self.kind, self.hint = kind, hint
        self._files: dict[str, str] = {}
        self._things: dict[str, T] = {}

    def enter(self, thing: T, written: Any) -> T:
        """Enters a thing; `written` is the function or class that makes it what it is.

        One of the same name from the same file is replaced, so that a module can be
        loaded again.

        Raises:
          ValueError: the name is no Python identifier, or it is taken.
        """
        name, file = thing.name, _file(written)
        if not (isinstance(name, str) and name.isidentifier()):
            raise ValueError(
                f"the {self.kind} is named {name!r}; it must be a Python identifier such "
                "as 'weight_matching', since settings are given as --config.NAME.option"
            )
        if self._files.get(name, file) != file:
            raise ValueError(
                f"the {self.kind} name {name!r} is taken by {self._files[name]}; choose "
                "another"
            )
        self._files[name], self._things[name] = file, thing
        return thing

    def all(self) -> dict[str, T]:
        """All things by name, in ascending order."""
        found = sorted(self._things.values(), key=lambda thing: thing.order)
        return {thing.name: thing for thing in found}

    def get(self, name: str) -> T:
        """The thing of a name.

        Raises:
          ValueError: there is none.
        """
        if name not in self._things:
            raise ValueError(
                f"{self.kind}={name!r}; it must be one of {', '.join(self.all())} "
                f"({self.hint})"
            )
        return self._things[name]


def _file(written: Any) -> str:
    """Where a function or a class is written."""
    try:
        return inspect.getfile(inspect.unwrap(written))
    except (OSError, TypeError):  # in C, or in a notebook
        return getattr(written, "__module__", repr(written))
