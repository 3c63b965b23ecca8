"""Whether what is to be saved or resumed fits the trajectory."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from linconn_jax import trees
from linconn_jax.trajectory import packing
from linconn_jax.typing import PyTree


def check_fits(
    seeds: int,
    rows: int,
    slots: Sequence[packing.Slot],
    variables: PyTree,
    small: PyTree,
) -> None:
    """Checks that the arrays of a save have one row for each seed.

    Args:
      seeds: number of seeds, without padding.
      rows: length of the leading axis of variables.
      slots: of variables.
      variables: to be saved.
      small: tree of `diverged` and metrics.

    Raises:
      ValueError: they have not, or leaves of variables have no name of their own.
    """
    if rows < seeds:
        raise ValueError(
            f"variables have a leading axis of {rows} but there are {seeds} seeds; stack "
            "one network for each seed"
        )
    paths = [slot.path for slot in slots]
    twice = sorted("/".join(path) for path in set(paths) if paths.count(path) > 1)
    if twice:
        raise ValueError(f"variables have several leaves by the names {twice[:4]}")
    for path, leaf in jax.tree_util.tree_leaves_with_path(small):
        if np.shape(leaf) not in {(seeds,), (rows,)}:
            raise ValueError(
                f"{trees.path_name(path)} has shape {np.shape(leaf)}; it must hold one "
                f"number for each of {seeds} seeds"
            )


def steps_among(wanted: Sequence[int], steps: Sequence[int]) -> list[int]:
    """The steps that are wanted.

    Raises:
      ValueError: some are not to be recorded.
    """
    absent = sorted(set(wanted) - set(steps))
    if absent:
        raise ValueError(
            f"resume_at holds {absent}, which are not among the {len(steps)} steps to "
            "record; add them to `steps`"
        )
    return sorted(set(wanted))


def check_resume(
    folder: Path, step: int, slots: Sequence[packing.Slot], example: PyTree
) -> None:
    """Checks that stored leaves can take the place of the example's.

    Raises:
      ValueError: paths, shapes or dtypes differ.
    """
    wrong = _differ(slots, example, stacked=True)
    if wrong:
        raise ValueError(
            f"the checkpoint of step {step} in {folder} resumes another state than the "
            f"one asked for: {wrong[:8]} differ; was it trained by another optimiser or "
            "version?"
        )


def check_like(
    folder: Path, step: int, slots: Sequence[packing.Slot], like: PyTree
) -> None:
    """Checks that stored variables can take the place of those of a model.

    Raises:
      ValueError: paths, shapes or dtypes differ.
    """
    wrong = _differ(slots, like)
    if wrong:
        raise ValueError(
            f"the checkpoint of step {step} in {folder} holds the variables of another "
            f"network than the one asked for: {wrong[:8]} differ"
        )


def rows_of(
    seeds: Sequence[int], first: dict[str, list[str]], second: dict[str, list[str]]
) -> str:
    """`variables of seeds [3]` for all digests that differ, or an empty string."""
    each = ((n, zip(seeds, x, second[n], strict=True)) for n, x in first.items())
    wrong = {name: [s for s, a, b in some if a != b] for name, some in each}
    return ", ".join(f"{name} of seeds {some}" for name, some in wrong.items() if some)


def _differ(
    slots: Sequence[packing.Slot], example: PyTree, *, stacked: bool = False
) -> list[str]:
    """Names of the leaves that are not stored as in the example, or not in both.

    A stacked example may have the seeds in front.
    """
    stored = {"/".join(slot.path): slot for slot in slots}
    leaves = jax.tree_util.tree_leaves_with_path(example)
    asked = {trees.path_name(path): leaf for path, leaf in leaves}
    wrong = sorted(stored.keys() ^ asked.keys())
    for name in stored.keys() & asked.keys():
        slot, leaf = stored[name], asked[name]
        shapes = [tuple(leaf.shape), *([tuple(leaf.shape[1:])] if stacked else [])]
        if str(leaf.dtype) != slot.dtype or slot.shape not in shapes:
            wrong.append(f"{name} ({slot.dtype}{list(slot.shape)} a seed there)")
    return wrong
