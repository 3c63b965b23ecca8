"""Alignments used both ways: one fit for each pair of networks, and its inverse."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from linconn_jax import permutation
from linconn_jax.study.vertices import Aligned, AlignmentKey, Columns, Vertex, pair
from linconn_jax.typing import Variables

if TYPE_CHECKING:
    from linconn_jax.study.study import Study


@dataclasses.dataclass(frozen=True)
class Inverted(Aligned):
    """The first network of a pair, moved to the second by the inverse of their fit.

    The fit leaves the first where it is and moves the second to it: P[second] ≈ first, so
    that P⁻¹[first] ≈ second.
    """

    def identity(self, study: "Study") -> Columns:
        """That of the aligned, and that it is the inverse."""
        return super().identity(study) | {"inverse": True}

    def columns(self, study: "Study") -> Columns:
        """Those of the aligned; the reference is the network that the fit moves."""
        reference = self.alignment.networks[self.i].columns(study)["seed"]
        return super().columns(study) | {"reference": reference}

    def variables(self, study: "Study") -> Variables:
        """Of the permuted network."""
        found = study.alignment(self.alignment)
        back = permutation.inverse(found.permutations[self.i])
        return permutation.permute(found.spec, back, self.network.variables(study))


def once(
    network: Vertex, reference: Vertex, *, method: str, order: Sequence[Vertex]
) -> Vertex:
    """A network aligned to a reference, by the one fit of the two.

    Args:
      network: is moved.
      reference: it is moved to.
      method: a pairwise one.
      order: of all networks; of two, the fit moves the later one to the earlier one.
    """
    if order.index(reference) < order.index(network):
        return pair(reference, network, method=method)[1]
    return Inverted(network, AlignmentKey(method, (network, reference)))
