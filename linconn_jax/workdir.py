"""What a workdir holds, in words."""

import json
from pathlib import Path

from linconn_jax import trajectory


def networks(workdir: Path) -> str:
    """Its networks, as in `6 of mlp-3x64-relu-none (step 44 of 110)`; nothing if none.

    Raises:
      ValueError: a trajectory is damaged.
    """
    found = []
    for folder in sorted(workdir.glob("trajectories/*/seeds_*")):
        if trajectory.exists(folder):
            stored = trajectory.open(folder)
            reached = f"step {max(stored.steps, default=0)} of {stored.planned[-1]}"
            how = "trained" if stored.complete else reached
            found.append(f"{len(stored.seeds)} of {folder.parent.name} ({how})")
    return ", ".join(found)


def no_results(workdir: Path, experiment: str | None) -> str:
    """What to say where results are looked for: what there is instead, what to run."""
    config, there = workdir / "config.json", networks(workdir)
    file = json.loads(config.read_bytes()).get("file") if config.exists() else ""
    line = f"{experiment or 'weak'} --config={file or 'FILE.py'} --workdir={workdir}"
    said = f"{workdir.absolute() / 'results'} holds no results"
    said += f" of {experiment}" * bool(experiment)
    said += f" yet, but networks: {there}" * bool(there)
    said += f"; run python -m experiments.{line}"
    told = (
        ", with the settings of before, to go on; experiments.status says what is left"
    )
    return said + (told if there else " first")
