"""Tests of a spec: is it right, is each label needed, what does it miss.

What else looks at single units, such as `extras.unidentifiable`, is built on `Probe`.
"""

from linconn_jax.permutation._verify.occurrences import Occurrence, moved
from linconn_jax.permutation._verify.probe import Arrays, Probe, float64
from linconn_jax.permutation._verify.random_inputs import has_values, is_inexact, wide
from linconn_jax.permutation._verify.report import Report
from linconn_jax.permutation._verify.run import verify

__all__ = [
    "Arrays",
    "Occurrence",
    "Probe",
    "Report",
    "float64",
    "has_values",
    "is_inexact",
    "moved",
    "verify",
    "wide",
]
