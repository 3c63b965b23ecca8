"""Progress of long work: a live bar on a terminal, plain lines elsewhere; stopping it."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from linconn_jax import parallel

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10.0
SECONDS_PER_CALL = 1.0
"""Aimed length of one call of a long program: how often progress is shown and how long an
interrupt may take."""


class Task:
    """One piece of work of known length; `advance` as it goes."""

    def __init__(self, what: str, total: int, unit: str):
        self.what, self.total, self.unit = what, total, unit
        self.done, self.note = 0, ""
        self.began = time.monotonic()
        self._first: tuple[float, int] | None = None

    def rate(self) -> float | None:
        """Units a second since the first were done, which wait for compilation.

        None before others are done, too.
        """
        if self._first is None or self.done == self._first[1]:
            return None
        began, done = self._first
        return (self.done - done) / max(time.monotonic() - began, 1e-9)

    def advance(self, units: int = 1, *, note: str = "") -> None:
        """Records that `units` more are done, with a short note to show.

        Raises:
          KeyboardInterrupt: one was lost since (`interruptible`).
        """
        _heed()
        self.done += units
        self.note = note or self.note
        self._first = self._first or (time.monotonic(), self.done)

    def skip(self, units: int) -> None:
        """Records units that an earlier run had done."""
        self.done += units

    def text(self) -> str:
        """`120/1100 steps, 950 steps/s, loss 0.21, 1 s left`."""
        parts, rate = [f"{self.done}/{self.total} {self.unit}"], self.rate()
        if rate is not None:
            parts.append(f"{rate:.3g} {self.unit}/s")
        if self.note:
            parts.append(self.note)
        if rate is not None and self.done < self.total:
            parts.append(f"{duration((self.total - self.done) / rate)} left")
        return ", ".join(parts)


@contextmanager
def interruptible() -> Iterator[None]:
    """An interrupt (Ctrl-C) that gets lost is raised again by the next `advance`.

    Python drops whatever is raised in a finalizer or in some callbacks of compiled code,
    and with it an interrupt that happens to come there.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a job in the background
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        _interrupts.append(number)
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
        _heed()
    finally:
        signal.signal(signal.SIGINT, before)
        _interrupts.clear()


_interrupts: list[int] = []


def _heed() -> None:
    if _interrupts:
        raise KeyboardInterrupt


def say(message: str) -> None:
    """One line of information on standard error."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def duration(seconds: float) -> str:
    """A time in words: `12 s`, `31 min`, `2.5 h`."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.2g} h"


@contextmanager
def task(what: str, total: int, *, unit: str, quiet: bool = False) -> Iterator[Task]:
    """Shows the progress of the work done inside the `with` block.

    Args:
      what: the work, in a few words.
      total: its length in units.
      unit: plural name of a unit.
      quiet: show nothing (other processes of a multi-process launch).
    """
    console = Console(stderr=True)
    if quiet:
        yield Task(what, total, unit)
    elif console.is_terminal:
        yield from _live(_LiveTask(what, total, unit), console)
    else:
        yield from _plain(_PlainTask(what, total, unit))


class _PlainTask(Task):
    said = 0.0

    def advance(self, units: int = 1, *, note: str = "") -> None:
        super().advance(units, note=note)
        now = time.monotonic()
        if now - max(self.said, self.began) >= SECONDS_BETWEEN_LINES:
            say(f"  {self.what}: {self.text()}")
            self.said = now


def _plain(task: _PlainTask) -> Iterator[Task]:
    yield task
    elapsed = time.monotonic() - task.began
    if task.total:
        say(f"  {task.what}: {task.text()}; {elapsed:.1f} s")


class _LiveTask(Task):
    bar: Progress
    identifier = 0

    def _show(self) -> None:
        self.bar.update(self.identifier, completed=self.done, info=self.text())

    def advance(self, units: int = 1, *, note: str = "") -> None:
        super().advance(units, note=note)
        self._show()

    def skip(self, units: int) -> None:
        super().skip(units)
        self._show()


def _live(task: _LiveTask, console: Console) -> Iterator[Task]:
    columns = ("  {task.description}", BarColumn(), "{task.fields[info]}")
    texts = [c if isinstance(c, BarColumn) else TextColumn(c) for c in columns]
    with Progress(*texts, console=console) as task.bar:
        task.identifier = task.bar.add_task(task.what, total=task.total, info="")
        yield task


def each(what: str, items: Sequence[T], *, unit: str) -> Iterator[T]:
    """Yields the items and shows how far the loop over them has come."""
    with task(
        what, len(items), unit=unit, quiet=not parallel.is_main_process()
    ) as shown:
        for item in items:
            yield item
            shown.advance()


class Pace:
    """Cuts a program into calls of about `SECONDS_PER_CALL`, and shows them on a task.

    One is shown while the next one runs.
    """

    def __init__(self, shown: Task):
        self._shown, self._size = shown, 1
        self._pending: tuple[int, Callable[[], str]] | None = None

    def calls(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Where each call begins and ends."""
        while start < stop:
            began = time.monotonic()
            last = min(start + self._size, stop)
            yield start, last
            seconds, whole = time.monotonic() - began, last - start == self._size
            start = last
            if seconds < SECONDS_PER_CALL / 2 and whole:
                self._size *= 2
            elif seconds > SECONDS_PER_CALL * 2:
                self._size = max(self._size // 2, 1)
            self._size = parallel.same_everywhere(self._size)
        self._show_last()

    def called(self, units: int, note: Callable[[], str]) -> None:
        """Tells of a call that was dispatched; its `note` may wait for its end."""
        self._show_last()
        self._pending = units, note

    def _show_last(self) -> None:
        if self._pending is not None:
            units, note = self._pending
            self._shown.advance(units, note=note())
            self._pending = None
