"""Networks as pure functions; the spec of each is found from the function itself.

`build` makes this project's own, `from_functions` takes yours, and
`from_networks` yours with what they have learnt.
"""

from linconn_jax.models.base import Model
from linconn_jax.models.configured import from_settings, made_for
from linconn_jax.models.families import FAMILIES, LARGEST, build
from linconn_jax.models.given import Networks, from_networks
from linconn_jax.models.outside import from_functions
from linconn_jax.models.widening import widen

__all__ = [
    "FAMILIES",
    "LARGEST",
    "Model",
    "Networks",
    "build",
    "from_functions",
    "from_networks",
    "from_settings",
    "made_for",
    "widen",
]
