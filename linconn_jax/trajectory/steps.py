"""Which steps of a training run to record."""

from collections.abc import Sequence

import numpy as np

from linconn_jax import checks

MOST = 100_000
"""Checkpoints of a run: each is several files."""


def record_steps(
    total: int,
    *,
    steps_per_epoch: int,
    every: int | None = None,
    steps: Sequence[int] | None = None,
    epochs: Sequence[int | float] | None = None,
    log_spaced: int | None = None,
) -> tuple[int, ...]:
    """The union of all that is asked for, always with step 0 and the last step.

    Args:
      total: length of training in steps.
      steps_per_epoch: converts `epochs` to steps.
      every: one checkpoint each so many steps.
      steps: explicit steps.
      epochs: explicit epochs; fractions are rounded to the nearest step.
      log_spaced: about so many steps from 1 to `total` at equal ratios (fewer where
        neighbours round to the same step).

    Returns:
      Ascending, distinct steps.

    Raises:
      ValueError: a length or count below 1, a step or epoch outside of training, or too
        many of them.
    """
    counts = {"total": total, "steps_per_epoch": steps_per_epoch}
    counts |= {"every": every, "log_spaced": log_spaced}
    for name, count in counts.items():
        checks.check(name, count, checks.optional(checks.whole(1)))
    asked = max(log_spaced or 0, total // (every or total))
    if asked > MOST:
        raise ValueError(
            f"every={every}, log_spaced={log_spaced} of {total} steps are {asked} "
            f"checkpoints; ask for at most {MOST}"
        )
    chosen = {0, total, *_inside("steps", steps or (), 1, total)}
    chosen.update(_inside("epochs", epochs or (), steps_per_epoch, total))
    if every is not None:
        chosen.update(range(0, total, every))
    if log_spaced is not None:
        chosen.update(np.rint(np.geomspace(1, total, log_spaced)).astype(int).tolist())
    return tuple(sorted(chosen))


def _inside(
    name: str, wanted: Sequence[int | float], unit: int, total: int
) -> list[int]:
    """`wanted`, each in units of `unit` steps, as steps within training."""
    found = [round(value * unit) for value in wanted]
    outside = [
        v for v, step in zip(wanted, found, strict=True) if not 0 <= step <= total
    ]
    if outside:
        last = total if unit == 1 else round(total / unit, 3)
        raise ValueError(
            f"{name} to record {outside} lie outside of training, which goes from 0 to "
            f"{last} {name}; leave them out or train longer"
        )
    return found
