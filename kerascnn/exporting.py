"""A model as a file for another runtime: SavedModel, ONNX, LiteRT, Keras, or its weights alone.

Each file is run in its own runtime before it gets its name, and refused if it answers otherwise
than the model: on images that make the network say something, and by logits, as a softmax of 0
and 1 would hide any difference.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascnn import likeness, quantizing
from kerascnn.card import Preprocessing
from kerascnn.errors import ArgumentError, ExportError
from kerascnn.graphs import single
from kerascnn.likeness import NotCompared, before_softmax, bound, compared, listed
from kerascnn.precision import precision_of, with_precision
from kerascnn.quiet import captured_stderr
from kerascnn.recipes import recipe
from kerascnn.recipes.recipe import PRECISIONS
from kerascnn.tasks.comparison import Comparison

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

SERVED = ("savedmodel", "onnx", "litert")
"""The formats whose files answer as the task says; the others hold the network as it is."""


COMPUTES: Mapping[str, tuple[str, ...]] = {
    "savedmodel": PRECISIONS,
    "onnx": ("float32", "mixed_float16"),
    "litert": ("float32",),
    "keras": PRECISIONS,
    "weights": (),
}
"""What a format's files can compute in: ONNX Runtime has no convolution in bfloat16, LiteRT none in
16 bits. Weights are the same whatever a network computes in."""


QUANTIZED = ("onnx", "litert")
"""The formats that can be in int8."""

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Exported:
    """What `export` has written.

    Attributes:
        path: the file, or a SavedModel's directory.
        difference: see `difference`; None: the file wasn't compared.
        why_not: why it wasn't.
        precision: what the file computes in, also "int8"; "" of weights.
        kept: for "keras", the layers that Keras has no words for, as "name (what it needs)"; the
            file loads only where the packages are installed that they are from.
    """

    path: Path
    difference: float | None
    why_not: str = ""
    precision: str = ""
    kept: tuple[str, ...] = ()


def export(
    model: keras.Model,
    path: str | os.PathLike[str],
    format: str,
    *,
    preprocessing: Preprocessing | None = None,
    size: tuple[int, int] | None = None,
    comparison: Comparison | None = None,
    calibration: np.ndarray | None = None,
) -> Exported:
    """Write a model for inference, and compare the file with it.

    "keras" consists of Keras's own layers as far as that can be, and loads without kerascnn.
    A network that computes in what the format's runtime doesn't know, as one that was trained in
    bfloat16, is written in float32: see `COMPUTES`. "litert" takes one image at a time where there
    is a comparison: what chooses among places would need operations for any number of images that
    LiteRT hasn't.

    Args:
        model: a built functional model with one input; the batch size stays open.
        path: where to; the format's suffix is added where it is missing.
        format: one of `SUFFIXES`.
        preprocessing: put it in front of the network, so that the file takes pixels in 0..255.
        size: `(height, width)` of the images on which file and model are compared, where the model
            takes any.
        comparison: how, of the model's outputs; None: number by number.
        calibration: images as the file will be given them, `[n, height, width, channels]`: it is
            written in int8, for `QUANTIZED` formats, and compared on these. See
            `kerascnn.quantizing`.

    Raises:
        ArgumentError: there is no such format, preprocessing is asked for weights, or int8 for what
            can't be in it.
        ExportError: the path exists, a package is missing, there is no space, or the file gives
            other outputs than the model; then it isn't kept.
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
    able = COMPUTES[format] if calibration is None else ("float32",)
    if format in SERVED and precision_of(model) in set(PRECISIONS) - set(able):
        model = with_precision(model, "float32")
    if preprocessing is not None:
        model = with_preprocessing(model, preprocessing)
    if format in SERVED:
        _require_no_python(model, format)
    kept: tuple[str, ...] = ()
    written = model
    if format == "keras":
        from kerascnn.stock import in_stock_layers

        written, kept = in_stock_layers(model)
    if format == "litert" and comparison:
        written = _of_one_image(model)
    if calibration is not None:
        check_quantized(format)
        _require_scores(comparison)
    path.parent.mkdir(parents=True, exist_ok=True)
    _require_space(path.parent, written)
    # Beside the target, so that the last step is a rename and never leaves half a file.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        unfinished = Path(folder) / f"model{suffix}"
        if calibration is None:
            _WRITERS[format](written, unfinished)
        else:
            _QUANTIZERS[format](written, unfinished, calibration)
        gap, why_not = _verified(model, unfinished, format, size, comparison, calibration)
        os.replace(unfinished, path)
    precision = precision_of(model) if COMPUTES[format] else ""
    if calibration is not None:
        precision = quantizing.INT8
    return Exported(path, gap, why_not, precision, kept)


def check_quantized(format: str) -> None:
    """Refuse int8 for a format that has none.

    Raises:
        ArgumentError: says which have.
    """
    if format not in QUANTIZED:
        raise ArgumentError(
            f"int8 is for {' and '.join(QUANTIZED)} files; OpenVINO runs the first ones, too. "
            f"Received: format {format}."
        )


