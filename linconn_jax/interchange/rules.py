"""The rules of a mapping: one for each kind of torch module, by patterns of names."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from linconn_jax.interchange import layouts
from linconn_jax.interchange.layouts import Layout


@dataclasses.dataclass(frozen=True)
class Part:
    """One array of a module.

    Attributes:
      suffix: its name in the module: "weight"; "" if the module is the array.
      leaf: its path in the tree, "{}" standing for the module's.
      layout: how it is re-ordered.
      needed: whether a module without it is an error.
    """

    suffix: str
    leaf: str
    layout: Layout = layouts.SAME
    needed: bool = True


@dataclasses.dataclass(frozen=True)
class Rule:
    """Modules of one kind, by a pattern of their names.

    Attributes:
      torch: pattern of the modules' names, such as "layer{s}.{b}.conv{c}"; a hole is any
        text without ".".
      tree: pattern of their paths, such as "stage_{s}/block_{b+1}/conv_{c}"; "{#}" counts
        the modules of the rule from 1, in the order of their numbers.
      parts: the arrays of a module.
      fits: whether a module, `{suffix: array}`, is of this kind; so one pattern can stand
        in several rules.
      unread: suffixes that have no place in a tree; see `unread` and `tied`.
      tied: whether `tree` is instead the key whose array the unread one repeats.
    """

    torch: str
    tree: str
    parts: tuple[Part, ...]
    fits: Callable[[Mapping[str, np.ndarray]], bool] = lambda module: True
    unread: tuple[str, ...] = ()
    tied: bool = False

    def __str__(self) -> str:
        return f"{self.torch!r} -> {self.tree or None!r}"


_SCALE = (Part("weight", "params/{}/scale"), Part("bias", "params/{}/bias"))


def conv(torch: str, tree: str, *, bias: bool | None = None) -> Rule:
    """Convolutions in any number of dimensions, grouped and depthwise too.

    `weight` [outputs, inputs of a group, *window] becomes `params/…/kernel` [*window,
    inputs of a group, outputs], and `bias` `params/…/bias`. Not for transposed ones,
    whose `weight` is [inputs, outputs, *window] and looks the same: take `leaf`.

    Args:
      torch: pattern of the modules' names.
      tree: pattern of their paths.
      bias: whether the modules have one; None takes it where there is one.
    """
    return _linear(torch, tree, layouts.CONV, bias, lambda ndim: ndim >= 3)


def dense(
    torch: str,
    tree: str,
    *,
    bias: bool | None = None,
    flattened: tuple[int, ...] | None = None,
) -> Rule:
    """Linear layers: `weight` [outputs, inputs] becomes `kernel` [inputs, outputs].

    Args:
      torch: pattern of the modules' names.
      tree: pattern of their paths.
      bias: whether the modules have one; None takes it where there is one.
      flattened: (height, width) of the map that was flattened before the layer, to
        re-order its inputs from (channels, height, width) to (height, width, channels).

    Raises:
      ValueError: `flattened` is no such tuple.
    """
    if not isinstance(flattened, tuple | list | None):
        raise ValueError(
            f"flattened={flattened!r}; it must be the lengths of the map that was "
            "flattened, such as (7, 7)"
        )
    layout = layouts.flattened(*flattened) if flattened else layouts.DENSE
    return _linear(torch, tree, layout, bias, lambda ndim: ndim == 2)


def batch_norm(torch: str, tree: str, *, affine: bool = True) -> Rule:
    """Batch-norm: `scale` and `bias` in `params`, `mean` and `var` in `batch_stats`.

    `num_batches_tracked` has no place in a tree; `to_torch` takes it from its `like`.

    Args:
      torch: pattern of the modules' names.
      tree: pattern of their paths.
      affine: whether the modules have `weight` and `bias`.
    """
    statistics = (
        Part("running_mean", "batch_stats/{}/mean"),
        Part("running_var", "batch_stats/{}/var"),
    )
    parts = (_SCALE + statistics) if affine else statistics
    fits, unread = (lambda module: "running_mean" in module), ("num_batches_tracked",)
    return Rule(torch, tree, parts, fits, unread)


def norm(torch: str, tree: str, *, bias: bool = True) -> Rule:
    """Layer-norm and group-norm: `weight` and `bias` become `scale` and `bias`."""

    def fits(module: Mapping[str, np.ndarray]) -> bool:
        return "running_mean" not in module and _dimensions(module) == 1

    return Rule(torch, tree, _SCALE if bias else _SCALE[:1], fits)


def embedding(torch: str, tree: str) -> Rule:
    """Tables of embeddings: `weight` becomes `params/…/embedding`."""
    parts = (Part("weight", "params/{}/embedding"),)
    return Rule(torch, tree, parts, lambda module: _dimensions(module) == 2)


def leaf(torch: str, tree: str, layout: Layout = layouts.SAME) -> Rule:
    """Single arrays, by a whole key and a whole path, for all that is not a module.

    `leaf("blocks.{i}.fc.weight", "layers/{i}/w", layouts.DENSE)` serves trees that are
    not made by Flax.
    """
    return Rule(torch, tree, (Part("", "{}", layout),))


def unread(torch: str) -> Rule:
    """Arrays that have no place in the tree, by key; `to_torch` copies those it is given.

    They must not belong to units that are permuted, since nobody would permute them.
    """
    return Rule(torch, "", (), unread=("",))


def tied(torch: str, other: str) -> Rule:
    """Arrays that repeat another one, by key: `tied("lm_head.weight", "embed.weight")`.

    The other fills the leaf that a tree has for both, and `to_torch` writes it twice. It
    must not be tied itself.
    """
    return Rule(torch, other, (), unread=("",), tied=True)


def _linear(
    torch: str,
    tree: str,
    layout: Layout,
    bias: bool | None,
    dimensions: Callable[[int], bool],
) -> Rule:
    parts = [Part("weight", "params/{}/kernel", layout)]
    if bias is not False:
        parts.append(Part("bias", "params/{}/bias", needed=bias is True))
    return Rule(torch, tree, tuple(parts), lambda x: dimensions(_dimensions(x)))


def _dimensions(module: Mapping[str, np.ndarray]) -> int:
    """Axes of a module's weight; -1 if it has none."""
    return np.ndim(module["weight"]) if "weight" in module else -1
