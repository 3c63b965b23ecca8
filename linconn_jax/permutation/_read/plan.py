"""What is read of a program: values, and the parts of them that are units of a name."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping

import jax.numpy as jnp
from jax.extend import core, source_info_util

from linconn_jax.permutation._read.graph import Graph
from linconn_jax.permutation._read.places import Places
from linconn_jax.permutation._read.programs import evaluate
from linconn_jax.permutation._read.units import Taking, takings
from linconn_jax.permutation.spec import BoundSpec
from linconn_jax.typing import Array

READS = ("linear", "norm", "relu", "all")
"""Where activations are read; `places` says what each means."""


@dataclasses.dataclass(frozen=True)
class Read:
    """What is read of a name.

    Attributes:
      chain: the name under its parents, those of one unit left out.
      shape: `[*parents, units]`.
      values: variables of the program, and what is taken of each.
    """

    chain: tuple[str, ...]
    shape: tuple[int, ...]
    values: dict[core.Var, list[Taking]]


@dataclasses.dataclass(frozen=True)
class Plan:
    """A program written out, and what is read of it by name."""

    program: core.ClosedJaxpr
    reads: dict[str, Read]

    def __call__(self, arrays: list[Array]) -> dict[str, Array]:
        wanted = {var for read in self.reads.values() for var in read.values}
        values = evaluate(self.program, arrays, wanted)
        return {name: self._samples(read, values) for name, read in self.reads.items()}

    def _samples(self, read: Read, values: Mapping[core.Var, Array]) -> Array:
        pieces = [
            taking.of(values[var], read.chain).reshape(-1, *read.shape)
            for var, each in read.values.items()
            for taking in each
        ]
        if not pieces:  # one unit, which no axis of the program stands for
            return jnp.zeros((1, *read.shape))
        return pieces[0] if len(pieces) == 1 else jnp.concatenate(pieces)


def plan(
    program: core.ClosedJaxpr, graph: Graph, bound: BoundSpec, at: str
) -> tuple[Plan, dict[str, str]]:
    """What is read of each name that no other lies under, and why others are not."""
    found = Places(graph).find(at)
    above = {parent for each in bound.parents.values() for parent in each}
    reads, missing = {}, {}
    for name in sorted(bound.parents.keys() - above):
        full = (*bound.parents[name], name)
        chain = tuple(graph.values.known_as(x) for x in full if bound.sizes[x] != 1)
        last = chain[-1] if chain else None
        taken = _alone(
            {
                var: list(_takings(graph, var, chain, bound))
                for var in found.get(last, ())
                if var not in graph.hidden
            }
        )
        if chain and not taken:
            missing[name] = _why(graph, last, found, at)
        reads[name] = Read(chain, bound.shape(name), taken)
    return Plan(program, reads), missing


def _takings(
    graph: Graph, var: core.Var, chain: tuple[str, ...], bound: BoundSpec
) -> Iterator[Taking]:
    """What is taken of a value, whose loops' rounds are axes in front."""
    loops = [(eqn.params, graph.rounds(eqn)) for eqn in graph.loops[var]]
    ranges = [
        range(n)[:: -1 if p["reverse"] else 1] if n > 1 else [slice(None)]
        for p, n in loops
    ]
    rounds = zip(itertools.product(*ranges), graph.values.labels(var), strict=True)
    for place, labels in rounds:
        both = zip(place, loops, strict=True)
        whole = [p["length"] for x, (p, _) in both if isinstance(x, slice)]
        labels, shape = (*(None for _ in whole), *labels), (*whole, *var.aval.shape)
        yield from takings(bound, chain, place, labels, shape)


def _alone(found: dict[core.Var, list[Taking]]) -> dict[core.Var, list[Taking]]:
    """Where the units stand without those of other names, or if nowhere, all."""
    alone = {var: [x for x in each if not x.others] for var, each in found.items()}
    chosen = alone if any(alone.values()) else found
    return {var: each for var, each in chosen.items() if each}


def _why(
    graph: Graph,
    name: str,
    found: Mapping[str, list[core.Var]],
    at: str,
) -> str:
    """What stands against reading a name."""
    if name in graph.values.split:
        return (
            "it takes the units apart (as by a reshape), so that no value has them along "
            "an axis: check the spec with permutation.verify"
        )
    hidden = [x for x in found.get(name, ()) if x in graph.hidden]
    if hidden:
        where = source_info_util.summarize(graph.maker[hidden[0]].source_info)
        return (
            "they are computed within a branch or a loop without a fixed number of "
            f"rounds, at {where}"
        )
    if at == "norm" and not found:
        return 'it has no norm layers; read at="linear" or at="relu"'
    if found.get(name):
        return "no value has the units once for each unit of the names they lie under"
    held = any(name in graph.values.names(x) for x in graph.maker if x in graph.moving)
    if not held:
        return "no value that depends on the inputs has them"
    return "they are at no such place; read somewhere else, at=" + " or at=".join(
        f'"{x}"' for x in READS if x != at
    )
