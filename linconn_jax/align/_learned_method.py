"""Learned alignment as a method of studies, with its settings and its start."""

import dataclasses
from collections.abc import Sequence

import jax

from linconn_jax import checks
from linconn_jax.align._joint import of_many
from linconn_jax.align._learned import learned
from linconn_jax.align._search import RATES
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.method import Context, Method, method, register
from linconn_jax.checks import setting
from linconn_jax.permutation import Permutation
from linconn_jax.typing import Key, Variables

NAME = "learned"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of learned alignment in a study."""

    start: str = setting(
        "fused_matching",
        checks.TEXT,
        "method to start from; one of two networks through the first of them",
    )
    gradient: str = setting(
        "sinkhorn", checks.one_of(*RATES), "how it reaches the scores"
    )
    steps: int = setting(4000, checks.whole(0), "of Adam in all rounds together")
    rounds: int = setting(8, checks.whole(1), "each from the best found so far")
    learning_rate: float | None = setting(
        None,
        checks.optional(checks.number(above=0)),
        "of Adam; .1 for sinkhorn, .015 for straight_through",
    )
    batch_size: int = setting(128, checks.whole(1), "at each of a step's three points")
    examples: int = setting(10_000, checks.whole(2), "the first so many for training")
    kept: float = setting(
        0.2, checks.number(above=0, below=1), "share of these that judges only"
    )


def _find(
    context: Context, networks: Sequence[Variables], key: Key, settings: Settings
) -> Alignment:
    first, second = jax.random.split(key)
    _check_context(context)
    return learned(
        context.spec,
        context.apply,
        networks,
        context.inputs[: settings.examples],
        context.labels[: settings.examples],
        key=second,
        initial=_start(context, networks, first, settings),
        gradient=settings.gradient,
        steps=settings.steps,
        rounds=settings.rounds,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        kept=settings.kept,
    )


def _start(
    context: Context, networks: Sequence[Variables], key: Key, settings: Settings
) -> list[Permutation]:
    """A permutation of each network; of a pairwise method through the first one."""
    chosen = of_many(_chosen(context, settings), len(networks))
    return list(chosen(context, networks, key).permutations)


def _chosen(context: Context, settings: Settings) -> Method:
    """The method to start from."""
    named = settings.start
    chosen = method(named)
    if chosen.sequences or chosen.name == NAME:
        raise ValueError(
            f"start={named!r}, from which {NAME} alignment cannot start; it must be a "
            "method of networks, such as 'weight_matching' or 'naive'"
        )
    return chosen


def _check_context(context: Context) -> None:
    if context.apply is None or context.inputs is None or context.labels is None:
        raise ValueError(
            f"{NAME} alignment needs the networks' function and training examples; give "
            "Context(spec, apply=..., inputs=..., labels=...)"
        )


def _check(context: Context, shapes: Variables, settings: Settings) -> None:
    _check_context(context)
    chosen = _chosen(context, settings)
    if chosen.check is not None:
        chosen.check(context, shapes, chosen.settings and chosen.settings())


register(
    Method(
        NAME,
        _find,
        settings=Settings,
        joint=True,
        check=_check,
        colour="#aa4499",
        marker="H",
        order=10,
    )
)
