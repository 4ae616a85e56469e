"""What a file of each format answers in its own runtime, to be compared with the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerascnn.exporting.writers import no_operation, require_no_calls
from kerascnn.likeness import before_softmax, listed

# What a file gives, and whether that is what comes before the softmax.
Outputs = tuple[list[np.ndarray], bool]


def _run_savedmodel(model: Any, path: Path, images: np.ndarray) -> Outputs:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # keep it: its functions don't own its variables
    return [x.numpy() for x in tf.nest.flatten(loaded.serve(images))], False


def _run_onnx(model: Any, path: Path, images: np.ndarray) -> Outputs:
    import onnx
    import onnxruntime

    graph = onnx.load(str(path))
    require_no_calls((node.op_type, node.name) for node in graph.graph.node)
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


def _run_litert(model: Any, path: Path, images: np.ndarray) -> Outputs:
    from ai_edge_litert.interpreter import Interpreter

    content, are_scores = _litert_scores(path.read_bytes())
    interpreter = Interpreter(model_content=content)
    (given,) = interpreter.get_input_details()
    at_once = len(images) if given["shape_signature"][0] < 0 else 1
    interpreter.resize_tensor_input(given["index"], (at_once, *images.shape[1:]))
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        raise no_operation(str(error).splitlines()[0]) from None
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


def _run_keras(model: Any, path: Path, images: np.ndarray) -> Outputs:
    import keras

    scores, softmaxes = before_softmax(keras.models.load_model(path, compile=False))
    return listed(scores(images, training=False)), any(softmaxes)


def _run_weights(model: Any, path: Path, images: np.ndarray) -> Outputs:
    import keras

    copy = keras.models.clone_model(model)
    copy.load_weights(path)
    scores, softmaxes = before_softmax(copy)
    return listed(scores(images, training=False)), any(softmaxes)


RUNNERS: Mapping[str, Callable[[Any, Path, np.ndarray], Outputs]] = {
    "savedmodel": _run_savedmodel,
    "onnx": _run_onnx,
    "litert": _run_litert,
    "keras": _run_keras,
    "weights": _run_weights,
}
