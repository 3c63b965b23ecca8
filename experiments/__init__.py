"""Experiments, each run as `python -m experiments.NAME --config=configs/NAME.py`.

A module of this package that holds an `EXPERIMENT` is an experiment; `load` registers
all of them.
"""

import importlib
import pkgutil

from linconn_jax import study


def load() -> dict[str, study.Experiment]:
    """Registers the experiments of this package; all that are registered, by name."""
    for found in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{found.name}")
        if hasattr(module, "EXPERIMENT"):
            study.register(module.EXPERIMENT)
    return study.experiments()
