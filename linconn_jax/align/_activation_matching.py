"""Activation matching: units that fire alike on the same inputs are put together."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from linconn_jax import checks
from linconn_jax.align._ascent import Ascent, Names, chained, children
from linconn_jax.align._moments import SIMILARITIES, moments, similarities
from linconn_jax.align.alignment import Alignment, check_networks
from linconn_jax.align.method import Context, Method, reader, register
from linconn_jax.checks import setting
from linconn_jax.permutation import BoundSpec, Permutation, Spec, compose, points
from linconn_jax.typing import Any, Array, Float, Key, PyTree, Variables

RELATIVE_GAIN = 1e-13
"""An assignment must gain more than this fraction of the objective (float64 sums; a mean
shared by all units makes up nearly all of a raw objective)."""


def activation_matching(
    spec: Spec | BoundSpec,
    apply: Callable[..., PyTree] | None,
    reference: Variables,
    other: Variables,
    inputs: Array,
    *,
    activations: Callable[[Variables, Array], dict[str, Array]] | None = None,
    at: str = "relu",
    similarity: str = "raw",
    batch_size: int = 512,
) -> Alignment:
    """One assignment for each axis name on the similarity of its units' activations.

    G = E[h_reference h_otherᵀ] over inputs and positions (Sharma et al. 2024, after Li
    et al. 2016), then one linear assignment for each axis name. There is no iteration,
    unless a name lies under two names that are beside each other.

    Args:
      spec: of both networks, a tree of `Axes` or bound.
      apply: `(variables, inputs) -> outputs`, pure: its traced program tells where the
        units of each name are (`permutation.ActivationReader`). None where `activations`
        are given.
      reference: the network that stays.
      other: the network that is moved.
      inputs: `[examples, ...]`, un-augmented training inputs (the paper's runs use
        10 000 or 50 000).
      activations: by hand, in the place of what is read from `apply`: `(variables,
        inputs) -> {axis name: [samples, units]}`, pure, nested names `[samples,
        *parents, units]`; every axis name of the spec must be among the keys. Only names
        with others under them (heads) may be left out: their units are then matched by
        what lies under them.
      at: where units are read: after the "linear" map that makes them, after the "norm",
        after the nonlinearity whichever it is ("relu"), or "all" of these; in residual
        streams in all blocks.
      similarity: "raw" G, "centred" covariance, "pearson" correlation (Tatro et al. 2020;
        constant units correlate with nothing) or "cosine".
      batch_size: inputs whose activations are held at once.

    Returns:
      The alignment; its objective is the sum of the similarities of all matched units.

    Raises:
      ValueError: no array of inputs, `batch_size` no whole number, networks that do not
        fit the spec, an axis name whose activations are not given or cannot be read,
        unknown similarity or place, or activations that are of another shape, complex or
        not finite.
    """
    checks.check("similarity", similarity, checks.one_of(*SIMILARITIES))
    if not isinstance(inputs, np.ndarray | jax.Array) or not inputs.ndim:
        raise ValueError(
            f"inputs is a {type(inputs).__name__}; it must be an array [examples, ...] "
            "(of a list, give numpy.stack(inputs))"
        )
    if not len(inputs):
        raise ValueError("there are no inputs to read activations from; give some")
    checks.check("batch_size", batch_size, checks.whole(1))
    bound = check_networks(spec, reference, other)
    read = activations or reader(bound, apply, at)
    with jax.default_matmul_precision("float32"):  # whatever a device's own is
        shapes = jax.eval_shape(read, reference, inputs[:batch_size])
        _check_activations(shapes, bound)
        found = moments((reference, other), inputs, read, batch_size)
    matrices = {
        name: similarities(name, found[name], similarity)
        for name in bound.parents
        if name in found
    }
    exact, parents = chained(bound.parents), bound.parents
    todo = [x for x in parents if not exact or not set(parents[x]) & parents.keys()]
    return _Ascent(bound, matrices).climb(spec, itertools.repeat(todo), exact=exact)


class _Ascent(Ascent):
    """Assignments of all names on fixed similarities, one after the other.

    A name is assigned together with all that lies under it, once and for all. But what
    lies under two names that are beside each other depends on both: there, all names
    are gone through until none gains.
    """

    def __init__(
        self,
        bound: BoundSpec,
        matrices: dict[str, Float[np.ndarray, "points points"]],
    ):
        self.matrices = matrices
        super().__init__(bound, bound.parents)

    def objective(self) -> float:
        """Sum of the similarities of the units that `found` puts together."""
        return self._value(self.found)

    def improve(self, name: str) -> bool:
        """Assigns a name with those under it, if that gains anything."""
        indices, *_ = self.best(name)
        tried, now = compose(self.found, self.step(indices)), self.objective()
        if not self._value(tried) - now > RELATIVE_GAIN * abs(now):
            return False
        self.found = tried
        return True

    def similarity(
        self, name: str, fixed: Names, free: Names
    ) -> Float[np.ndarray, "..."] | None:
        """Of a name's units; None of a parent, as alike as what lies under it."""
        if name not in self.matrices:
            return None
        axes, shape = (*self.parents[name], name), self.bound.shape(name)
        rows = {x: i for i, x in enumerate(axes)}
        columns = {x: i if x in fixed else i + len(axes) for x, i in rows.items()}
        matrix = self.matrices[name][:, points(self.found, name)]
        wanted = [rows[x] for x in (*fixed, *free, name)]
        wanted += [columns[x] for x in (*free, name)]
        pairs = matrix.reshape(*shape, *shape)
        return np.einsum(pairs, [*rows.values(), *columns.values()], wanted)

    def _value(self, found: Permutation) -> float:
        pairs = ((x, points(found, name)) for name, x in self.matrices.items())
        return float(sum(x[np.arange(len(x)), p].sum() for x, p in pairs))


