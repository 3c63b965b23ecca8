"""Weights and activations on one footing: one ascent on the sum, for k networks."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from linconn_jax import checks
from linconn_jax.align._activations import Activations
from linconn_jax.align._alike import alike
from linconn_jax.align._ascent import Ascent, Term
from linconn_jax.align._compared import compared
from linconn_jax.align._networks import listed
from linconn_jax.align._options import Names, assigned, starts
from linconn_jax.align._together import (
    begin,
    best_of,
    beyond_rounding,
    generators,
    interleaved,
)
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.method import Context, Method, reader, register
from linconn_jax.checks import setting
from linconn_jax.permutation import BoundSpec, Permutation, Spec
from linconn_jax.typing import Array, Key, PyTree, Variables


def fused_matching(
    spec: Spec | BoundSpec,
    networks: Sequence[Variables] | PyTree,
    *,
    key: Key,
    apply: Callable[[Variables, Array], Any] | None = None,
    activations: Callable[[Variables, Array], dict[str, Array]] | None = None,
    inputs: Array | None = None,
    at: str = "relu",
    activation_weight: float = 1.0,
    restarts: int = 8,
    leaves: Callable[[str], bool] | PyTree | None = None,
    initial: Alignment | Sequence[Permutation | Mapping[str, Any]] | None = None,
    max_sweeps: int = 100,
    batch_size: int = 512,
    names: Names | None = None,
) -> Alignment:
    """Permutations of k networks that agree in their weights and in their activations.

    They (locally) maximise, over all pairs of networks, the sum of what weight matching
    and activation matching maximise, each layer counted alike:

        Σ_layers ⟨W_i, W_j⟩ / ‖W‖² + activation_weight · Σ_names E⟨h_i, h_j⟩ / E‖h‖²

    with the mean of the squared norms over the networks. Names of all networks take turns
    in a random order, one linear assignment at a time against the sum of all others.

    Args:
      spec: of the networks, a tree of `Axes` or bound.
      networks: two or more, in a list or stacked, as `align.joint` takes them.
      key: draws the order of networks and names.
      apply: `(variables, inputs) -> logits`, in which activations are found.
      activations: in its place `(variables, inputs) -> {axis name: [samples, units]}`, as
        in `activation_matching`.
      inputs: `[examples, ...]`, un-augmented training inputs; without any, weights alone
        are compared, each layer counted alike.
      at: where units are read, as in `activation_matching`.
      activation_weight: how much activations count; 0 leaves them out.
      restarts: so many runs, of which the best is returned.
      leaves: which weights enter, as in `weight_matching`.
      initial: where all runs start, an alignment of these networks or a permutation of
        each; by default where nothing is moved. Names that are not assigned may be left
        out.
      max_sweeps: upper bound on passes over all networks and names.
      batch_size: inputs whose activations are held at once.
      names: which axis names are assigned, as in `weight_matching`.

    Returns:
      An alignment with a permutation for each network; the first one stays.

    Raises:
      ValueError: fewer than two networks, or neither a list nor a stack of them, inputs
        with nothing to read activations by, not a permutation of each in `initial`, or
        as `weight_matching` and `activation_matching`.
    """
    draws = generators(key, checks.check("restarts", restarts, checks.whole(1)))
    checks.check("max_sweeps", max_sweeps, checks.whole(0))
    checks.check("activation_weight", activation_weight, checks.number(least=0))
    networks, _ = listed(spec, networks)
    weights = compared(spec, networks, leaves, balanced=True, names=names)
    terms: list[Term] = [weights.weights]
    parents, moving = weights.parents, weights.weights.moving
    if inputs is not None and activation_weight:
        bound, read = weights.bound, activations or reader(weights.bound, apply, at)
        # Names that no parameter carries, but activations have, are matched as well.
        parents = assigned(bound, names)
        options = {"parents": parents, "balanced": True}
        found = alike(bound, networks, inputs, read, "raw", batch_size, **options)
        pairs = {
            pair: {name: activation_weight * x for name, x in names.items()}
            for pair, names in found.items()
        }
        terms.append(Activations(bound, parents, pairs, moving))
    ascent = Ascent(weights.bound, parents, terms, moving, beyond_rounding)
    naive = begin(ascent, starts(weights.bound, initial, len(networks), parents))
    climbs = [partial(interleaved, generator=x, max_sweeps=max_sweeps) for x in draws]
    return best_of(spec, ascent.each(climbs), naive, weights.objective)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of fused matching in a study.

    With neither inputs nor a function to read activations by, weights alone are compared.
    One without the other is refused.
    """

    activation_weight: float = setting(
        1.0, checks.number(least=0), "how much activations count beside weights"
    )
    restarts: int = setting(8, checks.whole(1), "runs, of which the best is taken")
    at: str = setting("relu", checks.TEXT, "where a model's activations are read")
    examples: int = setting(10_000, checks.whole(1), "the first so many for training")


def _find(
    context: Context, networks: Sequence[Variables], key: Key, settings: Settings
) -> Alignment:
    there = context.inputs, context.apply, context.activations
    weighs = settings.activation_weight > 0 and any(x is not None for x in there)
    return fused_matching(
        context.spec,
        networks,
        key=key,
        activations=context.reader(networks[0], settings.at) if weighs else None,
        inputs=context.examples(settings.examples) if weighs else None,
        activation_weight=settings.activation_weight,
        restarts=settings.restarts,
        batch_size=context.batch_size,
    )


register(
    Method(
        "fused_matching",
        _find,
        settings=Settings,
        joint=True,
        colour="#cc79a7",
        marker="*",
        order=6,
    )
)
