"""Opens weight files of all kinds as named arrays. Nothing in a file is executed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from kerascnn.errors import WeightsError

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
        legacy: whether it is a file of weights alone in the layout of Keras 1 and 2.
    """

    origin: str
    layout: str
    tensors: Mapping[str, np.ndarray]
    epsilon: float | Mapping[str, float] | None = None
    legacy: bool = False


def open_checkpoint(weights: Any) -> Checkpoint:
    """The named arrays of a path, a mapping or a `keras.Model`.

    Raises:
        WeightsError: there is no such file, it has an unknown suffix, or it is damaged.
    """
    if isinstance(weights, Mapping):
        return of_mapping({str(k): np.asarray(v) for k, v in weights.items()}, "a mapping")
    if hasattr(weights, "layers") and hasattr(weights, "get_layer"):
        return of_model(weights)
    path = Path(weights).expanduser()
    if not path.is_file():
        raise WeightsError(f"There is no weight file {path}.")
    reader = next((r for suffix, r in READERS.items() if path.name.endswith(suffix)), None)
    if reader is None:
        raise WeightsError(
            f"{path}: the name must end in one of {', '.join(READERS)}, which says what is in it."
        )
    try:
        return reader(path)
    except WeightsError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} is damaged or not what its name says: {error}.") from error


def of_mapping(tensors: dict[str, np.ndarray], origin: str) -> Checkpoint:
    """Arrays whose names tell their layout: torch's have dots, Keras's have slashes."""
    epsilon = tensors.pop(EPSILON, None)
    layout = "keras" if all("/" in name for name in tensors) else "torch"
    return Checkpoint(origin, layout, tensors, None if epsilon is None else float(epsilon))


def of_model(model: Any) -> Checkpoint:
    """The weights of a Keras model, its layers by name."""
    tensors = {
        f"{layer.name}/{variable.name}": np.asarray(variable)
        for layer in model.layers
        for variable in layer.weights
    }
    epsilon = {x.name: x.epsilon for x in model.layers if hasattr(x, "moving_variance")}
    return Checkpoint(f"the model {model.name}", "keras", tensors, epsilon)


def _npz(path: Path) -> Checkpoint:
    with np.load(path, allow_pickle=False) as archive:
        return of_mapping({name: archive[name] for name in archive.files}, str(path))


def _safetensors(path: Path) -> Checkpoint:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise WeightsError(
            f'{path} needs the package safetensors: pip install "kerascnn[weights]".'
        ) from None
    try:
        return of_mapping(load_file(path), str(path))
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged or incomplete: {error}.") from error


def _torch(path: Path) -> Checkpoint:
    from kerascnn.weights import torch_file

    return Checkpoint(str(path), "torch", torch_file.read(path))


def _hdf5(path: Path) -> Checkpoint:
    import h5py

    with h5py.File(path) as file:
        if "model_weights" in file:
            config = json.loads(file.attrs["model_config"])
            return replace(_legacy(file["model_weights"], str(path)), epsilon=_epsilons(config))
        if _names(file, "layer_names"):
            return _legacy(file, str(path))
        return Checkpoint(str(path), "keras", _keras3(file, path))


def _archive(path: Path) -> Checkpoint:
    import h5py

    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        return Checkpoint(str(path), "keras", _keras3(file, path), _epsilons(config))


def _epsilons(config: dict[str, Any]) -> dict[str, float]:
    """What each normalization of a saved model adds to the variance."""
    layers = [layer["config"] for layer in config["config"].get("layers", ())]
    return {layer["name"]: layer["epsilon"] for layer in layers if "epsilon" in layer}


def _keras3(file: Any, path: Path) -> dict[str, np.ndarray]:
    """Keras 3 numbers layers by class and keeps their names as attributes."""
    tensors = {}
    for group in file.get("layers", {}).values():
        variables = group.get("vars")
        if variables is None:
            continue
        if "name" not in variables.attrs:
            raise WeightsError(
                f"{path} doesn't say which layer is which. Save it again with Keras 3.5 or later."
            )
        for number in variables:
            name = f"{variables.attrs['name']}/{number}"
            tensors[name] = _array(variables[number])
    if not tensors:
        raise WeightsError(f"{path} holds no layers with weights.")
    return tensors


def _legacy(file: Any, origin: str) -> Checkpoint:
    """The layout of Keras 1 and 2, in which keras.applications' files are published."""
    tensors = {}
    for layer in _names(file, "layer_names"):
        for number, name in enumerate(_names(file[layer], "weight_names")):
            tensors[f"{layer.replace('/', '_')}/{number}"] = _array(file[layer][name])
    return Checkpoint(origin, "keras", tensors, legacy=True)


def _names(group: Any, attribute: str) -> list[str]:
    """An attribute's names; long lists are cut into attribute0, attribute1, ..."""
    parts = [group.attrs[attribute]] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{attribute}{len(parts)}"])
    return [n.decode() if isinstance(n, bytes) else str(n) for part in parts for n in part]


def _array(dataset: Any) -> np.ndarray:
    if dataset.attrs.get("dtype") == "bfloat16":
        return np.array(dataset, ml_dtypes.bfloat16)
    return np.asarray(dataset)


READERS: Mapping[str, Callable[[Path], Checkpoint]] = {
    ".keras": _archive,
    ".weights.h5": _hdf5,
    ".h5": _hdf5,
    ".safetensors": _safetensors,
    ".npz": _npz,
    ".pth": _torch,
    ".pt": _torch,
}
