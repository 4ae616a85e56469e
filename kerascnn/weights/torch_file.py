"""Reads the tensors of a PyTorch checkpoint without PyTorch, and without running what is in it.

A `.pth` file is a pickle, and a pickle is a program: `torch.load` and `pickle.load` call whatever
function it names. `pickles` reads it as data instead. What a training script saves beside its
weights (arguments, optimizer, counters) stays unread, and tensors are only descriptions until the
wanted ones are taken from their storages. Both layouts are read: the zip archive that torch has
written since 1.6, and the older sequence of pickles, back to those from before torch 0.4.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np

from kerascnn.errors import WeightsError
from kerascnn.weights import archives, pickles
from kerascnn.weights.pickles import KEY, OPCODES, Name, Object, PickleError

_TYPES: Mapping[str, str] = {
    "Double": "<f8",
    "Float": "<f4",
    "Half": "<f2",
    "BFloat16": "bfloat16",
    "Long": "<i8",
    "Int": "<i4",
    "Short": "<i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "?",
}
"""Storages and tensors of torch: `torch.FloatStorage`, and before 0.4 `torch.FloatTensor`."""
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_PICKLE = 1 << 26
"""Bytes of the pickle in an archive; the tensors' values lie outside of it."""

ENTRIES = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module"),
    *("weights", "params"),
)
"""Under which training scripts keep the weights, beside an epoch or an optimizer."""
AVERAGES = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema", "ema_model", "params_ema"),
    "averaged_model",
)
"""Under which they keep their moving average; taken where there is nothing else, or asked for."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers that tensors are views of.

    Attributes:
        key: under which they are in the file.
        kind: the name of their type.
        total: how many there are.
        start, count: the part that is meant, which before torch 0.4 needn't be all of them.
    """

    key: str
    kind: str
    total: int
    start: int
    count: int

    @property
    def dtype(self) -> np.dtype:
        """NumPy's."""
        return np.dtype(ml_dtypes.bfloat16 if self.kind == "bfloat16" else self.kind)


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a pickle says of a tensor; nothing is checked yet."""

    storage: Storage
    offset: Any
    shape: Any
    strides: Any


@dataclass(frozen=True)
class StateDict:
    """The weights of a checkpoint.

    Attributes:
        tensors: arrays by name, in torch's layout.
        ignored: what else is in the file, such as "optimizer" or "args (argparse.Namespace)".
        entry: the entry that it was found in.
    """

    tensors: dict[str, np.ndarray]
    ignored: tuple[str, ...] = ()
    entry: str = ""


def read(path: Path, entry: str | None = None) -> StateDict:
    """The weights of a checkpoint by name, in torch's layout.

    They are the file's content itself, or one of the entries that training scripts keep beside an
    epoch or an optimizer, or a whole pickled module.

    Args:
        path: the file.
        entry: the entry to take, such as "model_ema"; None: see `ENTRIES`.

    Raises:
        WeightsError: the file is damaged, holds no tensors, or names what no data are made of.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == b"PK\3\4"
        return _read_zip(path, entry) if zipped else _read_legacy(path, entry)
    except PickleError as error:
        raise WeightsError(
            f"{path} can't be read as a PyTorch checkpoint: {error}. If you trust the file, load "
            "it with PyTorch and save its state_dict() as .safetensors."
        ) from error
    except (zipfile.BadZipFile, EOFError, KeyError, struct.error, OSError) as error:
        raise WeightsError(f"{path} is damaged or incomplete: {error}. Fetch it again.") from error


def _read_zip(path: Path, entry: str | None) -> StateDict:
    with archives.open_zip(path) as archive:
        names = archive.namelist()
        pickled = [name for name in names if name.endswith("/data.pkl")]
        if len(pickled) != 1:
            raise WeightsError(f"{path} is a zip archive, but not one that torch.save wrote.")
        root = pickled[0].removesuffix("data.pkl")
        if f"{root}byteorder" in names:
            order = archives.read_member(archive, f"{root}byteorder", 100)
            if order != b"little":
                raise WeightsError(f"{path}: byte order must be little. Received: {order!r}.")
        content = io.BytesIO(archives.read_member(archive, pickled[0], _PICKLE))
        saved = pickles.load(content, _Storages(path).named)

        def take(storage: Storage) -> bytes:
            return archives.read_member(archive, f"{root}data/{storage.key}")

        return _state_dict(saved, entry, path, take)


