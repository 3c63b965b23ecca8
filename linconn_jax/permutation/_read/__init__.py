"""The activations of any function, read where its traced program holds axis names."""

from linconn_jax.permutation._read.reader import READS, ActivationReader

__all__ = ["READS", "ActivationReader"]
