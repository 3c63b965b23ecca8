"""Data sets as whole arrays, and augmentation as functions of a key.

`load(name)` finds or prepares a known one, `from_arrays` takes yours.
"""

from linconn_jax.data import augment
from linconn_jax.data.dataset import Dataset, Split
from linconn_jax.data.load import MOST_MOCKED, load
from linconn_jax.data.normalization import NORMALIZATIONS, normalized
from linconn_jax.data.obtain import known_names
from linconn_jax.data.outside import from_arrays, from_settings

__all__ = [
    "MOST_MOCKED",
    "NORMALIZATIONS",
    "Dataset",
    "Split",
    "augment",
    "from_arrays",
    "from_settings",
    "known_names",
    "load",
    "normalized",
]
