"""A pairwise method of one's own: the best of some random permutations.

    python -m experiments.weak --plugin=best_of_random --config=configs/digits.py \
        --config.methods="('naive','best_of_random')" --config.best_of_random.draws=50
"""

import dataclasses

import jax
import jax.numpy as jnp

from linconn_jax import align, permutation


@dataclasses.dataclass(frozen=True)
class Settings:
    """How many permutations are drawn."""

    draws: int = 20


def find(context, networks, key, settings):
    """The drawn permutation with the largest inner product of weights."""
    reference, other = networks

    def product(p):
        moved = permutation.permute(context.spec, p, other)
        return sum(map(jnp.vdot, jax.tree.leaves(reference), jax.tree.leaves(moved)))

    keys = jax.random.split(key, settings.draws)
    drawn = jax.vmap(lambda k: permutation.random(k, context.spec, other))(keys)
    products = jax.lax.map(product, drawn)
    best = jax.tree.map(lambda index: index[products.argmax()], drawn)
    still = permutation.identity(context.spec, reference)
    return align.Alignment(
        context.spec,
        (still, best),
        objective=float(products.max()),
        naive=float(product(still)),
    )


align.register(
    align.Method(
        "best_of_random",
        find,
        label="best of random",
        settings=Settings,
        colour="#332288",
        marker="P",
    )
)
