"""What is read of a traced program, and how it becomes samples of units."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core, source_info_util

from linconn_jax.permutation._read.graph import Graph
from linconn_jax.permutation._read.named import NamedValues
from linconn_jax.permutation._read.places import Places
from linconn_jax.permutation._read.programs import evaluate, traced
from linconn_jax.permutation._read.units import Taking, takings
from linconn_jax.permutation.spec import BoundSpec
from linconn_jax.typing import Array, PyTree

READS = ("linear", "norm", "relu", "all")
"""Where activations are read; `places` says what each means."""


class Kept:
    """A leaf that is no array; it need not be hashable."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Kept) or type(self.value) is not type(other.value):
            return False
        return self.value is other.value or bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(type(self.value))


@dataclasses.dataclass(frozen=True)
class _Read:
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
    reads: dict[str, _Read]

    def __call__(self, arrays: list[Array]) -> dict[str, Array]:
        wanted = {var for read in self.reads.values() for var in read.values}
        values = evaluate(self.program, arrays, wanted)
        return {name: self._samples(read, values) for name, read in self.reads.items()}

    def _samples(self, read: _Read, values: Mapping[core.Var, Array]) -> Array:
        pieces = [
            taking.of(values[var], read.chain).reshape(-1, *read.shape)
            for var, each in read.values.items()
            for taking in each
        ]
        if not pieces:  # one unit, which no axis of the program stands for
            return jnp.zeros((1, *read.shape))
        return pieces[0] if len(pieces) == 1 else jnp.concatenate(pieces)


@functools.lru_cache(maxsize=16)
def plan(
    reader: Any,
    kept: tuple[Kept | None, ...],
    structs: tuple[jax.ShapeDtypeStruct, ...],
    structure: jax.tree_util.PyTreeDef,
    settings: tuple[Any, ...],
) -> Plan:
    """The plan for arguments of these shapes, found once."""
    bound = reader.spec

    def function(*arrays: Array) -> PyTree:
        given = iter(arrays)
        every = [next(given) if x is None else x.value for x in kept]
        variables = bound.tree(every[: len(bound.paths)])
        inputs = jax.tree.unflatten(structure, every[len(bound.paths) :])
        return reader.apply(variables, *inputs)

    program = traced(function, structs)
    which = [i for i, x in enumerate(kept[: len(bound.paths)]) if x is None]
    leaves = [
        (bound.paths[i], x.shape, bound.axes[i])
        for i, x in zip(which, structs, strict=False)
    ]
    values = NamedValues(bound, program, leaves)
    graph = Graph(program, values, len(leaves))
    found = Places(graph).find(reader.at)
    above = {parent for each in bound.parents.values() for parent in each}
    reads, missing = {}, {}
    for name in sorted(bound.parents.keys() - above):
        full = (*bound.parents[name], name)
        chain = tuple(values.known_as(x) for x in full if bound.sizes[x] != 1)
        last = chain[-1] if chain else None
        taken = _alone(
            {
                var: list(_takings(graph, var, chain, bound))
                for var in found.get(last, ())
                if var not in graph.hidden
            }
        )
        if chain and not taken:
            missing[name] = _why(values, graph, last, found, reader.at)
        reads[name] = _Read(chain, bound.shape(name), taken)
    if missing:
        called = getattr(reader.apply, "__qualname__", reader.apply)
        name, why = next(iter(missing.items()))
        others = f" (nor of {sorted({*missing} - {name})})" if len(missing) > 1 else ""
        raise ValueError(
            f"the activations of {name!r}{others} cannot be read at={reader.at!r} from "
            f"the program of {called!s:.80}: {why}; or give "
            "activations=, a function of your own (variables, inputs) -> "
            "{axis name: [samples, *parents, units]}"
        )
    return Plan(program, reads)


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
    values: NamedValues,
    graph: Graph,
    name: str,
    found: Mapping[str, list[core.Var]],
    at: str,
) -> str:
    """What stands against reading a name."""
    if name in values.split:
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
    held = any(name in values.names(x) for x in graph.maker if x in graph.moving)
    if not held:
        return "no value that depends on the inputs has them"
    return "they are at no such place; read somewhere else, at=" + " or at=".join(
        f'"{x}"' for x in READS if x != at
    )


def is_array(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")
