"""Sequences of pruned networks of seconds: MLPs of width 3, three levels, three seeds."""

import dataclasses

import jax
import numpy as np
import synthetic_study

from linconn_jax import prune, trajectory
from linconn_jax.study import Study
from linconn_jax.study.pruned import Pruned

REWIND, LAST = 4, 8  # two epochs of four steps; back to the end of the first
SEEDS, LEVELS = (0, 1, 4), 3


def make(workdir, seeds=SEEDS, **changes):
    changes = {
        "train__restart_epochs": (1,),
        "checkpoints__steps": (2,),
        "pruning__fraction": 0.3,
        "pairs": None,
        "simultaneous__pairs": (),
        "strong__simplices": (),
    } | changes
    return Study(synthetic_study.settings(seeds=seeds, **changes), workdir)


def level(study, number, **changes):
    start = Pruned.at(number, study.settings.pruning)
    return start and dataclasses.replace(start, **changes)


def imp(study, levels=LEVELS, seeds=None, **changes):
    """Trains level after level, and returns all of them, level 0 the first."""
    study.train()
    runs = [study.runs(3, level(study, i, **changes)) for i in range(levels + 1)]
    runs[-1].ensure(seeds or study.seeds)
    for each in runs[:-1]:
        each.ensure(seeds or study.seeds)  # only looks: they were trained on the way
    return runs


def mask(study, number, seed, **changes):
    if number == 0:
        return prune.dense(study.runs(3).recipe.network.shapes)
    return study.masks.get(level(study, number, **changes).mask(study, 3, seed))


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def networks(workdir):
    """Every checkpoint of every trajectory, and what the last is gone on from."""
    found = {}
    for folder in sorted((workdir / "trajectories").glob("*/seeds_*")):
        run = trajectory.open(folder)
        assert run.complete
        for step in run.steps:
            found[folder.relative_to(workdir), step] = run.load(step)
    return found
