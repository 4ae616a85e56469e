"""What each layer of a model costs and sees: parameters, MACs, activations, receptive fields.

Works on any functional keras.Model: ours, keras.applications' or a user's. Nothing is run and no
weight is read: the graph's shapes are enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import ml_dtypes  # noqa: F401 (teaches NumPy bfloat16)
import numpy as np
from keras import layers

from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import Call, calls, functional, is_model
from kerascnn.layer_windows import TRANSPOSED, channel_axis, geometry, sliding, spatial
from kerascnn.profiles import Facts, Profile, Rows, Value
from kerascnn.receptive_fields import Shape


def profile(model: keras.Model, input_shape: Any = None) -> Profile:
    """Count what each layer of a functional model costs, and follow its receptive field.

    Args:
        model: any functional `keras.Model`, or a built Sequential; models nested in it are taken
            apart.
        input_shape: without the batch, `(height, width, channels)`, where the model leaves a size
            open; a list of shapes for several inputs.

    Raises:
        ArgumentError: the model has no graph, or a size is unknown and not given.
    """
    graph = functional(model)
    walk = _Walk()
    sources = {
        id(tensor): walk.source(tensor, shape)
        for tensor, shape in zip(graph.inputs, _input_shapes(graph, input_shape))
    }
    values = walk.model(graph, sources, prefix="")
    outputs = tuple(values[id(tensor)].source for tensor in graph.outputs)
    return Profile(model.name, tuple(walk.rows.rows), outputs)


def _input_shapes(graph: Any, given: Any) -> list[Shape]:
    symbolic = [tuple(tensor.shape[1:]) for tensor in graph.inputs]
    if given is None:
        shapes = symbolic
    elif given and isinstance(given[0], (list, tuple)):
        shapes = [tuple(shape) for shape in given]
    else:
        shapes = [tuple(given)]
    fit = len(shapes) == len(symbolic) and all(
        len(shape) == len(expected)
        and all(size is not None and like in (None, size) for size, like in zip(shape, expected))
        for shape, expected in zip(shapes, symbolic)
    )
    if not fit:
        raise ArgumentError(
            f"{graph.name}: pass input_shape without the batch, all sizes known, for the model's "
            f"input {symbolic[0] if len(symbolic) == 1 else symbolic}. Received: {given!r}."
        )
    return shapes


class _Walk:
    """One pass over a graph; `rows` grows by one row for each call."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.counted: set[int] = set()

    def source(self, tensor: Any, shape: Shape) -> Value:
        """An input of the whole model."""
        known = keras.KerasTensor((tensor.shape[0], *shape), tensor.dtype)
        return self.rows.source(known, getattr(tensor, "name", "input"), _bytes(known))

    def model(self, graph: Any, values: dict[int, Value], prefix: str) -> dict[int, Value]:
        """Walk through a model whose inputs have these values."""
        for call in calls(graph):
            inputs = [values[id(tensor)] for tensor in call.inputs]
            if is_model(call.operation):
                inner = functional(call.operation)
                bound = {id(t): value for t, value in zip(inner.inputs, inputs)}
                found = self.model(inner, bound, f"{prefix}{call.operation.name}/")
                outputs = [found[id(tensor)] for tensor in inner.outputs]
            else:
                outputs = self.layer(call, inputs, prefix)
            values |= {id(tensor): value for tensor, value in zip(call.outputs, outputs)}
        return values

    def layer(self, call: Call, inputs: list[Value], prefix: str) -> list[Value]:
        """Add a row for one call of a layer or operation."""
        layer = call.operation
        outputs = _known_outputs(call, inputs)
        if not inputs:  # a constant: nothing of the image is seen
            name = self.rows.named(prefix + layer.name)
            return [Value(tensor, name, None, None) for tensor in outputs]
        inputs = inputs[: getattr(layer, "maps_read", len(inputs))]
        found = facts(
            layer,
            inputs[0].shape,
            [tuple(tensor.shape[1:]) for tensor in outputs],
            name=prefix + layer.name,
            size=sum(map(_bytes, outputs)),
            weights=id(layer) not in self.counted,
        )
        self.counted.add(id(layer))
        return self.rows.call(found, inputs, outputs)