def _check_activations(shapes: Any, bound: BoundSpec) -> None:
    if not isinstance(shapes, dict):
        raise ValueError(
            f"activations returned {type(shapes).__name__}; it must return a dict "
            "{axis name: [samples, units]}"
        )
    inner = {x for x in bound.parents if children(x, bound.parents)}
    missing = sorted(bound.parents.keys() - shapes.keys() - inner)
    if missing:
        raise ValueError(
            f"activations has no key for the axis names {missing} of the spec; it must "
            "return [samples, units] for every axis name"
        )
    for name in bound.parents.keys() & shapes.keys():
        array, units = shapes[name], bound.shape(name)
        if array.shape[1:] != units or np.issubdtype(array.dtype, np.complexfloating):
            raise ValueError(
                f"activations has shape {array.shape} and dtype {array.dtype} for "
                f"{name!r}; it must be real, [samples, {', '.join(map(str, units))}]: "
                "inputs and positions along the first axis, then the units as in the "
                "spec"
            )


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of activation matching in a study."""

    at: str = setting("relu", checks.TEXT, "where a model's activations are read")
    similarity: str = setting("raw", checks.one_of(*SIMILARITIES), "of two units")
    examples: int = setting(10_000, checks.whole(1), "the first so many for training")


def _find(
    context: Context, networks: Sequence[Variables], key: Key, settings: Settings
) -> Alignment:
    reference, other = networks
    return activation_matching(
        context.spec,
        context.apply,
        reference,
        other,
        context.inputs[: settings.examples],
        activations=context.reader(reference, settings.at),
        similarity=settings.similarity,
        batch_size=context.batch_size,
    )


def _check(context: Context, shapes: Variables, settings: Settings) -> None:
    read = context.reader(shapes, settings.at)
    jax.eval_shape(read, shapes, context.inputs[:2])


register(
    Method(
        "activation_matching",
        _find,
        settings=Settings,
        check=_check,
        colour="#d55e00",
        marker="s",
        order=3,
    )
)
