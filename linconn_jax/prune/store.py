"""Masks on disk: one sealed JSON file, a bit for each entry of what is pruned."""

import base64
import binascii
import itertools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from linconn_jax.files import read_sealed, read_unit, write_sealed
from linconn_jax.prune.tree import flat, flat_masks
from linconn_jax.typing import PyTree

_OWN = {"sha256", "masks"}
_CODE = "base64:"  # which no reader takes for a number, whatever follows


def save(path: str | os.PathLike, masks: PyTree, /, **about: Any) -> None:
    """Writes masks, and whatever JSON can say `about` them.

    A whole file or none is written, with a checksum. Entries are bits in row-major order,
    eight in a byte, the first the highest (`np.packbits`), in base64: 1/6 of a byte each.
    Leaves that keep everything take no bits. The folder is made if need be.

    Raises:
      ValueError: a mask is not bool, or JSON cannot say what it is given.
      OSError: it could not be written; what was there before is intact.
    """
    held = flat_masks(masks)
    if taken := sorted(_OWN & about.keys()):
        raise ValueError(
            f"{taken} is said about the masks, a name that the file itself uses; take "
            "another"
        )
    leaves = [
        {"leaf": name, "shape": list(mask.shape), "bits": _packed(mask)}
        for name, mask in zip(held.paths, held.leaves, strict=True)
    ]
    try:
        write_sealed(Path(path), {**about, "masks": leaves})
    except (AttributeError, TypeError) as error:
        raise ValueError(
            "what is saved about masks must be JSON (numbers, texts, lists, dicts): "
            f"{error}"
        ) from error


def load(path: str | os.PathLike, like: PyTree, *, is_unit: bool = False) -> PyTree:
    """The masks of a file of `save`, with the structure of `like`.

    Args:
      path: of the file.
      like: variables, masks or shapes of the network that was pruned.
      is_unit: whether it is named by the digest of its "key", which is then checked.

    Raises:
      ValueError: the file is damaged or holds no masks, or masks of another network.
      FileNotFoundError: there is none.
    """
    wanted = flat(like)
    try:
        stored = _read(path, read_unit if is_unit else read_sealed)["masks"]
        found = [(one["leaf"], tuple(one["shape"])) for one in stored]
        masks = [_unpacked(one["bits"], tuple(one["shape"])) for one in stored]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error
    shapes = [tuple(np.shape(leaf)) for leaf in wanted.leaves]
    needed = list(zip(wanted.paths, shapes, strict=True))
    for one, other in itertools.zip_longest(found, needed, fillvalue="nothing"):
        if one != other:
            raise ValueError(
                f"{path} holds masks of another network: {one} where {other} is needed; "
                "load them with variables of the network that was pruned"
            )
    return wanted.tree(masks)


def about(path: str | os.PathLike) -> dict[str, Any]:
    """What was said about the masks of a file when it was saved.

    Raises:
      ValueError: the file is damaged or holds no masks.
      FileNotFoundError: there is none.
    """
    try:
        content = _read(path)
        del content["masks"]
    except (KeyError, ValueError) as error:
        raise _damaged(path, error) from error
    return {name: value for name, value in content.items() if name not in _OWN}


def _read(
    path: str | os.PathLike, read: Callable[[Path], dict[str, Any]] = read_sealed
) -> dict[str, Any]:
    path = Path(path)
    if path.is_dir():
        raise ValueError("it is a folder")
    return read(path)


def _damaged(path: str | os.PathLike, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is damaged or holds no masks ({error}); delete it and prune again"
    )


def _packed(mask: np.ndarray) -> str | None:
    if mask.all():
        return None
    bits = np.packbits(mask.reshape(-1), bitorder="big").tobytes()
    return _CODE + base64.b64encode(bits).decode()


def _unpacked(text: str | None, shape: tuple[int, ...]) -> np.ndarray:
    if text is None:
        return np.ones(shape, bool)
    count = math.prod(shape)
    try:
        packed = base64.b64decode(text.removeprefix(_CODE), validate=True)
    except (AttributeError, binascii.Error) as error:
        raise ValueError(f"bits of a mask cannot be read: {error}") from error
    if len(packed) != -(-count // 8):
        raise ValueError(f"there are {len(packed)} bytes for {count} entries")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=count, bitorder="big")
    return bits.astype(bool).reshape(shape)
