"""Weights times the root of the diagonal of their empirical Fisher information."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax import checks, metrics
from linconn_jax.align._examples import check_function, check_loss
from linconn_jax.align._fitted import trained
from linconn_jax.align._soft import moves
from linconn_jax.align.alignment import check_networks
from linconn_jax.permutation import BoundSpec, Spec
from linconn_jax.typing import Array, Variables


def check(
    apply: Any, inputs: Any, labels: Any, batch_size: Any
) -> tuple[Callable[..., Array], Array, Array, int]:
    """All of them, after refusing with a ValueError what no loss can be computed of."""
    if not callable(apply) or inputs is None or labels is None:
        raise ValueError(
            "Fisher information is of the loss on training examples; give the model's "
            "apply(variables, inputs), inputs=[examples, ...] and labels=[examples]"
        )
    check_function(apply)
    metrics.check_examples(inputs, labels)
    return (
        apply,
        inputs,
        labels,
        checks.check("batch_size", batch_size, checks.whole(1)),
    )


def weighted(
    spec: Spec | BoundSpec,
    network: Variables,
    apply: Callable[..., Array],
    inputs: Array,
    labels: Array,
    batch_size: int,
) -> Variables:
    """The network, each trained weight times the root of its information, on the host.

    Leaves that are missing or hold whole numbers, which have no gradient, stay.
    """
    bound = check_networks(spec, network, network)
    check_loss(bound, apply, [network], inputs, labels)
    leaves, total = bound.leaves(network), None
    numbers = tuple(i for i in trained(bound, network) if moves(leaves[i]))
    with jax.default_matmul_precision("float32"):  # whatever a device's own is
        for start in range(0, len(inputs), batch_size):
            batch = slice(start, start + batch_size)
            found = _squares(
                apply, bound, numbers, leaves, inputs[batch], labels[batch]
            )
            total = found if total is None else jax.tree.map(jnp.add, total, found)
    for i, square in zip(numbers, total or (), strict=True):
        root = np.sqrt(np.asarray(square) / len(inputs))
        if np.isfinite(leaves[i]).all() and not np.isfinite(root).all():
            raise ValueError(
                f"the loss's gradient in leaf {bound.paths[i]} is not finite, though its "
                "weights are; see whether inputs are finite and weights not huge"
            )
        leaves[i] = np.asarray(leaves[i]) * root
    return bound.tree(leaves)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _squares(
    apply: Callable[..., Array],
    bound: BoundSpec,
    numbers: tuple[int, ...],
    leaves: list[Any],
    inputs: Array,
    labels: Array,
) -> list[Array]:
    """Squared gradients in some leaves, summed over the examples."""

    def loss(chosen: list[Array], one: Array, label: Array) -> Array:
        own = dict(zip(numbers, chosen, strict=True))
        tree = bound.tree([own.get(i, x) for i, x in enumerate(leaves)])
        return metrics.cross_entropy(apply(tree, one[None]), label[None])[0]

    chosen = [jnp.asarray(leaves[i]) for i in numbers]
    each = jax.vmap(jax.grad(loss), (None, 0, 0))(chosen, inputs, labels)
    return [jnp.square(x).sum(axis=0) for x in each]
