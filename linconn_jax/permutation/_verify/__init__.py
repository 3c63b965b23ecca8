"""Tests of a spec on random variables: is it right, is each label needed, what is missed."""

from linconn_jax.permutation._verify.describe import describe
from linconn_jax.permutation._verify.report import Report
from linconn_jax.permutation._verify.run import verify

__all__ = ["Report", "describe", "verify"]
