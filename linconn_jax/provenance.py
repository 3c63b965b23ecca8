"""Who computed rows that are on disk, and whether they still count."""

import platform
from pathlib import Path
from typing import Any

import jax
import jaxlib

import linconn_jax

FORMAT = 3
"""Of stored rows: 2 has lists as lists, and the lists of what experiments asked for; in 3
what an accelerator computed has the precision that it is said to have."""
_CPU = "cpu"


def here() -> dict[str, Any]:
    """Versions and device, stored beside every unit of rows."""
    device = jax.devices()[0]
    kind = platform.processor() or platform.machine()
    return {
        "version": linconn_jax.__version__,
        "jax": f"{jax.__version__} (jaxlib {jaxlib.__version__})",
        "device": f"{jax.device_count()} {device.device_kind}"
        + (f" {kind}" if device.platform == _CPU else ""),
    }


def checked(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The content of a unit of rows, if it still counts.

    Raises:
      ValueError: it is of an earlier format. What a CPU computed in format 2 counts.
    """
    stored = content.get("format")
    if stored == FORMAT:
        return content
    device = str(content.get("provenance", {}).get("device"))
    if stored == 2 and device.split(" ")[1:2] == [_CPU]:
        return content
    why = "were written by an earlier linconn_jax"
    if stored == 2:
        why += f" on {device}, whose matrix products were not the float32 that they say"
    raise ValueError(
        f"the rows in {path.parent} {why}; remove that folder and "
        f"{path.parent.with_name('permutations')} and run the experiments again: trained "
        "networks are kept and used, what is measured is computed anew"
    )
