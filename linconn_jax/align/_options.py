"""Options that methods share: which names are assigned, in which order, from where."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from linconn_jax.align._families import Parents, family
from linconn_jax.align.alignment import Alignment
from linconn_jax.permutation import BoundSpec, Permutation, from_indices

Names: TypeAlias = Collection[str] | Callable[[str], bool]
"""Some axis names: a collection, or a function of a name."""
Order: TypeAlias = str | Sequence[str] | Sequence[Sequence[str]]
"""In which names are visited: "random", or the names in groups or one by one."""


def assigned(bound: BoundSpec, names: Names | None) -> Parents:
    """Parents of the chosen names, and of those that lie under them; all by default.

    Raises:
      ValueError: `names` is neither, names what the spec has not, or chooses nothing.
    """
    if names is None:
        return bound.parents
    known = list(bound.parents)
    if callable(names):
        said = [names(x) for x in known]
        if not all(isinstance(x, bool | np.bool_) for x in said):
            raise ValueError(f"names={names!r} must return True or False for each name")
        chosen = {x for x, yes in zip(known, said, strict=True) if yes}
    elif isinstance(names, str) or not _are_texts(names):
        raise ValueError(
            f"names={names!r}; it must be a list of axis names, or a function of a name "
            f"that returns True or False; the spec has {known}"
        )
    else:
        chosen = set(names)
    if unknown := sorted(map(str, chosen - {*known, *bound.absent})):
        raise ValueError(f"names {unknown} are not in the spec, which has {known}")
    below = {y for x in chosen.intersection(known) for y in family(x, bound.parents)}
    if not below:
        raise ValueError(
            f"names={names!r} chooses none of the axis names {known}, so that nothing is "
            "aligned; choose at least one, or leave it out for all"
        )
    return {name: above for name, above in bound.parents.items() if name in below}


def ordered(parents: Parents, order: Order, known: Collection[str]) -> list[str] | None:
    """The assigned names in the order that is asked for; None if it is random.

    Args:
      parents: of the assigned names.
      order: see `weight_matching`.
      known: all names of the spec.

    Raises:
      ValueError: it is neither "random" nor names of the spec, each once, or leaves out
        a name that is assigned.
    """
    if isinstance(order, str) and order == "random":
        return None
    given = [x for y in _members(order) for x in _members(y) or [y]]
    fits = _are_texts(given) and {*given} <= {*known} and {*given} >= {*parents}
    if not fits or len({*given}) < len(given):
        raise ValueError(
            f"order={order!r}; it must be 'random', or all axis names, each once, in the "
            "order in which they are visited (permutation.depth_order tells that of the "
            f"data flow); the spec has {sorted(known)}"
        )
    return [x for x in given if x in parents]


def start(
    bound: BoundSpec, initial: Any, needed: Collection[str]
) -> list[Permutation] | None:
    """Permutations of a pair to start from, on the host: the first stays.

    Args:
      bound: spec of the networks.
      initial: a `Permutation` or index arrays by name.
      needed: names that it must have; others may be left out, and stay.

    Returns:
      None where nothing is given.

    Raises:
      ValueError: it is no permutation of the spec.
    """
    if initial is None:
        return None
    if not isinstance(initial, Mapping):
        raise ValueError(
            f"initial is a {type(initial).__name__}; it must be a Permutation or "
            "{axis name: index array} (of an alignment, take its .permutation)"
        )
    return [bound.identity(), _completed(bound, initial, needed)]


def starts(
    bound: BoundSpec,
    initial: Alignment | Sequence[Permutation | Mapping[str, Any]] | None,
    count: int,
    needed: Collection[str],
) -> list[Permutation]:
    """A permutation of each network to start from, on the host; by default identities.

    Args:
      bound: spec of the networks.
      initial: an alignment of them, or for each a `Permutation` or index arrays by name.
      count: of the networks.
      needed: names that each must have; others may be left out, and stay.

    Raises:
      ValueError: there is not one for each network, or one is not of the spec.
    """
    if initial is None:
        return [bound.identity()] * count
    given = initial.permutations if isinstance(initial, Alignment) else initial
    if isinstance(given, Mapping | str) or not isinstance(given, Sequence):
        raise ValueError(
            f"initial is a {type(given).__name__}; it must be an alignment of these "
            f"networks or a list of {count} permutations, one of each"
        )
    if len(given) != count:
        raise ValueError(
            f"initial has {len(given)} permutations for {count} networks; give one of "
            "each"
        )
    return [_completed(bound, p, needed) for p in given]


def staying(bound: BoundSpec, parents: Parents, given: Permutation) -> Permutation:
    """A permutation without what it does to the names that are assigned."""
    still = bound.identity()
    return given.replace({**given, **{name: still[name] for name in parents}})


def _completed(bound: BoundSpec, given: Any, needed: Collection[str]) -> Permutation:
    """Index arrays by name as a permutation, in which names not needed may stay."""
    if isinstance(given, Mapping):
        still = bound.identity()
        given = {**{n: p for n, p in still.items() if n not in needed}, **given}
    return _on_host(from_indices(bound, None, given))


def _are_texts(given: Any) -> bool:
    return isinstance(given, Collection) and all(isinstance(x, str) for x in given)


def _members(given: Any) -> list[Any]:
    """Those of a list or another collection; none of anything else, such as a text."""
    several = isinstance(given, Collection) and not isinstance(given, str)
    return list(given) if several else []


def _on_host(permutation: Permutation) -> Permutation:
    return permutation.replace({x: np.asarray(i, int) for x, i in permutation.items()})
