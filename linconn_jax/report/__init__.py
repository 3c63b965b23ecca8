"""Figures, tables and one page from stored rows; nothing is computed anew.

`write` makes the whole report of a workdir; `summary` the table that an experiment prints
at its end.
"""

import os
from pathlib import Path

import pandas as pd

from linconn_jax import results
from linconn_jax.files import write_atomically
from linconn_jax.report import figures, page, selection, style
from linconn_jax.report.tables import TABLES

SUMMARIZED = ("barrier", "agreement", "training")
"""Quantities that `summary` reads."""

__all__ = ["SUMMARIZED", "summary", "write"]


def write(workdir: str | os.PathLike) -> Path:
    """Writes figures (PNG and PDF) and `index.html` to `workdir/report`.

    Draws what is there; a section of the page without results names the command that
    computes them.

    Returns:
      The page.

    Raises:
      ValueError: the workdir holds no results, or a damaged file.
    """
    workdir = Path(workdir).absolute()
    selected = selection.prepare(results.load(workdir))
    folder = workdir / "report"
    with style.context():
        drawn = _draw(selected.rows, folder)
    config = workdir / "config.json"
    text = config.read_text(encoding="utf-8") if config.exists() else None
    target = folder / "index.html"
    write_atomically(target, page.page(selected, drawn, text).encode())
    return target


def _draw(rows: pd.DataFrame, folder: Path) -> dict[str, bytes]:
    """Writes every figure that the rows allow; their PNG by name."""
    drawn = {}
    for name in figures.__all__:
        made = getattr(figures, name)(rows)
        if made is None:  # one of an earlier run would no longer be true
            for kind in ("png", "pdf"):
                (folder / f"{name}.{kind}").unlink(missing_ok=True)
        else:
            drawn[name] = style.write(made, folder, name)
    return drawn


def summary(frame: pd.DataFrame, experiment: str) -> str:
    """The numbers of an experiment as a plain-text table, with notes below it.

    Args:
      frame: of `results.load`.
      experiment: trajectory, weak, simultaneous or strong.

    Raises:
      ValueError: another experiment.
    """
    if experiment not in TABLES:
        known = ", ".join(TABLES)
        raise ValueError(f"experiment={experiment!r}; it must be one of {known}")
    selected = selection.prepare(frame)
    table = TABLES[experiment](selected)
    if table is None:
        return f"no results of {experiment} yet"
    return "\n".join([table.text(), *(f"note: {note}" for note in selected.notes)])
