"""What training takes, known before any of it is done: memory, and room on the disk.

Both are counted from shapes and are less than what is really used (activations, rows and
permutations come on top), so that what is refused here could not have been done.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import jax

from linconn_jax import machine
from linconn_jax.study.runs import Runs
from linconn_jax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Need:
    """What the networks of one width that are still to be trained take, in bytes.

    Attributes:
      width: of the networks.
      networks: number of those to be trained.
      network: the variables of one.
      state: what the optimiser keeps beside them.
      together: number of networks in the largest group that is trained together.
      copies: networks that are to be written, one for each checkpoint.
      states: states of the optimiser that are kept beside them.
    """

    width: int
    networks: int
    network: int
    state: int
    together: int
    copies: int
    states: int

    @property
    def memory(self) -> int:
        """The training state, and the copy of it that is being recorded."""
        return 2 * self.together * (self.network + self.state)

    @property
    def disk(self) -> int:
        """All checkpoints that are to be written."""
        return self.copies * self.network + self.states * self.state

    def text(self) -> str:
        """In words, as part of a sentence."""
        return (
            f"{self.networks} networks of width {self.width}, of "
            f"{machine.size(self.network)} each ({machine.size(self.state)} more while "
            f"they are trained), take {machine.size(self.memory)} of memory and "
            f"{machine.size(self.disk)} on the disk"
        )


def need(runs: Runs, seeds: Sequence[int]) -> Need:
    """What training the seeds that are missing takes."""
    recipe, groups = runs.recipe, runs.lacking(seeds)
    network = recipe.network
    state = jax.eval_shape(
        lambda variables: recipe.optimizer.init(network.split(variables)[0]),
        network.shapes,
    )
    return Need(
        width=recipe.width,
        networks=sum(count for count, _, _ in groups),
        network=_bytes(network.shapes),
        state=_bytes(state),
        together=max((count for count, _, _ in groups), default=0),
        copies=sum(count * written for count, written, _ in groups),
        states=sum(count * kept for count, _, kept in groups),
    )


def check(needs: Iterable[Need], workdir: Path) -> None:
    """Refuses what cannot be trained on this machine or kept on this disk.

    Raises:
      ValueError: saying what it would take, and what there is.
    """
    memory, room, found = machine.memory(), machine.room(workdir), []
    for one in needs:
        found.append(one)
        if one.memory > memory:
            raise ValueError(
                f"{one.text()}; JAX's devices have {machine.size(memory)} of memory: ask "
                "for fewer seeds, or narrower or shallower networks"
            )
    total = sum(one.disk for one in found)
    if total > room:
        largest = max(found, key=lambda one: one.disk)
        raise ValueError(
            f"the checkpoints that are to be written take {machine.size(total)}, and "
            f"{machine.size(room)} are free where {workdir} is; {largest.text()}: ask "
            "for fewer checkpoints, seeds or widths, or give another workdir"
        )


def told(needs: Iterable[Need], workdir: Path) -> str:
    """One line on what is to be trained, or nothing if all is there."""
    some = [one for one in needs if one.networks]
    if not some:
        return ""
    sizes = sorted({one.network for one in some})
    each = " to ".join(machine.size(x) for x in dict.fromkeys((sizes[0], sizes[-1])))
    return (
        f"to train: {sum(one.networks for one in some)} networks of {each}, in at least "
        f"{machine.size(max(one.memory for one in some))} of memory; checkpoints of "
        f"{machine.size(sum(one.disk for one in some))} "
        f"({machine.size(machine.room(workdir))} are free)"
    )


def _bytes(shapes: PyTree) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shapes))
