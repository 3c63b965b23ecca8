"""The rules of all primitives, ours and those of users."""

from collections.abc import Callable, Sequence
from typing import Any

from linconn_jax.permutation._discover.traced_array import TracedArray

Rule = Callable[..., TracedArray | Sequence[TracedArray]]
RULES: dict[str, Rule] = {}


def register_rule(primitive: Any, rule: Any, *, replace: bool = False) -> None:
    """Teaches `discover` a primitive: a kernel, a custom call, one of your own.

    `rule(op, *arrays)` is run for every call of the primitive in a traced program, with
    an `Operation` and a `TracedArray` for each operand, whose `symbols` stand for the
    units along its axes. It returns `op.output(symbols)`, or a list, one for each output.

        def my_dense(op, x, w):  # x[n, d] @ w[d, k]
            (n, d), (d_of_w, k) = x.symbols, w.symbols
            return op.output([n, k], summed=[op.tie(d, d_of_w)])

    Where a function of JAX does the same, the rule is `lambda op, *_: op.like(function)`.

    It may leave free only what the primitive follows: inputs permuted in any way that
    the symbols still allow must give outputs permuted as their symbols say. A wrong rule
    makes wrong specs; `verify` finds them.

    Args:
      primitive: a `jax.extend.core.Primitive` or its name. Calls of one name
        (`pallas_call`, `ffi_call`) are told apart by `op.params`.
      rule: as above. Where it returns `NotImplemented`, all axes are frozen, with a
        warning, as if there were no rule.
      replace: whether it may take the place of another rule.

    Raises:
      ValueError: not a primitive, not a function, or there is a rule already. In
        `discover`: the rule did not return an array of the right shape for each output.
    """
    name = getattr(primitive, "name", primitive)
    if not isinstance(name, str):
        raise ValueError(
            f"primitive={primitive!r} must be a jax.extend.core.Primitive or its name"
        )
    if not callable(rule):
        raise ValueError(f"rule={rule!r} of {name!r} must be a function (op, *arrays)")
    if name in RULES and not replace:
        raise ValueError(f"{name!r} has a rule; pass replace=True to put another there")
    RULES[name] = rule


def rule(names: str) -> Callable[[Rule], Rule]:
    """Registers a function as the rule of the primitives with these names."""

    def register(function: Rule) -> Rule:
        for name in names.split():
            register_rule(name, function)
        return function

    return register
