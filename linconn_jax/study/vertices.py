"""What is interpolated: networks by seed and step, and how each is permuted."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

METHODS = ("naive", "random", "weight_matching", "activation_matching")


@dataclasses.dataclass(frozen=True)
class Fit:
    """Which permutation: of seed `other`'s network towards `reference`'s, at `step`."""

    method: str
    reference: int
    other: int
    step: int


@dataclasses.dataclass(frozen=True)
class Vertex:
    """A network of a segment or simplex: seed, checkpoint, and how it is permuted."""

    seed: int
    step: int
    fit: Fit | None = None


def pair(
    a: int, b: int, step: int, *, method: str, fit_step: int | None = None
) -> tuple[Vertex, Vertex]:
    """A segment from a to b aligned to a, found at `fit_step` (default: `step`)."""
    fit = Fit(method, a, b, step if fit_step is None else fit_step)
    return Vertex(a, step), Vertex(b, step, None if method == "naive" else fit)


def through(
    a: int, b: int, reference: int, step: int, *, method: str
) -> tuple[Vertex, Vertex]:
    """A segment from a to b, both aligned to a third network."""
    first, second = (Vertex(s, step, Fit(method, reference, s, step)) for s in (a, b))
    return first, second


def spanned(seeds: Sequence[int], step: int, *, method: str) -> tuple[Vertex, ...]:
    """A simplex of networks aligned to the first of them."""
    others = (pair(seeds[0], s, step, method=method)[1] for s in seeds[1:])
    return Vertex(seeds[0], step), *others


def networks(vertices: Sequence[Vertex]) -> set[tuple[int, int]]:
    """`(seed, step)` of every network that takes part, those of the fits included."""
    used = {(v.seed, v.step) for v in vertices}
    for fit in fits(vertices):
        used |= {(fit.reference, fit.step), (fit.other, fit.step)}
    return used


def fits(vertices: Sequence[Vertex]) -> list[Fit]:
    """The fits of the vertices that are permuted."""
    return [v.fit for v in vertices if v.fit is not None]


def columns(vertices: Sequence[Vertex], steps_per_epoch: int) -> dict[str, Any]:
    """The columns of a row that say in words what was interpolated."""
    permuted = fits(vertices)
    references = {f.reference for f in permuted}
    unmoved = {v.seed for v in vertices if v.fit is None}
    step, fit_step = {v.step for v in vertices}, {f.step for f in permuted}
    return {
        "method": _one_of({f.method for f in permuted}) or "naive",
        "path": "direct" if references <= unmoved else "through",
        "k": len(vertices),
        "seeds": listed(v.seed for v in vertices),
        "reference": _one_of(references),
        "step": _one_of(step),
        "epoch": _one_of({s / steps_per_epoch for s in step}),
        "fit_step": _one_of(fit_step),
        "fit_epoch": _one_of({s / steps_per_epoch for s in fit_step}),
    }


def listed(values: Any) -> str:
    """Comma-separated, as rows hold several seeds."""
    return ",".join(map(str, values))


def _one_of(values: Collection) -> Any:
    """The only element, or all of them comma-separated, or None."""
    if len(values) <= 1:
        return next(iter(values), None)
    return listed(sorted(values))
