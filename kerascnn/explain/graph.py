"""A model, played again call by call: in float32, and with other rules on the way back.

What explains a network goes back through it, and the methods differ in what a ReLU hands back. In a
`keras.Model` a ReLU may be a layer, an operation, or part of a convolution, and the softmax at its
end likewise. A `Replay` has the same calls with the activations taken out of the layers. It reads
the model's graph and leaves the model as it is.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from kerascnn.errors import ArgumentError
from kerascnn.features import MAP, encoder, endpoints, flattened
from kerascnn.heads import without_activation
from kerascnn.keras_internals import Call, all_layers, calls, calls_forgotten, functional, is_cast
from kerascnn.layers import GroupedConv2D, LocalResponseNormalization
from kerascnn.precision import assign, layer_in
from kerascnn.profiles import Profile
from kerascnn.profiling import profile

Rule = Literal["gradient", "deconvnet", "guided"]
"""What a ReLU hands back of the signal s that comes back to it, x being what went into it.

- "gradient": s where x > 0;
- "deconvnet": s where s > 0 (Zeiler and Fergus, 2014, section 2.1);
- "guided": s where both are (Springenberg et al., 2014, section 4).
"""


class Replay:
    """The calls of a model, to be played with images.

    Nested models are taken apart. Batch normalization and dropout do what they do in inference.

    Attributes:
        name: the model's.
        image_shape: `(height, width, channels)` that the model takes, None for an open side.

    Args:
        model: functional, or a built Sequential, with one input of images. Its main output is the
            first one.

    Raises:
        ArgumentError: it isn't; or Keras runs on another backend than TensorFlow.
    """

    def __init__(self, model: keras.Model) -> None:
        if keras.backend.backend() != "tensorflow":
            raise ArgumentError(
                "kerascnn.explain needs Keras on TensorFlow: set KERAS_BACKEND=tensorflow. "
                f"Received: {keras.backend.backend()}."
            )
        self.image_shape = _image_shape(functional(model))
        self.name = model.name
        self._model = model
        with calls_forgotten(model):  # to take models apart is to call their layers again
            flat = functional(flattened(model))
            self._input = flat.inputs[0]
            self._steps = _named(calls(flat))
        self._maker = {id(t): step for step in self._steps.values() for t in step.call.outputs}
        self._output = self._main_output(flat.outputs[0])
        self._copies: dict[tuple[int, bool], Any] = {}

    def _main_output(self, tensor: Any) -> Step:
        """The step that gives a tensor, or the softmax behind which nothing changes it any more."""
        last = step = self._maker[id(tensor)]
        while _changes_nothing(step.call.operation) and id(step.call.inputs[0]) in self._maker:
            step = self._maker[id(step.call.inputs[0])]
        return step if step.activation in _ENDS else last

    def images(self, images: Any) -> tf.Tensor:
        """Images as the network takes them, float32 `[batch, height, width, channels]`.

        Raises:
            ArgumentError: they have another shape, there are none, or a pixel is not finite.
        """
        try:
            found = np.asarray(images, "float32")
        except (TypeError, ValueError):  # words, rows of several lengths
            raise self._other_images(reprlib.repr(images)) from None
        sides = zip(found.shape[1:], self.image_shape)
        fits = found.ndim == 4 and all(like in (None, size) for size, like in sides)
        if not fits or not found.size:
            raise self._other_images(f"{list(found.shape)}" if found.ndim else reprlib.repr(images))
        if not np.isfinite(found).all():
            raise self._other_images("nan or infinite pixels")
        return tf.constant(found)

    def _other_images(self, received: str) -> ArgumentError:
        expected = ", ".join("any" if side is None else str(side) for side in self.image_shape)
        return ArgumentError(
            f"images must be finite numbers [batch, {expected}], with one image at least, as "
            f"{self.name} takes them. Received: {received}."
        )

    def layer(self, name: str) -> str:
        """The layer that an endpoint's or a layer's name stands for.

        Raises:
            ArgumentError: there is none; the message lists endpoints and layers.
        """
        known = self._points()
        for legal in (known.get(name, name), str(name).rpartition("/")[2]):
            if legal in self._steps:
                return legal
        raise ArgumentError(
            f"{self.name} has no layer {name!r}. Endpoints: {', '.join(known)}; or one of its "
            f"{len(self._steps)} layers, such as {', '.join(list(self._steps)[-3:])}. "
            f"Received: {name!r}."
        )

    def _points(self) -> dict[str, str]:
        """Endpoint → layer. In a nested model that is "MODEL/LAYER", and models are taken apart."""
        found = endpoints(self._model).items()
        return {name: point.layer.rpartition("/")[2] for name, point in found}

    def last_map(self) -> str:
        """The layer of the last map before the head and the pooling in front of it.

        That is the deepest of the endpoints `C1`, `C2`, ... that isn't a pooling layer's; where
        there is none, the last layer whose output is a map of the image. One of a window in it is
        none, and nor is one of 1×1 units, of whose places nothing can be said. Where the answer is
        a map itself, it is the last one of the way down.

        Raises:
            ArgumentError: the model has no map.
        """
        shapes = {name: step.call.outputs[0].shape for name, step in self._steps.items()}
        if down := [*encoder(self._model).values()]:
            return down[-1].rpartition("/")[2]
        placed = {
            row.name for row in flat_profile(self._model).layers if row.images == 1 and row.stride
        }
        maps = [n for n, s in shapes.items() if len(s) == 4 and s[1:3] != (1, 1) and n in placed]
        points = self._points()
        pools = {layer for name, layer in points.items() if not MAP.fullmatch(name)}
        known = [layer for layer in points.values() if layer in maps and layer not in pools]
        if not maps:
            raise ArgumentError(
                f"{self.name} has no layer whose output is a map of more than one unit; a layer "
                f"must have one for this. Received: outputs such as {list(shapes.values())[-1]}."
            )
        return known[-1] if known else maps[-1]

    def play(
        self, images: tf.Tensor, layers: Sequence[str | None], rule: Rule = "gradient"
    ) -> list[tf.Tensor]:
        """The outputs of layers, `[batch, ..., channels]` in float32.

        Under a `tf.GradientTape` each is connected with the images and with the outputs before it,
        by the rule.

        Args:
            images: float32 `[batch, height, width, channels]`.
            layers: names as `layer` returns them; None: the scores, which are the main output
                before its softmax or sigmoid.
            rule: what ReLUs hand back. LRN is an identity on the way back of "deconvnet", as in
                the paper, which leaves it out; "guided" takes its gradient.

        Raises:
            ArgumentError: the rule isn't "gradient", and there is an activation on the way that
                isn't ReLU.
        """
        wanted = [self._output if name is None else self._steps[name] for name in layers]
        end = self._output if None in layers else None
        values: dict[int, tf.Tensor] = {id(self._input): images}
        scores = None
        for step in self._needed(wanted):
            if step is end and step.activation in _ENDS:
                scores = self._linear(step, values)
                outputs = [_ENDS[step.activation](scores)]
            elif step.activation == "relu":
                outputs = [_RULES[rule](self._linear(step, values))]
            else:
                self._refuse_activation(step, rule)
                outputs = self._whole(step, values, rule)
            values |= {id(old): new for old, new in zip(step.call.outputs, outputs)}
        found = [values[id(step.call.outputs[0])] for step in wanted]
        return [
            scores if name is None and scores is not None else value
            for name, value in zip(layers, found)
        ]

    def probabilities(self, scores: tf.Tensor) -> tf.Tensor:
        """Of each class, `[batch, classes]`.

        Args:
            scores: as `play` gives them. Of a model that doesn't end in softmax or sigmoid their
                softmax is taken, but where they are shares of one already.
        """
        if end := _ENDS.get(self._output.activation):
            return end(scores)
        total = tf.reduce_sum(scores, axis=-1, keepdims=True)
        shares = tf.reduce_all(scores >= 0, axis=-1, keepdims=True) & (abs(total - 1) < 1e-3)
        return tf.where(shares, scores, tf.nn.softmax(scores))

    def _refuse_activation(self, step: Step, rule: Rule) -> None:
        if rule != "gradient" and step.activation:
            raise ArgumentError(
                f"{self.name}: {_TITLES[rule]} is defined for ReLU alone. Another method shows "
                "this network, such as saliency, integrated_gradients or grad_cam. Received: "
                f"{step.name} with {step.activation}."
            )

    def _needed(self, wanted: Iterable[Step]) -> list[Step]:
        """The steps that these depend on and they themselves, in order."""
        found, stack = set(), list(wanted)
        while stack:
            step = stack.pop()
            if step.name not in found:
                found.add(step.name)
                makers = (self._maker.get(id(tensor)) for tensor in step.call.inputs)
                stack += [maker for maker in makers if maker is not None]
        return [step for step in self._steps.values() if step.name in found]

    def _whole(self, step: Step, values: dict[int, tf.Tensor], rule: Rule) -> list[tf.Tensor]:
        """What the call gives, its activation included."""
        layer = self._in_float32(step, linear=False)
        if rule == "deconvnet" and isinstance(layer, LocalResponseNormalization):
            return [_handing_back_all(layer)(values[id(step.call.inputs[0])])]
        return self._called(step, layer, values)

    def _linear(self, step: Step, values: dict[int, tf.Tensor]) -> tf.Tensor:
        """What the call gives without its activation."""
        if _is_activation(step.call.operation):
            return values[id(step.call.inputs[0])]
        return self._called(step, self._in_float32(step, linear=True), values)[0]

    def _called(self, step: Step, layer: Any, values: dict[int, tf.Tensor]) -> list[tf.Tensor]:
        if _is_convolution(layer):
            return [_convolved(layer, values[id(step.call.inputs[0])])]
        return step.call.repeat(layer, values, training=False)

    def _in_float32(self, step: Step, *, linear: bool) -> Any:
        """The layer itself, or a copy of it in float32 or without activation."""
        layer = step.call.operation
        if not isinstance(layer, keras.Layer):
            return layer
        in_float32 = layer.compute_dtype == layer.variable_dtype == "float32"
        if in_float32 and not linear:
            return layer
        key = id(layer), linear
        if key not in self._copies:
            twin = without_activation(layer) if in_float32 else None
            self._copies[key] = twin or self._copied(step.call, linear=linear)
        return self._copies[key]

    def _copied(self, call: Call, *, linear: bool) -> Any:
        """The layer with the same weights, in float32."""
        layer = call.operation
        changes = {"activation": "linear"} if linear else {}
        try:
            copy = layer_in(layer, "float32", **changes)
        except ArgumentError as error:
            raise ArgumentError(
                f"{self.name}: a layer must be copied where it holds a ReLU or isn't in float32. "
                f"{error}"
            ) from error
        specs = {id(tensor): keras.KerasTensor(tensor.shape, "float32") for tensor in call.inputs}
        call.repeat(copy, specs)  # which builds it
        assign(layer, copy)
        return copy


def flat_profile(model: keras.Model, input_shape: tuple[int, ...] | None = None) -> Profile:
    """`kerascnn.profile` with nested models taken apart: layers have their own names alone."""
    with calls_forgotten(model):
        return profile(flattened(model), input_shape)


def flat_calls(model: keras.Model) -> list[Call]:
    """The calls of a model, with nested models taken apart."""
    with calls_forgotten(model):
        return calls(flattened(model))


_TITLES = {"deconvnet": "deconvnet", "guided": "guided_backprop"}


@dataclass(frozen=True)
class Step:
    """One call of a layer or operation.

    Attributes:
        name: the layer's, with "#2" at the end for the second call of a shared layer.
        call: in the model's graph.
        activation: what it ends in: "relu", "softmax", ...; "": nothing that is known as one.
    """

    name: str
    call: Call
    activation: str


def _named(found: Sequence[Call]) -> dict[str, Step]:
    steps: dict[str, Step] = {}
    times: dict[str, int] = {}
    for call in found:
        name = call.operation.name
        times[name] = times.get(name, 0) + 1
        name = name if times[name] == 1 else f"{name}#{times[name]}"
        steps[name] = Step(name, call, _activation(call))
    return steps


def _image_shape(model: Any) -> tuple[int | None, ...]:
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise ArgumentError(
            f"{model.name}: explained are networks with one input of images, [height, width, "
            f"channels]. Received: inputs {', '.join(map(str, shapes))}."
        )
    return shapes[0]


# --- Activations -------------------------------------------------------------------------------

_LAYERS_WITH_ACTIVATION = (
    *(keras.layers.Dense, keras.layers.EinsumDense),
    *(keras.layers.Conv2D, keras.layers.Conv2DTranspose),
    *(keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D),
)
# What keras.activations has, as its classes of layers and operations are called: "leakyrelu".
_ACTIVATIONS = {name.replace("_", "") for name in dir(keras.activations)} - {"linear"} | {"prelu"}
# Operations that are activations where they have one tensor and a number: ops.maximum(x, 0).
_BENDING = {"maximum", "minimum", "clip", "abs", "absolute"}
# "": a layer that has had its activation taken away.
_ALSO_CALLED = {"softmax_v2": "softmax", "linear": "", "activation": "", "scoreactivation": ""}


def _is_activation(operation: Any) -> bool:
    """Whether it does nothing else: `layers.ReLU`, `layers.Activation`, `ops.relu`, ..."""
    kind = type(operation).__name__.lower()
    return isinstance(operation, keras.layers.Activation) or kind in _ACTIVATIONS


def _activation(call: Call) -> str:
    operation = call.operation
    if type(operation).__name__.lower() in _BENDING and len(call.inputs) == 1:
        return type(operation).__name__.lower()
    if isinstance(operation, keras.Layer):
        own = operation, getattr(operation, "activation", None)
        for layer in all_layers(operation):
            if layer not in own and (found := _own_activation(layer)):
                return f"{found} inside of it"
    return _own_activation(operation)


def _own_activation(operation: Any) -> str:
    function = getattr(operation, "activation", None)
    if function is None and not _is_activation(operation):
        return ""
    kind = _name_of(operation if function is None else function)
    if kind == "relu" and not (_is_activation(operation) or _gives_it_up(operation)):
        return "a ReLU that can't be taken out of it"
    return kind


def _name_of(function: Any) -> str:
    """Of an activation: a function, a layer, or an operation; "": linear."""
    name = getattr(function, "__name__", None) or type(function).__name__.lower()
    if isinstance(function, keras.layers.ReLU):
        limits = (function.max_value, function.negative_slope, function.threshold)
        plain = limits in ((None, 0, 0), (None, None, None))
        return "relu" if plain else "max_value={}, negative_slope={}, threshold={}".format(*limits)
    home = getattr(function, "__module__", "") or ""
    if name == "relu" and home.partition(".")[0] not in ("keras", "tensorflow"):
        return f"{home}.relu"  # who knows what that does
    return _ALSO_CALLED.get(name, name)


def _changes_nothing(operation: Any) -> bool:
    """Whether it is an identity in inference, or another dtype alone."""
    linear = getattr(operation, "activation", None) is keras.activations.linear
    plain = isinstance(operation, keras.layers.Activation) and linear
    return (
        plain
        or isinstance(operation, (keras.layers.Identity, keras.layers.Dropout))
        or is_cast(operation)
    )


def _gives_it_up(layer: Any) -> bool:
    """Whether its activation is the last that it does, so that it can follow it instead."""
    known = isinstance(layer, _LAYERS_WITH_ACTIVATION)
    return known and type(layer).call in [kind.call for kind in _LAYERS_WITH_ACTIVATION]


@tf.custom_gradient
def _deconvnet_relu(x: tf.Tensor) -> Any:
    return tf.nn.relu(x), tf.nn.relu


@tf.custom_gradient
def _guided_relu(x: tf.Tensor) -> Any:
    return tf.nn.relu(x), lambda signal: tf.where(x > 0, tf.nn.relu(signal), 0)


_RULES = {"gradient": tf.nn.relu, "deconvnet": _deconvnet_relu, "guided": _guided_relu}
# What is left out at the end of a classifier.
_ENDS = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}


def _is_convolution(layer: Any) -> bool:
    """Whether it does what `_convolved` does."""
    return (
        isinstance(layer, keras.layers.Conv2D)
        and type(layer).call is keras.layers.Conv2D.call
        and type(layer).convolution_op in _CONVOLUTIONS
        and layer.data_format == "channels_last"
        and layer.dilation_rate == (1, 1)
        and layer.quantization_mode is None
    )


_CONVOLUTIONS = (keras.layers.Conv2D.convolution_op, GroupedConv2D.convolution_op)


def _convolved(layer: Any, images: tf.Tensor) -> tf.Tensor:
    """A convolution with its bias and activation, whose way back leads to its input alone.

    TensorFlow's gradient of a convolution computes that of the filters as well, which nobody asks
    for here. And on CPUs that of 1×1 filters of stride 2 over 8 channels writes behind its memory
    where there is one image (TensorFlow 2.21 with oneDNN).
    """
    kernel = tf.convert_to_tensor(layer.kernel)

    @tf.custom_gradient
    def convolve(x: tf.Tensor) -> Any:
        shape = tf.concat([tf.shape(x)[:-1], [kernel.shape[2]]], axis=0)

        def back(signal: tf.Tensor) -> tf.Tensor:
            signals, kernels = (tf.split(each, layer.groups, axis=-1) for each in (signal, kernel))
            groups = [
                tf.nn.conv2d_transpose(s, k, shape, layer.strides, layer.padding.upper())
                for s, k in zip(signals, kernels)
            ]
            return tf.concat(groups, axis=-1)

        return layer.convolution_op(x, kernel), back

    found = convolve(tf.cast(images, kernel.dtype))
    found = found + layer.bias if layer.use_bias else found
    return found if layer.activation is None else layer.activation(found)


def _handing_back_all(layer: Any) -> Any:
    return tf.custom_gradient(lambda x: (layer(x), lambda signal: signal))
