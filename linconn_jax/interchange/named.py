"""Trees as flat dicts of arrays by name, and back."""

from collections.abc import Mapping

import jax
import numpy as np

from linconn_jax import trees
from linconn_jax.typing import Any, Array, PyTree


def leaves(tree: PyTree) -> dict[str, Any]:
    """`{"params/conv_1/kernel": leaf}` for all leaves, in the order of the tree.

    Raises:
      ValueError: two leaves have one name (a key holds a "/").
    """
    found: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = trees.path_name(path)
        if name in found:
            raise ValueError(
                f'two leaves have the name {name!r}; keys must not hold "/", which '
                "joins the keys of a path"
            )
        found[name] = leaf
    return found


def nest(arrays: Mapping[str, Array]) -> dict:
    """Nested dicts from names joined with "/", the inverse of `leaves` for dicts.

    Raises:
      ValueError: a name is also the beginning of another.
    """
    tree: dict = {}
    for name, array in arrays.items():
        *parents, last = name.split("/")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ValueError(f"{name!r} lies inside another array")
        if last in place:
            raise ValueError(f"{name!r} is an array and also holds others")
        place[last] = array
    return tree


def restore(arrays: Mapping[str, Array], like: PyTree) -> PyTree:
    """A tree of the structure of `like` from the names that `leaves` gives it.

    Args:
      arrays: `{name: array}`, of `load`.
      like: any pytree whose leaves have shapes (arrays or `jax.ShapeDtypeStruct`s).

    Raises:
      ValueError: names are missing or too many, or shapes differ; all are listed.
    """
    places = leaves(like)
    faults = differences(arrays, places)
    if faults:
        raise ValueError("the arrays do not fit the tree:\n" + "\n".join(faults))
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[n] for n in places])


def differences(arrays: Mapping[str, Any], places: Mapping[str, Any]) -> list[str]:
    """What keeps `arrays` from filling `places`, a line each; none if nothing does."""
    faults = []
    if missing := sorted(places.keys() - arrays.keys()):
        faults.append(f"  leaves that nothing fills: {missing}")
    if extra := sorted(arrays.keys() - places.keys()):
        faults.append(f"  arrays that the tree has no leaf for: {extra}")
    for name in sorted(places.keys() & arrays.keys()):
        has, wants = np.shape(arrays[name]), np.shape(places[name])
        if has != wants:
            faults.append(f"  {name} has shape {has}, not {wants} as the tree has")
    return faults
