"""Loads `.keras` files that may come from a stranger: Keras's own loader, behind a closed door.

A model's file describes its layers, and some of Keras's layers run code or open other files.
Keras refuses most of that in its safe mode, which a program can switch off for itself as a whole;
here it is refused always. So are sizes that the file can't hold, before Keras believes them.
"""

from __future__ import annotations

import io
import math
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn.errors import WeightsError
from kerascnn.weights import archives

if TYPE_CHECKING:
    import keras

WEIGHTS = "model.weights.h5"
_CONFIG = 1 << 26
_FOREIGN = {
    # They run Python, TensorFlow, PyTorch or JAX code that the file brings along or points to.
    *("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"),
    # They read vocabularies from a path.
    *("StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup", "__typespec__"),
}


def load(path: Path) -> keras.Model:
    """Load a model, uncompiled, executing nothing of the file.

    The layers that it uses must be registered with Keras before.

    Raises:
        WeightsError: it is no `.keras` file, damaged, has layers that run or open something, or
            describes more weights than it has. The message names it.
    """
    import keras

    from kerascnn.keras_internals import with_values_later

    config, weights = check(path)

    def require_room(model: keras.Model) -> None:
        size = sum(4 * math.prod(variable.shape) for variable in model.weights)
        if size > archives.limit(path):
            raise WeightsError(
                f"{path} describes a model with {size:,} bytes of weights, which can't be in a "
                f"file of {path.stat().st_size:,}. It is not loaded."
            )

    try:
        _forget_training(config)
        model = with_values_later(
            lambda: keras.saving.deserialize_keras_object(config, safe_mode=True), require_room
        )
        with tempfile.TemporaryDirectory() as folder:  # Keras reads no weights from memory
            file = Path(folder) / WEIGHTS
            file.write_bytes(weights)
            model.load_weights(file)
    except WeightsError:
        raise
    except Exception as error:  # the file decides in which way it is damaged
        raise _refusal(path, error) from error
    return model


def _refusal(path: Path, error: Exception) -> WeightsError:
    if missing := re.search(r"Could not locate ((?:class|function) '[^']{,200}')", str(error)):
        return WeightsError(
            f"{path} needs the {missing[1]}, which neither Keras nor kerascnn nor an installed "
            "plugin offers. Install the plugin that it is from, or import what registers it."
        )
    reason = str(error).partition("\n")[0][:300]
    return WeightsError(f"{path} can't be loaded: {type(error).__name__}: {reason}")


def check(path: Path) -> tuple[dict[str, Any], bytes]:
    """Refuse a `.keras` file whose loading could execute, open or unfold something.

    Returns:
        The model's description, `{"class_name", "config", ...}`, and its weights as an HDF5 file.

    Raises:
        WeightsError: see `load`.
    """
    import h5py

    from kerascnn.weights import hdf5_file

    if not path.is_file():  # a FIFO would be waited for
        raise WeightsError(f"{path} can't be loaded: there is no such file.")
    try:
        with archives.open_zip(path) as archive:
            members = set(archive.namelist()) - {"config.json", "metadata.json", WEIGHTS}
            if members or len(archive.namelist()) > 3:
                raise WeightsError(
                    f"{path}: a model's file has a description and weights and nothing else. "
                    f"Received: {ascii(sorted(members)[:3])[:300]}."
                )
            text = archives.read_member(archive, "config.json", _CONFIG)
            config = hdf5_file.description(text, path)
            weights = archives.read_member(archive, WEIGHTS)
        with h5py.File(io.BytesIO(weights), "r") as file:
            hdf5_file.Reader(path).check(file)
    except WeightsError:
        raise
    except Exception as error:
        raise _refusal(path, error) from error
    if acting := foreign(config):
        raise WeightsError(
            f"{path} has layers that run code or open files of their own, and is not loaded: "
            f"{', '.join(acting)}. If you trust it, load it with keras.models.load_model."
        )
    return config, weights


def foreign(config: Any) -> list[str]:
    """The layers of a model's description that run code or open files of their own."""
    return sorted(_FOREIGN & _classes(config))


def _forget_training(config: Any) -> None:
    """Leave out what `compile` was given: an optimizer has variables, and needs values for them."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            value.pop("compile_config", None)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _classes(config: Any) -> set[str]:
    """All classes that a description mentions, by their last name."""
    found: set[str] = set()
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key in ("class_name", "registered_name"):
                if isinstance(value.get(key), str):
                    found.add(value[key].rpartition(">")[2])
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return found
