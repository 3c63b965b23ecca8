"""Alignments of a study's networks: found once, and kept on disk."""

import dataclasses
import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from linconn_jax import align, files, parallel, permutation
from linconn_jax.align import Alignment
from linconn_jax.study.vertices import AlignmentKey

if TYPE_CHECKING:
    from linconn_jax.study.study import Study


class Alignments:
    """Finds and keeps alignments, in the folder `permutations` of the workdir.

    A file is one of `Alignment.save`, named by the digest of its "key" as a unit is.
    """

    def __init__(self, study: "Study"):
        self._study = study
        self.folder = study.workdir / "permutations"

    def check(self, key: AlignmentKey) -> None:
        """Whether the method is known, takes so many networks and fits the model.

        Raises:
          ValueError: it does not.
        """
        method = align.method(key.method)
        if not method.joint and len(key.networks) != 2:
            raise ValueError(
                f"method {key.method!r} aligns two networks and is asked to align "
                f"{len(key.networks)}"
            )
        if method.check is not None:
            shapes = self._study.runs(self._width(key)).recipe.network.shapes
            method.check(self._context(self._width(key)), shapes, self._options(key))

    @functools.lru_cache(maxsize=256)  # noqa: B019 - lives as long as its process
    def get(self, key: AlignmentKey) -> Alignment:
        """The alignment, from disk or found and kept there.

        Raises:
          ValueError: unknown method, or a damaged file.
        """
        path = self.path(key)
        if parallel.same_everywhere(path.exists()):
            files.read_unit(path)  # refuses one of another key
            return Alignment.load(path, self._context(self._width(key)).spec)
        found = self.find(key)
        if parallel.is_main_process():  # the same bits whenever it is found
            kept = dataclasses.replace(found, seconds=math.nan)
            kept.save(path, key=self._named(key))
        return found

    def path(self, key: AlignmentKey) -> Path:
        """Where the alignment is kept."""
        return files.unit_path(self.folder, self._named(key))

    def has(self, key: AlignmentKey) -> bool:
        """Whether the alignment is on disk."""
        return self.path(key).exists()

    def find(self, key: AlignmentKey) -> Alignment:
        """The alignment, found anew and not kept."""
        random = jax.random.key(2)
        for network in key.networks[1:]:
            seed = network.columns(self._study)["seed"]
            random = jax.random.fold_in(random, seed)
        if key.draw:
            random = jax.random.fold_in(random, key.draw)
        networks = [network.variables(self._study) for network in key.networks]
        context = self._context(self._width(key))
        return align.method(key.method)(context, networks, random, self._options(key))

    def _named(self, key: AlignmentKey) -> files.Key:
        return {"alignment": key.identity(self._study)}

    def _options(self, key: AlignmentKey) -> Any:
        return self._study.settings.sections.get(key.method)

    def _width(self, key: AlignmentKey) -> int:
        return key.networks[0].columns(self._study)["width"]

    @functools.cache  # noqa: B019
    def _context(self, width: int) -> align.Context:
        recipe = self._study.runs(width).recipe
        return align.Context(
            spec=permutation.bind(recipe.network.spec, recipe.network.shapes),
            apply=recipe.network.apply,
            activations=recipe.network.activations,
            inputs=recipe.dataset.train.images,
            labels=recipe.dataset.train.labels,
            batch_size=self._study.settings.evaluate.batch_size,
        )
