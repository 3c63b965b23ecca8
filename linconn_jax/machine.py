"""What the machine has: memory, and room on a disk; and sizes in words."""

import os
import shutil
from pathlib import Path

import jax

_CGROUPS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def memory() -> int:
    """Bytes of memory of all of JAX's devices together.

    A CPU's are those of the machine, as far as its container may use them.
    """
    devices = jax.devices()
    stats = devices[0].memory_stats() if devices[0].platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] * len(devices)
    return host_memory() * jax.process_count()


def host_memory() -> int:
    """Bytes of memory of this machine, as far as its container may use them."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in map(Path, _CGROUPS):
        limit = path.read_text().strip() if path.is_file() else ""
        found += [int(limit)] if limit.isdecimal() else []
    return min(found)


def room(folder: Path) -> int:
    """Bytes that are free where a folder is, or would be made."""
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    return shutil.disk_usage(there).free


def size(count: int) -> str:
    """A number of bytes in words, such as `1.3 GB`."""
    units = ("bytes", "kB", "MB", "GB", "TB", "PB")
    power = min((len(str(count)) - 1) // 3, len(units) - 1)
    return f"{count / 1000**power:.3g} {units[power]}"
