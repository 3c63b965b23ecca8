"""What builds on permutations, and no alignment or experiment needs."""

from linconn_jax.extras.frames import Between, Framed
from linconn_jax.extras.layer_norms import LayerNorm
from linconn_jax.extras.unidentifiable import Flags, recovered, unidentifiable
from linconn_jax.extras.widen import widen

__all__ = [
    "Between",
    "Flags",
    "Framed",
    "LayerNorm",
    "recovered",
    "unidentifiable",
    "widen",
]
