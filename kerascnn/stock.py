"""A model with Keras's own layers in place of ours: its file loads where kerascnn isn't installed.

Layers of ours that only do faster what one of Keras does become that one. Others say themselves
what they are made of, `as_keras(inputs)`, or are taken apart: their `call` is written in keras.ops,
and called on symbolic tensors it leaves operations of Keras in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from kerascnn import layers
from kerascnn.graphs import single
from kerascnn.keras_internals import Call, allow_deep_graphs, calls, functional, is_model, maker
from kerascnn.saving import custom_names

SAME: Mapping[type, Any] = {
    layers.BatchNormalization: keras.layers.BatchNormalization,
    layers.GroupedConv2D: keras.layers.Conv2D,
    layers.ScoreActivation: keras.layers.Activation,
}
"""Those with the same arguments and the same weights."""


def in_stock_layers(model: keras.Model) -> tuple[keras.Model, tuple[str, ...]]:
    """The same network of Keras's own layers and operations, with a copy of the weights.

    Args:
        model: functional; stays as it is.

    Returns:
        The other model, and the layers that it has kept, as "name (what it needs)": loading it
        needs the packages that they are from.
    """
    graph = functional(model)
    tensors: dict[int, Any] = {}
    for tensor in graph.inputs:
        name = maker(tensor).name
        tensors[id(tensor)] = keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
    inputs = list(tensors.values())
    copies: dict[int, Any] = {}
    for call in calls(graph):
        if not call.inputs:
            continue
        original = call.operation
        if id(original) not in copies:
            copies[id(original)] = _counterpart(original)
        copy = copies[id(original)]
        try:
            outputs = call.repeat(copy, tensors)
            if not isinstance(copy, keras.Operation):
                _require_words(call, tensors, outputs)
        except Exception:  # TensorFlow's functions, shapes that must be known: it can't be taken
            if isinstance(copy, keras.Operation):  # apart
                raise
            copy = copies[id(original)] = type(original).from_config(original.get_config())
            outputs = call.repeat(copy, tensors)
        tensors |= zip(map(id, call.outputs), outputs)
        if isinstance(copy, keras.Layer) and copy.weights:
            copy.set_weights(original.get_weights())
    outputs = [tensors[id(output)] for output in graph.outputs]
    allow_deep_graphs()
    stock = keras.Model(single(inputs), single(outputs), name=model.name)
    return stock, _foreign(stock)


def _require_words(call: Call, tensors: Mapping[int, Any], outputs: list[Any]) -> None:
    """Raise where an operation can't be written to a file, as `ops.clip` to a tensor can't."""
    read = [tensors[id(tensor)] for tensor in call.inputs]
    keras.Model(read, list(outputs)).get_config()


def _counterpart(operation: Any) -> Any:
    """What takes the operation's place, called in the same way."""
    if is_model(operation):
        return in_stock_layers(operation)[0]
    if not isinstance(operation, keras.Layer):
        return operation  # of keras.ops, without state
    if type(operation) in SAME:
        return SAME[type(operation)].from_config(operation.get_config())
    if hasattr(operation, "as_keras"):
        return operation.as_keras
    copy = type(operation).from_config(operation.get_config())
    if _is_stock(type(operation)):
        function = getattr(operation, "activation", None)
        return copy if _is_stock(function) else _activated(operation, function)
    return copy if operation.variables else operation.call


def _activated(layer: Any, function: Any) -> Any:
    """A layer of Keras with someone's own activation: without it, and then the function."""
    if isinstance(layer, keras.layers.Activation):
        return lambda x: function(keras.ops.cast(x, layer.compute_dtype))
    plain = type(layer).from_config({**layer.get_config(), "activation": "linear"})

    def both(x: Any) -> Any:
        y = plain(x)
        plain.set_weights(layer.get_weights())
        return function(y)

    return both


def _is_stock(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "keras")).partition(".")[0] == "keras"


def _foreign(model: keras.Model) -> tuple[str, ...]:
    """The layers that need another package than Keras."""
    found = []
    for layer in model.layers:
        names = set(custom_names(keras.saving.serialize_keras_object(layer)))
        parts: tuple[Any, ...] = (type(layer), getattr(layer, "activation", None))
        names |= {part.__name__ for part in parts if not names and not _is_stock(part)}
        if names:
            needs = ", ".join(sorted(name.replace(">", ".") for name in names))
            found.append(f"{layer.name} ({needs})")
    return tuple(found)
