"""`Permutation`, an index array for each axis name, and what is refused as one."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from linconn_jax.typing import Array

Nesting = tuple[tuple[str, tuple[str, ...]], ...]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Permutation(Mapping[str, Any]):
    """An index array `[*parents, units]` for each axis name: new unit i is old unit p[i].

    Reads like a mapping from axis name to index array, and is a pytree whose leaves are
    the index arrays: permutations of one spec stack, vmap and jit like any other tree.
    Two are equal if they move units alike.

    Make one with `identity`, `random`, `from_indices`, `load` or an alignment.

    Attributes:
      indices: the index arrays, sorted by name.
      nesting: name and parents of each name that lies under others.
    """

    indices: dict[str, Any]
    nesting: Nesting = dataclasses.field(default=(), metadata={"static": True})

    @classmethod
    def of(
        cls, indices: Mapping[str, Any], parents: Mapping[str, tuple[str, ...]]
    ) -> "Permutation":
        """From index arrays and the parents of each name that has any."""
        names = sorted(indices)
        nesting = tuple((name, parents[name]) for name in names if parents.get(name))
        return cls({name: indices[name] for name in names}, nesting)

    def __getitem__(self, name: str) -> Any:
        return self.indices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Permutation)
            and self.nesting == other.nesting
            and self.keys() == other.keys()
            # `np.array_equal` alone calls two traced arrays unequal, whatever they hold.
            and all(
                np.array_equal(np.asarray(self[name]), np.asarray(other[name]))
                for name in self
            )
        )

    def __repr__(self) -> str:
        shapes = (f"{n}: {'×'.join(map(str, np.shape(p)))}" for n, p in self.items())
        return f"Permutation({', '.join(shapes)})"

    def parents(self, name: str) -> tuple[str, ...]:
        """The names under which `name` lies, outermost first."""
        return dict(self.nesting).get(name, ()) if self.nesting else ()

    def replace(self, indices: Mapping[str, Any]) -> "Permutation":
        """Other index arrays for the same names."""
        return dataclasses.replace(self, indices=dict(sorted(indices.items())))


def check_permutation(value: Any) -> None:
    """Refuses a plain dict, which does not say what lies under what."""
    if not isinstance(value, Permutation):
        raise ValueError(
            f"a {type(value).__name__} is given for a Permutation; make one with "
            "permutation.from_indices(spec, variables, {axis name: index array}) (of an "
            "alignment, take its .permutation)"
        )


def check_single(permutation: Any) -> None:
    """Refuses what is no single element of a group: a plain dict, or a batch."""
    check_permutation(permutation)
    batched = [
        name
        for name, index in permutation.items()
        if np.ndim(index) != 1 + len(permutation.parents(name))
    ]
    if batched:
        raise ValueError(
            f"the index arrays of {batched} have a leading axis: use jax.vmap for a "
            "batch of permutations"
        )


def check_alike(p: Any, q: Any) -> None:
    """Refuses two permutations that do not belong to one group."""
    if _are_alike(p, q):
        return
    check_single(p)
    check_single(q)
    a, b = ({name: (x[name].shape, x.parents(name)) for name in x} for x in (p, q))
    if a != b:
        differ = sorted(n for n in a.keys() | b.keys() if a.get(n) != b.get(n))
        raise ValueError(
            "the two permutations belong to different specs: axis names, shapes and "
            f"parents { {n: (a.get(n), b.get(n)) for n in differ} } differ; both must "
            "come from one spec and networks of one width"
        )


def _are_alike(p: Any, q: Any) -> bool:
    """Whether they plainly are of one group, as alignment asks at every step."""
    if not (isinstance(p, Permutation) and isinstance(q, Permutation)):
        return False
    if p.nesting or q.nesting or p.indices.keys() != q.indices.keys():
        return False
    arrays = zip(p.indices.values(), map(q.indices.get, p.indices), strict=True)
    return all(
        isinstance(a, np.ndarray) and a.ndim == 1 and a.shape == np.shape(b)
        for a, b in arrays
    )


def check_rearrangement(name: str, index: np.ndarray) -> None:
    """Refuses an array whose last axis does not hold each of 0..n-1 once."""
    if not index.ndim or not np.issubdtype(index.dtype, np.integer):
        raise ValueError(
            f"the index array of {name!r} has shape {index.shape} and dtype "
            f"{index.dtype}; it must hold integers along an axis"
        )
    n = index.shape[-1]
    if not np.array_equal(
        np.sort(index, axis=-1), np.broadcast_to(np.arange(n), index.shape)
    ):
        raise ValueError(
            f"the index array of {name!r} is not a rearrangement of 0..{n - 1}: an index "
            "is repeated or out of range"
        )


def check_belongs(
    permutation: Permutation,
    shapes: Mapping[str, tuple[int, ...]],
    parents: Mapping[str, tuple[str, ...]],
    absent: Collection[str],
) -> None:
    """Refuses a permutation that has not the names, shapes and parents of a spec.

    Names in `absent` may be there or not.
    """
    missing = sorted(shapes.keys() - permutation.keys())
    extra = sorted(permutation.keys() - shapes.keys() - set(absent))
    if missing or extra:
        raise ValueError(
            "the permutation does not belong to this spec: axis names missing "
            f"{missing}, unknown {extra}; make one with permutation.identity, "
            "permutation.random or linconn_jax.align"
        )
    for name, shape in shapes.items():
        index, under = permutation[name], parents[name]
        integers = isinstance(index, Array) and np.issubdtype(index.dtype, np.integer)
        if not integers or index.shape != shape:
            dtype = getattr(index, "dtype", type(index).__name__)
            nested = f" for each of {', '.join(under)}" if under else ""
            raise ValueError(
                f"the permutation of {name!r} has shape {np.shape(index)} and dtype "
                f"{dtype}; it must be {shape[-1]} integers{nested}, shape {shape}, a "
                f"rearrangement of 0..{shape[-1] - 1} (use jax.vmap for a batch of "
                "permutations)"
            )
        if permutation.parents(name) != under:
            raise ValueError(
                f"the permutation does not belong to this spec: its {name!r} lies under "
                f"{permutation.parents(name)}, that of the spec under {under}"
            )
