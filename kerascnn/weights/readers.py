"""Opens weight files of all kinds as named arrays. Nothing in a file is executed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from kerascnn.errors import ArgumentError, WeightsError
from kerascnn.weights import archives

NAME = 500
"""Letters of the longest name of an array."""
_HEADER = 1 << 26
"""Bytes of the longest description of a file's arrays or of a model."""
EPSILON = "__epsilon__"
"""The name under which a converted .npz keeps the epsilon of its batch normalisation."""


@dataclass(frozen=True)
class Checkpoint:
    """Named arrays as they lie in a file or a model.

    Attributes:
        origin: where they come from, for messages.
        layout: "keras" (`layer/variable` or `layer/number`, kernels `[h, w, in, out]`) or
            "torch" (`module.parameter`, kernels `[out, in, h, w]`).
        tensors: the arrays by name.
        epsilon: what batch normalisation adds to the variance: one number, one for each layer,
            or None if that is unknown.
        legacy: whether it is a file in the layout of Keras 1 and 2.
        ignored: what else the file has, which is not read.
        entry: the entry that was taken, where the file has several.
    """

    origin: str
    layout: str
    tensors: Mapping[str, np.ndarray]
    epsilon: float | Mapping[str, float] | None = None
    legacy: bool = False
    ignored: tuple[str, ...] = ()
    entry: str = ""


def open_checkpoint(weights: Any, entry: str | None = None) -> Checkpoint:
    """The named arrays of a path, a mapping or a `keras.Model`.

    A file is read as a stranger's: nothing in it is executed, no link in it is followed, and it
    takes memory and time in proportion to its size.

    Args:
        weights: where they are.
        entry: of a PyTorch checkpoint, the entry to take if there is one of that name.

    Raises:
        WeightsError: there is no such file, it has an unknown suffix, or it is damaged; the message
            names it.
        ArgumentError: `weights` is none of these.
    """
    if isinstance(weights, Mapping):
        arrays = {str(k): np.asarray(v) for k, v in weights.items()}
        return checked(of_mapping(arrays, "a mapping"))
    if hasattr(weights, "layers") and hasattr(weights, "get_layer"):
        return of_model(weights)
    if not isinstance(weights, (str, os.PathLike)):
        raise ArgumentError(
            "weights must be a path, a mapping of names to arrays, or a keras.Model. "
            f"Received: {type(weights).__name__}."
        )
    path = Path(weights).expanduser()
    if not path.is_file():
        raise WeightsError(f"There is no weight file {path}.")
    reader = require_known(path)
    try:
        return checked(_torch(path, entry) if reader is _torch else reader(path))
    except WeightsError:
        raise
    except Exception as error:  # the file decides in which way it is damaged
        reason = str(error).partition("\n")[0][:300] or type(error).__name__
        raise WeightsError(f"{path} is damaged or not what its name says: {reason}.") from error


def require_known(path: Path) -> Callable[[Path], Checkpoint]:
    """The reader for a file, by its name's end.

    Raises:
        WeightsError: none is known; the message lists those that are.
    """
    for suffix, reader in READERS.items():
        if path.name.endswith(suffix):
            return reader
    raise WeightsError(
        f"{path}: the name must end in one of {', '.join(READERS)}, which says what is in it."
    )


def checked(checkpoint: Checkpoint) -> Checkpoint:
    """Refuse what no weights are called or made of.

    Raises:
        WeightsError: a name can't be printed, or an array holds no numbers.
    """
    for name, array in checkpoint.tensors.items():
        if len(name) > NAME or not name.isprintable():
            raise WeightsError(f"{checkpoint.origin}: {name[:40]!a} is no array's name.")
        if array.dtype.kind not in "fiub" and array.dtype != ml_dtypes.bfloat16:
            raise WeightsError(
                f"{checkpoint.origin}: {name} must hold numbers. Received: {array.dtype}."
            )
    return checkpoint