def _read_legacy(path: Path, entry: str | None) -> StateDict:
    """Magic number, protocol, system, pickled object, storage keys, then each storage's bytes."""
    with path.open("rb") as file:
        try:
            magic = pickles.load(file)
        except PickleError:
            magic = None
        if type(magic) is not int or magic != _LEGACY_MAGIC:
            raise WeightsError(
                f"{path} is not a PyTorch checkpoint as torch.save has written it since 0.1.10."
            )
        pickles.load(file), pickles.load(file)
        storages = _Storages(path)
        saved = pickles.load(file, storages.named)
        places = storages.following(pickles.load(file), file)

        def take(storage: Storage) -> bytes:
            file.seek(places[storage.key])
            return file.read(storage.total * storage.dtype.itemsize)

        return _state_dict(saved, entry, path, take)


class _Storages:
    """The storages that a pickle names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.by_key: dict[str, Storage] = {}

    def named(self, pid: Any) -> Storage:
        """A storage: ("storage", type, key, device, number of elements, part)."""
        if type(pid) is not tuple or not 5 <= len(pid) <= 6 or pid[0] != "storage":
            raise PickleError("it names a storage in an unknown way")
        _, kind, key, _, total, *view = pid
        start: Any = 0
        count: Any = total
        if view and view[0] is not None:  # before torch 0.4: (key of the part, offset, size)
            part: Any = view[0] if type(view[0]) is tuple and len(view[0]) == 3 else (None,) * 3
            start, count = part[1:]
        if type(key) is not str or not all(_is_size(n) for n in (total, start, count)):
            raise PickleError("it names a storage in an unknown way")
        found = Storage(key, _kind(kind), total, start, count)
        known = self.by_key.setdefault(key, found)
        if (known.kind, known.total) != (found.kind, total) or start + count > total:
            raise PickleError(f"the storage {key[:40]!r} is described in two ways")
        return found

    def following(self, keys: Any, file: IO[bytes]) -> dict[str, int]:
        """Where each storage's bytes begin: they follow the pickles, a count before each."""
        if type(keys) is not list or not all(type(key) is str for key in keys):
            raise WeightsError(f"{self.path} is damaged: its list of storages is none.")
        places: dict[str, int] = {}
        end = self.path.stat().st_size
        position = file.tell()
        for key in keys:
            storage = self.by_key.get(key)
            if storage is None or key in places:
                raise WeightsError(f"{self.path} is damaged: it has an unknown storage {key!r}.")
            file.seek(position)
            (count,) = struct.unpack("<q", file.read(8))
            if count != storage.total:
                raise WeightsError(f"{self.path} is damaged: storage {key!r} has {count} elements.")
            places[key] = position + 8
            position = places[key] + count * storage.dtype.itemsize
            if position > end:
                raise EOFError("it ends too early")
        return places


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 48


def _kind(kind: Any) -> str:
    """The type of `torch.FloatStorage` and its kind, on whatever device."""
    name = kind.name if isinstance(kind, Name) and kind.module.startswith("torch") else ""
    known = name.removesuffix("Storage")
    if known == name or known not in _TYPES:
        listed = ", ".join(f"{known}Storage" for known in _TYPES)
        raise PickleError(f"a storage's type must be one of {listed}; it is {str(kind)[:100]!r}")
    return _TYPES[known]


# --- from what the pickle says to arrays ---------------------------------------------------------

