"""`Permutation`: an element of the group, and between which frames it maps."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from linconn_jax.typing import Array

Names = tuple[tuple[str, tuple[str, ...]], ...]


@dataclasses.dataclass(frozen=True)
class Networks:
    """Fingerprints of networks that are known to lie in a permutation's two frames."""

    source: frozenset[str]
    target: frozenset[str]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Permutation(Mapping[str, Any]):
    """An index array for each axis name, and the frames between which it maps.

    Reads like a mapping from axis name to index array `[*parents, units]`: new unit i is
    old unit p[i]. It is a pytree whose leaves are the index arrays; what else it holds is
    static, so a jitted function is compiled anew for other frames (`unbound` takes them
    off); for the same reason those of two alignments can be stacked only when unbound.
    Two are equal if they move units alike, whatever their frames.

    Make one with `identity`, `random`, `from_indices`, `load` or an alignment.

    Attributes:
      indices: the index arrays, sorted by name.
      nesting: the parents of each nested name.
      source: name of the frame of networks that it is applied to, or None.
      target: name of the frame of the networks that come out, or None.
      networks: networks known to lie in these frames, or None.
    """

    indices: dict[str, Any]
    nesting: Names = dataclasses.field(default=(), metadata={"static": True})
    source: str | None = dataclasses.field(default=None, metadata={"static": True})
    target: str | None = dataclasses.field(default=None, metadata={"static": True})
    networks: Networks | None = dataclasses.field(
        default=None, metadata={"static": True}
    )

    @classmethod
    def of(
        cls, indices: Mapping[str, Any], parents: Mapping[str, tuple[str, ...]]
    ) -> "Permutation":
        """An unbound permutation, with the parents of every name."""
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
        bound = f"; {self.source} → {self.target}" if self.source or self.target else ""
        return f"Permutation({', '.join(shapes)}{bound})"

    def parents(self, name: str) -> tuple[str, ...]:
        """The names under which `name` lies, outermost first."""
        return dict(self.nesting).get(name, ())

    def between(self, source: str, target: str) -> "Permutation":
        """The same permutation, bound to map from one frame to another."""
        return dataclasses.replace(self, source=source, target=target)

    def unbound(self) -> "Permutation":
        """The same permutation without frames: it is applied to anything of its spec."""
        return dataclasses.replace(self, source=None, target=None, networks=None)

    def backward(self) -> "Permutation":
        """The same indices with source and target exchanged."""
        known = self.networks and Networks(self.networks.target, self.networks.source)
        return dataclasses.replace(
            self, source=self.target, target=self.source, networks=known
        )

    def replace(self, indices: Mapping[str, Any]) -> "Permutation":
        """Other index arrays in the same frames."""
        return dataclasses.replace(self, indices=dict(sorted(indices.items())))

    def without(self, names: Collection[str]) -> "Permutation":
        """The permutation of the other names, in the same frames."""
        kept = {name: index for name, index in self.items() if name not in names}
        nesting = tuple((name, above) for name, above in self.nesting if name in kept)
        return dataclasses.replace(self, indices=kept, nesting=nesting)

    def check(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        parents: Mapping[str, tuple[str, ...]],
    ) -> None:
        """Refuses index arrays that do not have the names, shapes and parents given.

        Raises:
          ValueError: naming what does not belong.
        """
        missing = sorted(shapes.keys() - self.keys())
        extra = sorted(self.keys() - shapes.keys())
        if missing or extra:
            raise ValueError(
                "the permutation does not belong to this spec: axis names missing "
                f"{missing}, unknown {extra}; make one with permutation.identity, "
                "permutation.random or linconn_jax.align"
            )
        for name, shape in shapes.items():
            _check_index(name, self[name], shape, parents[name])
            if self.parents(name) != parents[name]:
                raise ValueError(
                    f"the permutation does not belong to this spec: its {name!r} lies "
                    f"under {self.parents(name)}, that of the spec under {parents[name]}"
                )


def _check_index(
    name: str, index: Any, shape: tuple[int, ...], parents: tuple[str, ...]
) -> None:
    integers = isinstance(index, Array) and np.issubdtype(index.dtype, np.integer)
    if integers and index.shape == shape:
        return
    dtype = getattr(index, "dtype", type(index).__name__)
    nested = f" for each of {', '.join(parents)}" if parents else ""
    raise ValueError(
        f"the permutation of {name!r} has shape {np.shape(index)} and dtype {dtype}; it "
        f"must be {shape[-1]} integers{nested}, shape {shape}, a rearrangement of "
        f"0..{shape[-1] - 1} (use jax.vmap for a batch of permutations)"
    )
