"""How a model becomes a file of each format."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from kerascnn import quantizing
from kerascnn.errors import ExportError
from kerascnn.quiet import captured_stderr

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def _write_savedmodel(model: Any, path: Path) -> None:
    model.export(str(path), format="tf_saved_model", verbose=False)
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    for graph in (one.graph_def for one in saved.meta_graphs):
        for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
            require_no_calls((node.op, node.name) for node in nodes)


def require_no_calls(nodes: Iterable[tuple[str, str]]) -> None:
    """Of a written graph's operations and their names: none may call Python.

    Raises:
        ExportError: one does.
    """
    for operation, name in nodes:
        if "PyFunc" in operation:
            raise ExportError(
                f"A file can't hold {name}, which is computed in Python: it would answer in this "
                "process alone. Compute it with operations of TensorFlow, or make it an input."
            )


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


def _write_litert(model: Any, path: Path, options: Mapping[str, Any] = NO_OPTIONS) -> None:
    try:
        model.export(str(path), format="litert", verbose=False, **options)
    except Exception as error:
        if type(error).__name__ != "ConverterError":  # TensorFlow exports its class nowhere
            raise
        lines = str(error).splitlines()
        said = (line for line in lines if line.startswith(("Custom ops:", "Flex ops:")))
        raise no_operation(next(said, lines[0] if lines else "")) from None


def no_operation(said: str) -> ExportError:
    """What is raised where LiteRT refuses a network, with its own words."""
    return ExportError(
        f"LiteRT has no operation for a part of this network: {said} "
        "Choose another format; of a network that chooses boxes, --raw leaves that part out."
    )


def _write_keras(model: Any, path: Path) -> None:
    model.save(path)


def _write_weights(model: Any, path: Path) -> None:
    model.save_weights(path)


WRITERS: Mapping[str, Callable[[Any, Path], None]] = {
    "savedmodel": _write_savedmodel,
    "onnx": _write_onnx,
    "litert": _write_litert,
    "keras": _write_keras,
    "weights": _write_weights,
}


def _quantize_onnx(model: Any, path: Path, images: np.ndarray) -> None:
    _write_onnx(model, path)
    quantizing.write_onnx(path, images)


def _quantize_litert(model: Any, path: Path, images: np.ndarray) -> None:
    with captured_stderr():  # the converter's notes to its programmers
        _write_litert(model, path, quantizing.litert_options(images))


QUANTIZERS: Mapping[str, Callable[[Any, Path, np.ndarray], None]] = {
    "onnx": _quantize_onnx,
    "litert": _quantize_litert,
}