def _require_scores(comparison: Comparison | None) -> None:
    """Refuse int8 for answers with places.

    Raises:
        ArgumentError: says what it is for.
    """
    if comparison:
        raise ArgumentError(
            "int8 is for networks that answer with scores of classes. Received: one that answers "
            f"with {comparison.what}, for whose places 8 bits are too coarse."
        )


def check_precision(format: str, precision: str) -> None:
    """Refuse a precision that a format's files can't compute in.

    Raises:
        ArgumentError: says which ones can.
    """
    recipe.check_precision(precision, recipe.ASKED_PRECISIONS)
    if not (known := COMPUTES[format]):
        raise ArgumentError(
            "Weights are the same whatever a network computes in; choose another format. "
            f"Received: precision {precision}."
        )
    if precision not in (*known, recipe.AUTO):
        able = ", ".join(name for name, can in COMPUTES.items() if precision in can)
        raise ArgumentError(
            f"{format} files compute in {' or '.join(known)}: their runtime has no convolution in "
            f"other types. Formats that can hold {precision}: {able}. To make {format} quicker, "
            "see --quantize. "
            f"Received: precision {precision}."
        )


def _require_no_python(model: keras.Model, format: str) -> None:
    """Refuse layers that compute in Python, which only this process has.

    A layer says so itself: `in_python`, what to do instead.

    Raises:
        ExportError: there is one.
    """
    from kerascnn.keras_internals import all_layers

    for layer in all_layers(model):
        if instead := getattr(layer, "in_python", ""):
            raise ExportError(
                f"{format} can't hold the layer {layer.name}, which computes in Python. {instead}"
            )


# Bytes that HDF5 needs to describe a variable, about.
_DESCRIPTION = 2048


def _require_space(folder: Path, model: keras.Model) -> None:
    """Refuse a disk without room for the weights: HDF5 doesn't survive one that becomes full.

    Raises:
        ExportError: it says how much there is, and how much it takes.
    """
    size = sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in model.weights)
    size += _DESCRIPTION * len(model.weights)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise ExportError(
            f"No space left on device: {folder} has {free:,} bytes, the model needs {size:,} or "
            "more. Free some space, or choose another place with --output."
        )


def _verified(
    model: keras.Model,
    path: Path,
    format: str,
    size: tuple[int, int] | None,
    comparison: Comparison | None,
    calibration: np.ndarray | None,
) -> tuple[float | None, str]:
    try:
        gap = difference(
            model, path, format, size=size, comparison=comparison, images=_some(calibration)
        )
    except NotCompared as reason:
        return None, str(reason)
    limit = bound(model) if calibration is None else quantizing.BOUND
    if gap > limit:
        raise ExportError(
            f"The file that was written as {format} gives other outputs than {model.name}: they "
            f"differ by {gap:.1e} of the range of its {compared(comparison)}, and {limit:.0e} is "
            "what rounding explains. It was not kept."
        )
    return gap, ""


