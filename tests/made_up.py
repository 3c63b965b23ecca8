"""A study whose networks, permutations and rows are random numbers: nothing is trained.

Keys are those of a real study, so whatever is made of rows can be looked at in a moment.
"""

import jax
import numpy as np

from linconn_jax import interpolate, permutation, prune
from linconn_jax.align import Alignment
from linconn_jax.files import digest
from linconn_jax.study import Network, Training, alignments, masks, singles, tasks


def number(*identity):
    """A seed that is the same for the same identity."""
    return int(digest({"of": list(identity)}), 16) % 2**32


def variables(network, study):
    """Of a network: normal numbers."""
    drawn = np.random.default_rng(number(network.identity(study)))
    shapes = study.runs(network.width, network.start).recipe.network.shapes
    return jax.tree.map(
        lambda x: drawn.standard_normal(x.shape).astype(x.dtype), shapes
    )


def alignment(self, key):
    """Random permutations, of a reference the identity."""
    spec = self._context(self._width(key)).spec
    shapes = self._study.runs(self._width(key)).recipe.network.shapes
    seed = number(key.identity(self._study))
    found = [
        permutation.random(jax.random.key(seed + i), spec, shapes)
        for i in range(len(key.networks))
    ]
    first = permutation.compose(found[0], permutation.inverse(found[0]))
    return Alignment(spec, (first, *found[1:]), 2.0, 1.0, (2.0,))


def evaluated(vertices, coords, study):
    """Losses and errors that are larger between vertices; the ends have small ones."""
    found = {}
    for split in study.splits:
        drawn = np.random.default_rng(
            number(split, [vertex.identity(study) for vertex in vertices])
        )
        inside = 1 - np.asarray(coords).max(axis=1)
        shape = (len(coords),)
        loss = 0.01 + inside * drawn.uniform(0.1, 1, shape)
        found[split] = interpolate.Evaluation(loss, loss / 10, 100)
    return found


def mask(self, key):
    """A random one, of half of the prunable weights."""
    like = self._like(key)
    whole = prune.dense(like)
    drawn = np.random.default_rng(number(key.identity(self._study)))
    weights = jax.tree.map(
        lambda x: drawn.standard_normal(x.shape).astype(x.dtype), like
    )
    return prune.magnitude(weights, whole, 0.5)


def patch(monkeypatch):
    """From now on studies make up what they would compute."""
    monkeypatch.setattr(Network, "variables", variables)
    monkeypatch.setattr(alignments.Alignments, "get", alignment)
    monkeypatch.setattr(masks.Masks, "get", mask)
    for module in (tasks, singles):
        monkeypatch.setattr(module, "evaluated", evaluated)
    monkeypatch.setattr(Training, "rows", lambda self, study: [])


def run(study, experiment):
    """Stores the rows of an experiment and the list of them."""
    found = experiment.tasks(study)
    keys = [task.key(study) for task in found]
    final = {width: study.steps(width)[-1] for width in study.widths}
    study.results.request(experiment.name, keys, guessing=0.9, final=final)
    for task in found:
        study.measure(task)
