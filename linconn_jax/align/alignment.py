"""What every alignment method returns."""

import dataclasses

from linconn_jax.permutation import Permutation


@dataclasses.dataclass(frozen=True)
class Alignment:
    """A permutation of one network towards a reference, and how it was found.

    Attributes:
      permutation: apply it to the *other* network with `permutation.permute`.
      objective: value of the method's own objective at `permutation`, to be compared
        only between alignments of one method and one pair.
      naive: value of the same objective at the identity.
      sweeps: passes over all axis names (1 for methods without iteration).
      converged: whether the method stopped by itself.
    """

    permutation: Permutation
    objective: float
    naive: float
    sweeps: int
    converged: bool
