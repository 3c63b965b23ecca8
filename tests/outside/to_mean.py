"""A joint method of one's own: each network in turn is aligned to the mean of the others.

    python -m experiments.strong --plugin=to_mean --config=configs/digits.py \
        --config.strong.methods="('weight_matching','to_mean')"
"""

import dataclasses

import jax

from linconn_jax import align, permutation, trees


@dataclasses.dataclass(frozen=True)
class Settings:
    """How often all networks are gone through."""

    rounds: int = 2


def find(context, networks, key, settings):
    """Weight matching to the mean of the others, round after round."""
    spec, moved = context.spec, list(networks)
    found = [permutation.identity(spec, network) for network in networks]
    for turn in range(settings.rounds * len(networks)):
        i = turn % len(networks)
        others = trees.stack([x for j, x in enumerate(moved) if j != i])
        mean = jax.tree.map(lambda leaf: leaf.mean(axis=0), others)
        own = jax.random.fold_in(key, turn)
        step = align.weight_matching(spec, mean, moved[i], key=own)
        found[i] = permutation.compose(found[i], step.permutation)
        moved[i] = step.apply(moved[i])
    return align.Alignment(spec, tuple(found))


align.register(
    align.Method("to_mean", find, settings=Settings, joint=True, colour="#cc79a7")
)
