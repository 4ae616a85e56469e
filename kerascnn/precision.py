"""The same network computed in another precision: its graph and weights under another policy.

A network keeps its weights, and the statistics of its normalizations, in float32. Under a mixed
policy its layers compute in 16 bits, but for the last ones: what gives scores, and whatever comes
behind them, stays in float32, as half precision is too coarse there.
"""

from __future__ import annotations

import contextlib
import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn import likeness
from kerascnn.errors import ArgumentError
from kerascnn.graphs import single
from kerascnn.keras_internals import (
    all_layers,
    allow_deep_graphs,
    calls,
    functional,
    is_model,
    leaf_layers,
    without_values,
)
from kerascnn.network import Network
from kerascnn.recipes.recipe import ASKED_PRECISIONS, AUTO, check_precision
from kerascnn.tasks.comparison import Comparison

FAST = "mixed_bfloat16"
"""What `auto` takes where it is quick and near enough."""

BOUND = 1e-2
"""The largest `difference` that is near enough for `auto`; of our networks it is 1e-3 to 5e-3."""

# What Linux calls instructions that multiply in this type, on any processor.
_INSTRUCTIONS: Mapping[str, tuple[str, ...]] = {
    "mixed_bfloat16": ("avx512_bf16", "amx_bf16", "bf16"),
    "mixed_float16": ("avx512_fp16", "amx_fp16", "asimdhp"),
}
# From which of NVIDIA's compute capabilities on a card multiplies in this type.
_CAPABILITY: Mapping[str, tuple[int, int]] = {"mixed_bfloat16": (8, 0), "mixed_float16": (7, 0)}
_PROCESSORS = Path("/proc/cpuinfo")

# Copies need no first values of their own, which for a large layer take long to draw.
_FIRST_VALUES = ("kernel_initializer", "depthwise_initializer", "pointwise_initializer")


@contextlib.contextmanager
def in_precision(name: str) -> Iterator[None]:
    """Make Keras compute in this precision, and as before afterwards."""
    before, floatx = keras.config.dtype_policy(), keras.config.floatx()
    try:
        keras.config.set_floatx("float64" if name == "float64" else "float32")
        keras.config.set_dtype_policy(name)
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(before)


def lacking(precision: str) -> str:
    """Why this machine is no faster in a precision, as a whole sentence; "" where it is.

    Where the first GPU or the processor has no instructions for it, TensorFlow computes it in
    float32 and rounds, or slower still.
    """
    if precision not in _INSTRUCTIONS:
        return ""
    kind = precision.removeprefix("mixed_")
    if gpus := tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpus[0])
        found, least = details.get("compute_capability"), _CAPABILITY[precision]
        if found is None or tuple(found) >= least:
            return ""
        return (
            f"{details.get('device_name', 'The GPU')} has no instructions for {kind}, for which "
            f"NVIDIA's compute capability must be {least[0]}.{least[1]}, and it has "
            f"{found[0]}.{found[1]}: {precision} is no faster here."
        )
    wanted = _INSTRUCTIONS[precision]
    if (flags := _processor_flags()) is None:
        return (
            f"Whether this processor ({platform.machine()}) has instructions for {kind} can't be "
            f"found out: {precision} may be slower here."
        )
    if flags.isdisjoint(wanted):
        return (
            f"This processor has no instructions for {kind} ({' or '.join(wanted)}): {precision} "
            "gives the same answers, but is slower here than float32."
        )
    return ""


def _processor_flags() -> set[str] | None:
    """The instructions that the processor has, as Linux calls them; None: unknown."""
    try:
        lines = _PROCESSORS.read_text(errors="replace").splitlines()
    except OSError:
        return None
    found = (line.partition(":") for line in lines)
    flags = (said for name, _, said in found if name.strip() in ("flags", "Features"))
    first = next(flags, None)
    return None if first is None else set(first.split())


