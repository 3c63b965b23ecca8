"""Functions of other people: named in a config as `"package.module:function"`, traced."""

import hashlib
import importlib
import inspect
import operator
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.extend import core


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


def compiled(function: Callable, *arguments: Any) -> bytes | None:
    """Digest of what a function compiles to for arguments like these, arrays included.

    None of one that calls back on the host, of which the program does not tell what.
    """
    traced = jax.jit(function).trace(*arguments)
    text = traced.lower().as_text()
    found = hashlib.sha256(text.encode())
    for array in captured(traced.jaxpr):  # by some settings of JAX not in the text
        found.update(array.tobytes())
    return None if "callback" in text else found.digest()


def captured(program: core.ClosedJaxpr) -> Iterator[np.ndarray]:
    """The arrays that a traced function holds, of which its text tells shapes alone.

    First its own constants, then those of the programs inside it and arrays that stand
    among operands, as they come. Numbers are in the text.
    """
    yield from map(_numbers, program.consts)
    for eqn in program.jaxpr.eqns:
        for operand in eqn.invars:
            if isinstance(operand, core.Literal) and np.ndim(operand.val):
                yield _numbers(operand.val)
        for inner in jax.tree.leaves(list(eqn.params.values())):
            if isinstance(inner, core.Jaxpr):
                inner = core.ClosedJaxpr(inner, ())
            if isinstance(inner, core.ClosedJaxpr):
                yield from captured(inner)


def _numbers(array: Any) -> np.ndarray:
    is_key = jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(array) if is_key else array)
