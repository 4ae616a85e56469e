"""The end of a classifier: the layer that gives the logits, and the activation on them.

A classifier of ours ends as those of keras.applications do: its last layer computes the logits and
has the activation itself, so that `model.layers[-1].activation = None` leaves logits and
`model.layers[-2].output` is what the classifier sees. Training, evaluation and comparisons need
the logits: `scores_of` finds them in any model, of ours or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from kerascnn import keras_internals
from kerascnn.blocks import head_dtype
from kerascnn.errors import ArgumentError
from kerascnn.graphs import single
from kerascnn.layers import ScoreActivation, has_room

SOFTMAX = ("softmax", "softmax_v2")
"""What Keras and TensorFlow call the function."""


def activated(logits: Any, activation: str | Callable[..., Any] | None) -> Any:
    """The predictions on each logits tensor, in float32 under any mixed precision.

    The layer that gives the logits takes the activation, where it has room for one and nothing
    else reads its logits. Where it hasn't, as NiN's average, one more layer follows.

    Args:
        logits: one symbolic tensor, or a list whose first is the main one.
        activation: None for logits.
    """
    if activation is None:
        return logits
    if not isinstance(logits, (list, tuple)):
        return _activated(logits, activation, "predictions")
    names = ["predictions"] + [f"aux{i}_predictions" for i in range(1, len(logits))]
    return [_activated(tensor, activation, name) for tensor, name in zip(logits, names)]


def _activated(logits: Any, activation: str | Callable[..., Any], name: str) -> Any:
    layer = keras_internals.sole_maker(logits)
    dtype = head_dtype()
    stateless = not isinstance(activation, keras.Layer)
    if stateless and has_room(layer) and layer.compute_dtype == dtype:
        layer.activation = keras.activations.get(activation)
        return logits
    return ScoreActivation(activation, dtype=dtype, name=name)(logits)


def scores_of(model: keras.Model) -> tuple[keras.Model, bool]:
    """The model without the softmax at its ends, and whether its outputs are logits.

    Training on logits is exact where a softmax has rounded to 0 or 1. The result has the model's
    own variables, under their own names: what trains it trains the model.

    Args:
        model: functional, or a built Sequential. Its softmax may be a layer's activation, a layer
            or an operation of its own, or the end of a model inside.

    Returns:
        The scores' model, and False if some softmax can't be taken off: then all outputs are
        probabilities as they were.

    Raises:
        ArgumentError: an output is neither logits nor a softmax.
    """
    graph = keras_internals.functional(model)
    ends = _ends(graph)
    kinds = {kind for kind, _ in ends}
    if kinds not in ({"linear"}, {"softmax"}):
        raise ArgumentError(
            "Training for classification needs outputs that are all logits or all softmax. "
            f"Received a model whose outputs end in: {', '.join(sorted(kinds))}."
        )
    scores = [logits for _, logits in ends if logits is not None]
    are_logits = len(scores) == len(ends)
    outputs = scores if are_logits else graph.outputs
    return keras.Model(single(graph.inputs), outputs, name=model.name), are_logits


def _ends(graph: keras.Model) -> list[tuple[str, Any]]:
    """Of each output the name of its last activation, and its logits; None: there are none."""
    outputs = {id(tensor) for tensor in graph.outputs}
    found: dict[int, tuple[str, Any]] = {}
    for call in keras_internals.calls(graph):
        if call.inputs and not outputs.isdisjoint(map(id, call.outputs)):
            found |= zip(map(id, call.outputs), _ends_of(call))
    return [found.get(id(tensor), ("linear", tensor)) for tensor in graph.outputs]


def _ends_of(call: keras_internals.Call) -> list[tuple[str, Any]]:
    """The same of one call's outputs."""
    last, tensor = call.operation, call.outputs[0]
    if keras_internals.is_model(last):
        return _ends_of_inner(call)
    if keras_internals.is_softmax(last):
        whole = last.axis in (-1, len(tensor.shape) - 1)
        return [("softmax", call.inputs[0] if whole else None)]
    kind = getattr(getattr(last, "activation", None), "__name__", "linear")
    if kind not in SOFTMAX:
        return [(kind, output) for output in call.outputs]
    if isinstance(last, keras.layers.Activation):
        return [("softmax", call.inputs[0])]
    linear = without_activation(last)
    return [("softmax", None if linear is None else call.repeat(linear, _known(call))[0])]


def _ends_of_inner(call: keras_internals.Call) -> list[tuple[str, Any]]:
    """The same of a model inside, called once more without its softmax."""
    inner = keras_internals.functional(call.operation)
    ends = _ends(inner)
    if all(kind != "softmax" for kind, _ in ends):
        return [(kind, output) for (kind, _), output in zip(ends, call.outputs)]
    logits = [old if new is None else new for (_, new), old in zip(ends, inner.outputs)]
    scores = keras.Model(single(inner.inputs), single(logits), name=inner.name)
    repeated = call.repeat(scores, _known(call))
    return [(k, None if found is None else new) for (k, found), new in zip(ends, repeated)]


def _known(call: keras_internals.Call) -> dict[int, Any]:
    return {id(tensor): tensor for tensor in call.inputs}


def without_activation(layer: Any) -> Any:
    """A layer of the same variables and no activation; None where that can't be made.

    It can for what keeps all its state in variables of its own, such as Dense and Conv2D.
    """
    if layer.activity_regularizer is not None:  # it is on what the activation gives
        return None
    try:
        twin = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    except TypeError:  # someone's layer that doesn't take its own config
        return None
    fresh = set(vars(twin))
    for name, value in vars(layer).items():
        if name not in fresh or isinstance(value, keras.Variable):  # what `build` has made
            setattr(twin, name, value)
    twin.built = True
    same = [id(weight) for weight in twin.weights] == [id(weight) for weight in layer.weights]
    return twin if same else None
