"""Figures: each a function from selected rows to a matplotlib Figure, or None."""

from linconn_jax.report.figures.overview import overview
from linconn_jax.report.figures.simultaneous import (
    agreement,
    simultaneous_lines,
    simultaneous_matrix,
)
from linconn_jax.report.figures.strong import simplex_triangle, strong_width
from linconn_jax.report.figures.training import training
from linconn_jax.report.figures.weak import weak_segment, weak_width

__all__ = [
    "agreement",
    "overview",
    "simplex_triangle",
    "simultaneous_lines",
    "simultaneous_matrix",
    "strong_width",
    "training",
    "weak_segment",
    "weak_width",
]
