"""Permutations on disk: one sealed JSON file for those of one network or of several."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from linconn_jax.files import read_sealed, write_sealed
from linconn_jax.permutation.element import (
    Permutation,
    check_permutation,
    check_rearrangement,
)

_OWN = {"sha256", "permutations", "nesting", "empty"}


def save(
    path: str | os.PathLike,
    permutations: Permutation | Sequence[Permutation],
    /,
    **about: Any,
) -> None:
    """Writes one permutation or several, and whatever JSON can say `about` them.

    A whole file or none is written. The folder is made if need be. Arrays and NumPy
    numbers in `about` come back as lists and plain numbers.

    Raises:
      ValueError: a plain dict is among the permutations or there is none, an index array
        is no rearrangement, their names lie under different ones, or JSON cannot say
        what it is given.
    """
    given = permutations if isinstance(permutations, tuple | list) else (permutations,)
    for one in given:
        check_permutation(one)
        for name, index in one.items():
            check_rearrangement(name, np.asarray(index))
    if len({one.nesting for one in given}) != 1:
        raise ValueError(
            f"{len(given)} permutations are given, of several specs or none; one file "
            "holds those of one spec, at least one"
        )
    if taken := sorted(_OWN & about.keys()):
        raise ValueError(
            f"{taken} is said about the permutations, a name that the file itself uses; "
            "take another"
        )
    lists = [{n: np.asarray(p).tolist() for n, p in one.items()} for one in given]
    nesting = {"nesting": given[0].nesting} if given[0].nesting else {}
    shapes = {n: np.shape(p) for n, p in given[0].items() if 0 in np.shape(p)[:-1]}
    empty = {"empty": shapes} if shapes else {}  # which lists do not tell
    try:
        write_sealed(Path(path), {**about, "permutations": lists, **nesting, **empty})
    except (AttributeError, TypeError) as error:
        raise ValueError(
            "what is saved about a permutation must be JSON (numbers, texts, lists, "
            f"dicts): {error}"
        ) from error


def load(path: str | os.PathLike) -> Permutation:
    """The one permutation in a file of `save`, with index arrays on the host.

    Of an alignment of two networks (`Alignment.save`, what studies keep in a workdir's
    `permutations`) of which the first stays: the permutation of the second.

    Raises:
      ValueError: as `load_all`, or there are several.
      FileNotFoundError: there is no such file.
    """
    found, about = load_all(path)
    if len(found) == 2 and "converged" in about and _moves_nothing(found[0]):
        return found[1]
    if len(found) != 1:
        raise ValueError(
            f"{path} holds {len(found)} permutations; read them with "
            "permutation.load_all(path)"
        )
    return found[0]


def load_all(
    path: str | os.PathLike,
) -> tuple[tuple[Permutation, ...], dict[str, Any]]:
    """All permutations in a file of `save`, and what was said about them.

    Raises:
      ValueError: the file is damaged, or holds no permutations, or is a folder.
      FileNotFoundError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the file that was saved")
    try:
        content = read_sealed(path)
        shapes = content.pop("empty", {})
        nesting = tuple((x, tuple(above)) for x, above in content.pop("nesting", ()))
        found = tuple(
            Permutation({n: _index(p, shapes.get(n)) for n, p in one.items()}, nesting)
            for one in content.pop("permutations")
        )
        if len({frozenset(one) for one in found}) != 1:
            raise ValueError("it holds none, or several of different names")
        for one in found:
            for name, index in one.items():
                check_rearrangement(name, index)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged, of an earlier version, or holds no permutation "
            f"({getattr(error, 'wrong', error)}); delete it and find the permutation "
            "again"
        ) from error
    content.pop("sha256", None)
    return found, content


def _moves_nothing(p: Permutation) -> bool:
    return all((np.asarray(x) == np.arange(x.shape[-1])).all() for x in p.values())


def _index(values: list, shape: list[int] | None) -> np.ndarray:
    """An index array from JSON, whose numbers must be integers already."""
    found = np.array(values)
    return found if found.size else found.astype(int).reshape(shape or found.shape)
