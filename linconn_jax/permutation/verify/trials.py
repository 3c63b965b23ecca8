"""Trials: a random network is changed at some sites, and its outputs are compared."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from linconn_jax.permutation.spec import Layout
from linconn_jax.permutation.verify.draws import is_inexact
from linconn_jax.permutation.verify.outputs import Outputs
from linconn_jax.permutation.verify.probe import Leaves, Probe, put
from linconn_jax.permutation.verify.sites import Move, Parent, Site, Sites
from linconn_jax.typing import Int

DRAWS = 3
"""A change that one random network does not show is looked for in so many."""


@dataclasses.dataclass(frozen=True)
class Count:
    """How many trials of a kind were made of how many that there are."""

    tried: int
    of: int

    @property
    def whole(self) -> bool:
        """Whether all were made."""
        return self.tried == self.of

    def __str__(self) -> str:
        return f"{self.tried} of {self.of}"


@dataclasses.dataclass(frozen=True)
class Network:
    """One random network, and its outputs."""

    host: Leaves
    device: Leaves
    outputs: Outputs


class Trials:
    """What is tried on one function and one spec.

    Args:
      probe: the function.
      layout: of the spec.
      most: number of trials after which no more are made.
    """

    def __init__(self, probe: Probe, layout: Layout, most: int):
        self.probe, self.layout, self.left = probe, layout, most
        shapes = [_shape(leaf) if i in probe.numbers else None
                  for i, leaf in enumerate(probe.leaves)]  # fmt: skip
        entries = list(zip(probe.paths, shapes, probe.axes, strict=True))
        self.sites = Sites(entries, layout.sizes)
        self.names = [name for name in layout.parents if layout.sizes[name] > 1]
        self.network = functools.lru_cache(maxsize=DRAWS)(self._network)
        self.whole = functools.lru_cache(maxsize=2 * DRAWS)(self._whole)
        self.index = functools.lru_cache(maxsize=None)(self._index)

    def choose(self, items: Sequence) -> tuple[list, Count]:
        """As many items as there are trials left for, a random choice if not all."""
        chosen = list(items)
        if len(chosen) > self.left:
            kept = self.probe.rng.permutation(len(chosen))[: self.left]
            chosen = [chosen[k] for k in sorted(kept)]
        self.left -= len(chosen)
        return chosen, Count(len(chosen), len(items))

    def change(self, *changed: Leaves, draw: int = 0) -> float:
        """How much these leaves in the place of the network's change its outputs."""
        network = self.network(draw)
        return network.outputs.distance(self.probe.run(network.device, *changed))

    def same(self, one: Leaves, changed: Leaves) -> bool:
        """Whether `changed` makes no difference to a network with the leaves of `one`."""
        base = (self.network(0).device, one)
        before, after = self.probe.run(*base), self.probe.run(*base, changed)
        return before.distance(after) <= self.probe.precision.tolerance

    def changes(self, moves: Iterable[Move]) -> bool:
        """Whether moves change the outputs of any of some networks."""
        moves = list(moves)
        return any(
            self.change(self.sites.moved(self.network(k).host, moves), draw=k)
            > self.probe.precision.tolerance
            for k in range(DRAWS)
        )

    def idle(self, site: Site) -> bool:
        """Whether the outputs do not depend on the values at a site."""
        if not is_inexact(self.probe.leaves[site.leaf]):
            return False
        for draw in range(DRAWS):
            other = self.probe.draw_leaf(site.leaf)
            leaf = self.network(draw).host[site.leaf]
            changed = {site.leaf: self.sites.redrawn(site, leaf, other)}
            if self.change(changed, draw=draw) > self.probe.precision.tolerance:
                return False
        return True

    def moves(self, name: str) -> list[Move]:
        """Moves of all sites of a name by one fixed permutation without fixed points."""
        return [self.move(site, name) for site in self.sites.named(name)]

    def move(self, site: Site, name: str) -> Move:
        """The move of a site by the permutation of a name (not always its own)."""
        return Move(site, self.index(name), self.layout.parents[name])

    def cycle(self, size: int) -> Int[np.ndarray, " size"]:
        """A random permutation that is one cycle."""
        order = self.probe.rng.permutation(size)
        index = np.empty(size, int)
        index[order] = np.roll(order, 1)
        return index

    def length(self, parent: Parent) -> int:
        """Length of a parent: of a name its size."""
        return parent if isinstance(parent, int) else self.layout.sizes[parent]

    def _network(self, draw: int) -> Network:
        host = self.probe.draw()
        device = put(host)
        return Network(host, device, self.probe.run(device))

    def _whole(self, name: str, draw: int) -> Leaves:
        """The leaves in which a name lies, with all its sites moved."""
        host = self.network(draw).host
        return put(self.sites.moved(host, self.moves(name)))

    def _index(self, name: str) -> Int[np.ndarray, "..."]:
        """Cycles and the identity by turns along the parents."""
        *outer, size = self.layout.shape(name)
        rows = [
            np.arange(size) if k % 2 else self.cycle(size)
            for k in range(int(np.prod(outer, dtype=int)))
        ]
        return np.stack(rows).reshape(*outer, size)


def _shape(leaf: Any) -> tuple[int, ...] | None:
    """The shape of an array whose values can be moved about; None for random keys."""
    if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return None
    return tuple(leaf.shape)
