"""Frames: in which order a network's units are, so that directions cannot be confused.

Two ways to tell. **By name**: `Framed(tree, "A")` says that the units of a tree are in
the order of A's; of framed trees a permutation from B to A takes only those framed B, and
gives ones framed A. **By content**: an alignment remembers fingerprints of the networks
that it was made from, and `permute` refuses those that can only be there by mistake.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from linconn_jax.permutation.digest import digest
from linconn_jax.permutation.element import Networks, Permutation
from linconn_jax.permutation.spec import Spec, flatten
from linconn_jax.typing import Array, PyTree


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Framed:
    """A tree whose units are in the order of a frame, by name.

    The frame is static: trees of two frames have different structures, so that
    `jax.tree.map` over both of them, stacking or interpolating them fails by itself.
    """

    tree: PyTree
    frame: str = dataclasses.field(metadata={"static": True})


def frame_after(permutation: Any, frame: str) -> str:
    """The frame of a framed tree once it is permuted.

    Raises:
      ValueError: the permutation is not bound, or starts in another frame.
    """
    bound = isinstance(permutation, Permutation) and None not in (
        permutation.source,
        permutation.target,
    )
    if not bound:
        raise ValueError(
            f"a tree in frame {frame!r} needs a permutation that knows its frames; bind "
            f"it with permutation.between({frame!r}, target)"
        )
    if permutation.source == frame:
        return permutation.target
    hint = "; did you mean permutation.inverse?" if permutation.target == frame else ""
    raise ValueError(
        f"the permutation maps frame {permutation.source!r} to {permutation.target!r}, "
        f"and the tree is in frame {frame!r}{hint}"
    )


def composed(
    first: Permutation, then: Permutation, indices: Mapping[str, Array]
) -> Permutation:
    """The composition's indices in its frames: bound as far as both are.

    Raises:
      ValueError: `then` does not start where `first` ends.
    """
    named = None not in (first.source, first.target, then.source, then.target)
    if named and first.target != then.source:
        raise ValueError(
            f"the first permutation maps {first.source!r} to {first.target!r} but the "
            f"second starts from {then.source!r}; compose(first, then) applies `first` "
            "first"
        )
    source, target = (first.source, then.target) if named else (None, None)
    networks = None
    if first.networks and then.networks:
        ends, starts = first.networks.target, then.networks.source
        if not ends & starts and ends & then.networks.target:
            raise ValueError(
                "both permutations map to the same network; compose(first, then) applies "
                "`first` first: did you mean permutation.inverse(then)?"
            )
        networks = Networks(first.networks.source, then.networks.target)
    return Permutation(
        dict(sorted(indices.items())), first.nesting, source, target, networks
    )


def bind(
    permutation: Permutation,
    spec: Spec,
    reference: PyTree,
    other: PyTree,
    moved: PyTree,
) -> Permutation:
    """Remembers that `permutation` makes `moved` of `other`, in `reference`'s frame."""
    prints = [fingerprint(spec, tree) for tree in (other, reference, moved)]
    if None in prints:
        return permutation
    networks = Networks(frozenset(prints[:1]), frozenset(prints[1:]))
    return dataclasses.replace(permutation, networks=networks)


def check_direction(permutation: Permutation, spec: Spec, tree: PyTree) -> None:
    """Refuses a network that is known to lie in the target's frame already.

    Whatever else has the spec's structure passes: gradients, masks, other checkpoints.

    Raises:
      ValueError: the tree is the network to which the permutation maps, or the result of
        applying it.
    """
    known = permutation.networks
    if known is None:
        return
    found = fingerprint(spec, tree)
    if found in known.target and found not in known.source:
        raise ValueError(
            "this network is already in the frame that the permutation maps to: it is "
            "the reference of the alignment (wrong way round: did you mean "
            "permutation.inverse?) or the permuted network (applied twice). "
            "permutation.unbound() applies to anything"
        )


def fingerprint(spec: Spec, tree: PyTree) -> str | None:
    """Digest of a few fixed entries of every labelled leaf, in their order.

    Of a Flax-style `{"params": ...}` only the parameters are read. None if the leaves
    cannot be read here and now (traced, spread over several hosts, only shapes).
    """
    entries, _ = flatten(trainable(spec), trainable(tree))
    return digest([leaf for _, leaf, axes in entries if axes.ndim])


def trainable(tree: PyTree) -> PyTree:
    """The trainable part of a Flax-style `{"params": ..., ...}` dict, or the whole."""
    return tree["params"] if isinstance(tree, Mapping) and "params" in tree else tree
