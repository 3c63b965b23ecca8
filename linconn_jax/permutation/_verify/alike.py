"""Which sites are tied to one another, asked of one network.

To ask whether one site may move alone, the others of its kind are made *alike*: unit j is
overwritten by unit i, so that swapping the two does nothing there. What remains to be
swapped is the one site, and the outputs tell. Leave a second site as it is, and they tell
whether the two are tied. So sets of any number of tied axes are found with one question
for each axis, and one for each pair at worst.
"""

from collections.abc import Sequence

import numpy as np

from linconn_jax.permutation._verify.probe import put
from linconn_jax.permutation._verify.sites import Move, Parent, Site, moved
from linconn_jax.permutation._verify.trials import Trials
from linconn_jax.typing import Int


class Alike:
    """Sites of one number of units, alike in two of these but where asked.

    Args:
      trials: the function; its first network is used.
      sites: that may be tied; some may be the same places, read in several ways.
      under: parents of the units.
    """

    def __init__(
        self, trials: Trials, sites: Sequence[Site], under: tuple[Parent, ...] = ()
    ):
        self.trials, self.sites, self.under = trials, list(sites), under
        self.shape = (*(trials.length(x) for x in under), sites[0].size)
        self.pair = trials.probe.rng.permutation(sites[0].size)[:2]
        readings: dict[str, list[Site]] = {}
        for site in sites:
            readings.setdefault(site.where, []).append(site)
        self.alike = {where: self._alike(each) for where, each in readings.items()}
        self.base = put(trials.moved(self.alike.values()))

    def may_move(self, *sites: Site) -> bool:
        """Whether swapping two units in the first site alone changes nothing.

        All other sites are alike in the two units, but for those of all sites given.
        """
        kept = {site.where for site in sites}
        leaves = {site.leaf for site in sites}
        moves = (
            move
            for where, move in self.alike.items()
            if move.leaf in leaves and where not in kept
        )
        host = self.trials.network(0).host
        own = {leaf: host[leaf] for leaf in leaves} | self.trials.moved(moves)
        swap = np.arange(self.shape[-1])
        swap[self.pair] = swap[self.pair[::-1]]
        swapped = moved(own, [self.move(sites[0], swap)])
        probe, base = self.trials.probe, (self.trials.network(0).device, self.base, own)
        change = probe.distance(probe.run(*base), probe.run(*base, swapped))
        return change <= probe.precision.tolerance

    def classes(self) -> list[list[Site]]:
        """The sites parted into those tied to one another, if only through others."""
        rest, found = self.sites, []
        while rest:
            tied, rest = [rest[0]], rest[1:]
            for one in tied:  # grows while it is walked
                new = [other for other in rest if not self.may_move(one, other)]
                rest = [other for other in rest if other not in new]
                tied += new
            found.append(tied)
        return found

    def symmetric(self, tied: Sequence[Site]) -> bool:
        """Whether permuting these alike leaves the outputs of random networks."""
        index = self.trials.cycle(self.shape[-1])
        return not self.trials.changes(self.move(site, index) for site in tied)

    def move(self, site: Site, index: Int[np.ndarray, " units"]) -> Move:
        """The same gather of the units under all parents."""
        return site.move(np.broadcast_to(index, self.shape), self.under)

    def _alike(self, readings: Sequence[Site]) -> Move:
        """Makes places alike in all readings of them at once."""
        units = np.arange(self.shape[-1])
        units[self.pair[1]] = self.pair[0]
        moves = [self.move(site, units) for site in readings]
        changed = [np.flatnonzero(g != np.arange(len(g))) for _, g in moves]
        here = np.concatenate(changed)
        there = np.concatenate(
            [m.gather[x] for m, x in zip(moves, changed, strict=True)]
        )
        gather = np.arange(len(moves[0].gather))
        # Entries that any reading makes equal take the first of all that are so linked.
        while (gather[here] != gather[there]).any():
            first = np.minimum(gather[here], gather[there])
            np.minimum.at(gather, here, first)
            np.minimum.at(gather, there, first)
        return Move(moves[0].leaf, gather)
