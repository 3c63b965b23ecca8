"""Models of many kinds, each with the permutation symmetries that it is known to have."""

from zoo import (
    attention,
    convolutions,
    decoders,
    full_size,
    images,
    in_equinox,
    in_haiku,
    in_nnx,
    mobile,
    others,
    plain,
    recurrent,
    residual,
)
from zoo.case import Case

MODULES = (
    plain,
    images,
    residual,
    mobile,
    convolutions,
    attention,
    decoders,
    recurrent,
    others,
    in_nnx,
    in_equinox,
    in_haiku,
)
CASES: list[Case] = [case for module in MODULES for case in module.CASES]
FULL_SIZE: list[Case] = full_size.CASES

__all__ = ["CASES", "FULL_SIZE", "Case"]
