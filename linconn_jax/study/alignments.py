"""The permutations of one width's networks: found once, and kept on disk."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np

from linconn_jax import align, files, parallel, permutation
from linconn_jax.align import Alignment
from linconn_jax.permutation import Permutation
from linconn_jax.study.recipe import Settings
from linconn_jax.study.runs import Runs
from linconn_jax.study.vertices import METHODS, Fit, Vertex
from linconn_jax.typing import Variables


class Alignments:
    """Finds, keeps and applies permutations.

    Args:
      runs: the networks.
      folder: where permutations are kept.
      activation_matching: read point (`at`), `similarity` and number of `examples`.
      batch_size: images whose activations are held at once.
    """

    def __init__(
        self,
        runs: Runs,
        folder: Path,
        *,
        activation_matching: Settings,
        batch_size: int,
    ):
        self.runs, self.folder = runs, folder
        self._activation_matching = activation_matching
        self._batch_size = batch_size

    def check(self) -> None:
        """Tries the read point of activation matching, computing nothing.

        Raises:
          ValueError: the model has no activations there.
        """
        model = self.runs.recipe.network
        images = self.runs.recipe.dataset.train.images[:1]
        jax.eval_shape(
            self._activations, jax.eval_shape(model.init, jax.random.key(0)), images
        )

    def permuted(self, vertex: Vertex) -> Variables:
        """The variables of a vertex, permuted if it has a fit."""
        variables = self.runs.network(vertex.seed, vertex.step)
        if vertex.fit is None:
            return variables
        spec = self.runs.recipe.network.spec
        return permutation.permute(spec, self.permutation(vertex.fit), variables)

    @functools.lru_cache(maxsize=256)  # noqa: B019 - lives as long as its process
    def permutation(self, fit: Fit) -> Permutation:
        """The permutation of a fit, from disk or found and kept there.

        Raises:
          ValueError: unknown method, or a damaged file.
        """
        key = {
            **self.runs.recipe.columns,
            "fit": dataclasses.asdict(fit),
            **self.options(fit),
        }
        path = files.unit_path(self.folder, key)
        if parallel.same_everywhere(path.exists()):
            content = files.read_unit(path)
        else:
            content = _content(self._align(fit))
            if parallel.is_main_process():
                files.write_unit(self.folder, key, content)
        model = self.runs.recipe.network
        shapes = jax.eval_shape(model.init, jax.random.key(0))
        return permutation.from_indices(model.spec, shapes, content["permutation"])

    def options(self, fit: Fit) -> Settings:
        """What a fit's permutation depends on beside method, networks and step."""
        used = fit.method == "activation_matching"
        return self._activation_matching if used else {}

    def identity(self, one: Fit | Vertex) -> Settings:
        """JSON-able key of a fit or a vertex."""
        fit = one if isinstance(one, Fit) else one.fit
        return dataclasses.asdict(one) | (self.options(fit) if fit else {})

    def _align(self, fit: Fit) -> Alignment:
        model = self.runs.recipe.network
        other = self.runs.network(fit.other, fit.step)
        key = jax.random.fold_in(jax.random.key(2), fit.other)
        if fit.method == "random":
            drawn = permutation.random(key, model.spec, other)
            nothing = float("nan")
            return Alignment(drawn, nothing, nothing, sweeps=0, converged=True)
        reference = self.runs.network(fit.reference, fit.step)
        if fit.method == "weight_matching":
            return align.weight_matching(model.spec, reference, other, key=key)
        if fit.method == "activation_matching":
            options = self._activation_matching
            return align.activation_matching(
                model.spec,
                self._activations,
                reference,
                other,
                self.runs.recipe.dataset.train.images[: options["examples"]],
                similarity=options["similarity"],
                batch_size=self._batch_size,
            )
        raise ValueError(f"method={fit.method!r}; it must be one of {METHODS[1:]}")

    @functools.cached_property
    def _activations(self) -> Any:
        """One function object for all fits, so that its program is compiled once."""
        at = self._activation_matching["at"]
        return functools.partial(self.runs.recipe.network.activations, at=at)


def _content(found: Alignment) -> Settings:
    """An alignment as JSON: index arrays as lists, by axis name."""
    return {
        "permutation": {
            n: np.asarray(p).tolist() for n, p in found.permutation.items()
        },
        "objective": found.objective,
        "naive": found.naive,
        "sweeps": found.sweeps,
        "converged": found.converged,
    }
