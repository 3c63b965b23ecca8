"""What alignments are compared with: networks as they are, and randomly permuted."""

from collections.abc import Sequence
from typing import Any

from linconn_jax.align.alignment import Alignment
from linconn_jax.align.method import Context, Method, register
from linconn_jax.permutation import identity, random
from linconn_jax.typing import Key, Variables


def _naive(
    context: Context, networks: Sequence[Variables], key: Key, settings: Any
) -> Alignment:
    still = identity(context.spec, networks[0])
    return Alignment(context.spec, (still,) * len(networks))


def _random(
    context: Context, networks: Sequence[Variables], key: Key, settings: Any
) -> Alignment:
    first, other = networks
    permutations = identity(context.spec, first), random(key, context.spec, other)
    return Alignment(context.spec, permutations)


register(
    Method(
        "naive",
        _naive,
        joint=True,
        aligns=False,
        colour="#000000",
        marker="x",
        order=0,
    )
)
register(
    Method(
        "random",
        _random,
        label="random permutation",
        aligns=False,
        colour="#999999",
        marker="v",
        order=1,
    )
)
