"""Puts named arrays into a model: all of them or none, and says what became of each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from kerascnn.errors import ArgumentError, WeightsError
from kerascnn.weights.fitting import Fitting, Part
from kerascnn.weights.readers import Checkpoint, open_checkpoint
from kerascnn.weights.report import SHOWN, Report
from kerascnn.weights.rules import KERAS_EPSILON, Canonical, convert, pattern
from kerascnn.words import listed

LIBRARIES = ("kerascnn", "torchvision", "timm", "keras_applications")


def load(
    model: Any,
    weights: Any,
    *,
    source: str | None = None,
    entry: str | None = None,
    inputs: Any = None,
    part: Part | None = None,
    left_out: Collection[str] = (),
    verbose: bool = True,
) -> Report:
    """Load weights of ours, torchvision, timm or keras.applications into a model.

    Args:
        model: a built functional model or Sequential; models nested in it are taken apart.
        weights: a path (.keras, .weights.h5, .h5, .safetensors, .npz, or PyTorch's .pth, .pth.tar,
            .pt, .ckpt, .bin), a mapping of names to arrays, or another `keras.Model`. Torch names
            have dots, ours slashes.
        source: who made them: "kerascnn", "torchvision", "timm" or "keras_applications"; None:
            found out from the names.
        entry: of a PyTorch checkpoint with several, the entry to take, such as "model_ema", or
            what the wanted network's names begin with, such as "encoder_q"; None: the weights
            themselves rather than their moving average.
        inputs: load only the layers between this tensor and the model's outputs, such as the
            `input_tensor` that a network was built upon; None: all.
        part: the weights are for this part of the model, and the rest stays as it is; None: for
            all of it.
        left_out: layers of the model that stay as they are, whatever the weights have for them.
        verbose: print the report to stderr if anything was adapted, left out or ignored.

    Returns:
        What was loaded, adapted, left at its initial value, not needed, and ignored.

    Raises:
        WeightsError: the file can't be read, or the weights don't fit; the model is unchanged.
        ArgumentError: `source` is unknown, or `weights` none of these.
    """
    if source not in (None, *LIBRARIES):
        raise ArgumentError(
            f"source must be None or one of {', '.join(LIBRARIES)}. Received: {source!r}."
        )
    checkpoint = open_checkpoint(weights, entry)
    if entry is not None and checkpoint.layout != "torch":
        raise WeightsError(
            f"{checkpoint.origin} has one network's weights; entry chooses among those of a "
            f"PyTorch checkpoint. Omit it. Received: {entry!r}."
        )
    _check_layout(checkpoint, source)
    canonical = convert(checkpoint, entry if checkpoint.entry != entry else None)
    if source == "keras_applications" and canonical.epsilon is None:
        canonical = replace(canonical, epsilon=KERAS_EPSILON)
    report = assign(model, canonical, checkpoint.origin, inputs, part, left_out)
    report = replace(
        report,
        notes=report.notes + _differences(model, canonical.unstrided),
        ignored=checkpoint.ignored + canonical.ignored,
    )
    if verbose:
        report.tell()
    return report


def _check_layout(checkpoint: Checkpoint, source: str | None) -> None:
    layout = {"torchvision": "torch", "timm": "torch"}.get(source or "", "keras")
    if source is not None and layout != checkpoint.layout:
        raise WeightsError(
            f"{checkpoint.origin}: source={source!r} expects names such as "
            f"{'layer1.0.conv1.weight' if layout == 'torch' else 'conv2_block1_1_conv/kernel'}. "
            f"Received: {listed(checkpoint.tensors, SHOWN)}."
        )


def _differences(model: Any, unstrided: tuple[str, str] | None) -> tuple[str, ...]:
    """What fits the weights' shapes and still computes something else than they were trained in."""
    from kerascnn.keras_internals import leaf_layers

    if unstrided is None:
        return ()
    name, note = unstrided
    strided = (
        pattern(name).fullmatch(layer.name)
        and layer.kernel_size == (1, 1)
        and max(layer.strides) > 1
        for layer in leaf_layers(model)
    )
    return (note,) if any(strided) else ()


def assign(
    model: Any,
    canonical: Canonical,
    origin: str,
    inputs: Any = None,
    part: Part | None = None,
    left_out: Collection[str] = (),
) -> Report:
    """Check canonical weights against a model, adapt what may be adapted, then assign them all.

    Raises:
        WeightsError: they don't fit; the message lists names and shapes.
    """
    fitting = Fitting(model, canonical, origin, inputs, part, left_out)
    for name, array in fitting.tensors.items():
        variable = fitting.variables[name]
        variable.assign(np.asarray(array).astype(np.dtype(variable.dtype)))
    return fitting.report()
