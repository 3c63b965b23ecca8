"""Networks from outside: a `Model` from somebody's own pure functions."""

import dataclasses
import functools
import warnings
from collections.abc import Callable

import jax
import jax.extend

from linconn_jax import functions
from linconn_jax.models import contract
from linconn_jax.models.base import Model
from linconn_jax.models.contract import Refused
from linconn_jax.typing import Array, Key, PyTree, Variables


def from_functions(
    init: Callable[..., PyTree],
    apply: Callable[..., PyTree],
    *,
    name: str,
    inputs: Array | jax.ShapeDtypeStruct,
    state: bool = False,
    family: str | None = None,
    activations: Callable[..., dict[str, Array]] | None = None,
    version: str | None = None,
) -> Model:
    """A network from your own pure functions, of any library or none.

        def init(key):
            return {"w": jax.random.normal(key, (64, 10)), "b": jnp.zeros(10)}

        def apply(params, inputs):
            return inputs @ params["w"] + params["b"]

        model = models.from_functions(init, apply, name="linear", inputs=images)

    With `state=True`, `init(key) -> (params, state)` and `apply(params, state, inputs,
    train) -> (logits, state)`, where `train` is True or False. State is what training
    updates without gradients, such as running statistics; `()` is one, for networks
    that only want to know `train`.

    Args:
      init: params are any pytree of floating arrays, the state any pytree of arrays. Of
        objects that hold other things too, return the arrays alone
        (`equinox.partition(net, equinox.is_inexact_array)`) and put them together
        again in `apply`.
      apply: gives logits `[n, classes]` of inputs `[n, ...]`, which come as they are in
        the data set: uint8 images are not scaled.
      name: of the network, with its width in it if it has one: "mine-64".
      inputs: a batch `[n, ...]` or its `jax.ShapeDtypeStruct`, of which only the dtype
        and the shape of one input matter.
      state: whether there is state.
      family: the name with W for the width.
      activations: `activations(params, inputs)`, or with state `activations(params,
        state, inputs)`, gives for each axis name of the spec the values `[samples,
        *parents, units]` that activation matching compares; it is told where to read if
        it has an argument `at`. By default they are read from `apply`.
      version: names what the functions compute. By default a digest of their traced
        programs does, so that an edited network is not taken for the one on disk; an
        update of JAX may trace them otherwise.

    Returns:
      A model whose variables are your params, or with state `{"params": ..., "state":
      ...}`.

    **Several devices.** A batch of a network with state stays on one device, so that
    training gives the same whatever their number. If `apply` has an argument
    `axis_name`, batches may be split: then it is the name of the mapped axis over which
    to average the batch's statistics (`jax.lax.pmean`), or None; afterwards floating
    leaves of the state are averaged over it, and others must be the same on all devices.

    Raises:
      ValueError: the functions are not as said; they are traced here once, which
        computes nothing.

    Warns:
      UserWarning: `init` makes the same network of every key.
    """
    contract.check_arguments(name, inputs, init, apply, activations)
    own = _Own(name, init, apply, activations, state, tuple(inputs.shape[1:]))
    batch = contract.example(inputs)
    variables = _try_init(own)
    logits = own.tried("apply", own.apply, variables, batch)[1]
    own.tried("apply", lambda v, x: own.apply(v, x, train=True), variables, batch)
    if activations is not None:
        own.tried("activations", own.activations, variables, batch)
    return Model(
        name=name,
        init=own.init,
        apply=own.apply,
        activations=None if activations is None else own.activations,
        image_shape=own.image_shape,
        classes=logits.shape[1],
        family=family or name,
        input_dtype=batch.dtype,
        split=own.split,
        join=own.join,
        splits_batch=not state or own.synchronises,
        version=version,
    )


