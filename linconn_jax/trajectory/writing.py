"""What a recorder does in the background: checkpoints written, compared, and thinned."""

import jax
import numpy as np

from linconn_jax.trajectory import checks
from linconn_jax.trajectory import folder as folders
from linconn_jax.trajectory.checksum import as_text
from linconn_jax.trajectory.reader import Trajectory
from linconn_jax.trajectory.resuming import Ledger
from linconn_jax.trajectory.store import Record, Store


class Writer:
    """Writes the checkpoints of one run in one thread.

    Attributes:
      seeds: names of the networks.
      run: digest of the run's identity.
      store: its folder.
      ledger: its steps, kept up to date.
    """

    def __init__(self, seeds: tuple[int, ...], run: str, store: Store, ledger: Ledger):
        self.seeds, self.run, self.store, self.ledger = seeds, run, store, ledger
        self._unproven: list[int] = []

    def write(
        self, step: int, layout: dict, words: dict, sums: dict, small: dict
    ) -> None:
        """One checkpoint from device arrays to disk; every process calls it."""
        seeds = len(self.seeds)
        sums, small = jax.tree.map(lambda x: np.asarray(x)[:seeds], (sums, small))
        record: Record = {
            "format": folders.FORMAT,
            "run": self.run,
            "step": step,
            "seeds": list(self.seeds),
            "rows": int(next(iter(words.values())).shape[0]),
            "layout": {k: [s.to_json() for s in slots] for k, slots in layout.items()},
            "digests": {name: as_text(lanes) for name, lanes in sums.items()},
            "diverged": small["diverged"].tolist(),
            "metrics": {
                k: v.astype(float).tolist() for k, v in small["metrics"].items()
            },
        }
        ledger = self.ledger
        if step in ledger.recorded:
            self._compare(step, record)
            self._accept()
            if ledger.lacks_resume(step):
                self.store.add_resume(step, words["resume"])
                ledger.resumable.add(step)
        elif ledger.fills_a_gap(step):
            self.store.write(step, words, record, unproven=True)
            self._unproven.append(step)
        else:
            self.store.write(step, words, record)
            ledger.add(step)
        for old in ledger.superfluous():
            self.store.remove_resume(old)
            ledger.resumable.discard(old)

    def _accept(self) -> None:
        """Counts what was made anew as recorded: what followed was the same."""
        for step in self._unproven:
            self.store.accept(step)
            self.ledger.add(step)
        self._unproven.clear()

    def _compare(self, step: int, record: Record) -> None:
        there = Trajectory(self.store.folder).record(step)["digests"]
        differ = checks.rows_of(self.seeds, there, record["digests"])
        if not differ:
            return
        missing, at = "", "that step"
        if self._unproven:
            missing = f", so that step {self._unproven[0]} is not made anew"
            at = f"step {self._unproven[0]}"
        raise ValueError(
            f"step {step} is recorded in {self.store.folder} already, and what training "
            f"gives now differs for {differ}{missing}: it is not repeating itself bit "
            "for bit (another device, version or number of devices?); go back to those, "
            f"delete {self.store.checkpoints} from {at} on, or record in another folder"
        )
