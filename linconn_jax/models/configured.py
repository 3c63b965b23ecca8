"""The network that a config names: of a family, or from somebody's own function."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from linconn_jax import functions
from linconn_jax.data import Dataset
from linconn_jax.models.base import Model
from linconn_jax.models.families import build
from linconn_jax.models.outside import from_functions

_FAMILY_OPTIONS = {"depth", "norm", "activation"}


def from_settings(settings: Mapping[str, Any], dataset: Dataset, width: int) -> Model:
    """The network of a config: one of this project's families, or from a function.

    Args:
      settings: `{"family": ..., **options}`, see `build`; or `{"function":
        "package.module:function", **options}`. The function is called as
        `function(width=..., dataset=..., **options)`, and returns what `made_for` takes.
        Options of our families, which a config may hold, it gets if it knows them.
      dataset: the data.
      width: of the network.

    Raises:
      ValueError: neither or both are named, or the network does not fit the data.
    """
    family, named = settings.get("family"), settings.get("function")
    options = {k: v for k, v in settings.items() if k not in ("family", "function")}
    if (family is None) == (named is None):
        raise ValueError(
            f"model.family={family!r} and model.function={named!r}; give one of the two"
        )
    clash = sorted(options.keys() & {"width", "dataset"})
    if clash:
        raise ValueError(f"model has settings {clash}, which each network gets anyway")
    if named is None:
        return build(
            family,
            width=width,
            image_shape=dataset.image_shape,
            classes=dataset.classes,
            mean=dataset.mean,
            std=dataset.std,
            **options,
        )
    called = f"model.function={named!r}"
    function = functions.load_function(named, "model.function")
    idle = _FAMILY_OPTIONS - functions.parameters(function)
    options = {k: v for k, v in options.items() if k not in idle}
    made = functions.call(function, called, width=width, dataset=dataset, **options)
    return made_for(made, dataset, width, called=called, name=named.partition(":")[2])


def made_for(
    made: Any,
    dataset: Dataset,
    width: int,
    *,
    called: str = "the function",
    name: str = "model",
) -> Model:
    """The model that somebody's function returned for the data and the width.

    Args:
      made: a `Model`, or a dict of arguments of `from_functions`, of which `name` and
        `inputs` may be left out.
      dataset: the data.
      width: of the network, which its name gets if it lacks it.
      called: name of the function, for error messages.
      name: of the network, by default.

    Raises:
      ValueError: it is something else, or a model for other inputs, or fewer classes,
        than the data have.
    """
    if isinstance(made, dict):
        own = {"name": name, "inputs": dataset.train.images} | made
        returned = f"models.from_functions, by the dict that {called} returned,"
        made = functions.call(from_functions, returned, **own)
    if not isinstance(made, Model):
        raise ValueError(
            f"{called} returned {type(made).__name__}; it must return a models.Model or "
            'a dict of arguments of models.from_functions: {"init": ..., "apply": ...}'
        )
    if made.image_shape != dataset.image_shape or made.classes < dataset.classes:
        raise ValueError(
            f"the model {made.name} takes inputs of shape {made.image_shape} and has "
            f"{made.classes} classes; the data set {dataset.name} has inputs of shape "
            f"{dataset.image_shape} and {dataset.classes} classes"
        )
    return _of_width(made, width)


def _of_width(model: Model, width: int) -> Model:
    """The model with its width in its name, and W in its place in the family's."""
    name, family = model.name, model.family
    found = list(re.finditer(rf"(?<!\d){width}(?!\d)", name))
    start, end = found[-1].span() if found else (len(name) + 1, len(name))
    if family == name:
        family = f"{name[:start]}W{name[end:]}" if found else f"{name}-W"
    return dataclasses.replace(
        model, name=name if found else f"{name}-{width}", family=family
    )
