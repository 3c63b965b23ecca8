"""Activations of networks that several alignments compare, read once."""

import dataclasses
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax

from linconn_jax.align import _moments
from linconn_jax.align._moments import Moments
from linconn_jax.typing import Array, Variables

AT_ONCE = 12
"""Networks that one program reads: it grows, and compiles longer, with each."""
KEPT = 4
"""Sets of networks whose sums are kept at a time."""

Group = tuple[int, ...]


def sets(groups: Sequence[Group]) -> list[Group]:
    """Of each group the networks that it hangs together with by way of other groups.

    Groups of a set of more than `AT_ONCE` networks are by themselves.
    """
    joined: list[set[int]] = []
    for group in groups:
        meet = [x for x in joined if not x.isdisjoint(group)]
        joined = [x for x in joined if x.isdisjoint(group)]
        joined.append(set(group).union(*meet))
    of = {i: tuple(sorted(x)) for x in joined for i in x}
    found = (of[group[0]] for group in groups)
    return [
        x if len(x) <= AT_ONCE else tuple(sorted({*group}))
        for x, group in zip(found, groups, strict=True)
    ]


class Shared:
    """Reads activations as `read` does, and knows their sums for whole sets of networks.

    Args:
      read: `(variables, inputs) -> {axis name: [samples, ...]}`.
      networks: by number.
      groups: numbers of networks that are compared with each other.
      inputs: those that alignments look at, by how many they are.

    Networks and inputs are known by what they are, not by their values; of others the
    activations are read each time.
    """

    def __init__(
        self,
        read: Callable[[Variables, Array], dict[str, Array]],
        networks: dict[int, Variables],
        groups: Sequence[Group],
        inputs: dict[int, Array],
    ):
        self.read, self.networks, self.inputs = read, networks, inputs
        self._number = {id(x): i for i, x in networks.items()}
        pairs: dict[Group, set[tuple[int, int]]] = {}
        self._set: dict[frozenset[int], Group] = {}
        for group, whole in zip(groups, sets(groups), strict=True):
            self._set[frozenset(group)] = whole
            pairs.setdefault(whole, set()).update(_pairs(group))
        for whole, some in pairs.items():
            for pair in some:
                self._set.setdefault(frozenset(pair), whole)
        self._pairs = {whole: sorted(some) for whole, some in pairs.items()}
        self._found: dict[Any, tuple[Any, dict[str, Moments]]] = {}
        self._lock = threading.Lock()

    def __call__(self, variables: Variables, inputs: Array) -> dict[str, Array]:
        """The activations."""
        return self.read(variables, inputs)

    def moments(
        self, networks: Sequence[Variables], inputs: Array, batch_size: int
    ) -> tuple[Any, dict[str, Moments]]:
        """Shapes of the activations, and moments of some of the networks."""
        chosen = [self._number.get(id(x), -1) for x in networks]
        whole = self._set.get(frozenset(chosen))
        if whole is None or self.inputs.get(len(inputs)) is not inputs:
            shapes = jax.eval_shape(self.read, networks[0], inputs[:batch_size])
            return shapes, _moments.moments(networks, inputs, self.read, batch_size)
        with self._lock:
            key = whole, len(inputs), batch_size
            if key not in self._found:
                self._found[key] = self._read(whole, inputs, batch_size)
                for old in list(self._found)[:-KEPT]:
                    del self._found[old]
            shapes, found = self._found[key]
        places = [whole.index(i) for i in chosen]
        return shapes, {name: _of(one, places) for name, one in found.items()}

    def _read(
        self, whole: Group, inputs: Array, batch_size: int
    ) -> tuple[Any, dict[str, Moments]]:
        networks = [self.networks[i] for i in whole]
        shapes = jax.eval_shape(self.read, networks[0], inputs[:batch_size])
        pairs = [(whole.index(i), whole.index(j)) for i, j in self._pairs[whole]]
        return shapes, _moments.moments(
            networks, inputs, self.read, batch_size, tuple(pairs)
        )


def _pairs(group: Group) -> list[tuple[int, int]]:
    return [_ordered(i, j) for i, j in itertools.combinations(group, 2)]


def _ordered(i: int, j: int) -> tuple[int, int]:
    return min(i, j), max(i, j)


def _of(moments: Moments, places: Sequence[int]) -> Moments:
    """Those of the networks in some places, in their order."""
    products = {}
    for (i, a), (j, b) in itertools.combinations(enumerate(places), 2):
        product = moments.products[_ordered(a, b)]
        products[i, j] = product if a < b else product.T
    return dataclasses.replace(
        moments,
        sums=tuple(moments.sums[x] for x in places),
        squares=tuple(moments.squares[x] for x in places),
        products=products,
        frames=tuple(moments.frames[x] for x in places),
    )
