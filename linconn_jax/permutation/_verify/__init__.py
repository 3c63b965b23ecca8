"""Tests of a spec: is it right, is each label needed, what does it miss."""

from linconn_jax.permutation._verify.report import Report, describe
from linconn_jax.permutation._verify.run import verify

__all__ = ["Report", "describe", "verify"]
