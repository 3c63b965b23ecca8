"""`Permutation`: an element of the group, an index array for each axis name."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

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
        """From index arrays and the parents of every name."""
        nesting = tuple(
            (name, parents[name]) for name in sorted(indices) if parents[name]
        )
        return cls(dict(sorted(indices.items())), nesting)

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
        return dict(self.nesting).get(name, ())

    def replace(self, indices: Mapping[str, Any]) -> "Permutation":
        """Other index arrays for the same names."""
        return dataclasses.replace(self, indices=dict(sorted(indices.items())))
