"""Functions that look more symmetric than they are, and labels that would be wrong."""

from zoo.traps import constants, control, units, weights  # noqa: F401 - they register
from zoo.traps.trap import TRAPS, Trap

__all__ = ["TRAPS", "Trap"]
