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
from linconn_jax.trajectory import packing
from linconn_jax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Need:
    """What the networks of one width that are still to be trained take, in bytes.

    Attributes:
      width: of the networks.
      networks: number of those to be trained.
      network: the variables of one.
      optimizer_state: what the optimiser keeps beside them.
      together: number of networks in the largest group that is trained together.
      checkpoints: that are to be written, of one network each.
      optimizer_states: that are on the disk beside them at a time.
    """

    width: int
    networks: int
    network: int
    optimizer_state: int
    together: int
    checkpoints: int
    optimizer_states: int

    @property
    def memory(self) -> int:
        """The training state, and the copy of it that is being recorded.

        Of a large one an accelerator holds no copy.
        """
        whole = self.together * (self.network + self.optimizer_state)
        on_host = packing.is_packed_on_host(whole // jax.device_count())
        alone = on_host and jax.devices()[0].platform != "cpu"
        return whole if alone else 2 * whole

    @property
    def disk(self) -> int:
        """All checkpoints that are to be written."""
        states = self.optimizer_states * self.optimizer_state
        return self.checkpoints * self.network + states

    def text(self) -> str:
        """In words, as part of a sentence."""
        more = machine.size(self.optimizer_state)
        return (
            f"{self.networks} networks of width {self.width}, of "
            f"{machine.size(self.network)} each ({more} more while they are trained), "
            f"take {machine.size(self.memory)} of memory and "
            f"{machine.size(self.disk)} on the disk"
        )


def need(runs: Runs, seeds: Sequence[int]) -> Need:
    """What training the seeds that are missing takes."""
    recipe, groups = runs.recipe, runs.lacking(seeds)
    network, largest = recipe.network, max((n for n, _, _ in groups), default=0)
    state = jax.eval_shape(
        lambda variables: recipe.optimizer.init(network.split(variables)[0]),
        network.shapes,
    )
    return Need(
        width=recipe.width,
        networks=sum(count for count, _, _ in groups),
        network=_bytes(network.shapes),
        optimizer_state=_bytes(state),
        together=largest,
        checkpoints=sum(count * written for count, written, _ in groups),
        # A group is recorded at a time, and drops the state before when one is written.
        optimizer_states=sum(count * kept for count, _, kept in groups) + largest,
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