def of_mapping(tensors: dict[str, np.ndarray], origin: str) -> Checkpoint:
    """Arrays whose names tell their layout: torch's have dots, Keras's have slashes."""
    epsilon = tensors.pop(EPSILON, None)
    if epsilon is not None and (epsilon.shape or not 0 <= epsilon < 1):
        raise WeightsError(f"{origin}: {EPSILON} must be one small number. Received: {epsilon}.")
    layout = "keras" if all("/" in name for name in tensors) else "torch"
    return Checkpoint(origin, layout, tensors, None if epsilon is None else float(epsilon))


def of_model(model: Any) -> Checkpoint:
    """The weights of a Keras model, its layers by name, nested models' too."""
    from kerascnn.keras_internals import leaf_layers

    layers = leaf_layers(model)
    tensors = {
        f"{layer.name}/{variable.name}": np.asarray(variable)
        for layer in layers
        for variable in layer.weights
    }
    epsilon = {x.name: x.epsilon for x in layers if hasattr(x, "moving_variance")}
    return Checkpoint(f"the model {model.name}", "keras", tensors, epsilon)


def _npz(path: Path) -> Checkpoint:
    with archives.open_zip(path) as archive:
        arrays = {
            name.removesuffix(".npy"): archives.read_array(archive, name)
            for name in archive.namelist()
        }
    return of_mapping(arrays, str(path))


def _safetensors(path: Path) -> Checkpoint:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise WeightsError(
            f'{path} needs the package safetensors: pip install "kerascnn[weights]".'
        ) from None
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > _HEADER:
        raise WeightsError(
            f"{path} is damaged: its header must have at most {_HEADER:,} bytes. "
            f"Received: {header:,}."
        )
    try:
        return of_mapping(load_file(path), str(path))
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged or incomplete: {error}.") from error


def _torch(path: Path, entry: str | None = None) -> Checkpoint:
    from kerascnn.weights import torch_file

    found = torch_file.read(path, entry)
    return Checkpoint(str(path), "torch", found.tensors, ignored=found.ignored, entry=found.entry)


def _hdf5(path: Path) -> Checkpoint:
    import h5py

    from kerascnn.weights import hdf5_file

    reader = hdf5_file.Reader(path)
    with h5py.File(path, "r") as file:
        if reader.has(file, "model_weights"):
            group = reader.group(file, "model_weights")
            config = hdf5_file.description(reader.text(file, "model_config") or "", path)
            layers = hdf5_file.described_layers(config)
            models = {str(layer.get("name")) for layer, nested in layers if nested}
            tensors = hdf5_file.keras2(group, reader, models)
            return Checkpoint(str(path), "keras", tensors, hdf5_file.epsilons(config), legacy=True)
        if reader.names(file, "layer_names"):
            return Checkpoint(
                str(path), "keras", hdf5_file.keras2(file, reader, set()), legacy=True
            )
        return Checkpoint(str(path), "keras", hdf5_file.keras3(file, reader))


def _archive(path: Path) -> Checkpoint:
    import h5py

    from kerascnn.weights import hdf5_file

    with archives.open_zip(path) as archive:
        text = archives.read_member(archive, "config.json", _HEADER)
        config = hdf5_file.description(text, path)
        content = io.BytesIO(archives.read_member(archive, "model.weights.h5"))
    with h5py.File(content, "r") as file:
        tensors = hdf5_file.keras3(file, hdf5_file.Reader(path))
    return Checkpoint(str(path), "keras", tensors, hdf5_file.epsilons(config))


READERS: Mapping[str, Callable[[Path], Checkpoint]] = {
    ".keras": _archive,
    ".weights.h5": _hdf5,
    ".h5": _hdf5,
    ".safetensors": _safetensors,
    ".npz": _npz,
    ".pth": _torch,
    ".pth.tar": _torch,
    ".pt": _torch,
    ".ckpt": _torch,
    ".bin": _torch,
}
