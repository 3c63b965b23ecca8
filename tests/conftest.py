"""Four forced CPU devices, strict ranks and dtypes, and checked shape annotations."""

import gc
import importlib.util
import os
import shutil
import tempfile

import jax
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# Many tests build the same program anew: it is compiled once for all processes that run
# tests. The first makes the folder; those that tests start (and kill) do not write to it.
if "COMPILED_FOR_TESTS" not in os.environ:
    _compiled = tempfile.TemporaryDirectory(prefix="compiled-")
    os.environ["COMPILED_FOR_TESTS"] = _compiled.name
jax.config.update("jax_compilation_cache_dir", os.environ["COMPILED_FOR_TESTS"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

_hook = install_import_hook("linconn_jax", "beartype.beartype")


def pytest_collection_finish():
    """What is imported stays: the garbage collector need not walk it over and over."""
    gc.freeze()


@pytest.fixture
def unchecked():
    """`unchecked(module)`: the module as users have it, its annotations not checked."""

    def load(module):
        spec = importlib.util.spec_from_file_location("unchecked", module.__file__)
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return found

    return load


@pytest.fixture(scope="module")
def ordinary_promotion():
    """Optax's schedules, and other libraries, mix dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def copy(done, tmp_path):
    """A copy of the workdir that a module's fixture `done` has made."""
    return shutil.copytree(done, tmp_path / "copy")


@pytest.fixture
def x64():
    """Runs a test in float64, for oracles that must agree to rounding.

    Promotion is the ordinary one here: Flax's norm layers mix float32 in otherwise.
    """
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield
