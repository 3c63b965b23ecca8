"""Trials: a random network is changed at some occurrences, and its outputs are compared."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from linconn_jax.permutation._verify.occurrences import (
    Move,
    Occurrence,
    all_occurrences,
    moved,
)
from linconn_jax.permutation._verify.probe import Arrays, Outputs, Probe, put
from linconn_jax.permutation._verify.random_inputs import is_inexact
from linconn_jax.permutation.spec import BoundSpec
from linconn_jax.typing import Int

NETWORKS = 3
"""A change that one random network does not show is looked for in so many."""


@dataclasses.dataclass(frozen=True)
class Count:
    """How many trials of a kind were made, of how many that there are."""

    tried: int
    of: int

    @property
    def whole(self) -> bool:
        """Whether all were made."""
        return self.tried == self.of

    def __str__(self) -> str:
        return f"{self.tried} of {self.of}"


class Network(NamedTuple):
    """The variables of one random network, and its outputs."""

    host: Arrays
    device: Arrays
    outputs: Outputs


class Trials:
    """What is tried on one function and one spec.

    Args:
      probe: the function.
      bound: the spec and its sizes.
      most: number of trials after which no more are made.

    Attributes:
      occurrences: all of them.
      named: those of each permuted name.
      names: permuted names with two units or more.
      left: number of trials that may still be made.
    """

    def __init__(self, probe: Probe, bound: BoundSpec, most: int):
        self.probe, self.bound, self.left = probe, bound, most
        self.occurrences = all_occurrences(probe, bound)
        self.named = {
            name: [x for x in self.occurrences if x.name == name]
            for name in bound.parents
        }
        self.names = [name for name in bound.parents if bound.sizes[name] > 1]
        self.network = functools.lru_cache(maxsize=NETWORKS)(self._network)
        self.whole = functools.lru_cache(maxsize=2 * NETWORKS)(self._whole)
        self.index = functools.lru_cache(maxsize=None)(self._index)

    def choose(self, items: Sequence) -> tuple[list, Count]:
        """As many items as there are trials left for, a random choice if not all."""
        chosen = list(items)
        if len(chosen) > self.left:
            kept = self.probe.rng.permutation(len(chosen))[: self.left]
            chosen = [chosen[k] for k in sorted(kept)]
        self.left -= len(chosen)
        return chosen, Count(len(chosen), len(items))

    def change(self, *arrays: Arrays, draw: int = 0) -> float:
        """How much a network's outputs change if these leaves replace its own."""
        network = self.network(draw)
        outputs = self.probe.run(network.device, *arrays)
        return self.probe.distance(network.outputs, outputs)

    def noticed(self, arrays: Callable[[int], Sequence[Arrays]]) -> float | None:
        """The change of the outputs of the first random network that shows one.

        None if no network shows more than rounding. `arrays(draw)` are the leaves.
        """
        for draw in range(NETWORKS):
            change = self.change(*arrays(draw), draw=draw)
            if change > self.probe.precision.tolerance:
                return change
        return None

    def changes(self, moves: Iterable[Move]) -> bool:
        """Whether moves change the outputs of any of some networks."""
        moves = list(moves)
        return self.noticed(lambda k: [self.moved(moves, k)]) is not None

    def idle(self, occurrence: Occurrence) -> bool:
        """Whether the outputs do not depend on the values of an occurrence."""

        def redrawn(draw: int) -> list[Arrays]:
            leaf = self.network(draw).host[occurrence.leaf].copy()
            other = self.probe.draw_leaf(occurrence.leaf)
            for entries, _ in occurrence.pieces:
                leaf.reshape(-1)[entries] = other.reshape(-1)[entries]
            return [{occurrence.leaf: leaf}]

        if not is_inexact(self.probe.leaves[occurrence.leaf]):
            return False
        return self.noticed(redrawn) is None

    def idle_leaves(self) -> dict[int, str]:
        """Paths of leaves that the outputs do not depend on, as far as they are tried."""
        probe = self.probe
        numbers = [i for i in probe.numbers if is_inexact(probe.leaves[i])]
        return {
            i: probe.paths[i]
            for i in self.choose(numbers)[0]
            if self.noticed(lambda k, i=i: [{i: probe.draw_leaf(i)}]) is None
        }

    def moved(self, moves: Iterable[Move], draw: int = 0) -> Arrays:
        """The leaves of a network that moves change."""
        return moved(self.network(draw).host, moves)

    def move(self, occurrence: Occurrence, name: str) -> Move:
        """Moves an occurrence by the permutation of a name, which need not be its own."""
        return occurrence.move(self.index(name), self.bound.parents[name])

    def cycle(self, size: int) -> Int[np.ndarray, " size"]:
        """A random permutation that is one cycle: no unit stays."""
        order = self.probe.rng.permutation(size)
        index = np.empty(size, int)
        index[order] = np.roll(order, 1)
        return index

    def _network(self, draw: int) -> Network:
        """A random network for each number."""
        host = self.probe.draw()
        device = put(host)
        return Network(host, device, self.probe.run(device))

    def _whole(self, name: str, draw: int) -> Arrays:
        """The leaves in which a name lies, with all its occurrences moved."""
        return put(self.moved((self.move(x, name) for x in self.named[name]), draw))

    def _index(self, name: str) -> Int[np.ndarray, "*parents units"]:
        """A permutation of each name: cycles and the identity by turns along parents."""
        *outer, size = self.bound.shape(name)
        rows = [
            np.arange(size) if k % 2 else self.cycle(size)
            for k in range(math.prod(outer))
        ]
        return np.stack(rows).reshape(*outer, size)