@dataclasses.dataclass(frozen=True)
class _Own:
    """Somebody's functions, called in the way of a `Model`'s and checked as they go."""

    name: str
    own_init: Callable
    own_apply: Callable
    own_activations: Callable | None
    state: bool
    image_shape: tuple[int, ...]

    @property
    def synchronises(self) -> bool:
        """Whether `apply` averages statistics over a mapped axis."""
        return self.state and "axis_name" in functions.parameters(self.own_apply)

    def split(self, variables: Variables) -> tuple[PyTree, PyTree]:
        if self.state:
            return variables["params"], variables["state"]
        return variables, ()

    def join(self, params: PyTree, state: PyTree) -> Variables:
        return {"params": params, "state": state} if self.state else params

    def init(self, key: Key) -> Variables:
        made = self.own_init(key)
        if not self.state:
            return contract.arrays(self.name, made, "params")
        params, state = self._pair("init", made, "(params, state)")
        return self.join(
            contract.arrays(self.name, params, "params"),
            contract.arrays(self.name, state, "state"),
        )

    def apply(
        self,
        variables: Variables,
        inputs: Array,
        *,
        train: bool = False,
        axis_name: str | None = None,
    ) -> Array | tuple[Array, PyTree]:
        contract.check_inputs(self.name, inputs, self.image_shape)
        params, state = self.split(variables)
        if self.state:
            options = {"axis_name": axis_name} if self.synchronises else {}

            def own(params: PyTree, state: PyTree, inputs: Array) -> tuple:
                out = self.own_apply(params, state, inputs, train, **options)
                return self._pair("apply", out, "(logits, state)")

            mapped = axis_name if self.synchronises else None
            logits, updated = apart(own, (params, state, inputs), mapped)
        else:
            logits, updated = apart(self.own_apply, (params, inputs)), ()
        contract.check_logits(self.name, logits, len(inputs))
        if not train:
            return logits
        contract.check_state(self.name, state, updated)
        if self.synchronises and axis_name is not None:
            updated = _averaged(updated, axis_name)
        return logits, updated

    def activations(
        self, variables: Variables, inputs: Array, *, at: str = "relu"
    ) -> dict[str, Array]:
        params, state = self.split(variables)
        given = (params, state, inputs) if self.state else (params, inputs)
        told = "at" in functions.parameters(self.own_activations)
        own = functools.partial(self.own_activations, **({"at": at} if told else {}))
        found = apart(own, given)
        contract.check_activations(self.name, found)
        return found

    def tried(self, which: str, function: Callable, *arguments: PyTree) -> tuple:
        """Traces a function; says of whatever it raises whose it is.

        Returns:
          The jaxpr and the shapes of the outputs.
        """
        try:
            return jax.make_jaxpr(function, return_shape=True)(*arguments)
        except Refused:
            raise
        except Exception as error:
            raise contract.failed(self.name, which, self.state, error) from error

    def _pair(self, which: str, value: PyTree, must: str) -> tuple:
        if isinstance(value, tuple) and len(value) == 2:
            return value
        what = f"returned {contract.kind(value)} with state=True"
        raise contract.wrong(self.name, which, what, f"return {must}")


def _try_init(own: _Own) -> PyTree:
    """Shapes of the variables; warns of an `init` that does not look at its key."""
    program, variables = own.tried("init", own.init, jax.random.key(0))
    used = {id(x) for equation in program.jaxpr.eqns for x in equation.invars}
    if not used & {id(x) for x in program.jaxpr.invars}:
        warnings.warn(
            f"init of the model {own.name} does not use its key: the networks of all "
            "seeds start alike (draw with jax.random, not with numpy.random)",
            stacklevel=3,
        )
    return variables


def apart(function: Callable, arguments: tuple, axis_name: str | None = None) -> PyTree:
    """Calls a function with containers of its own, as if on one device.

    Some libraries mutate what they are given (`equinox.nn.State`), allow it only where
    it was made (`nnx.Variable`), or compare shapes inside with those of constants, which
    are of no mesh.
    """
    leaves, structure = jax.tree.flatten(arguments)
    if jax.sharding.get_abstract_mesh().empty:
        return function(*jax.tree.unflatten(structure, leaves))
    sizes = [] if axis_name is None else [(axis_name, jax.lax.axis_size(axis_name))]
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in leaves]
    traced = jax.make_jaxpr(function, axis_env=sizes, return_shape=True)
    with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
        program, made = traced(*jax.tree.unflatten(structure, shapes))
    found = jax.extend.core.jaxpr_as_fun(program)(*leaves)
    return jax.tree.unflatten(jax.tree.structure(made), found)


def _averaged(state: PyTree, axis_name: str) -> PyTree:
    """Floating leaves averaged over a mapped axis."""

    def one(leaf: Array) -> Array:
        floating = jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating)
        return jax.lax.pmean(leaf, axis_name) if floating else leaf

    return jax.tree.map(one, state)
