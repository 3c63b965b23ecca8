"""Alignment: finding the permutation of one network towards another."""

from linconn_jax.align.activation_matching import activation_matching
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.weight_matching import weight_matching

__all__ = ["Alignment", "activation_matching", "weight_matching"]
