"""A workdir of made-up results, with the keys and columns that studies store."""

import html
import itertools
import json
import re

from linconn_jax import report, simplex
from linconn_jax.results import Results

STEPS = (0, 10, 40)  # ten steps an epoch
LAST = STEPS[-1]
METHODS = ("naive", "random", "weight_matching", "activation_matching")
BASE = {"naive": 1.0, "random": 1.1, "weight_matching": 0.1, "activation_matching": 0.2}
SCALE = {
    ("loss", "train"): 1.0,
    ("error", "train"): 0.1,
    ("loss", "test"): 2.0,
    ("error", "test"): 0.2,
}


class Fake:
    """Writes units of rows to a workdir; every option can be overridden."""

    def __init__(self, workdir, *, dataset="toy", diverged=()):
        self.results = Results(workdir)
        self.dataset = dataset
        self.diverged = set(diverged)  # (width, seed)

    def key(self, width, **more):
        return {
            "config": f"digest{width}",
            "dataset": self.dataset,
            "model": f"mlp-2x{width}-relu-none",
            "width": width,
            **more,
        }

    def _marked(self, width, seeds):
        return ",".join(str(s) for s in seeds if (width, s) in self.diverged)

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
    ):
        """A segment or simplex whose training loss barrier is `value`.

        Others are in the proportions of `SCALE`. `end` is what permuted vertices get.
        """
        naive = method == "naive"
        through = reference is not None and reference not in seeds
        first = seeds[0] if reference is None else reference
        fit_step = None if naive else step if fit_step is None else fit_step
        coords = simplex.segment(5) if coords is None else coords

        def vertex(seed):
            moved = not naive and seed != first
            fit = {
                "method": method,
                "reference": first,
                "other": seed,
                "step": fit_step,
            }
            extra = (options or {}) if moved else {}
            return {"seed": seed, "step": step, "fit": fit if moved else None} | extra

        vertices = [vertex(s) for s in seeds]
        key = self.key(
            width,
            method=method,
            path="through" if through else "direct",
            seeds=",".join(map(str, seeds)),
            reference=None if naive else first,
            step=step,
            epoch=step / 10,
            fit_step=fit_step,
            fit_epoch=None if naive else fit_step / 10,
            diverged=self._marked(width, seeds),
            k=len(seeds),
            points=len(coords),
            vertices=vertices,
            precision="float32",
            limit=None,
        )
        self.results.rows(key, lambda: list(_rows(value, coords, vertices, end)))

    def agreement(self, width, seeds, value, fit_step, *, method="weight_matching"):
        key = self.key(
            width,
            method=method,
            seeds=",".join(map(str, seeds)),
            fit_step=fit_step,
            fit_epoch=fit_step / 10,
            step=LAST,
            epoch=LAST / 10,
            fits=[{"method": method, "reference": 0, "other": 1, "step": fit_step}],
        )
        rows = [
            {"quantity": "agreement", "axis": axis, "value": value}
            for axis in ("dense_0", "dense_1", "all")
        ]
        self.results.rows(key, lambda: rows)

    def training(self, width, seed, final):
        rows = [
            {
                "quantity": "training",
                "split": "train",
                "metric": metric,
                "value": final * SCALE[metric, "train"] * LAST / step,
                "step": step,
                "epoch": step / 10,
                "diverged": self._marked(width, [seed]),
            }
            for step in STEPS[1:]
            for metric in ("loss", "error")
        ]
        key = self.key(width, seeds=str(seed), record_at=list(STEPS))
        self.results.rows(key, lambda: rows)


def _rows(value, coords, vertices, end):
    for (metric, split), scale in SCALE.items():
        common = {"metric": metric, "split": split, "examples": 100}
        for baseline in ("interpolated", "mean", "max"):
            wrong = {"interpolated": 0.0, "mean": 7.0, "max": 9.0}[baseline]
            yield common | {
                "quantity": "barrier",
                "baseline": baseline,
                "value": value * scale + wrong,
                "at": "0.5,0.5",
            }
        for point in coords:
            inside = max(point) < 1.0
            moved = vertices[int(point.argmax())]["fit"] is not None
            there = value if inside else end if moved else 0.01
            text = ",".join(f"{x:.6g}" for x in point)
            row = {"quantity": "value", "value": there * scale, "point": text}
            yield common | row


def weak(fake, *, widths=(8, 16), seeds=(0, 1, 2)):
    """Pairs at the end, whose barriers are `BASE * 8 / width` plus the first seed."""
    for width, pair in itertools.product(widths, itertools.combinations(seeds, 2)):
        for method in METHODS:
            value = BASE[method] * 8 / width + 0.01 * pair[0]
            fake.barrier(width, pair, value, method=method)


def simultaneous(fake, *, width=16, pairs=((0, 1),)):
    """The full matrix: `0.5 * (t' > t) + 0.05` for steps t (of P) and t'."""
    for pair, step in itertools.product(pairs, STEPS):
        naive = 0.0 if step == 0 else BASE["naive"] * 8 / width + 0.01 * pair[0]
        fake.barrier(width, pair, naive, step=step)
        for fit_step in STEPS:
            value = 0.5 * (step > fit_step) + 0.05 + 0.01 * pair[0]
            chosen = {"method": "weight_matching", "fit_step": fit_step}
            if step != LAST or fit_step != LAST:
                fake.barrier(width, pair, value, step=step, **chosen)
        fake.agreement(width, pair, step / LAST, step)


def strong(fake, *, widths=(8, 16), seeds=(0, 1, 2)):
    """Pairs through a third network, and simplices of three in every order."""
    for width, method in itertools.product(widths, ("naive", *METHODS[2:])):
        for i in range(len(seeds)):
            order = seeds[i:] + seeds[:i]
            value = 2 * BASE[method] * 8 / width
            coords = simplex.grid(3, 4)
            fake.barrier(width, order, value, method=method, coords=coords)
            if method != "naive":
                pair = tuple(sorted(order[:2]))
                fake.barrier(
                    width, pair, 1.5 * value, method=method, reference=order[2]
                )


def training(fake, *, widths=(8, 16), seeds=(0, 1, 2)):
    for width, seed in itertools.product(widths, seeds):
        fake.training(width, seed, 0.1 * (seed + 1))


def text_of(page):
    """What a page says, without its figures."""
    page = re.sub(r"base64,[^\"]*", "", page)
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def fill(workdir):
    """Everything there can be."""
    fake = Fake(workdir)
    for part in PARTS.values():
        part(fake)


def whole(workdir):
    """A workdir with everything in it, and the text of its page."""
    fill(workdir)
    (workdir / "config.json").write_text(json.dumps({"file": "configs/toy.py:full"}))
    return workdir, report.write(workdir).read_text(encoding="utf-8")


PARTS = {
    "weak": weak,
    "simultaneous": simultaneous,
    "strong": strong,
    "training": training,
}