def with_precision(
    model: keras.Model, precision: str, *, network: Network | None = None
) -> keras.Model:
    """A copy of a network, for inference, that computes in another precision.

    The layers have the same names and, in variables of their own, the same weights. What is
    computed in float32 under any mixed policy is what the network's builder says; of other models,
    the last layers with a kernel and whatever comes behind them.

    Args:
        model: functional, or a built Sequential; stays as it is.
        precision: one of `kerascnn.PRECISIONS`: "float32", "mixed_bfloat16", "mixed_float16" or
            "float64".
        network: that the model was built from, if that is known.

    Returns:
        The copy, or the model itself where it computes so already.

    Raises:
        ArgumentError: there is no such precision, the model is neither functional nor Sequential,
            or has a layer that can't be copied.
    """
    check_precision(precision)
    allow_deep_graphs()
    policies = _policies(model, precision, network)
    now = {id(layer): layer.dtype_policy.name for layer in leaf_layers(functional(model))}
    if all(now[key] == name for key, name in policies.items()):
        return model
    return _Copy(policies).of(model)


def precision_of(model: keras.Model) -> str:
    """What most of a network's layers with weights compute in, one of `kerascnn.PRECISIONS`."""
    found = Counter(one.dtype_policy.name for one in leaf_layers(functional(model)) if one.weights)
    return found.most_common(1)[0][0] if found else "float32"


def _policies(model: keras.Model, precision: str, network: Network | None) -> dict[int, str]:
    """Each layer's id → the name of its policy; those inside of models too."""
    layers = [one for one in leaf_layers(model) if not isinstance(one, keras.layers.InputLayer)]
    head = "float64" if precision == "float64" else "float32"
    if network is None:
        exact = _ends(model)
        return {id(one): head if id(one) in exact else precision for one in layers}
    with in_precision(precision), without_values():
        built = {one.name: one.dtype_policy.name for one in leaf_layers(network.model())}
    # A layer that the builder doesn't make, as one that chooses boxes, is somebody's last.
    return {id(one): built.get(one.name, head) for one in layers}


def _ends(model: keras.Model) -> set[int]:
    """The ids of the layers behind which no other layer with a kernel comes."""
    exact: set[int] = set()
    elsewhere: set[int] = set()
    awaited: set[int] = set()  # tensors that a layer with a kernel is computed from
    for call in reversed(calls(model)):
        layer, inputs = call.operation, {id(tensor) for tensor in call.inputs}
        inner = {id(one) for one in leaf_layers(layer)} if is_model(layer) else {id(layer)}
        if not awaited.isdisjoint(map(id, call.outputs)):
            awaited |= inputs
            elsewhere |= inner
            continue
        exact |= _ends(layer) if is_model(layer) else inner
        if any(len(weight.shape) > 1 for weight in getattr(layer, "weights", ())):
            awaited |= inputs
    return exact - elsewhere


class _Copy:
    """Copies of layers and models, each layer once, however often it is called.

    Args:
        policies: a layer's id → the name of the copy's policy.
    """

    def __init__(self, policies: Mapping[int, str]) -> None:
        self._policies = policies
        self._made: dict[int, Any] = {}

    def of(self, model: keras.Model) -> keras.Model:
        """A model of copies, with their weights."""
        graph = functional(model)
        inputs = [
            keras.Input(batch_shape=one.shape, dtype=one.dtype, name=one.name)
            for one in graph.inputs
        ]
        tensors = dict(zip(map(id, graph.inputs), inputs))
        for call in calls(graph):
            if not call.inputs:
                continue
            original = call.operation
            new = id(original) not in self._made
            copy = self._copy(original)
            tensors |= zip(map(id, call.outputs), call.repeat(copy, tensors))
            if new and isinstance(copy, keras.Layer) and not is_model(copy):
                assign(original, copy)
        outputs = [tensors[id(one)] for one in graph.outputs]
        return keras.Model(single(inputs), single(outputs), name=model.name)

    def _copy(self, original: Any) -> Any:
        if id(original) not in self._made:
            if is_model(original):
                made = self.of(original)
            elif isinstance(original, keras.Layer):
                made = layer_in(original, self._policies[id(original)])
            else:
                made = original  # an operation has no weights, and computes in its inputs' type
            self._made[id(original)] = made
        return self._made[id(original)]


