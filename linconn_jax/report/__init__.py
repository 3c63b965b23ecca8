"""Figures, tables and one page from stored rows; nothing is computed anew.

`write` makes the page of a workdir from the sections of experiments; `summary` is what
an experiment prints at its end. An experiment makes its section with `select`, `tables`,
`sentences`, `lines` and `style` from a `Selection`, which is all the rows that it asked
for.
"""

from linconn_jax.report import lines, select, sentences, style, tables
from linconn_jax.report.page import Section, summary, write
from linconn_jax.report.select import Selection, select_rows
from linconn_jax.report.style import Drawing
from linconn_jax.report.tables import Spread, Table

__all__ = [
    "Drawing",
    "Section",
    "Selection",
    "Spread",
    "Table",
    "lines",
    "select",
    "select_rows",
    "sentences",
    "style",
    "summary",
    "tables",
    "write",
]
