"""Weight matching as a method of studies, with its settings."""

import dataclasses
from collections.abc import Sequence

from linconn_jax import checks
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
    restarts: int = setting(
        1, checks.whole(1), "runs, of which the best is taken", added=True
    )


def _find(
    context: Context, networks: Sequence[Variables], key: Key, settings: Settings
) -> Alignment:
    reference, other = networks
    return weight_matching(
        context.spec,
        reference,
        other,
        key=key,
        leaves=without(context.spec, reference, other, settings.leave_out),
        accept=settings.accept,
        restarts=settings.restarts,
    )


def check(context: Context, shapes: Variables, settings: Settings) -> None:
    """Refuses with a ValueError to leave out what a network has not."""
    without(context.spec, shapes, shapes, settings.leave_out)


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