def layer_in(layer: keras.Layer, policy: str, **changes: Any) -> keras.Layer:
    """A copy of a layer under another policy, not built.

    Args:
        layer: stays as it is.
        policy: the name.
        changes: arguments that the copy has otherwise.

    Raises:
        ArgumentError: its `get_config` doesn't describe it.
    """
    try:
        config = {**layer.get_config(), "dtype": policy}
        config |= {key: "zeros" for key in _FIRST_VALUES if config.get(key)}
        copy = type(layer).from_config(config | changes)
        for each in all_layers(copy):  # what lies in a layer has a policy of its own
            each.dtype_policy = keras.DTypePolicy(policy)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ArgumentError(
            f"The layer {layer.name} ({type(layer).__name__}) can't be copied with its get_config. "
            f"Received: {error}."
        ) from error
    return copy


def assign(layer: keras.Layer, copy: keras.Layer) -> None:
    """Give a copy the layer's weights, in the copy's type."""
    for old, new in zip(layer.weights, copy.weights, strict=True):
        new.assign(keras.ops.cast(old, new.dtype))


@dataclass(frozen=True)
class Chosen:
    """What a network was made to compute in.

    Attributes:
        model: the network.
        precision: its.
        why: what the user should know of it, as a whole sentence, or "".
    """

    model: keras.Model
    precision: str
    why: str = ""


def chosen(
    model: keras.Model,
    precision: str,
    *,
    network: Network | None = None,
    size: tuple[int, int] | None = None,
    comparison: Comparison | None = None,
) -> Chosen:
    """A trained network in the precision that was asked for.

    `auto` is bfloat16 where the machine has instructions for it and the logits differ from those in
    float32 by no more than `BOUND` of their range, on the images that tell
    an exported file from a wrong one; else float32.

    Args:
        model, network: see `with_precision`.
        precision: one of `kerascnn.recipes.recipe.ASKED_PRECISIONS`.
        size: `(height, width)` of the images that are tried, where the model takes any.
        comparison: of outputs that aren't numbers of classes; see `kerascnn.tasks.Comparison`.

    Raises:
        ArgumentError: see `with_precision`.
    """
    check_precision(precision, ASKED_PRECISIONS)
    if precision != AUTO:
        return Chosen(
            with_precision(model, precision, network=network), precision, lacking(precision)
        )
    exact = with_precision(model, "float32", network=network)
    if why := lacking(FAST):
        return Chosen(exact, "float32", f"auto: float32. {why}")
    quick = with_precision(model, FAST, network=network)
    what = likeness.compared(comparison)
    try:
        gap = difference(exact, quick, size=size, comparison=comparison)
    except likeness.NotCompared as reason:
        return Chosen(exact, "float32", f"auto: float32, as {FAST} can't be compared: {reason}.")
    said = f"its {what} differ from those in float32 by {gap:.1e} of their range"
    if gap > BOUND:
        return Chosen(exact, "float32", f"auto: float32, not {FAST}: {said}; at most {BOUND:.0e}.")
    return Chosen(quick, FAST, f"auto: {FAST}; {said}, of at most {BOUND:.0e}.")


def difference(
    model: keras.Model,
    other: keras.Model,
    *,
    size: tuple[int, int] | None = None,
    comparison: Comparison | None = None,
) -> float:
    """The largest difference between the logits of two forms of a network, of their range.

    Raises:
        kerascnn.likeness.NotCompared: they can't be compared.
    """

    def answer(images: np.ndarray) -> tuple[list[np.ndarray], bool]:
        if comparison:
            return likeness.listed(other(images, training=False)), False
        scores, softmaxes = likeness.before_softmax(other)
        return likeness.listed(scores(images, training=False)), any(softmaxes)

    return likeness.difference(model, answer, size=size, comparison=comparison)
