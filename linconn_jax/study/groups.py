"""Which networks are to be trained, and how they are found."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from linconn_jax import trajectory
from linconn_jax.study.recipe import Recipe
from linconn_jax.study.runs import Runs
from linconn_jax.study.starts import Start
from linconn_jax.study.tasks import Task, alignments
from linconn_jax.study.vertices import Network

if TYPE_CHECKING:
    from linconn_jax.study.study import Study

Group = tuple[int, Start | None]
"""Width and start of networks that are trained together."""


def groups(
    given: Mapping[Group, Sequence[int]], tasks: Iterable[Task]
) -> dict[Group, tuple[int, ...]]:
    """Seeds to be trained, by width and start, in the order in which they are trained.

    Args:
      given: seeds that are trained in any case.
      tasks: whose networks are trained besides.
    """
    found = {group: dict.fromkeys(seeds) for group, seeds in given.items()}
    for task in tasks:
        for source in sources(task):
            for start in _lineage(source.start):  # all seeds of a level at once
                found.setdefault((source.width, start), {})[source.seed] = None
    return {group: tuple(seeds) for group, seeds in found.items()}


def runs(study: "Study", recipe: Recipe, start: Start | None) -> Runs:
    """The networks of a recipe, as on disk or still to be trained.

    Raises:
      ValueError: the start does not lie within training, or is not recorded.
    """
    recorded = vars(study.settings.checkpoints)
    if start is not None:
        recorded = {"epochs": start.epochs(study)}
    wanted = trajectory.record_steps(
        recipe.total_steps, steps_per_epoch=recipe.steps_per_epoch, **recorded
    )
    wanted = sorted({*wanted, *recipe.restart_steps})
    origin = None if start is None else start.origin(study, recipe.width)
    return Runs(recipe, study.workdir, wanted, origin=origin)


def sources(task: Task) -> Iterator[Network]:
    """The trained networks that a task needs, as far as it tells."""
    keys = alignments(task)
    vertices = [*getattr(task, "vertices", ()), *(x for k in keys for x in k.networks)]
    for vertex in vertices:
        yield from vertex.sources


def _lineage(start: Start | None) -> list[Start | None]:
    """A start after those whose networks are trained `before` it, if it has any."""
    found = [start]
    while found[0] is not None and found[0].before is not None:
        found.insert(0, found[0].before)
    return found