_VALUES = {
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_parameter_with_state"),
    ("torch._tensor", "_rebuild_from_type_v2"),
    ("torch.nn.parameter", "Parameter"),
    ("torch.nn.parameter", "Buffer"),
    ("torch.autograd.variable", "Variable"),
}
"""What holds a tensor: before torch 0.4, parameters were objects of their own."""
_REBUILD = {("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2")}
_EXPANDED = 1 << 16
"""Elements of the largest tensor that may have more than its storage, as `expand` makes them."""


def _tensor(value: Any, depth: int = 4) -> Tensor | None:
    """The tensor that a value is, or holds."""
    if not isinstance(value, Object) or not isinstance(value.maker, Name) or not depth:
        return None
    made = (value.maker.module, value.maker.name)
    if made in _REBUILD:
        arguments = value.arguments
    elif made[0].startswith("torch") and made[1].removesuffix("Tensor") in _TYPES:
        arguments = value.state if type(value.state) is tuple else ()  # before torch 0.1.10
    elif made in _VALUES:
        state = value.state if type(value.state) is tuple else ()
        parts = [*value.arguments[:1], *state[:1]]
        # _rebuild_from_type_v2(function, type, arguments, state): of a tensor with attributes.
        if made[1] == "_rebuild_from_type_v2" and len(value.arguments) > 2:
            parts = [Object(value.arguments[0], value.arguments[2])]
        return next((t for part in parts if (t := _tensor(part, depth - 1))), None)
    else:
        return None
    if len(arguments) < 4 or not isinstance(arguments[0], Storage):
        return None
    return Tensor(*arguments[:4])


def _mapping(value: Any) -> dict[str, Any]:
    """The items of a dictionary, or of an object that is one."""
    if isinstance(value, Object):
        return value.items
    return value if type(value) is dict else {}


class _Search:
    """Looks for the weights in what a pickle holds; each part is looked at once."""

    def __init__(self) -> None:
        self.found: dict[int, dict[str, Any]] = {}
        self.steps = 0

    def weights(self, value: Any) -> dict[str, Any]:
        """What has tensors by name: a dictionary's items, or a module's; else nothing."""
        if id(value) not in self.found:
            items = _mapping(value) or self.module(value)
            self.walk(len(items))
            found = items if any(_tensor(item) for item in items.values()) else {}
            self.found[id(value)] = found
        return self.found[id(value)]

    def module(self, value: Any) -> dict[str, Any]:
        """The parameters and buffers of a pickled `nn.Module`, by name."""
        found: dict[str, Any] = {}
        waiting: list[tuple[str, Any]] = [("", value)]
        for prefix, module in waiting:  # grows while it is walked through
            attributes = _mapping(module.state if isinstance(module, Object) else None)
            for part in ("_parameters", "_buffers"):
                items = _mapping(attributes.get(part))
                self.walk(len(items))
                found |= {f"{prefix}{name}": item for name, item in items.items()}
            inner = _mapping(attributes.get("_modules"))
            self.walk(len(inner))
            waiting += [(f"{prefix}{name}.", child) for name, child in inner.items()]
            if len(prefix) > KEY:
                raise PickleError("its modules are nested too deep")
        return found

    def walk(self, steps: int) -> None:
        """Account for work that the pickle's size doesn't bound."""
        self.steps += steps
        if self.steps > OPCODES:
            raise PickleError("its parts hold each other too often")

    def below(self, value: Any) -> bool:
        """Whether a value has weights, or one of its items does."""
        if self.weights(value):
            return True
        items = _mapping(value)
        self.walk(len(items))
        return any(self.weights(inner) for inner in items.values())

    def entry(self, content: Any, wanted: str | None) -> tuple[Any, str]:
        """The value that holds the weights, and the entry of the content that it lies in."""
        value, name = content, ""
        if wanted is not None and wanted in _mapping(content):
            value, name = _mapping(content)[wanted], wanted
        for _ in range(3):
            items = _mapping(value)
            named = [key for key in ENTRIES if self.below(items.get(key))]
            if not named and sum(1 for item in items.values() if _tensor(item)) < 2:
                # A single tensor is a figure that was saved as one: the best accuracy, say.
                named = [key for key in AVERAGES if self.below(items.get(key))]
                named = named or [key for key in items if self.below(items[key])][:1]
            if not named:
                break
            value, name = items[named[0]], name or named[0]
        return value, name