def facts(
    layer: Any,
    shape: Shape,
    outputs: Sequence[Shape],
    *,
    name: str,
    size: int,
    weights: bool = True,
) -> Facts:
    """What is known of one call of a layer or operation.

    Args:
        layer: built, where it has weights.
        shape: of what it reads first, without the batch.
        outputs: their shapes, without the batch.
        name: of the call.
        size: bytes of the outputs.
        weights: whether those of the layer are counted here.
    """
    window = geometry(layer, shape)
    return Facts(
        name=name,
        kind=type(layer).__name__,
        groups=getattr(layer, "groups", 1),
        activation=activation_of(layer),
        rate=layer.rate if isinstance(layer, layers.Dropout) else 0.0,
        window=window or {},
        sliding=sliding(layer, shape, outputs[0], window),
        trained=_shapes(layer, "trainable_weights") if weights else (),
        fixed=_shapes(layer, "non_trainable_weights") if weights else (),
        macs=_macs(layer, shape, outputs[0]),
        size=size,
        images=layer.images((None, *shape)) if hasattr(layer, "images") else None,
    )


def activation_of(operation: Any) -> str:
    """The name of a layer's activation; nothing where it has none."""
    function = getattr(operation, "activation", None)
    if function is None:
        name = type(operation).__name__
        return name.lower() if name in ("ReLU", "Softmax", "LeakyReLU", "PReLU", "ELU") else ""
    name = getattr(function, "__name__", type(function).__name__)
    return "" if name == "linear" else name


def _known_outputs(call: Call, inputs: list[Value]) -> list[Any]:
    """The call's outputs with the sizes that follow from the known inputs."""
    stored = [tuple(tensor.shape[1:]) for tensor in call.inputs]
    if stored == [value.shape for value in inputs]:
        return list(call.outputs)
    return call.infer({id(t): value.tensor for t, value in zip(call.inputs, inputs)})


def _bytes(tensor: Any) -> int:
    return math.prod(tensor.shape[1:]) * np.dtype(tensor.dtype).itemsize


def _shapes(layer: Any, kind: str) -> tuple[Shape, ...]:
    return tuple(tuple(weight.shape) for weight in getattr(layer, kind, ()))


# --- Multiply-adds ---------------------------------------------------------------------------

_CONV = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)


def _macs(layer: Any, shape: Shape, out_shape: Shape) -> int | None:
    """Multiply-adds for one image; 0 for a layer without a convolution or matrix product."""
    if hasattr(layer, "macs"):
        return layer.macs((None, *shape))
    if isinstance(layer, layers.Dense):
        return math.prod(shape) * layer.units
    if isinstance(layer, (*_CONV, *_DEPTHWISE, *_SEPARABLE, *TRANSPOSED)):
        return _convolution_macs(layer, shape, out_shape)
    # Norms and scales have vectors; a matrix that isn't known here is worth a note.
    matrices = [w for w in getattr(layer, "trainable_weights", ()) if len(w.shape) > 1]
    return None if matrices else 0


def _convolution_macs(layer: Any, shape: Shape, out_shape: Shape) -> int:
    window = math.prod(layer.kernel_size)
    channels = shape[channel_axis(layer)]
    pixels = math.prod(spatial(layer, out_shape))
    if isinstance(layer, _DEPTHWISE):
        return window * channels * layer.depth_multiplier * pixels
    if isinstance(layer, _SEPARABLE):
        deep = channels * layer.depth_multiplier
        return (window * deep + deep * layer.filters) * pixels
    if isinstance(layer, TRANSPOSED):  # each input pixel is multiplied with the whole kernel
        return window * channels * layer.filters * math.prod(spatial(layer, shape))
    return window * (channels // layer.groups) * layer.filters * pixels
