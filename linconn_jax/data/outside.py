"""Data sets from outside: own arrays, or a function that a config names."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from linconn_jax import checks, functions
from linconn_jax.data.dataset import (
    Dataset,
    Split,
    channel_statistics,
    content_digest,
)
from linconn_jax.data.load import load
from linconn_jax.data.normalization import normalized
from linconn_jax.typing import Array

DEFAULT = "digits"
_OF_LOAD = ("folder", "data_dir", "mock", "silent")  # settings that no function gets


def from_arrays(
    name: str,
    *,
    train: tuple[Array, Array],
    test: tuple[Array, Array],
    classes: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    note: str = "",
) -> Dataset:
    """A data set of your own arrays, which are copied.

    Args:
      name: of the set, as rows and pages show it.
      train: inputs and labels to train on. Inputs are [examples, ...] of any shape,
        uint8 (grey values or RGB, which this project's networks normalise) or floats
        (taken as normalised, and cast to float32); labels are classes from 0, [examples].
      test: the same, never trained on.
      classes: number of classes; by default as many as the labels show.
      mean: by which uint8 inputs scaled to [0, 1] are normalised, one number for each
        channel of images and one for other inputs; found from `train` by default.
      std: likewise.
      note: one line that says where the examples come from.

    Raises:
      ValueError: arrays of other kinds, shapes that differ, inputs that are not finite,
        or labels that are no classes.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"name={name!r}; a data set needs a name, such as 'mine'")
    splits = {"train": _split("train", train), "test": _split("test", test)}
    kinds = {s: (x.images.dtype, x.image_shape) for s, x in splits.items()}
    if kinds["train"] != kinds["test"]:
        raise ValueError(f"inputs of train and test differ in dtype or shape: {kinds}")
    found = 1 + max(int(part.labels.max()) for part in splits.values())
    if classes is None:
        classes = max(found, 2)
    else:
        why = f"labels go to {found - 1}"
        classes = checks.check("classes", classes, checks.whole(found), why=why)
    default = _statistics(splits["train"].images)
    chosen = [
        usual if given is None else _numbers(option, given, usual, kinds["train"][0])
        for option, given, usual in zip(
            ("mean", "std"), (mean, std), default, strict=True
        )
    ]
    given = {"classes": classes, "mean": chosen[0], "std": chosen[1]}
    usual = {"classes": max(found, 2), "mean": default[0], "std": default[1]}
    more = {k: np.asarray(v) for k, v in given.items() if v != usual[k]}
    digest = content_digest(**splits, **more)
    return Dataset(name, **splits, **given, digest=digest, note=note)


def from_settings(settings: Mapping[str, Any]) -> Dataset:
    """The data set of a config: one that `load` knows, or from a function.

    Args:
      settings: the arguments of `load` (digits, if `name` is None), and `normalization`
        (see `normalized`); or
        `{"function": "package.module:function", **options}`. The function is called as
        `function(**options)` and returns a `Dataset`, or a dict of arguments of
        `from_arrays`, of which `name` may be left out. `name`, `normalization`,
        `train_examples` and `test_examples` are not given to the function: they rename,
        normalise and shorten what it returns.

    Raises:
      ValueError: the function is not as said, or settings of `load` are given with it.
    """
    settings = dict(settings)
    named, name = settings.pop("function", None), settings.pop("name", None)
    by = settings.pop("normalization", "own")
    if named is None:
        return normalized(load(name or DEFAULT, **settings), by)
    wrong = {k: settings.pop(k) for k in _OF_LOAD if k in settings}
    if any(wrong.values()):
        raise ValueError(
            f"dataset.function={named!r} with {wrong}; these are for data sets that are "
            "loaded by name: leave them out"
        )
    called = f"dataset.function={named!r}"
    examples = {s: settings.pop(f"{s}_examples", None) for s in ("train", "test")}
    made = functions.call(
        functions.load_function(named, "dataset.function"), called, **settings
    )
    if isinstance(made, dict):
        own = {"name": named.partition(":")[2]} | made
        returned = f"data.from_arrays, by the dict that {called} returned,"
        made = functions.call(from_arrays, returned, **own)
    if not isinstance(made, Dataset):
        raise ValueError(
            f"{called} returned {type(made).__name__}; it must return a data.Dataset "
            'or a dict of arguments of data.from_arrays: {"train": (inputs, labels), '
            '"test": (inputs, labels)}'
        )
    made = dataclasses.replace(made, name=name or made.name)
    return normalized(_shortened(made, examples), by)


