"""A model as a file for another runtime: SavedModel, ONNX, LiteRT, Keras, or its weights alone."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascnn.architecture import Preprocessing
from kerascnn.errors import ArgumentError, ExportError

if TYPE_CHECKING:
    import keras

SUFFIXES: Mapping[str, str] = {
    "savedmodel": "",
    "onnx": ".onnx",
    "litert": ".tflite",
    "keras": ".keras",
    "weights": ".weights.h5",
}
"""The formats, and what their files' names end in; a SavedModel is a directory."""


def export(
    model: keras.Model,
    path: str | os.PathLike[str],
    format: str,
    *,
    preprocessing: Preprocessing | None = None,
) -> Path:
    """Write a model for inference.

    Args:
        model: a built model; the batch size stays open.
        path: where to; the format's suffix is added where it is missing.
        format: one of `SUFFIXES`.
        preprocessing: put it in front of the network, so that the file takes pixels in 0..255.

    Returns:
        The path that was written.

    Raises:
        ArgumentError: there is no such format, or preprocessing is asked for weights.
        ExportError: the path exists, or a package is missing.
    """
    if format not in SUFFIXES:
        raise ArgumentError(f"format must be one of {', '.join(SUFFIXES)}. Received: {format!r}.")
    if format == "weights" and preprocessing is not None:
        raise ArgumentError("Weights alone can't contain preprocessing; choose another format.")
    suffix = SUFFIXES[format]
    path = Path(path)
    if not path.name.endswith(suffix):
        path = path.with_name(path.name + suffix)
    if path.exists():
        raise ExportError(f"{path} exists already. Remove it or choose another path.")
    if preprocessing is not None:
        model = with_preprocessing(model, preprocessing)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename and never leaves half a file.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        unfinished = Path(folder) / f"model{suffix}"
        _WRITERS[format](model, unfinished)
        os.replace(unfinished, path)
    return path


def with_preprocessing(model: keras.Model, preprocessing: Preprocessing) -> keras.Model:
    """A copy of the network on pixels in 0..255: one more layer in front, the graph as flat."""
    import keras

    from kerascnn.keras_internals import calls, functional
    from kerascnn.preprocessing import PreprocessingLayer

    known = preprocessing
    layer = PreprocessingLayer(known.scale, known.mean, known.std, known.order)
    graph = functional(model)
    pixels = keras.Input(model.input_shape[1:], name="pixels")
    tensors = {id(graph.inputs[0]): layer(pixels)}
    copies: dict[int, Any] = {}
    for call in calls(model):
        original = call.operation
        if id(original) not in copies:
            copies[id(original)] = type(original).from_config(original.get_config())
        copy = copies[id(original)]
        tensors |= zip(map(id, call.outputs), call.repeat(copy, tensors))
        if isinstance(copy, keras.layers.Layer):
            copy.set_weights(original.get_weights())
    outputs = [tensors[id(output)] for output in graph.outputs]
    return keras.Model(pixels, outputs if len(outputs) > 1 else outputs[0], name=model.name)


def difference(model: keras.Model, path: Path, format: str, *, seed: int = 0) -> float | None:
    """The largest difference of the file's outputs from the model's, relative to the largest.

    Args:
        model: what was exported.
        path, format: the file, and what it is.
        seed: of the random images, uniform in [0, 1), that both are given.

    Returns:
        The difference, or None if the format's runtime isn't installed.
    """
    shape = [size or 64 for size in model.input_shape[1:]]
    images = np.random.default_rng(seed).random((2, *shape), "float32")
    try:
        theirs = _RUNNERS[format](model, path, images)
    except ImportError:
        return None
    ours = model(images, training=False)
    ours = [np.asarray(x) for x in (ours if isinstance(ours, (list, tuple)) else [ours])]
    # Runtimes may give a model's outputs in another order.
    gaps = [
        min(float(np.abs(x - y).max() / np.abs(x).max()) for y in theirs if y.shape == x.shape)
        for x in ours
    ]
    return max(gaps)


def _write_savedmodel(model: Any, path: Path) -> None:
    model.export(str(path), format="tf_saved_model", verbose=False)


def _write_onnx(model: Any, path: Path) -> None:
    try:
        import tf2onnx  # noqa: F401
    except ImportError:
        raise ExportError('ONNX needs tf2onnx: pip install "kerascnn[onnx]".') from None
    import keras

    # Given, since Keras 3.15 refuses a model that hasn't been called yet if it must find it out.
    (given,) = model.inputs
    signature = [keras.InputSpec(shape=given.shape, dtype=given.dtype, name=given.name)]
    with warnings.catch_warnings():
        # Keras asks NumPy for `np.object`, to replace it for tf2onnx where it is gone.
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        model.export(str(path), format="onnx", input_signature=signature, verbose=False)


def _write_litert(model: Any, path: Path) -> None:
    model.export(str(path), format="litert", verbose=False)


def _write_keras(model: Any, path: Path) -> None:
    model.save(path)


def _write_weights(model: Any, path: Path) -> None:
    model.save_weights(path)


_WRITERS: Mapping[str, Callable[[Any, Path], None]] = {
    "savedmodel": _write_savedmodel,
    "onnx": _write_onnx,
    "litert": _write_litert,
    "keras": _write_keras,
    "weights": _write_weights,
}


def _run_savedmodel(model: Any, path: Path, images: np.ndarray) -> list[np.ndarray]:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # keep it: its functions don't own its variables
    return [x.numpy() for x in tf.nest.flatten(loaded.serve(images))]


def _run_onnx(model: Any, path: Path, images: np.ndarray) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})


def _run_litert(model: Any, path: Path, images: np.ndarray) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (given,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(given["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], images)
    interpreter.invoke()
    return [interpreter.get_tensor(x["index"]) for x in interpreter.get_output_details()]


def _run_keras(model: Any, path: Path, images: np.ndarray) -> list[np.ndarray]:
    import keras

    outputs = keras.models.load_model(path, compile=False)(images, training=False)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [np.asarray(x) for x in outputs]


def _run_weights(model: Any, path: Path, images: np.ndarray) -> list[np.ndarray]:
    import keras

    copy = keras.models.clone_model(model)
    copy.load_weights(path)
    outputs = copy(images, training=False)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [np.asarray(x) for x in outputs]


_RUNNERS: Mapping[str, Callable[[Any, Path, np.ndarray], list[np.ndarray]]] = {
    "savedmodel": _run_savedmodel,
    "onnx": _run_onnx,
    "litert": _run_litert,
    "keras": _run_keras,
    "weights": _run_weights,
}