def _state_dict(
    content: Any, wanted: str | None, path: Path, take: Callable[[Storage], bytes]
) -> StateDict:
    search = _Search()
    value, entry = search.entry(content, wanted)
    items = search.weights(value)
    tensors = {key: tensor for key, item in items.items() if (tensor := _tensor(item))}
    if not tensors:
        keys = list(_mapping(content))
        raise WeightsError(
            f"{path} holds no tensors by name, as a state_dict() has them. "
            + (f"Its entries: {_listed(keys)}." if keys else f"It holds: {_described(content)}.")
        )
    beside = {k: v for k, v in _mapping(content).items() if k != entry} if entry else {}
    beside |= {key: item for key, item in items.items() if key not in tensors}
    arrays = _Arrays(path, take)
    return StateDict(
        {key: arrays.of(key, tensor) for key, tensor in tensors.items()},
        tuple(f"{key} ({_described(item)})" for key, item in beside.items()),
        entry,
    )


def _described(value: Any) -> str:
    if _tensor(value):
        return "tensor"
    if isinstance(value, Object):
        return str(value.maker)[:100] if isinstance(value.maker, Name) else "object"
    return type(value).__name__


def _listed(keys: list[str]) -> str:
    return ", ".join(keys[:10]) + (" ..." if len(keys) > 10 else "")


class _Arrays:
    """Takes tensors from their storages, each of which is read once."""

    def __init__(self, path: Path, take: Callable[[Storage], bytes]) -> None:
        self.path = path
        self.take = take
        self.storages: dict[str, np.ndarray] = {}
        self.left = archives.limit(path)

    def of(self, name: str, tensor: Tensor) -> np.ndarray:
        """The tensor's values, a view that stays inside of its storage.

        Raises:
            WeightsError: it would not, or repeats its storage's elements too often.
        """
        storage, offset = tensor.storage, tensor.offset
        shape, strides = _sizes(tensor.shape), _sizes(tensor.strides)
        if shape is None or strides is None or len(shape) != len(strides) or not _is_size(offset):
            raise WeightsError(f"{self.path}: the tensor {name} has an impossible shape.")
        size = math.prod(shape)
        last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides))
        if size and last >= storage.count:
            raise WeightsError(
                f"{self.path}: the tensor {name} of shape {shape} reaches beyond its "
                f"{storage.count} elements."
            )
        self.left -= size * storage.dtype.itemsize
        if size > max(storage.count, _EXPANDED) or self.left < 0:
            raise WeightsError(
                f"{self.path}: the tensor {name} of shape {shape} repeats the {storage.count} "
                "elements that it is made of; so many are not read."
            )
        if not size:
            return np.zeros(shape, storage.dtype)
        array = self.storage(storage)[storage.start : storage.start + storage.count]
        step = array.itemsize
        return np.lib.stride_tricks.as_strided(
            array[offset:], shape, [stride * step for stride in strides], writeable=False
        )

    def storage(self, storage: Storage) -> np.ndarray:
        """All elements of a storage.

        Raises:
            WeightsError: the file has more or fewer.
        """
        if storage.key not in self.storages:
            content = self.take(storage)
            expected = storage.total * storage.dtype.itemsize
            if len(content) != expected:
                raise WeightsError(
                    f"{self.path} is damaged: a storage must have {expected:,} bytes. "
                    f"Received: {len(content):,}."
                )
            self.storages[storage.key] = np.frombuffer(content, storage.dtype)
        return self.storages[storage.key]


def _sizes(value: Any) -> tuple[int, ...] | None:
    """A shape or strides; torch.Size is a tuple too."""
    if isinstance(value, Object) and value.maker == Name("torch", "Size"):
        value = value.arguments[0] if value.arguments else ()
    if type(value) is not tuple or len(value) > 8 or not all(_is_size(n) for n in value):
        return None
    return value
