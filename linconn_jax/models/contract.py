"""What somebody's own functions must take and return; each check raises a ValueError."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax import trees
from linconn_jax.typing import Array, PyTree

EXAMPLES = 13
"""Inputs by which functions are tried: a number that is not taken for the classes."""


class Refused(ValueError):
    """Says already what is wrong and whose it is."""


def wrong(name: str, which: str, what: str, must: str) -> Refused:
    """The error that says what a model's function did and what it must do."""
    return Refused(f"{which} of the model {name!r} {what}; it must {must}")


def failed(name: str, which: str, state: bool, error: Exception) -> Refused:
    """The error for a function that raised one when it was tried."""
    given = "params, state, inputs" if state else "params, inputs"
    calls = {
        "init": "init(key), with one key of jax.random",
        "apply": f"apply({given}, train)"
        if state
        else f"apply({given}); with state=True it is apply(params, state, inputs, train)",
        "activations": f"activations({given})",
    }
    what = f"raised {type(error).__name__} ({str(error).strip()[:300]})"
    must = f"be a pure function that JAX can trace, called as {calls[which]}"
    return wrong(name, which, what, must)


def example(inputs: Any) -> jax.ShapeDtypeStruct:
    """A batch like `inputs`, of `EXAMPLES`."""
    dtype = jax.dtypes.canonicalize_dtype(inputs.dtype)
    return jax.ShapeDtypeStruct((EXAMPLES, *inputs.shape[1:]), dtype)


def check_arguments(name: Any, inputs: Any, *given: Any) -> None:
    """Checks what can be seen without tracing: init, apply and activations or None."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w.+=-]+", name):
        raise ValueError(
            f"name={name!r}; it must be of letters, digits and any of _ . + = - because "
            "it names a folder, such as 'mine-64'"
        )
    if not hasattr(inputs, "dtype") or not np.shape(inputs):
        raise ValueError(
            f"inputs={kind(inputs)}; it must be a batch [n, ...], as an array or a "
            "jax.ShapeDtypeStruct"
        )
    for which, function in zip(("init", "apply", "activations"), given, strict=True):
        if not callable(function) and not (which == "activations" and function is None):
            raise wrong(name, which, f"is {kind(function)}", "be a function")


def arrays(name: str, tree: PyTree, part: str) -> PyTree:
    """The tree with its leaves as JAX's arrays; whatever is no array is refused.

    Args:
      name: of the model.
      tree: what `init` returned.
      part: "params", which must be floating, or "state".
    """

    def one(path: tuple, leaf: Any) -> Array:
        where = "/".join(filter(None, (part, trees.path_name(path))))
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic):
            must = (
                "return arrays alone (jnp.asarray of a number; keep the rest outside)"
            )
            raise wrong(name, "init", f"returned {leaf!r:.60} as {where}", must)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            must = "return keys as jax.random.key_data(key)"
            raise wrong(name, "init", f"returned a key as {where}", must)
        if part == "params" and not jnp.issubdtype(leaf.dtype, jnp.floating):
            what = f"returned {where} of dtype {leaf.dtype}"
            must = (
                "return floating params, as they have gradients; keep others in state"
            )
            raise wrong(name, "init", what, must)
        return jnp.asarray(leaf, jax.dtypes.canonicalize_dtype(leaf.dtype))

    found = jax.tree_util.tree_map_with_path(one, tree)
    if part == "params" and not jax.tree.leaves(found):
        raise wrong(name, "init", "returned params without arrays", "return some")
    return found


def check_inputs(name: str, inputs: Array, shape: tuple[int, ...]) -> None:
    """Refuses a batch of inputs of another shape."""
    if tuple(inputs.shape[1:]) != shape:
        raise ValueError(
            f"inputs have shape {inputs.shape}; the model {name!r} was made for "
            f"{('n', *shape)}"
        )


def check_logits(name: str, logits: Any, examples: int) -> None:
    """Refuses whatever is not floating `[examples, classes]`."""
    shape = getattr(logits, "shape", ())
    fits = len(shape) == 2 and shape[0] == examples and shape[1] > 1
    if not fits or not jnp.issubdtype(logits.dtype, jnp.floating):
        what = f"returned {kind(logits)} for {examples} inputs"
        must = f"return logits, floating [{examples}, classes] with at least 2 classes"
        raise wrong(name, "apply", what, must)


def check_state(name: str, before: PyTree, after: PyTree) -> None:
    """Refuses a new state with another structure, shape or dtype."""

    def described(tree: PyTree) -> tuple:
        leaves, structure = jax.tree.flatten(tree)
        return structure, [(np.shape(x), jnp.result_type(x)) for x in leaves]

    if described(before) != described(after):
        what = f"made the state {kind(after)} of {kind(before)}"
        raise wrong(name, "apply", what, "keep its structure, shapes and dtypes")


def check_activations(name: str, found: Any) -> None:
    """Refuses whatever is not a dict of `[samples, *parents, units]`."""
    if not isinstance(found, dict) or any(np.ndim(x) < 2 for x in found.values()):
        must = (
            "return a dict of arrays [samples, units], nested names [samples, *parents, "
            "units], by axis name of the spec"
        )
        raise wrong(name, "activations", f"returned {kind(found)}", must)


def kind(value: Any) -> str:
    """`float32[13, 10]` for an array; shapes and types for a tree."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, dict | list | tuple):
        return f"{jax.tree.map(kind, value)}"[:300]
    return f"of type {type(value).__name__}"
