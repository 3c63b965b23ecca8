"""What of a study is done, what is left, and what it takes on the disk.

    python -m experiments.status --config=configs/digits.py

Reads only: nothing is trained, measured or written. Times are by the pace of what was
done before, as far as it is known; `--dry_run` of an experiment finds them by a probe.
"""

import itertools
import os
import statistics
from collections.abc import Sequence
from pathlib import Path

from experiments import cli, counts
from linconn_jax import parallel, progress, report, trees
from linconn_jax.machine import room, size
from linconn_jax.study import Runs, Study, budget
from linconn_jax.trajectory.tables import RECORD_FILE

UNKNOWN = "?"


def run(study: Study) -> None:
    """Says it."""
    if parallel.is_main_process():
        progress.say(text(study))


def text(study: Study) -> str:
    """Tables of networks and of measurements, and a summary.

    Raises:
      ValueError: settings make no sense, or networks or rows of others are there.
    """
    asked, notes = [], []
    for each in study.experiments():
        try:
            each.check(study.settings)
            asked.append((each.name, list(each.tasks(study))))
        except ValueError as error:
            notes.append(f"{each.name} cannot be run with these settings: {error}")
    tasks = [task for _, several in asked for task in several]
    for group in study.asked(tasks):
        study.runs(*group).check()
    paces = {width: pace(study.runs(width), study.seeds) for width in study.widths}
    networks, needed, seconds = [], 0, []
    for found in counts.networks(study, tasks):
        recorded, planned = map(
            sum, zip(*(runs.recorded(of) for runs, of in found.groups), strict=True)
        )
        more = sum(budget.need(*group).disk for group in found.groups)
        on_disk = sum(used(runs.folder) for runs, _ in found.groups)
        seconds.append(_training(sum(found.left), found.width, study, paces))
        needed += more
        cells = (found.name, len(found.left), found.done, found.to_do, recorded)
        cells = (*cells, planned - recorded, size(on_disk), size(more))
        networks.append([*map(str, cells), _said(seconds[-1])])
    measurements: list[list[str]] = []
    seen: set = set()
    for name, several in asked:
        found = counts.measurements(study, name, several, seen)
        seconds.append(_measuring(study, found))
        there = sum(map(study.alignments.has, found.alignments))
        cells = (name, found.asked, len(found.done), len(found.to_do))
        cells = (*cells, len(found.alignments), there, len(found.to_align))
        measurements.append([*map(str, cells), _said(seconds[-1])])
    return "\n".join(
        [
            report.Table(*_NETWORKS, networks).text(),
            "",
            report.Table(*_MEASUREMENTS, measurements).text(),
            "",
            *notes,
            f"disk: {size(used(study.workdir))} used, {size(needed)} needed for the "
            f"checkpoints that are left, {size(room(study.workdir))} free",
            f"time: {_in_all(seconds)}",
        ]
    )


_NETWORKS = (
    "Networks, and their checkpoints",
    ("width", "networks", "trained", "left", "checkpoints", "to write", "on disk")
    + ("needed", "time left"),
)
_MEASUREMENTS = (
    "Measurements (barriers and others), and alignments for them; what two experiments "
    "ask for is left in the first",
    ("experiment", "measurements", "done", "left", "alignments", "found", "to find")
    + ("time left",),
)


def pace(runs: Runs, seeds: Sequence[int]) -> float | None:
    """Seconds of a step of one network, by when its checkpoints were written.

    The median over what lies between two of them, so that breaks do not count.
    """
    paces = []
    for group in runs.groups(seeds):
        folder = group.folder / "checkpoints"
        # A folder changes once more, when `resume` is taken out of it.
        records = {step: folder / str(step) / RECORD_FILE for step in group.steps}
        times = [(s, x.stat().st_mtime) for s, x in records.items() if x.exists()]
        for (step, began), (after, ended) in itertools.pairwise(times):
            paces.append((ended - began) / (after - step) / len(group.seeds))
    found = statistics.median(paces) if paces else 0.0
    return found if found > 0 else None  # all at once is how a copy comes


def used(folder: Path) -> int:
    """Bytes of all files under a folder; a file that goes away meanwhile is none."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            total += path.lstat().st_size if path.exists() else 0
    return total


def _training(
    steps: int, width: int, study: Study, paces: dict[int, float | None]
) -> float | None:
    """Seconds of so many steps of networks, by the known pace at the nearest width.

    A step takes as long as there are parameters, which is a little too much for wider
    networks than those that the pace is of.
    """
    if not steps:
        return 0.0
    known = [w for w, found in paces.items() if found is not None]
    if not known:
        return None
    near = min(known, key=lambda other: abs(other - width))
    ratio = _parameters(study, width) / _parameters(study, near)
    return steps * (paces[near] or 0.0) * ratio


def _parameters(study: Study, width: int) -> int:
    return trees.size(study.runs(width).recipe.network.shapes)


def _measuring(study: Study, found: counts.Measurements) -> float | None:
    """Seconds of what is left, by the median time between two that are done."""
    if not found.to_do:
        return 0.0
    paths = (study.results.folder / f"{name}.json" for name in found.done)
    times = sorted(path.stat().st_mtime for path in paths)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    each = statistics.median(gaps) if gaps else 0.0
    return each * len(found.to_do) if each > 0 else None


def _said(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    return progress.duration(seconds) if seconds else "-"


def _in_all(seconds: Sequence[float | None]) -> str:
    known = sum(x for x in seconds if x is not None)
    about = f"about {progress.duration(known)} left by the pace so far" if known else ""
    if None in seconds:
        unknown = f"no pace is known of what is marked {UNKNOWN}"
        said = f"{about}; {unknown}" if about else unknown
        return f"{said}: --dry_run of an experiment times it by a probe"
    return about or "all is done"


if __name__ == "__main__":
    cli.main(run)
