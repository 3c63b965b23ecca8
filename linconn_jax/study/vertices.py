"""What can stand at a corner of a segment or simplex, and how alignments are named."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from linconn_jax import align
from linconn_jax.study import settings
from linconn_jax.typing import Variables

if TYPE_CHECKING:
    from linconn_jax.study.study import Study

Columns = dict[str, Any]

_ALIGNED = ("seed", "method", "reference", "draw")
"""Columns of vertices that say nothing of where in a sequence they stand."""


@runtime_checkable
class Vertex(Protocol):
    """A network with an address: whatever can be interpolated with others.

    A new kind of vertex (a pruned network, one with some layers permuted, a merged one)
    is a frozen dataclass with these four; nothing else knows which kinds there are.
    """

    def identity(self, study: "Study") -> Columns:
        """JSON-able; vertices of equal identity have equal variables."""
        ...

    def columns(self, study: "Study") -> Columns:
        """What rows say of it: at least `seed`, `step`, `epoch`, and the recipe's."""
        ...

    def variables(self, study: "Study") -> Variables:
        """The variables of the network."""
        ...

    @property
    def sources(self) -> "tuple[Network, ...]":
        """The trained networks that it is made from."""
        ...


@dataclasses.dataclass(frozen=True)
class Network:
    """A trained network as it is: one seed at one recorded step of one width."""

    width: int
    seed: int
    step: int

    def identity(self, study: "Study") -> Columns:
        """Its recipe, seed and step."""
        config = study.runs(self.width).recipe.columns["config"]
        return {"config": config, "seed": self.seed, "step": self.step}

    def columns(self, study: "Study") -> Columns:
        """Its recipe, seed, step and epoch."""
        recipe = study.runs(self.width).recipe
        epoch = self.step / recipe.steps_per_epoch
        return {**recipe.columns, "seed": self.seed, "step": self.step, "epoch": epoch}

    def variables(self, study: "Study") -> Variables:
        """As recorded."""
        return study.runs(self.width).network(self.seed, self.step)

    @property
    def sources(self) -> "tuple[Network, ...]":
        """Itself."""
        return (self,)


@dataclasses.dataclass(frozen=True)
class AlignmentKey:
    """An alignment by its method and the networks it is made from, first to last.

    A pairwise method leaves the first of its two networks, the reference, as it is; one
    of two sequences leaves the first half of them.

    Attributes:
      method: its name.
      networks: that are looked at.
      draw: number of the random key. Two draws of one pair differ by chance alone: what
        lies between them is the null of whatever is compared.
    """

    method: str
    networks: tuple[Vertex, ...]
    draw: int = 0

    def identity(self, study: "Study") -> Columns:
        """The method with its settings, and the networks."""
        options = study.settings.sections.get(self.method)
        return {
            "method": self.method,
            "options": {} if options is None else settings.identity(options),
            "networks": [network.identity(study) for network in self.networks],
            **self._drawn,
        }

    def columns(self, study: "Study") -> Columns:
        """Method, the reference's seed (of a pair), and where it was found.

        For each column `NAME` in which the networks say where they stand (`step`,
        `epoch`, a level), that is all but those of their recipe, there is `fit_NAME`.
        """
        first = self.networks[0].columns(study)
        other = {*study.runs(first["width"]).recipe.columns, *_ALIGNED}
        places = {
            f"fit_{name}": value
            for name, value in self.common(study).items()
            if name not in other and not name.startswith("fit_")
        }
        joint = align.method(self.method).joint
        reference = None if joint else first["seed"]
        return {
            "method": self.method,
            "reference": reference,
            **places,
            **self._drawn,
        }

    def common(self, study: "Study") -> Columns:
        """What its networks say of themselves: one value each, or a list of several."""
        return _common(network.columns(study) for network in self.networks)

    @property
    def _drawn(self) -> Columns:
        return {"draw": self.draw} if self.draw else {}


