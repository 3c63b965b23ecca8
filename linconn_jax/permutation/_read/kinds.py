"""What the primitives of a program do to units."""

from linconn_jax.permutation._discover import discovery  # noqa: F401 - all rules are in
from linconn_jax.permutation._discover.registry import RULES

BUILT_IN = frozenset(RULES)
"""Primitives of which it is known whether they are products; all others are taken for
such."""
PRODUCTS = ("dot_general", "conv_general_dilated")
LAYOUT = (
    "reshape",
    "transpose",
    "squeeze",
    "broadcast_in_dim",
    "convert_element_type",
    "copy",
    "copy_p",
    "reduce_precision",
    "optimization_barrier",
    "device_put",
    "sharding_constraint",
    "stop_gradient",
    "name",
    "pvary",
    "reshard",
)
"""Primitives that change no number."""
POSITIONS = (
    "slice",
    "split",
    "unstack",
    "stack",
    "pad",
    "concatenate",
    "dynamic_slice",
    "dynamic_update_slice",
    "gather",
    "rev",
    "tile",
    "reduce_sum",
    "reduce_max",
    "reduce_min",
    "reduce_window_sum",
    "reduce_window_max",
    "reduce_window_min",
    "psum",
    "pmax",
    "pmin",
)
"""Primitives that pick, mix or pool positions, each unit for itself."""
REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod")
