"""Random keys of seeds."""

import jax
import numpy as np

from linconn_jax.typing import Key


def init_key(seed: int) -> Key:
    """Key of the initialisation of init seed `seed`, in 0..2**32 - 1."""
    return _folded(0, seed)


def noise_key_data(seed: int) -> np.ndarray:
    """Raw key of the SGD noise (data order, augmentation) of noise seed `seed`."""
    return np.asarray(jax.random.key_data(_folded(1, seed)))


def _folded(purpose: int, seed: int) -> Key:
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed {seed} must lie in 0..2**32 - 1, as JAX's keys do")
    return jax.random.fold_in(jax.random.key(purpose), seed)
