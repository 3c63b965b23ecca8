"""What a study asks for, what of it is done and what is left: exactly, and at once."""

import dataclasses
from collections.abc import Hashable, Iterable

from linconn_jax import files
from linconn_jax.files import Key
from linconn_jax.study import AlignmentKey, Runs, Study, Task
from linconn_jax.study.tasks import alignments


@dataclasses.dataclass(frozen=True)
class Training:
    """Networks of one width and kind, and what copies are made of.

    Attributes:
      width: of the networks.
      kind: how they begin, such as "pruned"; nothing if as the config says.
      groups: runs, and the seeds of them that are trained together.
      left: for each, the steps of training to do.
    """

    width: int
    kind: str
    groups: list[tuple[Runs, tuple[int, ...]]]
    left: tuple[int, ...]

    @property
    def name(self) -> str:
        """Of a line of a table."""
        return f"{self.width}, {self.kind}" if self.kind else str(self.width)

    @property
    def done(self) -> int:
        """How many are trained."""
        return self.left.count(0)

    @property
    def to_do(self) -> int:
        """How many are not."""
        return len(self.left) - self.done


@dataclasses.dataclass(frozen=True)
class Measurements:
    """Those of one experiment.

    Attributes:
      name: of the experiment.
      asked: how many there are.
      done: digests of the keys of those on disk.
      to_do: the others, keys with tasks.
      alignments: that any of them needs.
      to_align: of those, what is to be found for what is to do.
    """

    name: str
    asked: int
    done: list[str]
    to_do: list[tuple[Key, Task]]
    alignments: list[AlignmentKey]
    to_align: list[AlignmentKey]


def networks(study: Study, tasks: Iterable[Task]) -> list[Training]:
    """What is trained and what is to train: of the config, and what tasks need."""
    kinds: dict[tuple[int, str], list[tuple[Runs, tuple[int, ...]]]] = {}
    for (width, start), seeds in study.asked(tasks).items():
        kind = "" if start is None else start.kind
        kinds.setdefault((width, kind), []).append((study.runs(width, start), seeds))
    return [
        Training(*name, groups, tuple(x for r, seeds in groups for x in r.left(seeds)))
        for name, groups in kinds.items()
    ]


def measurements(
    study: Study, name: str, tasks: Iterable[Task], seen: set[Hashable]
) -> Measurements:
    """What an experiment asks for; of it only what is not in `seen` is to do.

    Args:
      study: whose.
      name: of the experiment.
      tasks: that it asks for.
      seen: what others have asked for before; what this one asks for is added.
    """
    keyed = [(task.key(study), task) for task in tasks]
    asked = {files.digest(key): (key, task) for key, task in keyed}
    done = [found for found, (key, _) in asked.items() if study.results.has(key)]
    to_do = [asked[found] for found in asked if found not in seen | {*done}]
    needed = _needed(to_do)
    lacking = [a for a in needed if a not in seen and not study.alignments.has(a)]
    seen |= asked.keys() | set(needed)
    return Measurements(name, len(asked), done, to_do, _needed(asked.values()), lacking)


def _needed(asked: Iterable[tuple[Key, Task]]) -> list[AlignmentKey]:
    """The alignments that tasks need; of networks that diverged none is found."""
    trained = (task for key, task in asked if not key.get("diverged"))
    return list(dict.fromkeys(a for task in trained for a in alignments(task)))
