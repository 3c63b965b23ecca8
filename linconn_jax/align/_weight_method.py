"""Weight matching as a method of studies, with its settings."""

import dataclasses
from collections.abc import Sequence

import jax

from linconn_jax import checks
from linconn_jax.align import objectives
from linconn_jax.align._fitted import LEFT_OUT, without
from linconn_jax.align._options import Order, assigned
from linconn_jax.align._weight_matching import ACCEPT, check_runs, weight_matching
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.method import Context, Method, register
from linconn_jax.checks import setting
from linconn_jax.permutation import bind, depth_order
from linconn_jax.typing import Key, Variables


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of weight matching in a study."""

    leave_out: str = setting(
        "nothing",
        checks.one_of(*LEFT_OUT),
        "of the objective: biases (also those of norm layers; scales stay), or vectors "
        "(all parameters of one axis, so that kernels are left)",
        added=True,
    )
    accept: str = setting(
        "relative",
        checks.one_of(*ACCEPT),
        "an assignment that gains more than rounding can, or (absolute) than 1e-12",
        added=True,
    )
    order: str = setting(
        "random",
        checks.one_of("random", "forward", "backward"),
        "in which layers are visited: a fresh one in each sweep, or the data flow's",
        added=True,
    )
    names: tuple[str, ...] | None = setting(
        None,
        checks.optional(checks.several(checks.TEXT, least=1, distinct=True)),
        "axis names that are aligned, others stay; all if None",
        added=True,
    )
    objective: str = setting(
        "linear",
        checks.one_of(*objectives.NAMES),
        "what of the networks is compared (align.objectives)",
        added=True,
    )
    examples: int = setting(
        2_000,
        checks.whole(1),
        "the first so many for training, of covariance and fisher",
        added=True,
    )
    restarts: int = setting(
        1, checks.whole(1), "runs, of which the best is taken", added=True
    )


def objective(
    context: Context, network: Variables, settings: Settings
) -> str | objectives.Objective:
    """That of the settings, with the data of the context if it looks at any.

    Raises:
      ValueError: the context lacks what it looks at.
    """
    name, size = settings.objective, context.batch_size
    if name == "covariance":
        inputs = context.examples(settings.examples)
        read = context.reader(network)
        return objectives.covariance(
            context.spec, None, inputs, activations=read, batch_size=size
        )
    if name == "fisher":
        inputs = context.examples(settings.examples)
        labels = context.labels
        if labels is not None:
            labels = labels[: settings.examples]
        return objectives.fisher(context.spec, context.apply, inputs, labels)
    return name


def _find(
    context: Context, networks: Sequence[Variables], key: Key, settings: Settings
) -> Alignment:
    reference, other = networks
    return weight_matching(
        context.spec,
        reference,
        other,
        key=key,
        objective=objective(context, reference, settings),
        restarts=settings.restarts,
        leaves=without(context.spec, reference, other, settings.leave_out),
        accept=settings.accept,
        order=ordering(context, reference, settings.order),
        names=settings.names,
    )


def ordering(context: Context, variables: Variables, named: str) -> Order:
    """The order of that name, as the function of the networks uses their units.

    Raises:
      ValueError: the data flow is asked for, and there is no function or no input.
    """
    if named == "random":
        return named
    if context.apply is None:
        raise ValueError(
            f"order={named!r} is that in which the networks' function uses their units; "
            "give apply=(variables, inputs) -> outputs, or order='random'"
        )
    inputs = context.examples(1)
    groups = depth_order(context.apply, variables, inputs, spec=context.spec)
    return groups if named == "forward" else groups[::-1]


def check(context: Context, shapes: Variables, settings: Settings) -> None:
    """Refuses with a ValueError what does not fit a network or lacks data."""
    without(context.spec, shapes, shapes, settings.leave_out)
    assigned(bind(context.spec, shapes), settings.names)
    ordering(context, shapes, settings.order)
    check_runs(settings.restarts, fixed=settings.order != "random")
    objective(context, shapes, settings)
    if settings.objective == "covariance":
        jax.eval_shape(context.reader(shapes), shapes, context.examples(2))


register(
    Method(
        "weight_matching",
        _find,
        settings=Settings,
        check=check,
        colour="#0072b2",
        marker="o",
        order=2,
    )
)
