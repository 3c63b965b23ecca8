"""Networks that were trained elsewhere: a `Model` and the variables of each of them."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax import files, functions, permutation, trees
from linconn_jax.models import contract
from linconn_jax.models.base import Model, program
from linconn_jax.models.contract import Refused
from linconn_jax.models.outside import apart
from linconn_jax.permutation import BoundSpec, Spec
from linconn_jax.typing import Array, PyTree, Variables

_ARRAY = object()
"""Stands where a network has an array, in what is the same in all networks."""


@dataclasses.dataclass(frozen=True, eq=False)
class Networks:
    """Networks of one architecture.

    Attributes:
      model: of all; its variables are the networks with their arrays alone.
      variables: of each, on the host.
      whole: `whole(variables)` is a network as it was given, with these variables in it.
    """

    model: Model
    variables: tuple[Variables, ...]
    whole: Callable[[Variables], PyTree]


@dataclasses.dataclass(frozen=True, eq=False)
class _Specified(Model):
    """A model whose spec was given."""

    spec: Spec | BoundSpec = None


def from_networks(
    apply: Callable[..., Array],
    networks: Sequence[PyTree] | PyTree,
    inputs: Array,
    *,
    name: str = "network",
    activations: Callable[..., dict[str, Array]] | None = None,
    spec: Spec | BoundSpec | None = None,
) -> Networks:
    """Trained networks of somebody's own, of any library or none.

    Args:
      apply: `apply(network, inputs) -> logits [n, classes]`, pure.
      networks: two or more pytrees of one architecture, in a list or tuple; or one
        pytree (no list or tuple) of networks stacked along the first axis of every
        array. Leaves that are no arrays, such as an Equinox module's activation
        functions, must be the same in all; keys of jax.random are those of the first.
      inputs: a batch `[n, ...]`, of which only dtype and the shape of one matter.
      name: of the architecture.
      activations: `activations(network, inputs)`, as for `from_functions`.
      spec: of the networks' arrays (their tree with None for leaves that are none); by
        default found from `apply`.

    Raises:
      ValueError: the networks differ in more than the numbers of their arrays, some are
        not finite, or the functions are not as said.
    """
    contract.check_arguments(name, inputs, from_networks, apply, activations)
    several = _several(networks)
    structure, rest = _common(several)
    variables = tuple(_arrays(i, one, rest) for i, one in enumerate(several))
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), variables[0]
    )
    whole, batch = functools.partial(_whole, structure, rest), contract.example(inputs)
    own = _Own(name, whole, apply, activations, tuple(inputs.shape[1:]))
    logits = own.tried("apply", shapes, batch)
    calls = [(own.apply, (shapes, batch))]
    if activations is not None:
        own.tried("activations", shapes, batch)
        calls.append((own.activations, (shapes, batch)))
    told = spec if spec is None else permutation.describe(spec, shapes)
    options = {
        "name": name,
        "init": lambda key: jax.tree.map(jnp.asarray, variables[0]),
        "apply": own.apply,
        "activations": activations and own.activations,
        "image_shape": own.image_shape,
        "classes": logits.shape[1],
        "input_dtype": batch.dtype,
        "version": files.digest({"program": program(*calls), "spec": told}),
    }
    model = Model(**options) if spec is None else _Specified(**options, spec=spec)
    return Networks(model, variables, whole)


@dataclasses.dataclass(frozen=True)
class _Own:
    """Somebody's functions of whole networks, as functions of their arrays."""

    name: str
    whole: Callable[[Variables], PyTree]
    own_apply: Callable
    own_activations: Callable | None
    image_shape: tuple[int, ...]

    def apply(self, variables: Variables, inputs: Array) -> Array:
        contract.check_inputs(self.name, inputs, self.image_shape)
        logits = self._called(self.own_apply, variables, inputs)
        if isinstance(logits, tuple | list) and logits and np.ndim(logits[0]) == 2:
            what = f"returned {contract.kind(logits)}"
            must = "return the logits alone: lambda network, x: apply(network, x)[0]"
            raise contract.wrong(self.name, "apply", what, must)
        contract.check_logits(self.name, logits, len(inputs))
        return logits

    def activations(
        self, variables: Variables, inputs: Array, *, at: str = "relu"
    ) -> dict[str, Array]:
        told = "at" in functions.parameters(self.own_activations)
        own = functools.partial(self.own_activations, **({"at": at} if told else {}))
        found = self._called(own, variables, inputs)
        contract.check_activations(self.name, found)
        return found

    def tried(self, which: str, *arguments: PyTree) -> PyTree:
        """Shapes of what a function returns; says of whatever it raises whose it is."""
        try:
            return jax.eval_shape(getattr(self, which), *arguments)
        except Refused:
            raise
        except Exception as error:
            what = f"raised {type(error).__name__} ({str(error).strip()[:300]})"
            call = f"{which}(network, inputs); wrap one that takes more"
            must = f"be a pure function that JAX can trace, called as {call}"
            raise contract.wrong(self.name, which, what, must) from error

    def _called(self, function: Callable, variables: Variables, inputs: Array) -> Any:
        return apart(lambda v, x: function(self.whole(v), x), (variables, inputs))


