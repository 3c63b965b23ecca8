"""Functions of other people, named in a config as `"package.module:function"`."""

import importlib
import inspect
import operator
from collections.abc import Callable
from typing import Any


def load_function(name: str, option: str = "function") -> Callable:
    """Imports the function that a config names.

    Args:
      name: `"package.module:function"`; the function may be an attribute of a class.
      option: how the config calls this setting, for error messages.

    Raises:
      ValueError: the name has another form, or there is no such module or function.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ValueError(
            f"{option}={name!r}; it must be 'package.module:function', a Python function "
            "by the module that it is imported from"
        )
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and imports something that is not
        raise ValueError(
            f"{option}={name!r}: there is no module {error.name!r}; install it, add its "
            "folder to PYTHONPATH, or start with `python -m` in the folder that holds "
            "it, which then counts"
        ) from error
    try:
        function = operator.attrgetter(attribute)(found)
    except AttributeError as error:
        raise ValueError(
            f"{option}={name!r}: {found.__name__} ({found.__file__}) has no {attribute!r}"
        ) from error
    if not callable(function):
        raise ValueError(
            f"{option}={name!r} is of type {type(function).__name__}; it must be a "
            "function"
        )
    return function


def call(function: Callable, called: str, **arguments: Any) -> Any:
    """`function(**arguments)`, after checking that it takes them.

    Args:
      function: somebody's own.
      called: its name, for error messages.
      **arguments: by the names that the function must have for them.

    Raises:
      ValueError: it does not take them, or needs others.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # some that are written in C have none
        return function(**arguments)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        taken = [
            str(p.replace(annotation=p.empty)) for p in signature.parameters.values()
        ]
        raise ValueError(
            f"{called} takes the arguments {', '.join(taken) or 'none'}; it is given "
            f"{', '.join(arguments)}: {error}"
        ) from error
    return function(**arguments)


def parameters(function: Callable) -> set[str]:
    """Names of the parameters of a function; none of one that is written in C."""
    try:
        return set(inspect.signature(function).parameters)
    except ValueError:
        return set()
