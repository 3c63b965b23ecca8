"""What the trajectories of a folder hold, in words."""

from pathlib import Path

from linconn_jax.trajectory import reader


def told(folder: Path) -> str:
    """All of them, as in `6 of mlp-3x64-relu-none (step 44 of 110)`; nothing of none.

    Args:
      folder: of folders of networks, each with a trajectory for each group of seeds.

    Raises:
      ValueError: one of them is damaged.
    """
    found = []
    for place in filter(reader.exists, sorted(folder.glob("*/seeds_*"))):
        stored = reader.open(place)
        reached = f"step {max(stored.steps, default=0)} of {stored.planned[-1]}"
        how = "trained" if stored.complete else reached
        found.append(f"{len(stored.seeds)} of {place.parent.name} ({how})")
    return ", ".join(found)
