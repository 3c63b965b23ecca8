"""Frames: names for the orders of units, so that directions cannot be confused.

Units of two networks come in two orders. `Framed(tree, "A")` says that the units of a
tree are in the order called A, `Between(p, "B", "A")` that a permutation brings units
from the order B to the order A. It takes trees framed B, refuses all others, and returns
trees framed A.
"""

import dataclasses

import jax

from linconn_jax import permutation as pm
from linconn_jax.typing import PyTree


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Framed:
    """A tree whose units are in the order of a frame, by name.

    The frame is static: trees of two frames have different structures, so that
    `jax.tree.map` over both of them, stacking or interpolating them fails by itself.
    """

    tree: PyTree
    frame: str = dataclasses.field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Between:
    """A permutation that maps from one frame to another, by name.

    Attributes:
      permutation: the permutation.
      source: frame of the trees that it is applied to.
      target: frame of the trees that come out.
    """

    permutation: pm.Permutation
    source: str = dataclasses.field(metadata={"static": True})
    target: str = dataclasses.field(metadata={"static": True})

    def apply(self, spec: pm.Spec | pm.BoundSpec, framed: Framed) -> Framed:
        """`permutation.permute` of a tree in the source frame.

        Raises:
          ValueError: the tree has no frame or another one, or does not fit the spec.
        """
        if not isinstance(framed, Framed):
            raise ValueError(
                f"a {type(framed).__name__} is given for a tree with a frame; say in "
                f"which order its units are: Framed(tree, {self.source!r})"
            )
        if framed.frame != self.source:
            wrong_way = framed.frame == self.target
            raise ValueError(
                f"the permutation maps frame {self.source!r} to {self.target!r}, and the "
                f"tree is in frame {framed.frame!r}"
                + "; did you mean .inverse().apply(...)?"
                * wrong_way
            )
        return Framed(pm.permute(spec, self.permutation, framed.tree), self.target)

    def inverse(self) -> "Between":
        """The permutation that leads back."""
        return Between(pm.inverse(self.permutation), self.target, self.source)

    def then(self, other: "Between") -> "Between":
        """This permutation first, and then the other.

        Raises:
          ValueError: `other` does not start where this one ends, or is of another spec.
        """
        if self.target != other.source:
            raise ValueError(
                f"the first permutation maps {self.source!r} to {self.target!r} but the "
                f"second starts from {other.source!r}; first.then(second) applies "
                "`first` first"
            )
        both = pm.compose(self.permutation, other.permutation)
        return Between(both, self.source, other.target)