def _some(images: np.ndarray | None) -> np.ndarray | None:
    """Few images from all over."""
    return images if images is None else images[:: -(-len(images) // 32)]


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
    return keras.Model(pixels, single(outputs), name=model.name)


def _of_one_image(model: keras.Model) -> keras.Model:
    """The same layers, for batches of one image."""
    import keras

    from kerascnn.keras_internals import calls, functional

    graph = functional(model)
    (given,) = graph.inputs
    image = keras.Input(batch_shape=(1, *given.shape[1:]), dtype=given.dtype, name=given.name)
    tensors = {id(given): image}
    for call in calls(model):
        if call.inputs:
            tensors |= zip(map(id, call.outputs), call.repeat(call.operation, tensors))
    outputs = [tensors[id(output)] for output in graph.outputs]
    return keras.Model(image, single(outputs), name=model.name)


def difference(
    model: keras.Model,
    path: Path,
    format: str,
    *,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    comparison: Comparison | None = None,
    images: np.ndarray | None = None,
) -> float:
    """The largest difference of the file's logits from the model's, relative to their range.

    Args:
        model: what was exported.
        path, format: the file, and what it is.
        seed, size, images: see `kerascnn.likeness.difference`.
        comparison: see `export`; in place of logits it is what that says.

    Raises:
        NotCompared: they can't be compared; it says why.
    """

    def answer(images: np.ndarray) -> _Run:
        try:
            return _RUNNERS[format](model, path, images)
        except ImportError:
            raise NotCompared("its runtime isn't installed") from None

    return likeness.difference(
        model, answer, seed=seed, size=size, comparison=comparison, images=images
    )


def _write_savedmodel(model: Any, path: Path) -> None:
    model.export(str(path), format="tf_saved_model", verbose=False)
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    for graph in (one.graph_def for one in saved.meta_graphs):
        for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
            _require_no_calls((node.op, node.name) for node in nodes)


def _require_no_calls(nodes: Iterable[tuple[str, str]]) -> None:
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
        raise _no_operation(next(said, lines[0] if lines else "")) from None


def _no_operation(said: str) -> ExportError:
    """What is raised where LiteRT refuses a network, with its own words."""
    return ExportError(
        f"LiteRT has no operation for a part of this network: {said} "
        "Choose another format; of a network that chooses boxes, --raw leaves that part out."
    )


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


def _quantize_onnx(model: Any, path: Path, images: np.ndarray) -> None:
    _write_onnx(model, path)
    quantizing.write_onnx(path, images)


def _quantize_litert(model: Any, path: Path, images: np.ndarray) -> None:
    with captured_stderr():  # the converter's notes to its programmers
        _write_litert(model, path, quantizing.litert_options(images))


_QUANTIZERS: Mapping[str, Callable[[Any, Path, np.ndarray], None]] = {
    "onnx": _quantize_onnx,
    "litert": _quantize_litert,
}


# What a file gives, and whether that is what comes before the softmax.
_Run = tuple[list[np.ndarray], bool]


def _run_savedmodel(model: Any, path: Path, images: np.ndarray) -> _Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # keep it: its functions don't own its variables
    return [x.numpy() for x in tf.nest.flatten(loaded.serve(images))], False


def _run_onnx(model: Any, path: Path, images: np.ndarray) -> _Run:
    import onnx
    import onnxruntime

    graph = onnx.load(str(path))
    _require_no_calls((node.op_type, node.name) for node in graph.graph.node)
    ends = {output.name: output for output in graph.graph.output}
    seen = []
    for node in graph.graph.node:  # show what each softmax at the end is of
        if node.op_type == "Softmax" and node.output[0] in ends:
            seen.append(onnx.ValueInfoProto(name=node.input[0]))
    whole = len(seen) == len(ends)
    graph.graph.output.extend(seen)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    wanted = [value.name for value in seen] if whole else list(ends)
    return session.run(wanted, {session.get_inputs()[0].name: images}), whole


def _run_litert(model: Any, path: Path, images: np.ndarray) -> _Run:
    from ai_edge_litert.interpreter import Interpreter

    content, are_scores = _litert_scores(path.read_bytes())
    interpreter = Interpreter(model_content=content)
    (given,) = interpreter.get_input_details()
    at_once = len(images) if given["shape_signature"][0] < 0 else 1
    interpreter.resize_tensor_input(given["index"], (at_once, *images.shape[1:]))
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        raise _no_operation(str(error).splitlines()[0]) from None
    found = []
    for part in np.split(images, len(images) // at_once):
        interpreter.set_tensor(given["index"], part)
        interpreter.invoke()
        found.append([_litert_value(interpreter, x) for x in interpreter.get_output_details()])
    return [np.concatenate(outputs) for outputs in zip(*found)], are_scores


def _litert_scores(content: bytes) -> tuple[bytes, bool]:
    """A LiteRT file that gives what each softmax at its end is of, and whether all ends are one."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    found = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    graph = found.subgraphs[0]
    makers = {int(place): one for one in graph.operators for place in one.outputs}
    kinds = schema.BuiltinOperator

    def maker(place: int, kind: int) -> Any:
        one = makers.get(int(place))
        if one is None:
            return None
        code = found.operatorCodes[one.opcodeIndex]
        return one if max(code.builtinCode, code.deprecatedBuiltinCode) == kind else None

    ends = []
    for place in graph.outputs:
        if rounded := maker(place, kinds.DEQUANTIZE):
            place = rounded.inputs[0]
        if (softmax := maker(place, kinds.SOFTMAX)) is None:
            return content, False
        ends.append(softmax.inputs[0])
    graph.outputs = np.array(ends, "int32")
    found.signatureDefs = []  # which name the outputs that were
    return bytes(flatbuffer_utils.convert_object_to_bytearray(found)), True


def _litert_value(interpreter: Any, output: Mapping[str, Any]) -> np.ndarray:
    """An output in float32, whose whole numbers are steps of a scale from a zero point."""
    value, (scale, zero) = interpreter.get_tensor(output["index"]), output["quantization"]
    return value if value.dtype.kind == "f" else ((value.astype("float32") - zero) * scale)


def _run_keras(model: Any, path: Path, images: np.ndarray) -> _Run:
    import keras

    scores, softmaxes = before_softmax(keras.models.load_model(path, compile=False))
    return listed(scores(images, training=False)), any(softmaxes)


def _run_weights(model: Any, path: Path, images: np.ndarray) -> _Run:
    import keras

    copy = keras.models.clone_model(model)
    copy.load_weights(path)
    scores, softmaxes = before_softmax(copy)
    return listed(scores(images, training=False)), any(softmaxes)


_RUNNERS: Mapping[str, Callable[[Any, Path, np.ndarray], _Run]] = {
    "savedmodel": _run_savedmodel,
    "onnx": _run_onnx,
    "litert": _run_litert,
    "keras": _run_keras,
    "weights": _run_weights,
}
