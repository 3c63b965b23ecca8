"""Weight matching as a method of studies, with its settings."""

import dataclasses
from collections.abc import Sequence

import jax

from linconn_jax import checks
from linconn_jax.align import objectives
from linconn_jax.align._fitted import LEFT_OUT, without
from linconn_jax.align._weight_matching import ACCEPT, weight_matching
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.method import Context, Method, register
from linconn_jax.checks import setting
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
    )


def check(context: Context, shapes: Variables, settings: Settings) -> None:
    """Refuses with a ValueError what does not fit a network or lacks data."""
    without(context.spec, shapes, shapes, settings.leave_out)
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
