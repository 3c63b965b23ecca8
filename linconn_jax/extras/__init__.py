"""What builds on permutations, and no alignment or experiment needs."""

from linconn_jax.extras.unidentifiable import Flags, recovered, unidentifiable

__all__ = ["Flags", "recovered", "unidentifiable"]
