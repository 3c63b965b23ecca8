"""A workdir of made-up results, with the keys and columns that studies store."""

import contextlib
import html
import itertools
import json
import re

import numpy as np

from experiments import simultaneous as simultaneous_file
from experiments import strong as strong_file
from experiments import trajectory as trajectory_file
from experiments import weak as weak_file
from linconn_jax import report, simplex
from linconn_jax.results import Results

EXPERIMENTS = [
    file.EXPERIMENT
    for file in (trajectory_file, weak_file, simultaneous_file, strong_file)
]
BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
STEPS = (0, 10, 40)  # ten steps an epoch
LAST = STEPS[-1]
METHODS = ("naive", "random", "weight_matching", "activation_matching")
BASE = {"naive": 1.0, "random": 1.1, "weight_matching": 0.1, "activation_matching": 0.2}
OWN, NEAR = 0.01, 9.0
"""Training loss of a network by itself, and of one near chance."""
SCALE = {
    ("loss", "train"): 1.0,
    ("error", "train"): 0.1,
    ("loss", "test"): 2.0,
    ("error", "test"): 0.2,
}


class Fake:
    """Writes units of rows to a workdir, as asked for by an experiment.

    Networks that are said to have diverged, (width, seed), did so after the first steps;
    those said to be near chance err on .9 of the examples at all steps, and all networks
    do at the steps `near_at`.
    """

    def __init__(
        self, workdir, *, dataset="toy", diverged=(), near=(), near_at=(), guessing=None
    ):
        self.results = Results(workdir)
        self.dataset = dataset
        self.diverged, self.near = set(diverged), set(near)
        self.near_at, self.guessing = set(near_at), guessing
        self.asked, self.asking, self.final = {}, None, {}

    @contextlib.contextmanager
    def experiment(self, name):
        """Inside, an experiment asks for what is written."""
        before, self.asking = self.asking, name
        self.asked.setdefault(name, [])
        yield self
        about = {"guessing": self.guessing, "final": self.final}
        self.results.request(name, self.asked[name], **about)
        self.asking = before

    def store(self, key, rows):
        self.results.rows(key, lambda: rows)
        if self.asking:
            self.asked[self.asking].append(key)

    def key(self, width, **more):
        self.final[width] = LAST
        return {
            "config": f"digest{width}",
            "dataset": self.dataset,
            "model": f"mlp-2x{width}-relu-none",
            "family": "mlp-2xW-relu-none",
            "width": width,
            **more,
        }

    def marked(self, width, seeds, step=LAST):
        found = {s for s in seeds if (width, s) in self.diverged}
        return sorted(found) if step == LAST else []

    def barrier(
        self,
        width,
        seeds,
        value,
        *,
        method="naive",
        reference=None,
        step=LAST,
        fit_step=None,
        coords=None,
        end=0.01,
        options=None,
        **more,
    ):
        """A segment or simplex whose training loss barrier is `value`.

        Others are in the proportions of `SCALE`. `end` is what permuted vertices get.
        """
        naive = method == "naive"
        first = seeds[0] if reference is None else reference
        fit_step = None if naive else step if fit_step is None else fit_step
        coords = simplex.segment(5) if coords is None else coords

        def network(seed, step):
            return {"config": f"digest{width}", "seed": seed, "step": step}

        def vertex(seed):
            if naive or seed == first:
                return network(seed, step)
            alignment = {
                "method": method,
                "options": options or {},
                "networks": [network(first, fit_step), network(seed, fit_step)],
            }
            return {"network": network(seed, step), "alignment": alignment, "i": 1}

        vertices = [vertex(s) for s in seeds]
        key = self.key(
            width,
            method=method,
            path="direct" if first in seeds else "through",
            seeds=list(seeds),
            reference=None if naive else first,
            step=step,
            epoch=step / 10,
            fit_step=fit_step,
            fit_epoch=None if naive else fit_step / 10,
            diverged=self.marked(width, {*seeds, first}, step),
            k=len(seeds),
            points=len(coords),
            vertices=vertices,
            precision="float32",
            limit=None,
        )
        if len(seeds) > 2:
            key["inside"] = simplex.count_inside(coords)
        ends = [end if "network" in vertex else OWN for vertex in vertices]
        early = step in self.near_at
        near = [early or (width, seed) in self.near for seed in seeds]
        ends = [NEAR if n else x for n, x in zip(near, ends, strict=True)]
        self.store(key | more, list(_rows(value, coords, ends)))

    def agreement(self, width, seeds, value, fit_step, *, method="weight_matching"):
        key = self.key(
            width,
            method=method,
            seeds=list(seeds),
            reference=seeds[0],
            fit_step=fit_step,
            fit_epoch=fit_step / 10,
            step=LAST,
            epoch=LAST / 10,
            fits=[{"method": method, "at": step} for step in (fit_step, LAST)],
            diverged=self.marked(width, seeds),
        )
        rows = [
            {"quantity": "agreement", "axis": axis, "value": value}
            for axis in ("dense_0", "dense_1", "all")
        ]
        self.store(key, [] if key["diverged"] else rows)

    def training(self, width, seed, final):
        rows = [
            {
                "quantity": "training",
                "split": "train",
                "metric": metric,
                "value": final * SCALE[metric, "train"] * LAST / step,
                "step": step,
                "epoch": step / 10,
                "diverged": self.marked(width, [seed]),
            }
            for step in STEPS[1:]
            for metric in ("loss", "error")
        ]
        self.store(self.key(width, seeds=[seed], record_at=list(STEPS)), rows)
        if seed not in self.marked(width, [seed]):
            self.barrier(width, [seed], None, coords=np.ones((1, 1)))


