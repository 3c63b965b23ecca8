"""The activations of any function, read where its traced program holds axis names."""

from linconn_jax.permutation._read.plan import READS
from linconn_jax.permutation._read.reader import ActivationReader

__all__ = ["READS", "ActivationReader"]
