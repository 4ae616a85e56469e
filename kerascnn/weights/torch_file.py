"""Reads the tensors of a PyTorch checkpoint without PyTorch, and without running what is in it.

A `.pth` file is a pickle, and a pickle is a program: `torch.load` and `pickle.load` call whatever
function it names. This reader knows the handful of names that tensors are made of and refuses the
file at any other, so that nothing in it is ever executed. It reads both layouts: the zip archive
that torch has written since 1.6, and the older sequence of pickles.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

import ml_dtypes
import numpy as np

from kerascnn.errors import WeightsError

_STORAGES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name, in torch's layout.

    A checkpoint that holds the state dict under "state_dict", "model_state_dict" or "model", beside
    an epoch or an optimizer, is unwrapped.

    Raises:
        WeightsError: the file is damaged, holds no tensors, or names anything but tensors.
    """
    try:
        with path.open("rb") as file:
            content = _read_zip(path) if file.read(4) == b"PK\3\4" else _read_legacy(path)
    except WeightsError as error:
        raise error if str(path) in str(error) else WeightsError(f"{path}: {error}") from None
    except (zipfile.BadZipFile, EOFError, KeyError, struct.error, zipfile.LargeZipFile) as error:
        raise WeightsError(f"{path} is damaged or incomplete: {error}. Fetch it again.") from error
    except (pickle.UnpicklingError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise WeightsError(f"{path} is not a PyTorch checkpoint: {error}.") from error
    return _state_dict(content, path)


def _state_dict(content: Any, path: Path) -> dict[str, np.ndarray]:
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise WeightsError(
            f"{path} must hold a state dict: names and tensors. Received: {type(content).__name__}."
        )
    tensors = {str(name): value for name, value in content.items() if isinstance(value, np.ndarray)}
    if not tensors:
        raise WeightsError(f"{path} holds no tensors. Its keys: {sorted(map(str, content))[:10]}.")
    return tensors


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise WeightsError(f"{path} is a zip archive, but not one that torch.save wrote.")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist():
            order = archive.read(f"{root}byteorder")
            if order != b"little":
                raise WeightsError(f"{path}: byte order must be little. Received: {order!r}.")
        storages: dict[str, np.ndarray] = {}

        def storage(kind: Any, key: str, count: int) -> np.ndarray:
            if key not in storages:
                storages[key] = _as_array(archive.read(f"{root}data/{key}"), kind, count, path)
            return storages[key]

        return _Tensors(io.BytesIO(archive.read(pickles[0])), path, storage).load()


def _read_legacy(path: Path) -> Any:
    """Magic number, protocol, system, pickled object, storage keys, then each storage's bytes."""
    with path.open("rb") as file:
        if _Tensors(file, path).load() != _LEGACY_MAGIC:
            raise WeightsError(f"{path} is not a PyTorch checkpoint.")
        _Tensors(file, path).load(), _Tensors(file, path).load()
        wanted: dict[str, np.ndarray] = {}

        def storage(kind: Any, key: str, count: int) -> np.ndarray:
            # The bytes follow the pickle: hand out the memory now and fill it afterwards.
            if count * kind.itemsize > path.stat().st_size:
                raise WeightsError(f"{path} is damaged: a storage is larger than the file.")
            return wanted.setdefault(key, np.empty(count, kind))

        content = _Tensors(file, path, storage).load()
        for key in _Tensors(file, path).load():
            (count,) = struct.unpack("<q", _exactly(file, 8))
            array = wanted[key]
            if count != array.size:
                raise WeightsError(f"{path} is damaged: storage {key} has {count} elements.")
            array.view("u1")[:] = np.frombuffer(_exactly(file, array.nbytes), "u1")
        return content


def _exactly(file: IO[bytes], count: int) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise EOFError("it ends too early")
    return content


def _as_array(content: bytes, kind: Any, count: int, path: Path) -> np.ndarray:
    if len(content) != count * kind.itemsize:
        raise WeightsError(
            f"{path} is damaged: a storage must have {count * kind.itemsize} bytes. "
            f"Received: {len(content)}."
        )
    return np.frombuffer(content, kind)


class _Known:
    """A function that the pickle may call. An instance has no attributes that it could set."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise WeightsError("The pickle tries to change what it calls; refused.")

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)


def _tensor(storage: np.ndarray, offset: int, shape: Any, strides: Any, *_: Any) -> np.ndarray:
    """`torch._utils._rebuild_tensor_v2`: a strided view, which must stay inside the storage."""
    shape, strides = tuple(shape), tuple(strides)
    if len(shape) != len(strides) or min((offset, *shape, *strides), default=0) < 0:
        raise WeightsError(f"A tensor of shape {shape} and strides {strides} is impossible.")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides))
    if math.prod(shape) and last >= storage.size:
        raise WeightsError(f"A tensor of shape {shape} reaches beyond its {storage.size} elements.")
    size = storage.itemsize
    return np.lib.stride_tricks.as_strided(
        storage[offset:], shape, [stride * size for stride in strides], writeable=False
    )


def _parameter(tensor: np.ndarray, *_: Any) -> np.ndarray:
    return tensor


_NAMES: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Known(OrderedDict),
    ("torch._utils", "_rebuild_tensor_v2"): _Known(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Known(_parameter),
    ("torch", "Size"): _Known(tuple),
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
}


def _no_storage(kind: Any, key: str, count: int) -> NoReturn:
    raise WeightsError("A tensor where none may be.")


class _Tensors(pickle.Unpickler):
    """An unpickler that knows tensors and nothing else."""

    def __init__(
        self,
        file: IO[bytes],
        path: Path,
        storage: Callable[[Any, str, int], np.ndarray] = _no_storage,
    ) -> None:
        super().__init__(file, encoding="utf-8")
        self._path = path
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """Only what tensors are made of; importing nothing."""
        try:
            return _NAMES[module, name]
        except KeyError:
            raise WeightsError(
                f"{self._path} asks for {module}.{name}, which is no part of a tensor: refused, "
                "nothing was executed. If you trust the file, load it with PyTorch and save its "
                "state_dict() as .safetensors."
            ) from None

    def persistent_load(self, pid: Any) -> np.ndarray:
        """A storage: ("storage", type, key, device, number of elements, ...)."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise WeightsError(f"{self._path}: expected a storage. Received: {pid!r}.")
        kind, key, count = pid[1], pid[2], pid[4]
        view = any(part is not None for part in pid[5:])  # of a part of it; before torch 0.4
        if not isinstance(kind, np.dtype) or not isinstance(count, int) or count < 0 or view:
            raise WeightsError(f"{self._path}: expected a storage. Received: {pid!r}.")
        return self._storage(kind, str(key), count)
