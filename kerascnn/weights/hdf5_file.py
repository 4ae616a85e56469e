"""Reads the arrays of Keras's HDF5 files: Keras 3's, and those of Keras 1 and 2.

HDF5 can do more than hold arrays. A link may lead into another file, a data set may lie in one or
be put together from several, and a few bytes may declare or unfold to gigabytes. Nothing of that
is followed: a value is read where it is written in full in this file, after its size was checked.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np

from kerascnn.errors import WeightsError
from kerascnn.weights import archives

DEPTH = 20
"""The deepest nesting of models."""
GROUPS = 100_000
"""The most groups that are looked into; a thousand layers have three thousand."""
BRACKETS = 100
"""The deepest nesting of a model's description."""
_SHUFFLE, _DEFLATE, _CHECKSUM = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, 3


class Reader:
    """Reads what lies in one file.

    Args:
        path: for messages, and for the limit of what its content may take in memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left = archives.limit(path)
        self._groups = GROUPS

    def refusal(self, what: str) -> WeightsError:
        """An error that names the file."""
        return WeightsError(f"{self.path} is damaged, or not what its name says: {what}.")

    def has(self, group: h5py.Group, name: str) -> bool:
        """Whether there is a link of this name; follows nothing."""
        return bool(group.id.links.exists(name.encode()))

    def child(self, group: h5py.Group, name: str) -> Any:
        """What lies in a group itself.

        Raises:
            WeightsError: it is missing, or a link that leads elsewhere.
        """
        if not name or "/" in name or name == "." or not self.has(group, name):
            raise self.refusal(f"{_named(group, name)} is missing")
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise self.refusal(
                f"{_named(group, name)} is a link to another place; none is followed"
            )
        return group[name]

    def group(self, parent: h5py.Group, name: str) -> h5py.Group:
        """A group in a group."""
        self._groups -= 1
        found = self.child(parent, name)
        if not isinstance(found, h5py.Group) or self._groups < 0:
            raise self.refusal(f"{_named(parent, name)} is no group, or one of too many")
        return found

    def attribute(self, thing: Any, name: str) -> Any:
        """An attribute, None if there is none."""
        if not h5py.h5a.exists(thing.id, name.encode()):
            return None
        found = h5py.h5a.open(thing.id, name.encode())
        count = found.get_space().get_simple_extent_npoints()
        if count * found.get_type().get_size() > self.path.stat().st_size:
            raise self.refusal(f"the attribute {name} declares more than the file has")
        return thing.attrs[name]

    def text(self, thing: Any, name: str) -> str | None:
        """An attribute that is a text."""
        value = self.attribute(thing, name)
        value = value.decode() if isinstance(value, bytes) else value
        if value is not None and not isinstance(value, str):
            raise self.refusal(f"the attribute {name} is no text")
        return value

    def names(self, thing: Any, name: str) -> list[str]:
        """An attribute's names; long lists are cut into attribute0, attribute1, ..."""
        parts: list[Any] = []
        while (part := self.attribute(thing, f"{name}{len(parts)}")) is not None:
            parts.append(part)
        whole = self.attribute(thing, name)
        parts = parts if whole is None else [whole]
        listed = [value for part in parts for value in np.atleast_1d(part).tolist()]
        texts = [value.decode() if isinstance(value, bytes) else value for value in listed]
        if not all(isinstance(text, str) for text in texts):
            raise self.refusal(f"the attribute {name} lists no names")
        return texts

    def array(self, parent: h5py.Group, name: str) -> np.ndarray:
        """A data set's values, once it is sure that all of them are in the file.

        Raises:
            WeightsError: they are not, or would be too many.
        """
        data = self._data(parent, name)
        halves = data.dtype.kind not in "fiub" or self.text(data, "dtype") == "bfloat16"
        return np.array(data, ml_dtypes.bfloat16) if halves else np.asarray(data)

    def check(self, group: h5py.Group, depth: int = 0) -> None:
        """Refuse all of a group if any of it can't be read safely; reads nothing.

        Raises:
            WeightsError: there is a link, or an array that isn't in the file, or too much.
        """
        for name in group:
            if isinstance(self.child(group, name), h5py.Dataset):
                self._data(group, name)
            elif depth > 4 * DEPTH:
                raise self.refusal("its groups are nested too deep")
            else:
                self.check(self.group(group, name), depth + 1)

    def _data(self, parent: h5py.Group, name: str) -> h5py.Dataset:
        """A data set all of whose values are in the file."""
        data = self.child(parent, name)
        where = _named(parent, name)
        if not isinstance(data, h5py.Dataset) or data.shape is None:
            raise self.refusal(f"{where} is no array")
        if data.external or data.is_virtual:
            raise self.refusal(f"{where} lies in other files; none is opened")
        halves = self.text(data, "dtype") == "bfloat16" and data.dtype.itemsize == 2
        if data.dtype.kind not in "fiub" and not halves:
            raise self.refusal(f"{where} must hold numbers. Received: {data.dtype}")
        size = math.prod(data.shape) * data.dtype.itemsize
        self._left -= size
        if self._left < 0:
            raise self.refusal(f"{where} of shape {data.shape} is too large for the file's size")
        if size:
            self._check_storage(data, size, where)
        return data

    def _check_storage(self, data: h5py.Dataset, size: int, where: str) -> None:
        """Refuse values that were never written, and chunks that unfold to more than they declare.

        HDF5 itself would give zeros for the former and unfold the latter to whatever they hold.
        """
        plist = data.id.get_create_plist()
        filters = [plist.get_filter(n)[0] for n in range(plist.get_nfilters())]
        allowed = [kind for kind in (_SHUFFLE, _DEFLATE, _CHECKSUM) if kind in filters]
        if filters != allowed:
            raise self.refusal(f"{where} is packed in another way than by shuffle and gzip")
        if _DEFLATE not in filters:
            if data.id.get_storage_size() < size:
                raise self.refusal(
                    f"{where} declares {size:,} bytes and has {data.id.get_storage_size():,}"
                )
            return
        unfolded = math.prod(data.chunks) * data.dtype.itemsize
        expected = math.prod(-(-side // part) for side, part in zip(data.shape, data.chunks))
        chunks: list[Any] = []
        data.id.chunk_iter(chunks.append)
        if len(chunks) != expected or unfolded > archives.limit(self.path):
            raise self.refusal(f"{where} has {len(chunks)} of its {expected} chunks")
        for chunk in chunks:
            if chunk.filter_mask or chunk.size > self.path.stat().st_size:
                raise self.refusal(f"{where} has a damaged chunk")
            _, packed = data.id.read_direct_chunk(chunk.chunk_offset)
            if len(zlib.decompressobj().decompress(packed, unfolded + 1)) != unfolded:
                raise self.refusal(f"{where} has a chunk that unfolds to another size than it says")


def _named(group: h5py.Group, name: str) -> str:
    return f"{group.name.rstrip('/')}/{name}"[-200:]


def description(text: str | bytes, path: Path) -> dict[str, Any]:
    """A model's configuration, which Keras keeps as JSON.

    Raises:
        WeightsError: it is none, or nested deeper than a model can be.
    """
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    depth = deepest = 0
    for bracket in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        if bracket[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket[0] in "]}":
            depth -= 1
    try:
        found = json.loads(text) if deepest <= BRACKETS else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("config"), dict):
        raise WeightsError(f"{path} is damaged: it has no description of a model.")
    return found


def described_layers(model: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """The layers of a model's configuration, nested ones too; and whether each is a model.

    In a model, the configuration of a layer is its own `config`.
    """
    listed = model["config"].get("layers")
    for layer in listed if isinstance(listed, list) else ():
        if isinstance(layer, dict) and isinstance(layer.get("config"), dict):
            nested = isinstance(layer["config"].get("layers"), list)
            yield layer["config"], nested
            if nested:
                yield from described_layers(layer)


def epsilons(model: dict[str, Any]) -> dict[str, float]:
    """What each normalization of a described model adds to the variance."""
    found = {}
    for layer, _ in described_layers(model):
        name, value = layer.get("name"), layer.get("epsilon")
        if isinstance(name, str) and isinstance(value, (int, float)) and 0 <= value < 1:
            found[name] = float(value)
    return found


def keras3(file: h5py.File, reader: Reader) -> dict[str, np.ndarray]:
    """The arrays of Keras 3, which numbers layers by class and keeps their names as attributes."""
    tensors: dict[str, np.ndarray] = {}
    waiting = [(file, 0)]
    while waiting:
        model, depth = waiting.pop()
        if depth > DEPTH:
            raise reader.refusal("its models are nested too deep")
        layers = reader.group(model, "layers")
        for key in layers:
            layer = reader.group(layers, key)
            if reader.has(layer, "layers"):
                waiting.append((layer, depth + 1))
            if reader.has(layer, "vars"):
                _keras3_layer(reader.group(layer, "vars"), reader, tensors)
    if not tensors:
        raise WeightsError(f"{reader.path} holds no layers with weights.")
    return tensors


def _keras3_layer(variables: h5py.Group, reader: Reader, tensors: dict[str, np.ndarray]) -> None:
    name = reader.text(variables, "name")
    for number in variables:
        if name is None:
            raise WeightsError(
                f"{reader.path} doesn't say which layer is which. Save it again with Keras 3.5 or "
                "later."
            )
        if f"{name}/{number}" in tensors:
            raise WeightsError(f"{reader.path}: two of its layers are called {name[:100]!r}.")
        tensors[f"{name}/{number}"] = reader.array(variables, number)


def keras2(group: h5py.Group, reader: Reader, models: set[str]) -> dict[str, np.ndarray]:
    """The arrays of Keras 1 and 2, in which keras.applications' files are published.

    Args:
        group: what holds the layers.
        reader: of the file.
        models: the layers that are models themselves, as far as that is known. Their layers' names
            are the last but one part of each weight's name.
    """
    tensors = {}
    for layer in reader.names(group, "layer_names"):
        place = _inside(group, layer, reader)
        names = reader.names(place, "weight_names")
        parents = {name.rpartition("/")[0] for name in names}
        nested = layer in models or len(parents) > 1
        for number, name in enumerate(names):
            parent, _, leaf = name.rpartition("/")
            array = reader.array(_inside(place, parent, reader) if parent else place, leaf)
            key = f"{layer.replace('/', '_')}/{number}"
            if nested and parent:
                key = f"{parent.rpartition('/')[2]}/{leaf.partition(':')[0]}"
            if key in tensors:
                raise WeightsError(f"{reader.path}: two of its weights are called {key[:100]!r}.")
            tensors[key] = array
    return tensors


def _inside(group: h5py.Group, path: str, reader: Reader) -> h5py.Group:
    for part in path.split("/"):
        group = reader.group(group, part)
    return group
