"""The trained networks of one recipe: any number of seeds, on disk.

Seeds that were trained together share a trajectory; seeds asked for later are trained as
a further group beside it, so that nothing is ever trained twice.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from linconn_jax import trajectory, trees
from linconn_jax.files import digest
from linconn_jax.recording import record
from linconn_jax.study import folders
from linconn_jax.study.origins import Copied, Initialised, Origin
from linconn_jax.study.recipe import Recipe
from linconn_jax.trajectory import Trajectory
from linconn_jax.typing import Variables


class Runs:
    """The trajectories of one recipe, in a folder of its own under `workdir`.

    Attributes:
      recipe: of all networks.
      steps: to be recorded; those of copies begin where they were spawned.
      origin: where training begins.
      folder: holds a trajectory for each group of seeds that were trained together.
      spawn_at: steps that copies are spawned from, where all of the state is kept.
    """

    def __init__(
        self,
        recipe: Recipe,
        workdir: Path,
        record_at: Sequence[int],
        spawn_at: tuple[int, ...] = (),
        origin: Origin | None = None,
    ):
        self.recipe, self.spawn_at = recipe, spawn_at
        self.origin = origin or _origin(recipe, workdir, record_at)
        first = self.origin.first_step(recipe)
        self.steps = (first, *(step for step in record_at if step > first))
        self.folder = workdir / "trajectories" / folders.of_recipe(recipe, self.origin)
        self._groups: list[Trajectory] = []

    def spawn(self, step: int) -> None:
        """From now on, states are kept at a step, so that copies can go on from them.

        Where they were trained without that, what leads to it is done again, once; so
        name all such steps before anything is trained.

        Raises:
          ValueError: the step is not recorded.
        """
        if step not in self.steps:
            epoch = step / self.recipe.steps_per_epoch
            raise ValueError(
                f"copies are spawned at epoch {epoch:g} (step {step}), which is not "
                "recorded; add it to checkpoints.epochs"
            )
        self.spawn_at = tuple(sorted({*self.spawn_at, step}))

    def check(self) -> None:
        """Tries the recipe and compares what is on disk with it; trains nothing.

        Raises:
          ValueError: the recipe makes no sense, or networks of another are there.
        """
        self.recipe.check()
        self._groups = self._stored()
        for group in self._groups:
            self._check(group.seeds)

    def left(self, seeds: Sequence[int]) -> list[int]:
        """For each seed the steps of training still to do; of copies' parent, too."""
        steps = dict.fromkeys(seeds, self.steps[-1] - self.steps[0])
        for group in self._stored():
            stretches, first = group.to_do(self.spawn_at), group.planned[0]
            left = sum(stop - (start or first) for start, stop in stretches)
            steps |= {seed: left for seed in group.seeds if seed in steps}
        found = list(steps.values())
        if any(found):
            for runs, of in self.origin.parents:
                found += runs.left(of)
        return found

    def lacking(self, seeds: Sequence[int]) -> list[tuple[int, int, int]]:
        """What is to be recorded, for each group of networks that are trained together.

        Numbers of networks, of checkpoints to be written of each, and of states of the
        optimiser of each that stay on the disk; of copies' parent, too.
        """
        kept, missing, found = 1 + len(self.spawn_at), set(seeds), []
        for group in self._stored():
            if missing & set(group.seeds) and group.to_do(self.spawn_at):
                written = len(set(group.planned) - set(group.steps))
                found.append((len(group.seeds), written, kept))
            missing -= set(group.seeds)
        if missing:
            found.append((len(missing), len(self.steps), kept))
        if found:
            for runs, of in self.origin.parents:
                found += runs.lacking(of)
        return found

    def recorded(self, seeds: Sequence[int]) -> tuple[int, int]:
        """Checkpoints of these networks that are on disk, and how many there are to be.

        Each network counts by itself; those of copies' parent come on top.
        """
        there, planned = dict.fromkeys(seeds, 0), dict.fromkeys(seeds, len(self.steps))
        for group in self.groups(seeds):
            there |= {s: len(group.steps) for s in group.seeds if s in there}
            planned |= {s: len(group.planned) for s in group.seeds if s in there}
        found = sum(there.values()), sum(planned.values())
        parents = (runs.recorded(of) for runs, of in self.origin.parents)
        recorded, of_all = map(sum, zip(found, *parents, strict=True))
        return recorded, of_all

    def groups(self, seeds: Iterable[int]) -> list[Trajectory]:
        """The trajectories on disk, whole or begun, that hold some of these seeds."""
        return [group for group in self._stored() if {*seeds} & {*group.seeds}]

    def ensure(self, seeds: Sequence[int], *, at_once: int | None = None) -> None:
        """Trains the seeds that are missing and finishes those that were interrupted.

        Raises:
          ValueError: the folder holds networks of another recipe.
        """
        missing = set(seeds)
        for group in self._stored():
            trajectory.tidy(group.folder)
            if missing & set(group.seeds):
                self._record(group.seeds, at_once)
                missing -= set(group.seeds)
        if missing:
            self._record(tuple(s for s in seeds if s in missing), at_once)
        self._groups = self._stored()

    def network(self, seed: int, step: int) -> Variables:
        """Variables of one seed at one recorded step, as host arrays."""
        group = self.group(seed)
        return trees.take(self._loaded(group, step), group.seeds.index(seed))

    def group(self, seed: int) -> Trajectory:
        """The trajectory that holds a seed."""
        for look in (lambda: self._groups, self._stored):
            self._groups = look()
            for group in self._groups:
                if seed in group.seeds:
                    return group
        raise ValueError(
            f"seed {seed} is not among the trained ones "
            f"{sorted(s for g in self._groups for s in g.seeds)} of {self.folder}; train "
            "it first (Study.train)"
        )

    def diverged(self) -> dict[int, int]:
        """`{seed: step}` of the seeds whose training was stopped."""
        return {s: t for g in self._groups for s, t in g.diverged.items()}

    def stopped(self, networks: Iterable[tuple[int, int]]) -> list[int]:
        """Seeds of those networks, given as (seed, step), that had diverged by then."""
        diverged = self.diverged()
        return sorted({s for s, step in networks if diverged.get(s, step) < step})

    @functools.lru_cache(maxsize=8)  # noqa: B019 - a handful of runs live as long as a study
    def _loaded(self, group: Trajectory, step: int) -> Variables:
        return group.load(step)

    def _stored(self) -> list[Trajectory]:
        """The groups on disk.

        A folder that was left while being made is none yet, and one that somebody put
        there under another name (a copy, say) is none of ours.
        """
        found = filter(trajectory.exists, sorted(self.folder.glob("seeds_*")))
        like = self.recipe.network.shapes
        groups = [trajectory.open(folder, like=like) for folder in found]
        return [g for g in groups if g.folder == self._group_folder(g.seeds)]

    def _check(self, seeds: tuple[int, ...]) -> tuple[int, ...]:
        """The steps to record for a group: those that it has if they are more.

        Of a group that is on disk and whole, none. Other networks there are refused.
        """
        folder, definition = self._group_folder(seeds), self._definition(seeds)
        if not trajectory.exists(folder):
            return self.steps
        stored = trajectory.open(folder)
        planned, alike = stored.planned, stored.config == definition
        ended = planned[-1] in stored.steps  # once, though some may be lost since
        if alike and ended and set(self.steps) <= set(planned):
            return planned if stored.to_do(self.spawn_at) else ()
        trajectory.check(folder, definition, seeds=seeds, steps=self.steps)
        return self.steps

    def _record(self, seeds: tuple[int, ...], at_once: int | None) -> None:
        steps = self._check(seeds)
        if not steps:
            return
        self.recipe.check_logits()
        self.origin.prepare(seeds)
        trainer = self.recipe.trainer(len(seeds), at_once=at_once)
        record(
            trainer,
            self._group_folder(seeds),
            self._definition(seeds),
            seeds=seeds,
            steps=steps,
            begin=functools.partial(self.origin.begin, trainer, seeds),
            resume_at=self.spawn_at,
            restart_at=self.recipe.restart_steps,
            masks=self.origin.masks(seeds),
            noise=self.origin.noise(seeds),
        )

    def _told(self, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
        """What each begins from, beyond what the recipe says; nothing of nothing."""
        told = [self.origin.identity(seed) for seed in seeds]
        return told if any(told) else []

    def _definition(self, seeds: tuple[int, ...]) -> dict[str, Any]:
        """Of a group, as it is kept beside it."""
        told = self._told(seeds)
        return {**self.recipe.definition, **({"start": told} if told else {})}

    def _group_folder(self, seeds: tuple[int, ...]) -> Path:
        name, told = f"seeds_{folders.ranges(seeds)}", self._told(seeds)
        alike = all(one == told[0] for one in told)
        if not (alike and self.origin.is_named):  # which seed has what is part of it
            name = f"{name}_{digest({'start': told})}"
        return self.folder / name


def _origin(recipe: Recipe, workdir: Path, record_at: Sequence[int]) -> Origin:
    """Where training begins as the recipe says."""
    copies, step = recipe.copies, recipe.first_step
    if not step:
        return Initialised(None if copies is None else copies.of)
    parents = dataclasses.replace(recipe, copies=None)
    runs = Runs(parents, workdir, sorted({step, *record_at}), (step,))
    return Copied(copies.of, run=runs, step=step)
