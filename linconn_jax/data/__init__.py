"""Data sets as whole arrays: `load(name)`, and augmentation as functions of a key."""

from linconn_jax.data import augment
from linconn_jax.data.dataset import Dataset, Split
from linconn_jax.data.load import load
from linconn_jax.data.obtain import known_names

__all__ = ["Dataset", "Split", "augment", "known_names", "load"]
