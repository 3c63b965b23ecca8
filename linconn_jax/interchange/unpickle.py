"""The pickle inside a `.pth` file, read without torch and without running its code.

A pickle is a program: it may name any function of any module and call it. Here the only
names it may use are the ones below, those of a `state_dict`; they stand for functions
of this module, which only note down what a tensor is made of. Whatever else a file names
is refused before anything is imported.
"""

import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

_STORAGES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
    "ComplexFloatStorage": np.dtype(np.complex64),
    "ComplexDoubleStorage": np.dtype(np.complex128),
    "UntypedStorage": np.dtype(np.uint8),
}
_DTYPES = {
    "uint16": np.dtype(np.uint16),
    "uint32": np.dtype(np.uint32),
    "uint64": np.dtype(np.uint64),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e4m3fnuz": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "float8_e5m2fnuz": np.dtype(ml_dtypes.float8_e5m2fnuz),
    "float8_e8m0fnu": np.dtype(ml_dtypes.float8_e8m0fnu),
}
"""dtypes without a storage class of their own, kept in an `UntypedStorage`."""


class Storage(NamedTuple):
    """A run of `count` elements, the values of one or several tensors."""

    key: str
    kind: str
    count: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.count * _STORAGES[self.kind].itemsize


class Tensor(NamedTuple):
    """A tensor before its values are read: a strided window on a storage.

    Offset and strides count elements of `dtype`, the storage's own if None. The fields
    are as the file has them, `values` refuses those that make no sense.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str | None = None

    def values(self, stored: np.ndarray) -> np.ndarray:
        """The array, a view on `stored`, the bytes of its storage.

        Raises:
          ValueError, TypeError: the window reaches outside the storage, or is none.
        """
        own = self.dtype is None
        dtype = _STORAGES[self.storage.kind] if own else _DTYPES[self.dtype]
        offset = dtype.itemsize * self.offset
        strides = tuple(dtype.itemsize * x for x in self.strides)
        return np.ndarray(self.shape, dtype, stored.data, offset, strides)  # checks all


class Parameter:
    """A parameter as torch wrote it before 1.0: an object around a tensor."""

    def __new__(cls, tensor: Any = None, *ignored: Any) -> "Parameter":
        """`__new__`, as a pickle may call it without `__init__`."""
        made = super().__new__(cls)
        made.tensor = tensor
        return made

    def __setstate__(self, state: tuple) -> None:
        if len(state) == 5:  # tensor, gradient, hooks, and two flags
            self.tensor = state[0]


class Refused(ValueError):
    """The file names something that no `state_dict` holds."""


def read(file: io.BufferedIOBase) -> Any:
    """The next pickle of `file`: dicts, lists, numbers, strings and `Tensor`s.

    Raises:
      Refused: it names a function or class that is not part of a `state_dict`.
      Exception: of any kind, if it is damaged.
    """
    try:
        _check_memo(file)
        return _Unpickler(file).load()
    except MemoryError as error:
        raise ValueError("its pickle asks for more memory than there is") from error


def _check_memo(file: io.BufferedIOBase) -> None:
    """Refuses places that nobody counted up to: the unpickler fills all below them."""
    start = file.tell()
    for count, (code, place, _) in enumerate(pickletools.genops(file)):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and place > count:
            raise ValueError(f"its pickle keeps a value at place {place} of its memo")
    file.seek(start)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return name
        if module == "torch" and name in _DTYPES:
            return name
        if (module, name) == ("torch.nn.parameter", "Parameter"):
            return type(name, (Parameter,), {})  # of its own: see _Callable
        function = _FUNCTIONS.get((module, name))
        if function is None:
            raise Refused(
                f"it names {module}.{name}, which no state_dict holds and which is "
                "therefore neither imported nor called. Open it in torch, if you trust "
                "it, and save the tensors alone: torch.save(model.state_dict(), path)"
            )
        return _Callable(function)

    def persistent_load(self, identifier: Any) -> Storage:
        tag, kind, key, _, count, *view = identifier
        storage = Storage(key, kind, count)
        if (
            tag != "storage"
            or kind not in _STORAGES
            or type(key) is not str
            or type(count) is not int
            or count < 0
            or any(view)
        ):
            raise ValueError(f"its storage {identifier} is of an unknown form")
        return storage


class _Callable:
    """A function that a pickle can call and do nothing else with.

    A pickle can also set attributes of what it names, so it is handed one of these of
    its own and never an object that lives on.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable):
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


def _tensor(
    storage: Storage, offset: int, shape: tuple, strides: tuple, *ignored: Any
) -> Tensor:
    _, _, conjugate_or_negative = (*ignored, None, None, None)[:3]
    if conjugate_or_negative:
        raise ValueError(
            "a tensor is a lazy conjugate or negative: resolve it in torch"
        )
    return Tensor(_storage(storage), offset, tuple(shape), tuple(strides))


def _tensor_of_dtype(
    storage: Storage,
    offset: int,
    shape: tuple,
    strides: tuple,
    gradient: bool,
    hooks: Any,
    dtype: str,
    *metadata: Any,
) -> Tensor:
    plain = _tensor(storage, offset, shape, strides, gradient, hooks, *metadata)
    if dtype not in _DTYPES:
        raise ValueError(f"a tensor has dtype {dtype!r}")
    return plain._replace(dtype=dtype)


def _storage(value: Any) -> Storage:
    if not isinstance(value, Storage):
        raise ValueError(f"a tensor stands on {type(value).__name__}, not a storage")
    return value


def _parameter(tensor: Tensor, gradient: bool, hooks: Any) -> Tensor:
    return tensor


_FUNCTIONS: dict[tuple[str, str], Callable] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_of_dtype,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}
