"""k networks at once, by any of the registered methods."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from linconn_jax import checks, declared
from linconn_jax.align._networks import listed
from linconn_jax.align._pairwise import through
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.method import Context, Method
from linconn_jax.align.method import method as registered
from linconn_jax.permutation import BoundSpec, Spec
from linconn_jax.typing import Array, Key, PyTree, Variables


def joint(
    spec: Spec | BoundSpec,
    networks: Sequence[Variables] | PyTree,
    *,
    key: Key,
    method: str = "fused_matching",
    apply: Callable[..., Any] | None = None,
    activations: Callable[..., dict[str, Array]] | None = None,
    inputs: Array | None = None,
    labels: Array | None = None,
    settings: Mapping[str, Any] | Any = None,
    batch_size: int = 512,
) -> Alignment:
    """Permutations that bring k networks together, one for each.

    Args:
      spec: of the networks, a tree of `Axes` or bound.
      networks: two or more, in a list or a tuple; or a stack of them, one tree with the
        structure of a network (of the spec) whose leaves all have one more axis in front.
        Structures tell the two apart: what has that of the spec is a stack.
      key: of everything that is drawn.
      method: name of a registered method (`align.methods()`). Joint methods take all
        networks at once; one for pairs brings each network to the first one, as
        "star" does with the setting `centre=0`.
      apply: `(variables, inputs) -> logits`, of methods that look at what the networks
        compute. "fused_matching" compares weights alone where neither this nor
        `activations` nor `inputs` is given; inputs without a function, or a function
        without inputs, are refused.
      activations: by hand, in the place of what is read from `apply`: `(variables,
        inputs) -> {axis name: [samples, units]}`. One that also takes `at=` is told the
        method's setting of that name.
      inputs: `[examples, ...]`, un-augmented training inputs.
      labels: `[examples]`, their classes.
      settings: the method's options, `{"restarts": 4}` or an object of its class
        `align.methods()[method].settings`; others than those given have their defaults.
      batch_size: inputs that are looked at together.

    Returns:
      An alignment with a permutation for each network; the first one stays.
      `.apply_all(networks)` moves them all, and of a stack makes a stack.

    Raises:
      ValueError: fewer than two networks, or neither a list nor a stack of them; a method
        or a setting that is not known, a method for sequences, or the method's own
        reasons, such as inputs that it needs.
    """
    one = registered(method)
    if one.sequences:
        raise ValueError(
            f"method {method!r} takes two sequences of networks; call align.{method}("
            "spec, references, others, key=key), or choose another"
        )
    each, _ = listed(spec, networks)
    checks.check("batch_size", batch_size, checks.whole(1))
    context = Context(spec, apply, told(activations), inputs, labels, batch_size)
    return of_many(one, len(each))(context, each, key, chosen(one, settings))


def of_many(one: Method, count: int) -> Method:
    """The method for so many networks; of pairs it brings each to the first one."""
    if one.joint or one.sequences or count <= 2:
        return one
    find = partial(_through_first, one)
    return Method(one.name, find, settings=one.settings, joint=True)


def _through_first(
    one: Method,
    context: Context,
    networks: Sequence[Variables],
    key: Key,
    settings: Any,
) -> Alignment:
    return through(context, networks, key, one, 0, settings)


def chosen(one: Method, given: Any) -> Any:
    """An object of the method's class of settings; None for its defaults."""
    if given is None or (one.settings and isinstance(given, one.settings)):
        return given
    if one.settings is None or not isinstance(given, Mapping):
        must = "None" if one.settings is None else "a dict of its options"
        raise ValueError(
            f"settings={given!r} of method {one.name!r}; it must be {must}"
        )
    at = f"{one.name}."
    known = [option.name for option in declared.options(one.settings, at)]
    declared.refuse_unknown(given, known, at)
    return declared.build(one.settings, given, at)


def told(activations: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Activations that can be told where to read, whatever they make of it."""
    if activations is None:
        return None
    try:
        taken = inspect.signature(activations).parameters
    except (TypeError, ValueError):  # no Python function
        return activations
    spread = any(x.kind is x.VAR_KEYWORD for x in taken.values())
    return activations if "at" in taken or spread else _ByHand(activations)


@dataclasses.dataclass(frozen=True)
class _ByHand:
    """Activations that know one place; those of one function are equal."""

    read: Callable[[Variables, Array], dict[str, Array]]

    def __call__(
        self, variables: Variables, inputs: Array, *, at: str
    ) -> dict[str, Array]:
        return self.read(variables, inputs)
