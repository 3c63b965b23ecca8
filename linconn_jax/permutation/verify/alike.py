"""Which sites are tied to one another, asked of one network.

To ask whether one site may move alone, the others of its kind are made *alike*: unit j is
overwritten by unit i, so that swapping the two does nothing there. What remains to be
swapped is the one site, and the outputs tell. Leave a second site as it is, and they tell
whether the two are tied. So sets of any number of tied axes are found with one question
for each axis, and one for each pair at worst.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from linconn_jax.permutation.verify.probe import Leaves, put
from linconn_jax.permutation.verify.sites import Move, Parent, Site
from linconn_jax.permutation.verify.trials import Trials
from linconn_jax.typing import Int


@dataclasses.dataclass(frozen=True)
class Reading:
    """A site read as units, or as a product of `times` and units.

    Attributes:
      site: what is read.
      times: how often the units occur; 1 if the site is the units.
      slow: whether the units are the slower factor (channels before positions).
    """

    site: Site
    times: int = 1
    slow: bool = False

    def __str__(self) -> str:
        if self.times == 1:
            return str(self.site)
        units = self.site.size // self.times
        product = f"{units}x{self.times}" if self.slow else f"{self.times}x{units}"
        return f"{self.site} as {product}"

    def spread(self, index: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
        """The gather of the whole site for a gather of its units."""
        if self.times == 1:
            return index
        if self.slow:
            return (index[:, None] * self.times + np.arange(self.times)).reshape(-1)
        return (len(index) * np.arange(self.times)[:, None] + index).reshape(-1)


class Alike:
    """Readings of one number of units, alike in two of these but where asked.

    Args:
      trials: the function; its first network is used.
      readings: that may be tied.
      size: number of units.
      under: parents of the units.
    """

    def __init__(
        self,
        trials: Trials,
        readings: Sequence[Reading],
        size: int,
        under: tuple[Parent, ...] = (),
    ):
        self.trials, self.readings, self.under = trials, list(readings), under
        self.shape = (*(trials.length(x) for x in under), size)
        self.pair = trials.probe.rng.permutation(size)[:2]
        self.host = trials.network(0).host
        moves = [self._alike(site) for site in self._sites()]
        self.base = put(trials.sites.moved(self.host, moves))

    def may_move(self, *readings: Reading) -> bool:
        """Whether swapping two units in the first reading alone changes nothing.

        All other sites are alike in the two units, but for those of all readings given.
        """
        kept = {reading.site for reading in readings}
        leaves = {site.leaf for site in kept}
        moves = [
            self._alike(site)
            for site in self._sites()
            if site.leaf in leaves and site not in kept
        ]
        own = {leaf: self.host[leaf] for leaf in leaves}
        own.update(self.trials.sites.moved(self.host, moves))
        i, j = self.pair
        swap = np.arange(self.shape[-1])
        swap[[i, j]] = j, i
        move = self.move(readings[0], swap)
        leaf = move.site.leaf
        swapped: Leaves = {leaf: self.trials.sites.apply(own[leaf], [move])}
        return self.trials.same({**self.base, **own}, swapped)

    def classes(self) -> list[list[Reading]]:
        """The readings parted into those tied to one another, if only through others."""
        rest, found = list(self.readings), []
        while rest:
            tied, rest = [rest[0]], rest[1:]
            for one in tied:  # grows while it is walked
                new = [other for other in rest if not self.may_move(one, other)]
                rest = [other for other in rest if other not in new]
                tied += new
            found.append(tied)
        return found

    def symmetric(self, tied: Sequence[Reading]) -> bool:
        """Whether permuting these alike leaves the outputs of random networks."""
        index = self.trials.cycle(self.shape[-1])
        return not self.trials.changes(self.move(each, index) for each in tied)

    def move(self, reading: Reading, index: Int[np.ndarray, " units"]) -> Move:
        """The same gather of the units under all parents."""
        spread = reading.spread(index)
        shape = (*self.shape[:-1], len(spread))
        return Move(reading.site, np.broadcast_to(spread, shape), self.under)

    def _sites(self) -> list[Site]:
        return list(dict.fromkeys(reading.site for reading in self.readings))

    def _alike(self, site: Site) -> Move:
        """Makes a site alike in all its readings at once."""
        i, j = self.pair
        index = np.arange(site.size)
        units = np.arange(self.shape[-1])
        units[j] = i
        for reading in self.readings:
            if reading.site == site:
                index = _joined(index, reading.spread(units))
        return Move(
            site, np.broadcast_to(index, (*self.shape[:-1], site.size)), self.under
        )


def _joined(
    index: Int[np.ndarray, " n"], other: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """The gather in which places that either gather makes equal are equal."""
    index = index.copy()
    for place in np.flatnonzero(other != np.arange(len(other))):
        a, b = index[place], index[other[place]]
        index[index == max(a, b)] = min(a, b)
    return index
