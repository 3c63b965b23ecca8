"""Trials: a random network is changed in some places, and its outputs are compared."""

import functools
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from linconn_jax.permutation._verify.occurrences import Move, Occurrence, moved
from linconn_jax.permutation._verify.probe import Arrays, Outputs, Probe, put
from linconn_jax.permutation._verify.random_inputs import is_inexact
from linconn_jax.permutation._verify.report import Count
from linconn_jax.typing import Int

SECONDS_BETWEEN_LINES = 5.0
NETWORKS = 3
"""A change that one random network does not show is looked for in so many."""


class Trials(Probe):
    """What is tried on one function and one spec.

    Args:
      *function: as of `Probe`.
      left: number of trials that may be made.
      seconds: how long they may take together, from `start` on.

    Attributes:
      names: permuted names with two units or more.
    """

    def __init__(self, *function: Any, left: int, seconds: float = math.inf):
        super().__init__(*function)
        self.left, self.budget = left, seconds
        self.stage, self.runs_before = "permuting all units", 0
        self.began = self.said = self.started = time.monotonic()
        self.names = [name for name in self.named if self.bound.sizes[name] > 1]
        self.network = functools.lru_cache(maxsize=NETWORKS)(self._network)
        self.whole = functools.lru_cache(maxsize=2 * NETWORKS)(self._whole)
        self.index = functools.cache(self._index)

    def start(self) -> None:
        """From now on the time is counted."""
        self.started, self.runs_before = time.monotonic(), self.runs

    def choose(
        self, what: str, items: Sequence, *, share: float = 1.0, runs: int = 2
    ) -> tuple[list, Count]:
        """As many items as there are trials and time for, a random choice if not all.

        Args:
          what: they are, in words.
          items: to be tried, one trial each.
          share: of the time that is left, for these.
          runs: of the function that one of them takes, about.
        """
        spent, runs_made = time.monotonic() - self.started, self.runs - self.runs_before
        a_run = spent / runs_made if runs_made else self.seconds
        time_for = share * max(self.budget - spent, 0.0) / (runs * max(a_run, 1e-9))
        most = min(self.left, max(int(min(time_for, self.left)), 1))
        chosen = list(items)
        if len(chosen) > most:
            kept = self.rng.permutation(len(chosen))[:most]
            chosen = [chosen[k] for k in sorted(kept)]
        self.left -= len(chosen)
        count = Count(len(chosen), len(items))
        self.stage = f"{what}, {count}"
        return chosen, count

    def run(self, arrays: Arrays) -> Outputs:
        """The outputs for these variables; now and then a line says how far it is."""
        outputs, now = super().run(arrays), time.monotonic()
        if now - self.said > SECONDS_BETWEEN_LINES:
            self.said = now
            sys.stderr.write(
                f"  verify: {self.stage}; {self.runs} runs, {now - self.began:.0f} s\n"
            )
            sys.stderr.flush()
        return outputs

    def change(self, arrays: Arrays, draw: int = 0) -> float:
        """How much a network's outputs change if these leaves replace its own."""
        network, outputs = self.network(draw)
        return self.distance(outputs, self.run(network | arrays))

    def noticed(self, arrays: Callable[[int], Arrays]) -> float | None:
        """The change of the first network that shows one; None if all show only rounding.

        `arrays(draw)` are the leaves that replace those of a network.
        """
        changes = (self.change(arrays(draw), draw) for draw in range(NETWORKS))
        tolerance = self.precision.tolerance
        return next((change for change in changes if change > tolerance), None)

    def changes(self, moves: Iterable[Move]) -> bool:
        """Whether moves change the outputs of any of some networks."""
        moves = list(moves)
        return self.noticed(lambda k: self.moved(moves, k)) is not None

    def idle(self, one: Occurrence) -> bool:
        """Whether the outputs do not depend on the values of an occurrence."""

        def redrawn(draw: int) -> Arrays:
            leaf = np.array(self.network(draw)[0][one.leaf])
            other = self.draw_leaf(one.leaf)
            for numbers, _ in one.entries:
                leaf.reshape(-1)[numbers] = other.reshape(-1)[numbers]
            return {one.leaf: leaf}

        return is_inexact(self.leaves[one.leaf]) and self.noticed(redrawn) is None

    def idle_leaves(self) -> list[int]:
        """Leaves that the outputs do not depend on, as far as they are tried."""
        real = [i for i in self.numbers if is_inexact(self.leaves[i])]
        chosen, _ = self.choose("leaves without effect", real, share=0.3)
        return [
            i
            for i in chosen
            if self.noticed(lambda _, i=i: {i: self.draw_leaf(i)}) is None
        ]

    def moved(self, moves: Iterable[Move], draw: int = 0) -> Arrays:
        """The leaves of a network that moves change."""
        return moved(self.network(draw)[0], moves)

    def move(self, one: Occurrence, name: str) -> Move:
        """Moves an occurrence by the permutation of a name, which need not be its own."""
        return one.move(self.index(name), self.bound.parents[name])

    def cycle(self, size: int) -> Int[np.ndarray, " size"]:
        """A random permutation that is one cycle: no unit stays."""
        order = self.rng.permutation(size)
        return np.roll(order, 1)[np.argsort(order)]

    def _network(self, draw: int) -> tuple[Arrays, Outputs]:
        """The variables of a random network for each number, and its outputs."""
        network = put(self.draw())
        return network, self.run(network)

    def _whole(self, name: str, draw: int) -> Arrays:
        """The leaves in which a name lies, with all its occurrences moved."""
        return put(self.moved((self.move(x, name) for x in self.named[name]), draw))

    def _index(self, name: str) -> Int[np.ndarray, "*parents units"]:
        """A permutation of each name: cycles and the identity by turns along parents."""
        *outer, size = self.bound.shape(name)
        index = np.tile(np.arange(size), (math.prod(outer), 1))
        for row in index[::2]:
            row[:] = self.cycle(size)
        return index.reshape(*outer, size)
