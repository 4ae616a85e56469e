"""What goes on inside a network while it learns: figures of each layer on a fixed batch.

People have long asked for histograms of gradients and activations beside those of weights
(keras-team/tf-keras#118). All of a measurement is one compiled call that leaves the network as it
was, and nothing is added to a training step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.util import tensor_util

from kerascnn.keras_internals import Call, calls

BINS = 30  # of a histogram, as TensorBoard's own
ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
    keras.layers.Softmax,
)


@dataclass(frozen=True)
class Statistics:
    """One measurement.

    Attributes:
        scalars: tag → value.
        histograms: tag → `[BINS, 3]`: left edge, right edge, and how many values are between.
    """

    scalars: Mapping[str, float]
    histograms: Mapping[str, np.ndarray]

    def summary(self) -> bytes:
        """All of it as one serialized Summary, which costs far less than one call for each tag."""
        summary = Summary()
        kinds = (
            (self.scalars, np.float32, scalar_metadata.create_summary_metadata("", "")),
            (self.histograms, np.float64, histogram_metadata.create_summary_metadata("", "")),
        )
        for values, dtype, kind in kinds:
            for tag, value in values.items():
                tensor = tensor_util.make_tensor_proto(np.asarray(value, dtype))
                summary.value.add(tag=tag, metadata=kind, tensor=tensor)
        return summary.SerializeToString()


class Probe:
    """Measures a network on a fixed batch, as training sees it at that moment.

    The pass is one of training: dropout is at work, and batch normalization uses the batch's own
    statistics. What it would change (moving statistics, states of random generators) is thrown
    away, so that training goes on bit for bit as if nobody had looked. Under a strategy the first
    replica's weights are measured, on one device.

    Of each kernel (a trainable weight with two or more axes):
        `weights_mean`, `weights_std` and the histogram `weights`;
        `gradient_norm` and the histogram `gradients`: of the images' mean loss, without penalties
        on weights;
        `update_ratio`: ‖Δw‖ / ‖w‖ of one real update, which lies between `remember` and
        `update_ratios`.

    Of the output of each activation, and of the network:
        `activation_mean`, `activation_std` and the histogram `activations`;
        `dead_relus`: the share of a ReLU's channels that are zero everywhere in all images.

    The tags end with the layer's name. `gradient_norm` of all trainable weights, `update_ratio` of
    all kernels and `dead_relus` of all channels come without a name.

    Args:
        model: built, with one input; its activations are found if it isn't nested.
        inputs: the batch, preprocessed, `[n, height, width, channels]`.
        targets: `[n, ...]`.
        loss: `loss(targets, outputs) -> [n]`, with a list of the model's outputs.
        scale: factor on the loss while gradients are taken, so that float16 doesn't lose them.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        inputs: np.ndarray,
        targets: np.ndarray,
        loss: Callable[[Any, list[Any]], Any],
        scale: float = 1.0,
    ) -> None:
        self._inputs, self._targets = tf.constant(inputs), tf.constant(targets)
        self._loss, self._scale = loss, scale
        self._heads = len(model.outputs)
        self._watched = _activations(model)
        self._network = keras.Model(
            model.inputs[0], [*model.outputs, *(call.outputs[0] for call in self._watched)]
        )
        self._variables = list(self._network.trainable_variables)
        self._kernels = [n for n, v in enumerate(self._variables) if len(v.shape) > 1]
        self._kernel_names = _names([self._variables[n] for n in self._kernels])
        self._before: list[Any] | None = None
        self._measure = tf.function(self._figures)
        self._compare = tf.function(self._changes)

    def measure(self) -> Statistics:
        """All but the update ratios."""
        scalars, histograms = self._measure()
        return Statistics(
            {tag: float(value) for tag, value in scalars.items()},
            {tag: _edges(*(part.numpy() for part in found)) for tag, found in histograms.items()},
        )

    def remember(self) -> None:
        """Note the kernels as they are before an update."""
        self._before = [tf.identity(self._variables[n].value) for n in self._kernels]

    def update_ratios(self) -> dict[str, float]:
        """Tag → value for the updates since `remember`, which is needed before each call."""
        assert self._before is not None
        before, self._before = self._before, None
        changes, norms = (np.asarray(part) for part in self._compare(before))
        ratios = dict(zip(self._kernel_names, _ratio(changes, norms)))
        whole = _ratio(np.linalg.norm(changes), np.linalg.norm(norms))
        return {"update_ratio": float(whole)} | _tagged("update_ratio", ratios)

    @tf.autograph.experimental.do_not_convert
    def _figures(self) -> tuple[dict[str, Any], dict[str, Any]]:
        weights = [tf.convert_to_tensor(v.value) for v in self._variables]
        others = [tf.convert_to_tensor(v.value) for v in self._network.non_trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            outputs, _ = self._network.stateless_call(weights, others, self._inputs, training=True)
            loss = tf.reduce_mean(self._loss(self._targets, outputs[: self._heads])) * self._scale
        gradients = tape.gradient(loss, weights, unconnected_gradients="zero")
        gradients = [gradient / self._scale for gradient in gradients]
        kernels = dict(zip(self._kernel_names, (weights[n] for n in self._kernels)))
        slopes = dict(zip(self._kernel_names, (gradients[n] for n in self._kernels)))
        names = [call.operation.name for call in self._watched]
        seen = dict(zip(names, outputs[self._heads :]))
        relus = [call.operation.name for call in self._watched if _is_relu(call.operation)]
        zero = {name: _dead(seen[name]) for name in relus}
        scalars = {
            **_tagged("weights_mean", _each(tf.reduce_mean, kernels)),
            **_tagged("weights_std", _each(tf.math.reduce_std, kernels)),
            **_tagged("gradient_norm", _each(tf.norm, slopes)),
            **_tagged("activation_mean", _each(tf.reduce_mean, seen)),
            **_tagged("activation_std", _each(tf.math.reduce_std, seen)),
            **_tagged("dead_relus", _each(tf.reduce_mean, zero)),
            "gradient_norm": tf.linalg.global_norm(gradients),
        }
        if zero:
            scalars["dead_relus"] = tf.reduce_mean(tf.concat(list(zero.values()), axis=0))
        histograms = {
            **_tagged("weights", _each(_histogram, kernels)),
            **_tagged("gradients", _each(_histogram, slopes)),
            **_tagged("activations", _each(_histogram, seen)),
        }
        return scalars, histograms

    @tf.autograph.experimental.do_not_convert
    def _changes(self, before: list[Any]) -> tuple[Any, Any]:
        """The norm of each kernel's change, and that of the kernel before."""
        now = [tf.convert_to_tensor(self._variables[n].value) for n in self._kernels]
        changes = [tf.norm(new - old) for new, old in zip(now, before)]
        return tf.stack(changes), tf.stack([tf.norm(old) for old in before])


def spread_maps(model: keras.Model, count: int) -> dict[str, Any]:
    """Name → symbolic output of up to `count` activations of maps, from first to last, evenly."""
    maps = [call for call in _activations(model) if len(call.outputs[0].shape) == 4]
    chosen = np.linspace(0, len(maps) - 1, min(count, len(maps))).astype(int)
    return {maps[index].operation.name: maps[index].outputs[0] for index in chosen}


def _activations(model: keras.Model) -> list[Call]:
    """The calls of layers with a nonlinearity, and those that give the model's outputs."""
    ends = {id(output) for output in model.outputs}

    def shown(call: Call) -> bool:
        function = getattr(call.operation, "activation", keras.activations.linear)
        curved = isinstance(call.operation, ACTIVATIONS) or function != keras.activations.linear
        return bool(call.inputs) and (curved or id(call.outputs[0]) in ends)

    return [call for call in calls(model) if shown(call)]


def _is_relu(layer: Any) -> bool:
    if isinstance(layer, keras.layers.ReLU):
        return not layer.negative_slope and not layer.threshold
    return getattr(layer, "activation", None) in (keras.activations.relu, keras.activations.relu6)


def _names(variables: Sequence[Any]) -> list[str]:
    """Of each the layer's name, and the variable's own too if the layer has several."""
    layers = [variable.path.rpartition("/")[0] for variable in variables]
    return [
        layer if layers.count(layer) == 1 else f"{layer}/{variable.name}"
        for layer, variable in zip(layers, variables)
    ]


def _tagged(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{kind}/{name}": value for name, value in values.items()}


def _each(function: Callable[[Any], Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {name: function(tf.cast(tensor, tf.float32)) for name, tensor in tensors.items()}


def _dead(output: Any) -> Any:
    """1 for each channel that is zero everywhere in all images, 0 for the others."""
    largest = tf.reduce_max(output, axis=list(range(output.shape.rank - 1)))
    return tf.cast(largest <= 0, tf.float32)


def _histogram(tensor: Any) -> tuple[Any, Any, Any]:
    """Smallest and largest value, and how many are in each of `BINS` equal parts between.

    What isn't finite counts as zero.
    """
    values = tf.where(tf.math.is_finite(tensor), tensor, 0)
    low, high = tf.reduce_min(values), tf.reduce_max(values)
    # The operation refuses a range of no width, as all zeros have.
    wide = tf.maximum(high, low + 1e-6 * tf.maximum(tf.abs(low), 1e-6))
    return low, wide, tf.histogram_fixed_width(values, tf.stack([low, wide]), nbins=BINS)


def _edges(low: float, high: float, counts: np.ndarray) -> np.ndarray:
    edges = np.linspace(low, high, BINS + 1)
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


def _ratio(changes: Any, norms: Any) -> Any:
    """Weights that are all zero have no ratio, which is shown as 0."""
    return changes / np.where(norms > 0, norms, np.inf)
