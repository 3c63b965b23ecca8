"""Networks of your own compared in one call: aligned, interpolated, shown on a page.

found = linconn_jax.compare(apply, networks, (inputs, labels), workdir="runs/mine")
"""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from linconn_jax import (
    align,
    checks,
    data,
    models,
    parallel,
    permutation,
    progress,
    report,
    simplex,
)
from linconn_jax.align import Alignment
from linconn_jax.data import Dataset
from linconn_jax.models import Networks
from linconn_jax.permutation import BoundSpec, Spec
from linconn_jax.results import load
from linconn_jax.study import Given
from linconn_jax.study.compared import Compare
from linconn_jax.study.settings import method as known_method
from linconn_jax.study.tasks import SPLITS, alignments
from linconn_jax.typing import Array, PyTree

POINTS = 100
"""By default the grid on a simplex has at most so many points, if it can."""


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` found.

    Attributes:
      spec: which axes of the networks' arrays move together.
      alignments: by method, then by the numbers of the networks that were aligned.
      rows: all losses, errors and barriers, with the columns of `results.COLUMNS`, in
        which networks are `seeds`.
      tables: of the barriers, as plain text.
      page: tables and figures in a file for a browser; None if nothing was kept.
    """

    spec: Spec | BoundSpec
    alignments: Mapping[str, Mapping[tuple[int, ...], Alignment]]
    rows: pd.DataFrame
    tables: str
    page: Path | None
    _networks: Networks = dataclasses.field(repr=False)

    def __str__(self) -> str:
        return self.tables if self.page is None else f"{self.tables}\n{self.page}"

    @property
    def barriers(self) -> pd.DataFrame:
        """A line for each barrier over the interpolated baseline: value and where."""
        found = report.select.barriers(self.rows)
        names = ["seeds", "method", "split", "metric", "value", "at"]
        return found[names].reset_index(drop=True)

    def aligned(self, method: str) -> list[PyTree]:
        """All networks as a method aligns them for their simplex.

        By "naive" they stay as they are.

        Raises:
          ValueError: it is none of the methods that were chosen.
        """
        if method == "naive":
            return [self._networks.whole(one) for one in self._networks.variables]
        if method not in self.alignments:
            raise ValueError(
                f"method={method!r}; it must be one of {', '.join(self.alignments)}, by "
                "which networks were aligned here"
            )
        found, networks = self.alignments[method], self._networks.variables
        everyone = tuple(range(len(networks)))
        if align.method(method).joint:
            moved = found[everyone].apply_all(networks)
        else:
            others = enumerate(networks[1:], 1)
            moved = (networks[0], *(found[0, i].apply(one) for i, one in others))
        return [self._networks.whole(one) for one in moved]


def compare(
    apply: Callable[..., Array],
    networks: Sequence[PyTree] | PyTree,
    data: Dataset | tuple[Array, Array],
    *,
    test: tuple[Array, Array] | None = None,
    workdir: str | os.PathLike | None = None,
    methods: Sequence[str] | None = None,
    activations: Callable[..., dict[str, Array]] | None = None,
    spec: Spec | BoundSpec | None = None,
    leaves: Callable[[str], bool] | PyTree | None = None,
    resolution: int | None = None,
    settings: Mapping[str, Any] | None = None,
    name: str = "network",
) -> Comparison:
    """Are trained networks linearly connected once their hidden units are permuted?

    Aligns each pair of networks, and all to the first, by each method; measures loss and
    error along the segments of pairs and over the simplex of all of them.

        nets = [trained(seed) for seed in range(3)]  # Equinox, Flax, dicts, ...
        found = compare(apply, nets, (x, y), workdir="runs/mine")

    Args:
      apply: `apply(network, inputs) -> logits [n, classes]`, pure; of networks that
        behave otherwise in training, as in evaluation.
      networks: two or more, in a list; or one tree of networks stacked along the first
        axis of every array. Leaves that are no arrays must be the same in all.
      data: `(inputs, labels)` that the networks were trained on, or a `data.Dataset`.
        Inputs `[n, ...]` reach `apply` as they are, floats as float32; labels are
        classes from 0.
      test: the same, never trained on; without it nothing is measured on test data.
      workdir: where everything is kept: alignments, rows and the page. Called again with
        the same networks it computes nothing; others are measured anew, and the page is
        of those of the last call. By default nothing is kept, and there is no page.
      methods: that align, by their registered names; by default naive (nothing is moved)
        and weight matching, and with `activations` activation matching.
      activations: `activations(network, inputs) -> {axis name: [samples, units]}`, what
        activation matching compares; by default it is read from `apply`.
      spec: which axes move together, if not as found from `apply`.
      leaves: what weight matching is fitted to, as `align.weight_matching` takes it; the
        others are state in the spec.
      resolution: parts into which the edges of the simplex of three or more networks are
        cut; by default 10, or fewer if there were more than 100 points.
      settings: how to measure, `{"evaluate": {"points": 11}}`, and options of a method
        under its name.
      name: of the architecture, for rows and page.

    Raises:
      ValueError: the networks are of several architectures, functions or data not as
        said, or a method does not fit.
    """
    dataset, splits = _dataset(data, test)
    images, own = dataset.train.images, {"name": name, "activations": activations}
    several = models.from_networks(apply, networks, images, spec=spec, **own)
    if leaves is not None:
        found, shapes = several.model.spec, several.model.shapes
        spec = permutation.fitted_to(found, shapes, leaves)
        several = models.from_networks(apply, networks, images, spec=spec, **own)
    experiment = Compare(_resolution(len(several.variables), resolution))
    usual = ["naive", "weight_matching"] + ["activation_matching"] * bool(activations)
    names = checks.several(known_method(), least=1, distinct=True)
    chosen = checks.check("methods", usual if methods is None else methods, names)
    config = {"methods": chosen, **_measuring(settings or {})}
    with _kept(workdir) as folder:
        study = Given(config, folder, networks=several, dataset=dataset, splits=splits)
        study.run(experiment)
        page = None
        if workdir is not None and parallel.is_main_process():
            page = report.write(folder, [experiment])
            progress.say(f"the page is {os.path.relpath(page)}; open it in a browser")
        return Comparison(
            spec=several.model.spec,
            alignments=_alignments(study, experiment),
            rows=load(folder, experiment=experiment.name),
            tables=report.summary(folder, experiment),
            page=page,
            _networks=several,
        )


def _dataset(
    given: Dataset | tuple[Array, Array], test: tuple[Array, Array] | None
) -> tuple[Dataset, tuple[str, ...]]:
    """The data, and the splits that there are."""
    if isinstance(given, Dataset):
        if test is not None:
            raise ValueError(
                "test is given beside a Dataset, which has a test split; leave it out, "
                "or give arrays as data"
            )
        return given, SPLITS
    both = given if test is None else test
    made = data.from_arrays("data", train=given, test=both)
    return made, SPLITS if test is not None else SPLITS[:1]


def _resolution(k: int, given: int | None) -> int:
    if given is None:
        fits = (r for r in range(10, 1, -1) if simplex.grid_size(k, r) <= POINTS)
        return next(fits, 1)
    if k == 2:
        raise ValueError(
            f"resolution={given} beside two networks, between which lies a segment; its "
            'points are settings={"evaluate": {"points": 11}}'
        )
    return checks.check("resolution", given, checks.whole(1), why="an edge's parts")


def _measuring(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings, of which each must have an effect."""
    known = ["evaluate", *(m.name for m in align.methods().values() if m.settings)]
    if other := sorted(settings.keys() - known):
        raise ValueError(
            f"settings holds {other}, which of networks that are trained says nothing; "
            f"it may hold {', '.join(known)} (methods= and resolution= are arguments)"
        )
    return settings


@contextlib.contextmanager
def _kept(workdir: str | os.PathLike | None) -> Iterator[Path]:
    """The workdir, or one that is gone afterwards."""
    if workdir is not None:
        yield Path(workdir).absolute()
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _alignments(
    study: Given, experiment: Compare
) -> dict[str, dict[tuple[int, ...], Alignment]]:
    """Those of the experiment, by method and by the numbers of the networks."""
    found: dict[str, dict[tuple[int, ...], Alignment]] = {}
    for key in dict.fromkeys(k for t in study.tasks(experiment) for k in alignments(t)):
        numbers = tuple(network.columns(study)["seed"] for network in key.networks)
        found.setdefault(key.method, {})[numbers] = study.alignment(key)
    return found
