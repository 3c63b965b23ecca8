"""Distances between networks: how far apart their trained parameters are, by layer."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import jax
import numpy as np
from jax.extend import core

from linconn_jax import align
from linconn_jax.files import Key
from linconn_jax.permutation import BoundSpec, Spec, bind
from linconn_jax.results import Row
from linconn_jax.study.tasks import alignments
from linconn_jax.study.vertices import AlignmentKey, Columns, Network, Vertex, columns
from linconn_jax.typing import Array, PyTree, Variables

if TYPE_CHECKING:
    from linconn_jax.study.study import Study

DISTANCES = ("l2", "cosine", "normalised")
"""√Σ(a−b)²; Σab / √(Σa² Σb²); and Σ(a−b)² over the mean of Σa² and Σb², which is 0 of
equal networks, 2 of uncorrelated and 4 of opposite ones."""
RANDOM_DIRECTION = "random direction"


@dataclasses.dataclass(frozen=True)
class Distance:
    """How far apart two networks are, leaf by leaf, layer by layer and in all.

    Only trained parameters enter. A layer is the leaves that share all of their path but
    its end; layers come in the order in which the network uses them.
    """

    vertices: tuple[Vertex, Vertex]

    @property
    def alignments(self) -> tuple[AlignmentKey, ...]:
        """Those of the vertices that are aligned."""
        return tuple(key for x in self.vertices for key in alignments(x))

    def key(self, study: "Study") -> Key:
        """The two networks."""
        return {
            **columns(self.vertices, study),
            "quantity": "distance",
            "vertices": [vertex.identity(study) for vertex in self.vertices],
            "diverged": study.diverged(self.vertices),
        }

    def rows(self, study: "Study") -> Iterator[Row]:
        """One for each metric and each of the leaves, layers and all of them.

        Of networks that diverged there is no number: NaN over all. There is no cosine
        with what has no length.
        """
        if study.diverged(self.vertices):
            nothing = {"axis": "all", "value": float("nan")}
            yield from ({"metric": metric, **nothing} for metric in DISTANCES)
            return
        recipe = study.runs(self.vertices[0].columns(study)["width"]).recipe
        spec = bind(recipe.network.spec, recipe.network.shapes)
        one, two = (vertex.variables(study) for vertex in self.vertices)
        found = distances(spec, one, two)
        inputs = recipe.dataset.train.images[:1]
        order = order_of_use(recipe.network.apply, recipe.network.shapes, inputs)
        used = [spec.paths[i] for i in order]
        for axis in dict.fromkeys([*(n for x in used for n in _names(x)), *found]):
            for metric, value in found.get(axis, {}).items():
                yield {"metric": metric, "axis": axis, "value": value}


def distances(
    spec: Spec | BoundSpec, one: Variables, two: Variables
) -> dict[str, dict[str, float]]:
    """Distances between the trained parameters of two networks, in float64.

    Args:
      spec: of both networks.
      one: a network.
      two: another.

    Returns:
      `{path of a leaf or a layer, or "all": {metric of DISTANCES: value}}`.

    Raises:
      ValueError: the networks do not fit each other or the spec.
    """
    bound = bind(spec, one)
    pairs = list(zip(bound.leaves(one), bind(bound, two).leaves(two), strict=True))
    sums: dict[str, np.ndarray] = {}
    for i in align.trained(bound, one):
        a, b = (np.asarray(x).astype(np.float64).ravel() for x in pairs[i])
        own = np.array([a @ a, b @ b, a @ b, (a - b) @ (a - b)])
        for name in _names(bound.paths[i]):
            sums[name] = sums.get(name, 0.0) + own
    return {name: dict(_metrics(*own.tolist())) for name, own in sums.items()}


def _metrics(aa: float, bb: float, ab: float, apart: float) -> Iterator:
    yield "l2", apart**0.5
    if aa and bb:
        yield "cosine", ab / (aa**0.5 * bb**0.5)
    yield "normalised", apart and 2 * apart / (aa + bb)


def _names(path: str) -> tuple[str, ...]:
    """What a leaf counts for: itself, its layer, and all."""
    layer = path.rpartition("/")[0]
    return (*dict.fromkeys((layer or path, path)), "all")


def order_of_use(
    apply: Callable[..., Array], variables: PyTree, inputs: Array
) -> list[int]:
    """Numbers of the leaves of a network in the order in which it first uses them.

    Args:
      apply: `(variables, inputs) -> logits`.
      variables: arrays or shapes.
      inputs: `[n, ...]`, an array or its shape.
    """
    traced = jax.make_jaxpr(apply)(variables, inputs).jaxpr
    count = len(jax.tree.leaves(variables))
    numbers = {x: i for i, x in enumerate(traced.invars[:count])}
    return list(dict.fromkeys([*_used(traced, numbers), *range(count)]))


def _used(traced: core.Jaxpr, numbers: Mapping[core.Var, int]) -> Iterator[int]:
    for equation in traced.eqns:
        own = [x for x in equation.invars if not isinstance(x, core.Literal)]
        inner = [_jaxpr(x) for x in equation.params.values() if _jaxpr(x) is not None]
        for one in inner:
            # The last operands are those of the inner function, in its order.
            given = zip(one.invars[::-1], equation.invars[::-1], strict=False)
            known = {
                x: numbers[y]
                for x, y in given
                if not isinstance(y, core.Literal) and y in numbers
            }
            yield from _used(one, known)
        if not inner:
            yield from (numbers[x] for x in own if x in numbers)


def _jaxpr(parameter: object) -> core.Jaxpr | None:
    if isinstance(parameter, core.ClosedJaxpr):
        return parameter.jaxpr
    return parameter if isinstance(parameter, core.Jaxpr) else None


@dataclasses.dataclass(frozen=True)
class RandomDirection:
    """A network whose every trained leaf is a random direction, as long as it was.

    What is found of it is found of two networks that have nothing in common: a control of
    distances, and of how much nearer an alignment brings what is not related.
    """

    network: Vertex
    draw: int = 0

    def identity(self, study: "Study") -> Columns:
        """The network whose lengths it has, and the number of the draw."""
        return {
            "random_direction": self.network.identity(study),
            "draw": self.draw,
        }

    def columns(self, study: "Study") -> Columns:
        """Those of the network, and what it is."""
        return self.network.columns(study) | {"control": RANDOM_DIRECTION}

    def variables(self, study: "Study") -> Variables:
        """Normal numbers, scaled to the length of each leaf."""
        told = self.network.columns(study)
        model = study.runs(told["width"]).recipe.network
        drawn = np.random.default_rng([3, told["seed"], told["step"], self.draw])
        bound = bind(model.spec, model.shapes)
        leaves = bound.leaves(self.network.variables(study))
        for i in align.trained(bound, bound.tree(leaves)):
            leaf = np.asarray(leaves[i])
            way = drawn.standard_normal(leaf.shape)
            scale = np.linalg.norm(leaf.astype(np.float64)) / np.linalg.norm(way)
            leaves[i] = (way * scale).astype(leaf.dtype)
        return bound.tree(leaves)

    @property
    def sources(self) -> tuple[Network, ...]:
        """Those of the network."""
        return self.network.sources
