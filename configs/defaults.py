"""A config with every setting at its default; the other configs change what they need.

    python -m experiments.weak --help

lists them with their meaning. They are declared once, in `linconn_jax.study.settings` and
beside the methods and experiments that bring some along.
"""

import dataclasses
import types
import typing
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from ml_collections.config_dict import FieldReference, placeholder

import experiments
from experiments.command_line import LITERAL
from linconn_jax import declared, study
from linconn_jax.study import settings
from linconn_jax.study.settings import Option


def get_config() -> ConfigDict:
    """The settings; widths and epochs are left to the configs."""
    experiments.load()
    nested: dict[str, Any] = {}
    for option in settings.options(study.sections()):
        *sections, name = option.name.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = _typed(option)
    return _taking_numpy(ConfigDict(nested))


class _Config(ConfigDict):
    """A `ConfigDict` that takes numpy's numbers for Python's."""

    def __setitem__(self, key: str, value: Any) -> None:
        value = value.item() if isinstance(value, np.generic) else value
        value = _taking_numpy(value) if isinstance(value, ConfigDict) else value
        super().__setitem__(key, value)


def _taking_numpy(config: ConfigDict) -> ConfigDict:
    """The same, and all its parts, which a `ConfigDict` of any class makes plain ones."""
    for value in config.values():
        if isinstance(value, ConfigDict):
            _taking_numpy(value)
    object.__setattr__(config, "__class__", _Config)
    return config


def checked(config: ConfigDict, mode: str, modes: tuple[str, ...]) -> ConfigDict:
    """`config`, after checking that its file knows the mode.

    Raises:
      ValueError: it does not.
    """
    if mode not in modes:
        known = ", ".join(f":{m}" for m in modes)
        raise ValueError(f"unknown mode :{mode}; this config has {known}")
    return config


def _typed(option: Option) -> Any:
    """The default, in a field that takes whatever the setting may be."""
    inner = [a for a in declared.members(option.annotation) if a is not types.NoneType]
    inner = [float] if inner == [int, float] else inner
    kind = typing.get_origin(inner[0]) or inner[0]
    kind = dict if dataclasses.is_dataclass(kind) else kind
    default = None if option.default is dataclasses.MISSING else option.default
    known = kind in (bool, int, float, str, tuple, dict)
    if len(inner) > 1 or not known or (kind is tuple and default is None):
        kind = LITERAL
    if default is None:
        return placeholder(kind)
    if isinstance(default, dict):
        return {k: placeholder(str) if v is None else v for k, v in default.items()}
    return default if isinstance(default, kind) else FieldReference(default, LITERAL)
