"""Proof of a spec on the spot, and units that no test can tell apart."""

from linconn_jax.permutation._verify.describe import describe
from linconn_jax.permutation._verify.report import Report
from linconn_jax.permutation._verify.run import verify
from linconn_jax.permutation._verify.units import Flags, recovered, unidentifiable

__all__ = ["Flags", "Report", "describe", "recovered", "unidentifiable", "verify"]
