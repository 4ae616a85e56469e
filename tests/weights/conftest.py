"""Synthetic weights, checkpoints in PyTorch's file format, and a server of weight files."""

import contextlib
import io
import itertools
import json
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from synthetic import synthetic

GOLDENS = Path(__file__).parents[1] / "goldens"


def image(shape):
    """Standard normal pixels, `[batch, height, width, channels]`."""
    return np.random.RandomState(0).standard_normal(shape).astype("float32")


@pytest.fixture(scope="session")
def golden():
    """By name: torchvision's state dict of synthetic weights, an input, and its outputs."""

    def read(name):
        described = json.loads((GOLDENS / f"torchvision-{name}.json").read_text())
        return SimpleNamespace(
            state={parameter[0]: synthetic(*parameter) for parameter in described["parameters"]},
            image=image(described["input"]),
            outputs=np.load(GOLDENS / f"torchvision-{name}.npy"),
        )

    return read


# --- files as torch.save writes them, without torch ---------------------------------------------

STORAGES = {
    "<f8": "DoubleStorage",
    "<f4": "FloatStorage",
    "<f2": "HalfStorage",
    "<i8": "LongStorage",
}


def _rebuild_tensor_v2(*args):
    raise NotImplementedError  # only its name goes into the file


class _Tensor:
    def __init__(self, array, key):
        self.array, self.key = array, key

    def __reduce__(self):
        strides = tuple(stride // self.array.itemsize for stride in self.array.strides)
        args = (_Storage(self), 0, self.array.shape, strides, False, OrderedDict())
        return _rebuild_tensor_v2, args


class _Storage:
    def __init__(self, tensor):
        self.bytes = tensor.array.tobytes(order="A")
        self.size = tensor.array.size
        self.kind = STORAGES.get(tensor.array.dtype.str, "BFloat16Storage")
        self.key = tensor.key


class _Pickler(pickle.Pickler):
    """Storages become persistent ids; their types are found in a stand-in for torch."""

    def __init__(self, *args, more=()):
        super().__init__(*args)
        self.storages, self.more = {}, more

    def persistent_id(self, thing):
        if not isinstance(thing, _Storage):
            return None
        self.storages[thing.key] = thing
        kind = getattr(sys.modules["torch"], thing.kind)
        return ("storage", kind, thing.key, "cpu", thing.size, *self.more)


def _torch_stand_in():
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    for name in (*STORAGES.values(), "BFloat16Storage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    _rebuild_tensor_v2.__module__ = "torch._utils"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    return {"torch": torch, "torch._utils": utils}


def _pickled(content, buffer, more=()):
    keys = map(str, itertools.count())

    def tensors(thing):
        if isinstance(thing, np.ndarray):
            return _Tensor(thing, next(keys))
        if hasattr(thing, "__dict__"):
            thing.__dict__.update(tensors(thing.__dict__))
        if type(thing) not in (dict, OrderedDict):
            return thing
        return type(thing)((k, tensors(v)) for k, v in thing.items())

    pickler = _Pickler(buffer, 2, more=more)
    with mock.patch.dict(sys.modules, _torch_stand_in()):
        pickler.dump(tensors(content))
    return pickler.storages


def write_torch(path, content):
    """A dictionary of arrays, and of anything that pickle takes, in torch's zip format."""
    buffer = io.BytesIO()
    storages = _pickled(content, buffer)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, storage in storages.items():
            archive.writestr(f"archive/data/{key}", storage.bytes)
        archive.writestr("archive/version", "3\n")


def write_legacy_torch(path, content):
    """The same in the format from before torch 1.6: pickles one after the other."""
    with path.open("wb") as file:
        for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(part, file, 2)
        storages = _pickled(content, file, more=(None,))
        pickle.dump(sorted(storages), file, 2)
        for key in sorted(storages):
            file.write(struct.pack("<q", storages[key].size) + storages[key].bytes)


@pytest.fixture(scope="session")
def torch_files():
    """`zip(path, content)` and `legacy(path, content)` write PyTorch checkpoints.

    `named(module, name, **state)` is an object for them, `stand_ins(*objects)` lets it be written.
    """
    return SimpleNamespace(
        zip=write_torch, legacy=write_legacy_torch, named=named, stand_ins=stand_ins
    )


def named(module, name, **state):
    """An instance of a class that isn't installed, as pickle writes it: a name and its state."""
    kind = type(name, (), {"__module__": module})
    thing = kind()
    thing.__dict__.update(state)
    return thing


@contextlib.contextmanager
def stand_ins(*things):
    """Their classes can be found by pickle, which insists on that when it writes."""
    modules = {}
    for thing in things:
        kind = type(thing)
        module = modules.setdefault(kind.__module__, ModuleType(kind.__module__))
        setattr(module, kind.__name__, kind)
        modules.setdefault(package := kind.__module__.partition(".")[0], ModuleType(package))
    with mock.patch.dict(sys.modules, modules):
        yield
