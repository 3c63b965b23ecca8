"""Names of the folders of trained networks."""

from collections.abc import Sequence

from linconn_jax.study.origins import Origin
from linconn_jax.study.recipe import Recipe


def of_recipe(recipe: Recipe, origin: Origin) -> str:
    """By the model, and by what the networks begin from."""
    copies, name = recipe.copies, recipe.network.name
    if copies is not None:
        name = f"{name}_copies_of_{copies.of}_at_{copies.at_epoch}"
    return f"{name}_{origin.folder}" if origin.folder else name


def ranges(seeds: Sequence[int]) -> str:
    """`0-5` for 0..5 and `0-2+7` for 0, 1, 2, 7."""
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return "+".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts)
