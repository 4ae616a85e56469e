"""The same network behind another input: pixels in 0..255, or one image at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kerascnn.card import Preprocessing
from kerascnn.graphs import single

if TYPE_CHECKING:
    import keras


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


def of_one_image(model: keras.Model) -> keras.Model:
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
