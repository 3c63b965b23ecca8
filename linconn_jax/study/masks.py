"""Masks of a study's networks: found once, and kept on disk, packed."""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from linconn_jax import files, parallel, prune
from linconn_jax.typing import PyTree

if TYPE_CHECKING:
    from linconn_jax.study.starts import Start
    from linconn_jax.study.study import Study
    from linconn_jax.study.vertices import Network

Columns = dict[str, Any]


@runtime_checkable
class MaskKey(Protocol):
    """What a mask is, known before it is found; hashable."""

    @property
    def width(self) -> int:
        """Of the networks that it fits."""
        ...

    def identity(self, study: "Study") -> Columns:
        """JSON-able; defines the mask completely."""
        ...

    def sources(self, study: "Study") -> "tuple[Network, ...]":
        """The networks in which it is found, and by which it is moved."""
        ...

    def find(self, study: "Study") -> PyTree:
        """The mask: bools in the structure of the variables, False where pruned."""
        ...


@dataclasses.dataclass(frozen=True)
class Smallest:
    """What is left of a trained network's weights without the smallest of them.

    Attributes:
      width: of the network.
      seed: of the network.
      start: of the network, whose own mask, if it has one, goes on; None: it is dense.
      fraction: of what is left, to be removed.
      scope: "global", or "layer".
      exclude: patterns of the paths of kernels that are not pruned.
    """

    width: int
    seed: int
    start: "Start | None"
    fraction: float
    scope: str
    exclude: tuple[str, ...]

    def sources(self, study: "Study") -> "tuple[Network, ...]":
        """The network at the end of training."""
        return (study.network(self.width, self.seed, start=self.start),)

    def identity(self, study: "Study") -> Columns:
        """The network at the end of training, and the rule."""
        (network,) = self.sources(study)
        return {
            "network": network.identity(study),
            "smallest": {
                "fraction": self.fraction,
                "scope": self.scope,
                "exclude": list(self.exclude),
            },
        }

    def find(self, study: "Study") -> PyTree:
        """By the network's weights as they are on disk."""
        (network,) = self.sources(study)
        variables = network.variables(study)
        mask = prune.dense(variables)
        if self.start is not None:
            mask = study.masks.get(self.start.mask(study, self.width, self.seed))
        return prune.magnitude(
            variables, mask, self.fraction, scope=self.scope, exclude=self.exclude
        )


class Masks:
    """Finds and keeps masks, in the folder `masks` of the workdir."""

    def __init__(self, study: "Study"):
        self._study = study
        self.folder = study.workdir / "masks"

    @functools.lru_cache(maxsize=16)  # noqa: B019 - lives as long as its process
    def get(self, key: MaskKey) -> PyTree:
        """The mask, from disk or found and kept there.

        Raises:
          ValueError: a damaged file.
        """
        named = {"mask": key.identity(self._study)}
        path = files.unit_path(self.folder, named)
        if parallel.same_everywhere(path.exists()):
            return prune.load(path, self._like(key), is_unit=True)
        found = key.find(self._study)
        if parallel.is_main_process():  # the same bits whenever it is found
            prune.save(path, found, key=named)
        return found

    def _like(self, key: MaskKey) -> PyTree:
        return self._study.runs(key.width).recipe.network.shapes
