"""What experiments would take: how much is to do, exactly, and how long, roughly.

Measurements are known before anything is computed, and so are counted. The time comes
from a short `probe`.
"""

import functools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax

from linconn_jax import files, report
from linconn_jax.study.experiment import Experiment
from linconn_jax.study.probe import Probe, Sort, alignment_sort
from linconn_jax.study.study import Study, alignments
from linconn_jax.study.tasks import Task
from linconn_jax.study.vertices import AlignmentKey

Part = tuple[Sequence[Any], Counter[Sort]]
"""A line of a table without its time, and how much of each sort of work it stands for."""


def dry_run(study: Study, experiments: Iterable[Experiment]) -> str:
    """Tables of what is to train and to measure; nothing is written to the workdir.

    What several experiments ask for is to do in the first of them.

    Raises:
      ValueError: settings make no sense, or this is one of several processes.
    """
    if jax.process_count() > 1:
        raise ValueError("several processes are running; --dry_run takes a single one")
    began = time.monotonic()
    study.check()
    with tempfile.TemporaryDirectory() as folder:
        probe = Probe(study, Path(folder))
        trained = [_training(probe, width) for width in study.widths]
        seen: set[Hashable] = set()
        measured = [_measurements(probe, each, seen) for each in experiments]
        costs = probe.costs()
    said, total = [], 0.0
    for caption, headers, parts in zip(
        _CAPTIONS, _HEADERS, (trained, measured), strict=True
    ):
        lines = []
        for counts, work in parts:
            seconds = sum((costs[s] * amount for s, amount in work.items()), 0.0)
            total += seconds
            lines.append([*map(str, counts), _duration(seconds)])
        said += [report.Table(caption, headers, lines).text(), ""]
    passed = _duration(time.monotonic() - began)
    said += [
        f"about {_duration(total)} in all, by a probe of {passed}, and at most",
        f"{_duration(probe.compiling)} for compilation, as far as it is not cached",
    ]
    return "\n".join(said)


_CAPTIONS = (
    "Networks to train",
    "Measurements, and alignments for them; what two ask for is to do in the first",
)
_HEADERS = (
    ("width", "networks", "done", "to do", "time"),
    ("experiment", "measurements", "done", "to do", "to align", "time"),
)


def _training(probe: Probe, width: int) -> Part:
    """The networks of one width."""
    left = probe.real.runs(width).left(probe.seeds)
    work = Counter[Sort]()
    if any(left):
        probe.time(("training", width), lambda: probe.runs(width).trained[1])
        work["training", width] = sum(left)
    done = left.count(0)
    return (width, len(left), done, len(left) - done), work


def _measurements(probe: Probe, experiment: Experiment, seen: set[Hashable]) -> Part:
    """The measurements of an experiment, without what is in `seen`; adds them to it."""
    study, work = probe.real, Counter[Sort]()
    keyed = [(task.key(study), task) for task in study.tasks(experiment)]
    asked = {files.digest(key): (key, task) for key, task in keyed}
    stored = {digest for digest, (key, _) in asked.items() if study.stored(key)}
    to_do = asked.keys() - stored - seen
    aligned: set[AlignmentKey] = set()
    for key, task in (asked[digest] for digest in asked if digest in to_do):
        if not key.get("diverged"):  # of those nothing is computed
            sort = _sort(key, task)
            probe.time(sort, functools.partial(probe.measuring, task))
            work[sort] += 1
            aligned.update(alignments(task))
    lacking = [key for key in aligned - seen if not study.stored(key)]
    for key in lacking:
        sort = alignment_sort(key, study)
        probe.time(sort, functools.partial(probe.aligning, key))
        work[sort] += 1
    seen |= asked.keys() | aligned
    return (experiment.name, len(asked), len(stored), len(to_do), len(lacking)), work


def _sort(key: files.Key, task: Task) -> Sort:
    columns = [key.get(name) for name in ("family", "k", "points")]
    width = key.get("width")
    if not isinstance(width, int):
        columns, width = [*columns, width], None
    return (type(task), json.dumps(columns)), width


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.2g} h"