def _rows(value, coords, ends):
    for (metric, split), scale in SCALE.items():
        common = {"metric": metric, "split": split, "examples": 100}
        for baseline in ("interpolated", "mean", "max") if len(ends) > 1 else ():
            wrong = {"interpolated": 0.0, "mean": 7.0, "max": 9.0}[baseline]
            yield common | {
                "quantity": "barrier",
                "baseline": baseline,
                "value": value * scale + wrong,
                "at": [0.5, 0.5],
            }
        for point in coords:
            corner = int(point.argmax()) if max(point) == 1.0 else None
            there = value if corner is None else ends[corner]
            yield common | {
                "quantity": "value",
                "value": there * scale,
                "point": [float(f"{x:.6g}") for x in point],
                "vertex": corner,
            }


def weak(fake, *, widths=(8, 16), seeds=(0, 1, 2)):
    """Pairs at the end, whose barriers are `BASE * 8 / width` plus the first seed."""
    with fake.experiment("weak"):
        for width, pair in itertools.product(widths, itertools.combinations(seeds, 2)):
            for method in METHODS:
                _pair(fake, width, pair, method)


def simultaneous(fake, *, width=16, pairs=((0, 1),)):
    """The full matrix: `0.5 * (t' > t) + 0.05` for steps t (of P) and t'."""
    with fake.experiment("simultaneous"):
        for pair, step in itertools.product(pairs, STEPS):
            naive = 0.0 if step == 0 else BASE["naive"] * 8 / width + 0.01 * pair[0]
            fake.barrier(width, pair, naive, step=step)
            for fit_step in STEPS:
                value = 0.5 * (step > fit_step) + 0.05 + 0.01 * pair[0]
                chosen = {"method": "weight_matching", "fit_step": fit_step}
                fake.barrier(width, pair, value, step=step, **chosen)
            fake.agreement(width, pair, step / LAST, step)


def strong(fake, *, widths=(8, 16), seeds=(0, 1, 2)):
    """Pairs as in weak, through a third network, and simplices of three."""
    with fake.experiment("strong"):
        for width, method in itertools.product(widths, ("naive", *METHODS[2:])):
            for i in range(len(seeds)):
                order = seeds[i:] + seeds[:i]
                pair = tuple(sorted(order[:2]))
                value = 2 * BASE[method] * 8 / width
                _pair(fake, width, pair, method)
                if method != "naive" or i == 0:
                    coords = simplex.grid(3, 4)
                    fake.barrier(width, order, value, method=method, coords=coords)
                if method != "naive":
                    third = {"method": method, "reference": order[2]}
                    fake.barrier(width, pair, 1.5 * value, **third)


def training(fake, *, widths=(8, 16), seeds=(0, 1, 2)):
    with fake.experiment("trajectory"):
        for width, seed in itertools.product(widths, seeds):
            fake.training(width, seed, 0.1 * (seed + 1))


def _pair(fake, width, pair, method):
    value = BASE[method] * 8 / width + 0.01 * pair[0]
    fake.barrier(width, pair, value, method=method)


def rows(workdir, experiment):
    return report.select_rows(workdir, experiment).rows


def page(workdir, *more):
    """Writes the page of the experiments there are, and more; its HTML."""
    written = report.write(workdir, [*EXPERIMENTS, *more])
    return written.read_text(encoding="utf-8")


def text_of(page):
    """What a page says, without its figures."""
    page = re.sub(r"base64,[^\"]*", "", page)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def fill(workdir):
    """Everything there can be."""
    fake = Fake(workdir)
    for part in PARTS.values():
        part(fake)
    (workdir / "config.json").write_text(json.dumps({"file": "configs/toy.py:full"}))


PARTS = {
    "weak": weak,
    "simultaneous": simultaneous,
    "strong": strong,
    "trajectory": training,
}
