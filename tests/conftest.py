"""Four forced CPU devices, strict ranks and dtypes, and checked shape annotations."""

import jax
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

_hook = install_import_hook("linconn_jax", "beartype.beartype")


@pytest.fixture
def x64():
    """Runs a test in float64, for oracles that must agree to rounding."""
    with jax.enable_x64(True):
        yield
