"""Alignments of a study's networks: found once, and kept on disk."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from linconn_jax import align, files, parallel, permutation
from linconn_jax.align import Alignment
from linconn_jax.study.vertices import AlignmentKey
from linconn_jax.typing import Variables

if TYPE_CHECKING:
    from linconn_jax.study.study import Study


class Alignments:
    """Finds and keeps alignments, in the folder `permutations` of the workdir."""

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
            width = self._width(key)
            options = self._study.settings.sections.get(method.name)
            method.check(self._context(width), self._shapes(width), options)

    @functools.lru_cache(maxsize=256)  # noqa: B019 - lives as long as its process
    def get(self, key: AlignmentKey) -> Alignment:
        """The alignment, from disk or found and kept there.

        Raises:
          ValueError: unknown method, or a damaged file.
        """
        path = self.path(key)
        if parallel.same_everywhere(path.exists()):
            return self._read(files.read_unit(path), self._width(key))
        found = self.find(key)
        if parallel.is_main_process():
            files.write_unit(self.folder, self._named(key), _content(found))
        return found

    def path(self, key: AlignmentKey) -> Path:
        """Where the alignment is kept."""
        return files.unit_path(self.folder, self._named(key))

    def has(self, key: AlignmentKey) -> bool:
        """Whether the alignment is on disk."""
        return self.path(key).exists()

    def _named(self, key: AlignmentKey) -> files.Key:
        return {"alignment": key.identity(self._study)}

    def find(self, key: AlignmentKey) -> Alignment:
        """The alignment, found anew and not kept."""
        random = jax.random.key(2)
        for network in key.networks[1:]:
            seed = network.columns(self._study)["seed"]
            random = jax.random.fold_in(random, seed)
        method = align.method(key.method)
        return method(
            self._context(self._width(key)),
            [network.variables(self._study) for network in key.networks],
            random,
            self._study.settings.sections.get(method.name),
        )

    def _read(self, content: dict[str, Any], width: int) -> Alignment:
        spec, shapes = self._context(width).spec, self._shapes(width)
        return Alignment(
            spec=spec,
            permutations=tuple(
                permutation.from_indices(spec, shapes, indices)
                for indices in content["permutations"]
            ),
            history=tuple(content["history"]),
            **{name: content[name] for name in ("objective", "naive", "converged")},
        )

    def _width(self, key: AlignmentKey) -> int:
        return key.networks[0].columns(self._study)["width"]

    @functools.cache  # noqa: B019
    def _context(self, width: int) -> align.Context:
        recipe = self._study.runs(width).recipe
        return align.Context(
            spec=recipe.network.spec,
            apply=recipe.network.apply,
            activations=recipe.network.activations,
            inputs=recipe.dataset.train.images,
            labels=recipe.dataset.train.labels,
            batch_size=self._study.settings.evaluate.batch_size,
        )

    def _shapes(self, width: int) -> Variables:
        return self._study.runs(width).recipe.network.shapes


def _content(found: Alignment) -> dict[str, Any]:
    """An alignment as JSON: index arrays as lists, by axis name."""
    record = dataclasses.asdict(dataclasses.replace(found, spec=None, permutations=()))
    del record["spec"], record["seconds"]  # the same bits whenever it is found
    return record | {
        "permutations": [
            {name: np.asarray(index).tolist() for name, index in p.items()}
            for p in found.permutations
        ]
    }