def _several(networks: Any) -> list[PyTree]:
    """The networks one by one, if they were stacked."""
    if isinstance(networks, list | tuple) and not hasattr(networks, "_fields"):
        found = list(networks)
    else:
        leaves, structure = jax.tree.flatten(networks)
        stacked = [x for x in leaves if _is_array(x)]
        lengths = {np.shape(x)[:1] for x in stacked}
        if len(lengths) != 1 or () in lengths:
            raise ValueError(
                f"networks is one {type(networks).__name__} whose arrays do not share a "
                "first axis; give a list of networks, or networks that are stacked"
            )
        found = [
            jax.tree.unflatten(structure, [x[i] if _is_array(x) else x for x in leaves])
            for i in range(len(stacked[0]))
        ]
    if len(found) < 2:
        raise ValueError(
            f"networks holds {len(found)}; at least two are compared: give a list of "
            "them, or a tree of networks stacked along the first axis"
        )
    return found


def _common(networks: Sequence[PyTree]) -> tuple[Any, tuple[Any, ...]]:
    """The structure of all networks, and their leaves that are no arrays."""
    first, structure = jax.tree_util.tree_flatten_with_path(networks[0])
    rest = tuple(_ARRAY if _is_array(leaf) else leaf for _, leaf in first)
    if all(x is not _ARRAY for x in rest):
        raise ValueError(
            f"network 0 is {networks[0]!r:.80}; a network is a pytree that holds arrays"
        )
    for i, network in enumerate(networks[1:], 1):
        other, theirs = jax.tree_util.tree_flatten_with_path(network)
        if theirs != structure:
            difference = _difference(network, networks[0])
            raise ValueError(
                f"networks {i} and 0 differ in structure ({difference}); all must be of "
                "one architecture (a single stacked tree must be no list or tuple)"
            )
        for (path, a), (_, b) in zip(first, other, strict=True):
            _check_alike(trees.path_name(path), i, a, b)
    return structure, rest


def _difference(one: PyTree, other: PyTree) -> str:
    a, b = (
        {trees.path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (one, other)
    )
    if a ^ b:
        return f"one has {min(a ^ b)}, the other has not"
    return f"not in their leaves: {jax.tree.structure(one)}"[:300]


def _check_alike(path: str, i: int, first: Any, other: Any) -> None:
    if _is_key(first) and _is_key(other):
        return
    if _is_array(first) and _is_array(other):
        a, b = ((np.shape(x), jnp.result_type(x)) for x in (first, other))
        must = "all must be of one architecture and width"
    else:
        a, b = first, other
        must = "what is no array must be the same in all; make an array of what differs"
    if a is not b and a != b:
        raise ValueError(
            f"leaf {path} is {b!r:.80} in network {i} and {a!r:.80} in network 0; {must}"
        )


def _arrays(i: int, network: PyTree, rest: tuple[Any, ...]) -> Variables:
    """The arrays of a network on the host, in its tree, with None for other leaves."""

    def one(path: tuple, leaf: Any, same: Any) -> np.ndarray | None:
        if same is not _ARRAY:
            return None
        array = np.asarray(leaf, jax.dtypes.canonicalize_dtype(leaf.dtype))
        if not np.isfinite(array).all():
            raise ValueError(
                f"network {i} has numbers that are not finite, in leaf "
                f"{trees.path_name(path)}; leave it out (its training diverged?)"
            )
        return array

    leaves, structure = jax.tree_util.tree_flatten_with_path(network)
    made = [one(path, x, same) for (path, x), same in zip(leaves, rest, strict=True)]
    return jax.tree.unflatten(structure, made)


def _whole(structure: Any, rest: tuple[Any, ...], variables: Variables) -> PyTree:
    arrays = iter(jax.tree.leaves(variables))
    leaves = [next(arrays) if leaf is _ARRAY else leaf for leaf in rest]
    return jax.tree.unflatten(structure, leaves)


def _is_key(leaf: Any) -> bool:
    key = jax.dtypes.prng_key
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, key)


def _is_array(leaf: Any) -> bool:
    arrays = jax.Array | np.ndarray | np.generic
    return isinstance(leaf, arrays) and not _is_key(leaf)
