"""Gathers of arrays on the host (NumPy): blocks that fit the cache, on all cores."""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from linconn_jax.permutation.plans import Matrix, Plan

BLOCK = 1 << 18
"""Elements that are gathered at once: as many as stay in a core's cache."""

SHARE = 1 << 19
"""Elements from which on one more thread pays for its start."""


class Job(NamedTuple):
    """Rows of a target `[rows, columns, tail]`, to be gathered from a source."""

    source: np.ndarray
    target: np.ndarray
    rows: np.ndarray | None
    columns: np.ndarray

    def part(self, first: int, last: int) -> "Job":
        """Rows `[first, last)` of the target alone."""
        if self.rows is None:
            return self._replace(
                source=self.source[first:last], target=self.target[first:last]
            )
        return self._replace(target=self.target[first:last], rows=self.rows[first:last])


def take(leaves: list[np.ndarray], plans: list[Plan]) -> list[np.ndarray]:
    """The leaves moved as planned. Each thread gathers its share of every leaf."""
    moved = [np.empty(leaf.shape, leaf.dtype) for leaf in leaves]
    jobs = [
        job
        for leaf, target, plan in zip(leaves, moved, plans, strict=True)
        for job in _jobs(leaf, target, plan)
    ]
    shares = max(min(_cores(), sum(leaf.size for leaf in leaves) // SHARE), 1)
    if shares == 1:
        _gather(jobs)
    else:
        with ThreadPoolExecutor(shares) as pool:
            work = [[_share(job, k, shares) for job in jobs] for k in range(shares)]
            list(pool.map(_gather, work))
    return moved


def _jobs(leaf: np.ndarray, target: np.ndarray, plan: Plan | None) -> Iterator[Job]:
    if plan is None:
        target[...] = leaf
    elif isinstance(plan, Matrix):
        height, width, tail = plan.shape
        # Of what is strided or unaligned `np.take` makes a copy, whole, at every call.
        leaf = np.require(leaf, requirements=("C", "A"))
        source = leaf.reshape(-1, width, tail)
        rows = plan.rows
        if rows is not None:
            rows = (np.arange(0, len(source), height)[:, None] + rows).reshape(-1)
        yield Job(source, target.reshape(source.shape), rows, plan.columns)
    else:
        for index in np.ndindex(leaf.shape[: plan.ahead]):
            for i, layer in enumerate(plan.layers):
                yield from _jobs(leaf[(*index, i)], target[(*index, i)], layer)


def _share(job: Job, k: int, shares: int) -> Job:
    """One of equal parts of the rows; of the columns if there is one row alone."""
    one_row = len(job.target) == 1
    places = len(job.columns) if one_row else len(job.target)
    first, last = places * k // shares, places * (k + 1) // shares
    if not one_row:
        return job.part(first, last)
    target, columns = job.target[:, first:last], job.columns[first:last]
    return job._replace(target=target, columns=columns)


def _gather(jobs: list[Job]) -> None:
    """Rows are gathered into memory that is used again, columns from there."""
    room = np.empty(0)
    for job in jobs:
        row = job.source.shape[1:]
        size = math.prod(row)
        step = max(BLOCK // size, 1)
        for start in range(0, len(job.target), step):
            source, target, rows, columns = job.part(start, start + step)
            if rows is not None:
                if room.dtype != source.dtype or room.size < len(rows) * size:
                    room = np.empty(max(len(rows) * size, BLOCK), source.dtype)
                block = room[: len(rows) * size].reshape(len(rows), *row)
                # Indices are in bounds; of the modes without a buffer this is faster.
                source = np.take(source, rows, axis=0, out=block, mode="wrap")
            np.take(source, columns, axis=1, out=target, mode="wrap")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