def _shortened(dataset: Dataset, examples: dict[str, int | None]) -> Dataset:
    if not any(examples.values()):
        return dataset
    splits = {}
    for split, wanted in examples.items():
        whole = getattr(dataset, split)
        if wanted is not None and not 1 <= wanted <= whole.examples:
            raise ValueError(
                f"dataset.{split}_examples={wanted}; the data set {dataset.name!r} has "
                f"{whole.examples} there"
            )
        splits[split] = whole.first(whole.examples if wanted is None else wanted)
    digest = content_digest(
        **splits, whole=np.frombuffer(dataset.digest.encode(), "u1")
    )
    return dataclasses.replace(dataset, **splits, digest=digest)


def _split(name: str, given: tuple[Array, Array]) -> Split:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(
            f"{name} is of type {type(given).__name__}; it must be (inputs, labels)"
        )
    inputs, labels = (np.asarray(x) for x in given)
    if (
        inputs.ndim < 2
        or not labels.ndim
        or len(inputs) != len(labels)
        or not inputs.size
    ):
        raise ValueError(
            f"{name} has inputs of shape {inputs.shape} and labels of shape "
            f"{labels.shape}; they must be [examples, ...] and [examples], at least one"
        )
    whole = labels.ndim == 1 and labels.dtype.kind in "iu"
    if not whole or labels.min() < 0 or labels.max() >= 2**31:
        span = f", from {labels.min()} to {labels.max()}" if whole else ""
        raise ValueError(
            f"{name} has labels of dtype {labels.dtype} and shape {labels.shape}{span}; "
            "they must be [examples] whole numbers from 0 (take the arg-max of one-hot "
            "labels, and number the classes)"
        )
    floating = (
        np.issubdtype(inputs.dtype, np.floating) or inputs.dtype.name == "bfloat16"
    )
    if inputs.dtype != np.uint8 and not floating:
        raise ValueError(
            f"{name} has inputs of dtype {inputs.dtype}; they must be uint8, or floats"
        )
    inputs = inputs.astype(np.float32 if floating else np.uint8, order="C")  # a copy
    if floating and not np.isfinite(inputs).all():
        first = int(
            np.argmin(np.isfinite(inputs).all(axis=tuple(range(1, inputs.ndim))))
        )
        raise ValueError(
            f"{name} has inputs that are not finite in float32, first in example {first}"
        )
    labels = labels.astype(np.int32)
    inputs.flags.writeable = labels.flags.writeable = False
    return Split(inputs, labels)


def _statistics(inputs: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation by default: per channel of images, or one of all."""
    if inputs.dtype != np.uint8:
        channels = inputs.shape[-1] if inputs.ndim == 4 else 1
        return (0.0,) * channels, (1.0,) * channels
    return channel_statistics(
        inputs if inputs.ndim == 4 else inputs.reshape(len(inputs), -1, 1, 1)
    )


def _numbers(
    option: str, given: Sequence[float], usual: tuple[float, ...], dtype: np.dtype
) -> tuple[float, ...]:
    values = tuple(float(x) for x in given)
    fits = len(values) == len(usual) and np.isfinite(values).all()
    if not fits or (option == "std" and min(values) <= 0):
        raise ValueError(
            f"{option}={given!r}; it must be {len(usual)} finite numbers, one for each "
            "channel (positive ones for std)"
        )
    if dtype != np.uint8:
        raise ValueError(
            f"{option}={given!r} for inputs that are floats, which are taken as "
            "normalised; leave it out, or give uint8"
        )
    return values
