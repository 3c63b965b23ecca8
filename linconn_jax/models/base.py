"""`Model`: what the rest of the library knows of a network."""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from linconn_jax import functions, permutation, trees
from linconn_jax.permutation import Spec
from linconn_jax.typing import Array, Float, PyTree, Variables

Logits = Float[Array, "n classes"]


def split_collections(variables: Variables) -> tuple[PyTree, PyTree]:
    """`params` and `batch_stats` (`{}` if there are none) of this project's networks."""
    return variables["params"], variables.get("batch_stats", {})


def join_collections(params: PyTree, state: PyTree) -> Variables:
    """The inverse of `split_collections`."""
    return {"params": params} | ({"batch_stats": state} if state else {})


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A network as pure functions over a pytree of arrays, its variables.

    Attributes:
      name: family, size and norm, such as "vgg-16-64-layer".
      init: `init(key) -> variables`.
      apply: `apply(variables, inputs) -> logits`, or, with `train=True` (and, for
        statistics over a mapped axis, `axis_name=...`), `(logits, state)`, where `state`
        takes the place of the one in `variables`.
      activations: `activations(variables, inputs, at="relu")`, written by hand, gives
        for each axis name of the spec values `[samples, *parents, units]`; None where
        they are read from `apply`.
      image_shape: shape of one input; (height, width, channels) of an image.
      classes: number of logits.
      family: the name without the width ("vgg-16-W-layer"), the same for the networks
        that differ in nothing else; the name itself by default.
      input_dtype: of the inputs by which the spec is found.
      split: `split(variables) -> (params, state)`: what is trained by gradients, and
        what `apply` updates in training, such as running statistics.
      join: `join(params, state) -> variables`, the inverse.
      version: of what the functions compute, if you keep count.
      splits_batch: whether several devices may each take a part of one batch, because
        what is trained does not depend on it.

    A model is compared and hashed by identity, so it can be a static argument of a
    jitted function.
    """

    name: str
    init: Callable[..., Variables]
    apply: Callable[..., Any]
    activations: Callable[..., dict[str, Array]] | None
    image_shape: tuple[int, ...]
    classes: int
    family: str = ""
    input_dtype: Any = jnp.float32
    split: Callable[[Variables], tuple[PyTree, PyTree]] = split_collections
    join: Callable[[PyTree, PyTree], Variables] = join_collections
    splits_batch: bool = True
    version: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "family", self.family or self.name)

    @functools.cached_property
    def shapes(self) -> PyTree:
        """The variables as `jax.ShapeDtypeStruct`s, computing nothing."""
        return jax.eval_shape(self.init, jax.random.key(0))

    @functools.cached_property
    def spec(self) -> Spec:
        """The permutation symmetries, found from `apply`."""
        inputs = jax.ShapeDtypeStruct((2, *self.image_shape), self.input_dtype)
        return permutation.discover(self.apply, self.shapes, inputs)

    @functools.cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The names of the spec, each with those under it, in the order of depth."""
        inputs = jax.ShapeDtypeStruct((2, *self.image_shape), self.input_dtype)
        return permutation.depth_order(self.apply, self.shapes, inputs, spec=self.spec)

    def read(
        self, variables: Variables, inputs: Array, *, at: str = "relu"
    ) -> dict[str, Float[Array, "samples *parents units"]]:
        """The activations of each axis name: by `activations`, or read from `apply`.

        Raises:
          ValueError: as `permutation.ActivationReader`.
        """
        if self.activations is not None:
            return self.activations(variables, inputs, at=at)
        read = permutation.ActivationReader(self.spec, self.apply, variables, at=at)
        return read(variables, inputs)

    @functools.cached_property
    def signature(self) -> dict[str, Any]:
        """What tells the network from others of its name, JSON-able.

        The dtype and shape of each of the variables, and `version`; where there is none,
        a digest of the programs of `init` and `apply` as JAX traces them.
        """
        leaves = jax.tree_util.tree_leaves_with_path(self.shapes)
        return {
            "variables": {
                trees.path_name(path): [leaf.dtype.name, *leaf.shape]
                for path, leaf in leaves
            },
            "version": self.version or self._program(),
        }

    def _program(self) -> str:
        inputs = jax.ShapeDtypeStruct((2, *self.image_shape), self.input_dtype)
        return program(
            (self.init, (jax.random.key(0),)),
            (self.apply, (self.shapes, inputs)),
            (functools.partial(self.apply, train=True), (self.shapes, inputs)),
        )


def program(*calls: tuple[Callable, tuple[PyTree, ...]]) -> str:
    """Digest of what functions compute of arguments like these, as JAX traces them."""
    found = hashlib.sha256()
    for function, arguments in calls:
        with jax.default_matmul_precision(None):  # which some products name, some not
            traced = jax.make_jaxpr(function)(*arguments)
        # Rules of derivatives are printed with where they lie in memory.
        found.update(re.sub("0x[0-9a-f]+", "", str(traced)).encode())
        for constant in functions.captured(traced):
            found.update(constant.tobytes())
    return found.hexdigest()[:16]
