"""Trials: a random network is changed at some sites, and its outputs are compared."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from linconn_jax.permutation._verify.draws import is_inexact, is_key
from linconn_jax.permutation._verify.outputs import Outputs
from linconn_jax.permutation._verify.probe import Leaves, Probe, put
from linconn_jax.permutation._verify.sites import Move, Parent, Site, moved, sites_of
from linconn_jax.permutation.spec import BoundSpec
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

    def __init__(self, probe: Probe, layout: BoundSpec, most: int):
        self.probe, self.layout, self.left = probe, layout, most
        self.sites = all_sites(probe, layout)
        self.names = [name for name in layout.parents if layout.sizes[name] > 1]
        self.network = functools.lru_cache(maxsize=DRAWS)(self._network)
        self.whole = functools.lru_cache(maxsize=2 * DRAWS)(self._whole)
        self.index = functools.lru_cache(maxsize=None)(self._index)

    def named(self, name: str) -> list[Site]:
        """The sites of a permuted name."""
        return [site for site in self.sites if site.name == name]

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
        outputs = self.probe.run(network.device, *changed)
        return self.probe.distance(network.outputs, outputs)

    def noticed(self, changed: Callable[[int], Sequence[Leaves]]) -> float | None:
        """The change of the outputs of the first random network that shows it.

        None if none of them shows more than rounding. `changed(draw)` are the leaves.
        """
        for draw in range(DRAWS):
            change = self.change(*changed(draw), draw=draw)
            if change > self.probe.precision.tolerance:
                return change
        return None

    def changes(self, moves: Iterable[Move]) -> bool:
        """Whether moves change the outputs of any of some networks."""
        moves = list(moves)
        return self.noticed(lambda k: [self.moved(moves, k)]) is not None

    def moved(self, moves: Iterable[Move], draw: int = 0) -> Leaves:
        """The leaves of a network that moves change."""
        return moved(self.network(draw).host, moves)

    def idle(self, site: Site) -> bool:
        """Whether the outputs do not depend on the values at a site."""
        if not is_inexact(self.probe.leaves[site.leaf]):
            return False
        return self.noticed(lambda k: [self._redrawn(site, k)]) is None

    def idle_leaves(self) -> dict[int, str]:
        """Paths of leaves that the outputs do not depend on, as far as they are tried."""
        probe = self.probe
        numbers = [i for i in probe.numbers if is_inexact(probe.leaves[i])]
        return {
            i: probe.paths[i]
            for i in self.choose(numbers)[0]
            if self.noticed(lambda k, i=i: [{i: probe.draw_leaf(i)}]) is None
        }

    def move(self, site: Site, name: str) -> Move:
        """The move of a site by the permutation of a name (not always its own).

        It is the same for all sites, and has no fixed points in every other parent.
        """
        return site.move(self.index(name), self.layout.parents[name])

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
        return put(self.moved((self.move(x, name) for x in self.named(name)), draw))

    def _index(self, name: str) -> Int[np.ndarray, "..."]:
        """Cycles and the identity by turns along the parents."""
        *outer, size = self.layout.shape(name)
        rows = [
            np.arange(size) if k % 2 else self.cycle(size)
            for k in range(math.prod(outer))
        ]
        return np.stack(rows).reshape(*outer, size)

    def _redrawn(self, site: Site, draw: int) -> Leaves:
        """The leaf of a site with other random values there."""
        leaf = self.network(draw).host[site.leaf].copy()
        other = self.probe.draw_leaf(site.leaf)
        for at in site.places():
            leaf.reshape(-1)[at] = other.reshape(-1)[at]
        return {site.leaf: leaf}


def all_sites(probe: Probe, layout: BoundSpec) -> list[Site]:
    """The sites of all leaves whose values can be moved about: not of random keys."""
    found: list[Site] = []
    for i in probe.numbers:
        if not is_key(probe.leaves[i]):
            shape = tuple(probe.leaves[i].shape)
            found += sites_of(i, probe.paths[i], shape, probe.axes[i], layout.sizes)
    return found
