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
      ValueError: they have not, or variables are not nested dicts.
    """
    if rows < seeds:
        raise ValueError(
            f"variables have a leading axis of {rows} but there are {seeds} seeds; stack "
            "one network for each seed"
        )
    again = packing.nest(slots, jax.tree.leaves(variables))
    if jax.tree.structure(again) != jax.tree.structure(variables):
        raise ValueError(
            "variables must be nested dicts with string keys and no empty dicts, such as "
            f"{{'params': {{...}}}}; got {jax.tree.structure(variables)}"
        )
    for path, leaf in jax.tree_util.tree_leaves_with_path(small):
        if np.shape(leaf) not in {(seeds,), (rows,)}:
            raise ValueError(
                f"{trees.path_name(path)} has shape {np.shape(leaf)}; it must hold one "
                f"number for each of {seeds} seeds"
            )


def check_resume(
    folder: Path, step: int, slots: Sequence[packing.Slot], example: PyTree
) -> None:
    """Checks that stored leaves can take the place of the example's.

    Raises:
      ValueError: paths, shapes or dtypes differ.
    """
    stored = {"/".join(slot.path): slot for slot in slots}
    leaves = jax.tree_util.tree_leaves_with_path(example)
    asked = {trees.path_name(path): leaf for path, leaf in leaves}
    wrong = sorted(stored.keys() ^ asked.keys())
    for name in stored.keys() & asked.keys():
        slot, leaf = stored[name], asked[name]
        shape = tuple(leaf.shape)
        if str(leaf.dtype) != slot.dtype or slot.shape not in (shape, shape[1:]):
            wrong.append(f"{name} ({slot.dtype}{list(slot.shape)} a seed there)")
    if wrong:
        raise ValueError(
            f"the checkpoint of step {step} in {folder} resumes another state than the "
            f"one asked for: {wrong[:8]} differ; was it trained by another optimiser or "
            "version?"
        )
