"""Stability: when do copies that share the past stay connected as they are?

    python -m experiments.stability --config=configs/digits.py

Copies share everything, initialisation and data order, up to an epoch k, and then differ
in SGD noise (k = 0: the same initialisation, different noise). Barriers at the end of
training between a network and copies of it, naive and aligned, against k; beside those of
independent networks, which share nothing, and of copies with the same noise, which must
be the network itself.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from experiments import cli, stability_figures, stability_words
from experiments.stability_words import copies, parts
from linconn_jax import checks
from linconn_jax.checks import setting
from linconn_jax.report import Drawing, Selection, Table, select
from linconn_jax.report.sentences import drawings, none
from linconn_jax.study import (
    Barrier,
    Experiment,
    Network,
    Spawned,
    Study,
    Task,
    pair,
    settings,
)

_EPOCHS = checks.optional(
    checks.several(checks.number(0), least=1, distinct=True).called(
        "a tuple of different numbers of epochs, not negative"
    )
)
_SOME = checks.optional(settings.SEEDS)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which networks are copied, and when."""

    widths: tuple[int, ...] | None = settings.some_widths()
    of: tuple[int, ...] | None = setting(None, _SOME, "which seeds; all if None")
    epochs: tuple[settings.Number, ...] | None = setting(
        None,
        _EPOCHS,
        "up to which copies share everything; None: 0 and checkpoints.epochs",
    )
    copies: int = setting(
        1, checks.whole(1), "of a network, each with noise of its own"
    )
    method: str = setting("weight_matching", settings.aligning, "that aligns them")

    def check(self, common: settings.Settings) -> None:
        """Refuses seeds, widths and epochs that the study has not.

        Raises:
          ValueError: naming them.
        """
        common.check_part("stability", self)
        if absent := sorted(set(self.of or ()) - set(common.seeds)):
            raise ValueError(
                f"stability.of {absent} are not among seeds={common.seeds}; add them "
                "there"
            )
        if late := [k for k in self.epochs or () if k >= common.train.epochs]:
            raise ValueError(
                f"stability.epochs holds {late}; each must be less than "
                f"train.epochs={common.train.epochs}, or copies are not trained"
            )


class Stability(Experiment):
    """Barriers of copies at the end of training, against the epoch of spawning."""

    name = "stability"
    title = "Stability: copies that share the past"
    order = 100
    asked_by_name = True
    Settings = Settings

    def tasks(self, study: Study) -> Sequence[Task]:
        """At each epoch all pairs of a network's copies, itself among them; controls."""
        own, found = self.settings(study), []
        seeds = study.seeds if own.of is None else own.of
        epochs = _epochs(study.settings, own)
        for width in study.settings.some("stability", own.widths):
            same = select.few(epochs)
            for epoch, seed in itertools.product(epochs, seeds):
                itself = study.network(width, seed)
                for ends in itertools.combinations(
                    (itself, *_copies(study, itself, epoch, range(1, own.copies + 1))),
                    2,
                ):
                    found += _both(ends, own.method)
                if epoch in same:
                    ends = (itself, *_copies(study, itself, epoch, (0,)))
                    found.append(Barrier(ends))
            for a, b in study.pairs:
                ends = study.network(width, a), study.network(width, b)
                found += _both(ends, own.method)
        return found

    def tables(self, rows: Selection) -> list[Table]:
        """Barriers by epoch and method, copies, controls and independent ones."""
        return stability_words.table(select.barriers(rows.everything))

    def sentences(self, rows: Selection) -> list[str]:
        """From which epoch on copies are connected, and what the controls say."""
        found, said = select.barriers(rows.rows, split="train"), none(rows)
        for width in select.levels(found):
            said += stability_words.of_width(select.where(found, width=width), width)
        return said + stability_words.control(rows.rows)

    def figures(self, rows: Selection) -> list[Drawing]:
        """Barriers against the epoch."""
        found = select.barriers(rows.rows)
        found = found[found["is_judged"]]
        if copies(found).empty:
            return []
        draw, caption = stability_figures.against_epoch, stability_figures.CAPTION
        return drawings("stability", draw, found, caption)

    def panel(self, rows: Selection) -> Callable[[Axes], None] | None:
        """Loss barriers against the epoch, of the widest networks."""
        found = select.barriers(rows.rows, split="train", metric="loss")
        found = found[found["is_judged"]]
        widths = select.levels(copies(found))
        if not widths:
            return None
        widest = parts(select.where(found, width=widths[-1]))
        return functools.partial(stability_figures.panel, widest, widths[-1])


def _epochs(common: settings.Settings, own: Settings) -> list[settings.Number]:
    """Those of the settings, or all that are recorded before the end; ascending."""
    recorded = (0, *common.checkpoints.epochs)
    last = common.train.epochs
    return sorted(own.epochs or {epoch for epoch in recorded if epoch < last})


def _copies(
    study: Study, network: Network, epoch: settings.Number, noises: Sequence[int]
) -> list[Network]:
    """Copies of a network at the end of their training, one for each noise."""
    width, seed = network.width, network.seed
    starts = [Spawned(epoch, noise) for noise in noises]
    return [study.network(width, seed, start=start) for start in starts]


def _both(ends: tuple[Network, Network], method: str) -> list[Task]:
    """The barriers of a pair as it is and aligned."""
    return [Barrier(pair(*ends, method=one)) for one in ("naive", method)]


EXPERIMENT = Stability()

if __name__ == "__main__":
    cli.main("stability")
