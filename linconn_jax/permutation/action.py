"""The action of permutations on trees: gathers by NumPy on the host, by XLA elsewhere."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, auto_axes

from linconn_jax.permutation.algebra import from_indices
from linconn_jax.permutation.axis_layout import Sizes, names_of
from linconn_jax.permutation.element import Permutation
from linconn_jax.permutation.gather_plan import move_on_host, plan
from linconn_jax.permutation.labels import Axes, Stacked
from linconn_jax.permutation.spec import BoundSpec, Spec, bind_leaves
from linconn_jax.typing import Array, PyTree


def permute(
    spec: Spec | BoundSpec, permutation: Permutation | Mapping[str, Any], tree: PyTree
) -> PyTree:
    """Moves the units of `tree`, one gather for each labelled axis.

    Args:
      spec: tree of `Axes` and `Stacked` with the structure of `tree`, or a bound one.
      permutation: of this spec; or a plain `{axis name: index array}`, which is checked
        (`from_indices`) at each call.
      tree: variables, gradients, masks, momenta, batch statistics, or any of them
        stacked along leading axes; or shapes, which stay as they are. Leaves may be
        missing (None).

    Returns:
      A tree of the same structure, shapes, dtypes and shardings (inside `jit` the
      compiler chooses shardings that are not a part of the type). Arrays of the host
      (NumPy) stay there; leaves that do not move are the same objects.

    Raises:
      ValueError: the spec does not fit the tree, or the permutation is of another spec.
    """
    bound, leaves = bind_leaves(spec, tree)
    if isinstance(permutation, Permutation):
        bound.check(permutation)
    else:
        permutation = from_indices(bound, None, permutation)
    return bound.tree(_move(bound, permutation.indices, leaves))


def _move(
    bound: BoundSpec, indices: Mapping[str, Array], leaves: list[Any]
) -> list[Any]:
    traced = any(isinstance(p, jax.core.Tracer) for p in indices.values())
    if not traced:
        indices = {
            name: np.asarray(p, int)
            for name, p in jax.device_get(dict(indices)).items()
            if (p != np.arange(p.shape[-1])).any()
        }
    moved: list[Any] = list(leaves)
    together: dict[Any, list[int]] = {}
    for k, (leaf, axes) in enumerate(zip(leaves, bound.axes, strict=True)):
        still = leaf is None or isinstance(leaf, jax.ShapeDtypeStruct)
        if still or not names_of(axes) & indices.keys() or not leaf.size:
            continue
        on_host = isinstance(leaf, np.ndarray) and not traced
        together.setdefault("host" if on_host else _home(leaf), []).append(k)
    short = {name: p.astype(np.int32) for name, p in indices.items()}
    for home, numbers in together.items():
        some = [leaves[k] for k in numbers]
        if home == "host":
            axes = [bound.axes[k] for k in numbers]
            found = move_on_host(some, axes, bound.sizes, indices)
        else:
            found = _moved_in_jax(some, short, bound, tuple(numbers), _spread(some[0]))
        for k, new in zip(numbers, found, strict=True):
            moved[k] = _placed(new, leaves[k])
    return moved


def _home(leaf: Array) -> Any:
    """Leaves of one home are moved together: those that lie on devices alike."""
    on_device = isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer)
    return leaf.sharding if on_device else None


def _spread(leaf: Array) -> jax.sharding.Sharding | None:
    """The sharding over several devices, where it is not a part of the leaf's type."""
    sharding = _home(leaf)
    if sharding is None or sharding.num_devices == 1 or _explicit(leaf):
        return None
    return sharding


def _explicit(leaf: Array) -> tuple[str, ...]:
    """Axes of the mesh whose sharding is a part of the leaf's type."""
    mesh = jax.typeof(leaf).sharding.mesh
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return tuple(name for name, kind in kinds if kind is AxisType.Explicit)


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _moved_in_jax(
    leaves: list[Array],
    indices: dict[str, Array],
    bound: BoundSpec,
    numbers: tuple[int, ...],
    spread: jax.sharding.Sharding | None,
) -> list[Array]:
    def move(leaf: Array, axes: Axes | Stacked) -> Array:
        gather = functools.partial(_gathered, axes, bound.sizes)
        explicit = _explicit(leaf)  # along these axes the compiler has to see to it
        if explicit:
            kept = jax.typeof(leaf).sharding
            gather = auto_axes(gather, axes=explicit, out_sharding=kept)
        return gather(leaf, indices)

    moved = [move(x, bound.axes[k]) for x, k in zip(leaves, numbers, strict=True)]
    # Else each device would get the whole of what is spread because one has no room.
    return moved if spread is None else jax.lax.with_sharding_constraint(moved, spread)


def _gathered(
    axes: Axes | Stacked, sizes: Sizes, leaf: Array, indices: Mapping[str, Array]
) -> Array:
    """Row by row: XLA makes of it one pass over memory, whatever else it compiles.

    (Of `take` along each axis in turn it makes a pass each and transposes what it has.)
    """
    if leaf.ndim > axes.ndim:
        return jax.vmap(lambda x: _gathered(axes, sizes, x, indices))(leaf)
    if isinstance(axes, Stacked):
        layers = zip(axes.axes, leaf, strict=True)
        return jnp.stack([_gathered(one, sizes, x, indices) for one, x in layers])
    found = plan(axes, leaf.shape, sizes, indices)
    if found is None:
        return leaf
    take = functools.partial(jnp.take, axis=0, mode="clip")
    matrix = leaf.reshape(found.shape)
    if found.rows is None:
        moved = jax.vmap(lambda row: take(row, found.columns))(matrix)
    else:
        moved = jax.vmap(lambda i: take(take(matrix, i), found.columns))(found.rows)
    return moved.reshape(leaf.shape)


def _placed(moved: Array, leaf: Array) -> Array:
    """On the devices and with the sharding of the leaf it was made from."""
    if isinstance(leaf, jax.core.Tracer) or not isinstance(leaf, jax.Array):
        return moved
    if isinstance(moved, jax.core.Tracer) or moved.sharding == leaf.sharding:
        return moved
    return jax.device_put(moved, leaf.sharding)
