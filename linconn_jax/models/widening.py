"""Networks of different widths made one width, so that they can be aligned."""

import jax

from linconn_jax import extras, trees
from linconn_jax.extras import LayerNorm
from linconn_jax.models.base import Model
from linconn_jax.permutation import sizes
from linconn_jax.typing import Variables


def widen(narrow: Model, wide: Model, variables: Variables) -> Variables:
    """Variables of `wide` that compute what `variables` do in `narrow`.

    Args:
      narrow: a model of one of the families.
      wide: the same model but for its width, which must not be smaller. Its activation
        and its normalisation of images are not in the variables and not compared.
      variables: of `narrow`; leaves may have leading axes (seeds).

    Returns:
      Variables of `wide`. With batch-norm they compute the same in evaluation.

    Raises:
      ValueError: the trees differ in more than their width, or `wide` is the narrower.
    """
    target = jax.eval_shape(wide.init, jax.random.key(0))
    source = jax.eval_shape(narrow.init, jax.random.key(0))
    if jax.tree.structure(target) != jax.tree.structure(source):
        raise ValueError(
            f"{narrow.name} and {wide.name} have different layers; they must be of one "
            "family, depth and norm"
        )
    norms = () if "batch_stats" in source else _layer_norms(source)
    widened = extras.widen(
        narrow.spec, variables, sizes(wide.spec, target), layer_norms=norms
    )
    for (path, leaf), other in zip(
        jax.tree_util.tree_leaves_with_path(widened),
        jax.tree.leaves(target),
        strict=True,
    ):
        if leaf.shape[leaf.ndim - other.ndim :] != other.shape:
            raise ValueError(
                f"{trees.path_name(path)} of {narrow.name} widens to {leaf.shape}, but "
                f"{wide.name} has {other.shape}; the two must have the same images and "
                "classes"
            )
    return widened


def _layer_norms(variables: Variables) -> list[LayerNorm]:
    """Each norm of this project's families, which reads the layer beside it."""
    paths = [
        trees.path_name(path)
        for path, _ in jax.tree_util.tree_leaves_with_path(variables)
    ]
    found = []
    for scale in (path for path in paths if path.endswith("/scale")):
        *parents, norm, _ = scale.split("/")
        layers = ["/".join([*parents, layer]) + "/" for layer in _fed_by(norm)]
        writers = tuple(path for path in paths if path.startswith(tuple(layers)))
        found.append(LayerNorm((scale,), writers))
    return found


def _fed_by(norm: str) -> list[str]:
    """Names that the layer before a norm can have: `stem_norm`, or `norm_1`."""
    if norm.endswith("_norm"):
        return [norm.removesuffix("_norm")]
    return [norm.replace("norm_", "dense_"), norm.replace("norm_", "conv_")]
