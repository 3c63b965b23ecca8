"""Functions that look more symmetric than they are, and labels that would be wrong."""

from zoo.traps import (  # noqa: F401 - they register
    constants,
    control,
    nested,
    small_print,
    units,
    weights,
)
from zoo.traps.trap import TRAPS, Trap

__all__ = ["TRAPS", "Trap"]