@dataclasses.dataclass(frozen=True)
class Aligned:
    """A network permuted by the i-th permutation of an alignment.

    It need not be the i-th network of the alignment: another checkpoint of the same
    training run is moved alike.
    """

    network: Vertex
    alignment: AlignmentKey
    i: int = 1

    def identity(self, study: "Study") -> Columns:
        """The network, the alignment and the number of its permutation."""
        return {
            "network": self.network.identity(study),
            "alignment": self.alignment.identity(study),
            "i": self.i,
        }

    def columns(self, study: "Study") -> Columns:
        """Those of the network and of the alignment."""
        return self.network.columns(study) | self.alignment.columns(study)

    def variables(self, study: "Study") -> Variables:
        """Of the permuted network."""
        found = study.alignment(self.alignment)
        return found.apply(self.network.variables(study), self.i)

    @property
    def sources(self) -> tuple[Network, ...]:
        """Those of the network and of all that were aligned."""
        parts = (self.network, *self.alignment.networks)
        return tuple(source for part in parts for source in part.sources)


def pair(
    a: Vertex, b: Vertex, *, method: str, fit_step: int | None = None
) -> tuple[Vertex, Vertex]:
    """A segment from a to b aligned to a, by an alignment of the two at `fit_step`.

    Args:
      a: stays as it is.
      b: is aligned to a; by the method "naive" it stays, too.
      method: of a joint method both ends are moved.
      fit_step: where in training the alignment is found, of vertices that have a field
        `step`; by default at their own steps.
    """
    if method == "naive":
        return a, b
    ends: Any = (a, b)
    if fit_step is not None:
        ends = tuple(dataclasses.replace(x, step=fit_step) for x in ends)
    key = AlignmentKey(method, ends)
    first = Aligned(a, key, 0) if align.method(method).joint else a
    return first, Aligned(b, key)


def through(
    a: Vertex, b: Vertex, reference: Vertex, *, method: str
) -> tuple[Vertex, ...]:
    """A segment from a to b, both aligned to a third network."""
    return tuple(pair(reference, x, method=method)[1] for x in (a, b))


def spanned(networks: Sequence[Vertex], *, method: str) -> tuple[Vertex, ...]:
    """A simplex of networks, by a joint method aligned all at once, else to the first."""
    first, *others = networks
    if align.method(method).joint and method != "naive":
        key = AlignmentKey(method, tuple(networks))
        return tuple(Aligned(network, key, i) for i, network in enumerate(networks))
    return first, *(pair(first, x, method=method)[1] for x in others)


def columns(vertices: Sequence[Vertex], study: "Study") -> Columns:
    """The columns of a row that say in words what was interpolated.

    What all vertices share is one value, what differs is a list; `seeds` is always the
    list of all, in order.
    """
    each = [vertex.columns(study) for vertex in vertices]
    found = {"method": "naive", "reference": None, "fit_step": None, "fit_epoch": None}
    found |= _common(each)
    del found["seed"]
    return found | {
        "k": len(vertices),
        "seeds": [one["seed"] for one in each],
        "path": found.get("path") or _path(vertices, study),
    }


def _path(vertices: Sequence[Vertex], study: "Study") -> str:
    """Aligned to one that is there itself (direct), to a third (through), or jointly."""
    keys = [v.alignment for v in vertices if isinstance(v, Aligned)]
    if any(align.method(key.method).joint for key in keys):
        return "joint"
    seeds = {key.columns(study)["reference"] for key in keys}
    here = {v.columns(study)["seed"] for v in vertices if not isinstance(v, Aligned)}
    return "direct" if seeds <= here else "through"


def _common(each: Iterable[Columns]) -> Columns:
    """For each column the one value that all have that have it, or a list of several."""
    merged: dict[str, list] = {}
    for one in each:
        for name, value in one.items():
            values = merged.setdefault(name, [])
            if value is not None and value not in values:
                values.append(value)
    return {
        name: sorted(values) if len(values) > 1 else next(iter(values), None)
        for name, values in merged.items()
    }
