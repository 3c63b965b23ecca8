"""What can stand at a corner of a segment or simplex, and how alignments are named."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from linconn_jax import align
from linconn_jax.study.keys import AlignmentKey, common
from linconn_jax.typing import Variables

if TYPE_CHECKING:
    from linconn_jax.study.starts import Start
    from linconn_jax.study.study import Study

Columns = dict[str, Any]


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
    """A trained network as it is: one seed at one recorded step of one width.

    Attributes:
      start: where its training began; None: as the config says.
    """

    width: int
    seed: int
    step: int
    start: "Start | None" = None

    def identity(self, study: "Study") -> Columns:
        """Its recipe, seed and step, and where it was trained from."""
        runs = study.runs(self.width, self.start)
        told = runs.origin.identity(self.seed)
        config = runs.recipe.columns["config"]
        start = {"start": told} if told else {}
        return {"config": config, "seed": self.seed, "step": self.step, **start}

    def columns(self, study: "Study") -> Columns:
        """Its recipe, seed, step and epoch."""
        runs = study.runs(self.width, self.start)
        epoch = self.step / runs.recipe.steps_per_epoch
        told = self.start.columns(study, self.width) if self.start else {}
        where = {"seed": self.seed, "step": self.step, "epoch": epoch}
        return {**runs.recipe.columns, **where, **told}

    def variables(self, study: "Study") -> Variables:
        """As recorded."""
        return study.runs(self.width, self.start).network(self.seed, self.step)

    @property
    def sources(self) -> "tuple[Network, ...]":
        """Itself."""
        return (self,)


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
    a: Vertex,
    b: Vertex,
    *,
    method: str,
    fitted: Sequence[Vertex] | None = None,
    draw: int = 0,
    options: Any = None,
) -> tuple[Vertex, Vertex]:
    """A segment from a to b aligned to a.

    Args:
      a: stays as it is.
      b: is aligned to a; by the method "naive" it stays, too.
      method: of a joint method both ends are moved.
      fitted: what the alignment is found on, such as the two at another step (for a
        method of two sequences those of a, then those of b); by default a and b.
      draw: number of the random key.
      options: settings of the method, instead of the study's.
    """
    if method == "naive":
        return a, b
    ends = (a, b) if fitted is None else tuple(fitted)
    key = AlignmentKey(method, ends, draw, options)
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
    found |= common(each)
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
