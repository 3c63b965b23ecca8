"""What weight matching compares: networks as they are, or what is made of each first.

All objectives are the linear one, `⟨f(reference), P[f(other)]⟩`, between what a function
f makes of each network: a tree of its structure. f must commute with permutations,
`f(P[θ]) = P[f(θ)]`. Of a network and itself permuted, the permutation is then a maximum
(Cauchy and Schwarz), and `align.bound(spec, f(reference), f(other))` bounds it.

    align.weight_matching(spec, a, b, key=key, objective="normalised")
    covariance = align.objectives.covariance(spec, apply, inputs)
    align.weight_matching(spec, a, b, key=key, objective=covariance)
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from linconn_jax import checks
from linconn_jax.align import _fisher
from linconn_jax.align._covariance import roots, weighted
from linconn_jax.align._directed import Directed, directed, squares
from linconn_jax.align._fitted import Leaves, fitted
from linconn_jax.align.alignment import check_networks
from linconn_jax.align.method import reader
from linconn_jax.permutation import BoundSpec, Spec
from linconn_jax.typing import Array, PyTree, Variables

Objective: TypeAlias = Callable[[Variables], Variables]
"""Makes of a network what is compared in its place."""
OF_WEIGHTS = ("linear", "cosine", "normalised")
"""Objectives that look at weights alone."""
NAMES = (*OF_WEIGHTS, "covariance", "fisher")
"""All of them, as studies name them."""


def cosine(spec: Spec | BoundSpec, leaves: Leaves = None) -> Objective:
    """Each unit's incoming weights, its bias among them, divided by their norm.

    What a unit reads counts then, and not how large it is. Incoming weights of a unit
    are all entries at its place of the leaves of one layer (leaves beside each other in
    the tree) that have the unit's axis as their own: that of the layer's bias; of a
    layer without one the axis that it is in the tree's layers with a bias (units first,
    as in Equinox and PyTorch, or last), if these agree; else the last axis, as Flax lays
    out kernels. Scale and bias of a norm layer are such leaves too; where there is a
    scale alone only its sign is left.

    Args:
      spec: of the networks.
      leaves: which enter, as in `weight_matching`; others stay as they are.
    """

    def kept(leaf: Directed) -> tuple[int, ...]:
        return leaf.outputs

    return lambda network: _divided(spec, network, leaves, kept)


def normalised(spec: Spec | BoundSpec, leaves: Leaves = None) -> Objective:
    """Each layer divided by its norm, so that all layers count alike.

    The objective is the sum over layers of the cosines of the two networks' weights. A
    layer is the leaves beside each other in the tree (kernel and bias), of leaves that
    hold a stack of layers one slice.

    Args:
      spec: of the networks.
      leaves: which enter, as in `weight_matching`; others stay as they are.
    """

    def kept(leaf: Directed) -> tuple[int, ...]:
        return leaf.stack

    return lambda network: _divided(spec, network, leaves, kept)


def covariance(
    spec: Spec | BoundSpec,
    apply: Callable[..., PyTree] | None,
    inputs: Array,
    *,
    activations: Callable[[Variables, Array], dict[str, Array]] | None = None,
    at: str = "relu",
    batch_size: int = 512,
) -> Objective:
    """Each kernel times the root of the second moment of what it is applied to.

    Two units are alike then as far as their inputs make them differ: of one network,
    `‖W √Σ‖² = E‖W h‖²` with Σ = E[h hᵀ]. Ferbach et al. 2024 ("Proving linear mode
    connectivity of neural networks via optimal transport") compare rows by
    `W_A Σ (W_B Qᵀ)ᵀ` with one Σ for both networks. Here each has its own,
    `W_A √Σ_A √Σ_B (W_B Qᵀ)ᵀ` where aligned, the same where Σ_A = Σ_B: with Σ of the
    reference alone a network would not always fit itself best.

    Σ is of the activations of an axis name, of all places where it is read together; of
    convolutions over channels, pooled over positions. Units in heads and after a
    flattening have one for all units of their name. An input axis without a name has
    that of `inputs` if it is as long as one of them flattened, or in a kernel with as
    many axes as `inputs` as long as their last (whole numbers standardised first in each
    channel, as networks do; of several axes as long, the one beside the units' axis);
    any other the identity. Biases count as weights of an input
    that is 1, and products with other inputs are left out. Which axis of a kernel is its
    units' is told as for `cosine`.

    Args:
      spec: of the networks.
      apply: `(variables, inputs) -> outputs`, as in `activation_matching`, and so are
        all others.
      inputs: `[examples, ...]`, un-augmented training inputs.
      activations: by hand, in the place of what is read from `apply`.
      at: where units are read.
      batch_size: inputs whose activations are held at once.

    Raises:
      ValueError: when it is called, as `activation_matching`.
    """

    def made(network: Variables) -> Variables:
        bound = check_networks(spec, network, network)
        read = activations or reader(bound, apply, at)
        found = roots(bound, network, inputs, read, batch_size)
        return weighted(bound, network, inputs, found)

    return made


def fisher(
    spec: Spec | BoundSpec,
    apply: Callable[..., Array] | None,
    inputs: Array,
    labels: Array | None,
    *,
    batch_size: int = 32,
) -> Objective:
    """Each weight times the root of its Fisher information, so that idle ones count less.

    The diagonal of the empirical Fisher information: the mean, over examples one by one,
    of the squared gradient of the cross-entropy with the example's own label (as merging
    weighs networks: Matena & Raffel 2022, "Merging models with Fisher-weighted
    averaging", who draw labels from the model).

    Args:
      spec: of the networks.
      apply: `(variables, inputs) -> logits`.
      inputs: `[examples, ...]`, un-augmented training inputs.
      labels: `[examples]`, their classes.
      batch_size: examples whose gradients are held at once.

    Raises:
      ValueError: inputs and labels do not fit, or when it is called, as
        `weight_matching`.
    """
    given = _fisher.check(apply, inputs, labels, batch_size)
    return lambda network: _fisher.weighted(spec, network, *given)


def transformed(
    objective: str | Objective,
    spec: Spec | BoundSpec,
    networks: Sequence[Variables],
    leaves: Leaves,
) -> Sequence[Variables]:
    """What is compared in the place of networks.

    Raises:
      ValueError: the objective is neither a function nor one of `OF_WEIGHTS`.
    """
    if callable(objective):
        return [objective(network) for network in networks]
    if isinstance(objective, str) and objective in {*NAMES} - {*OF_WEIGHTS}:
        labels = ", labels" * (objective == "fisher")
        raise ValueError(
            f"objective={objective!r} looks at data; give objective=align.objectives."
            f"{objective}(spec, apply, inputs{labels})"
        )
    several = checks.one_of(*OF_WEIGHTS)
    words = f"{several.words}, or a function variables -> tree (align.objectives)"
    checks.check("objective", objective, several.called(words))
    if objective == "linear":
        return networks
    made = {"cosine": cosine, "normalised": normalised}[objective](spec, leaves)
    *rest, last = networks
    return [*(made(fitted(spec, x, last, leaves)[0]) for x in rest), made(last)]


def _divided(
    spec: Spec | BoundSpec,
    network: Variables,
    chosen: Leaves,
    kept: Callable[[Directed], tuple[int, ...]],
) -> Variables:
    """A network whose leaves are divided by norms, one for each place on kept axes.

    Norms are of all leaves of a layer that have the same labels there.
    """
    bound = check_networks(spec, network, network)
    leaves: list[Any] = bound.leaves(network)
    found = directed(bound, fitted(spec, network, network, chosen)[1])
    axes = {i: kept(leaf) for i, leaf in found.items()}
    ours = {i: np.asarray(leaves[i]) for i in found}
    each = squares(ours, axes)
    keys = {
        i: (
            leaf.layer,
            tuple((leaf.along[k], ours[i].shape[k]) for k in axes[i]),
        )
        for i, leaf in found.items()
    }
    total: dict[Any, np.ndarray] = {}
    for i, key in keys.items():
        total[key] = total.get(key, 0.0) + each[i].ravel()
    for i, x in ours.items():
        norm = np.sqrt(total[keys[i]]).reshape(each[i].shape)
        norm = np.where(norm > 0, norm, 1.0)
        leaves[i] = (x / norm).astype(np.promote_types(x.dtype, np.float32))
    return bound.tree(leaves)
