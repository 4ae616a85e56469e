"""What an architecture costs, and whether it can be built at all, without building it.

A builder is run with a `Sketch` in place of a tensor; see `kerascnn.sketch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kerascnn.errors import InputSizeError, KerascnnError
from kerascnn.keras_internals import allow_deep_graphs, without_values
from kerascnn.sketch import Ledger, Sketch

if TYPE_CHECKING:
    from kerascnn.architecture import Architecture

LARGEST_INPUT = 4096


@dataclass(frozen=True)
class Cost:
    """What one image costs.

    Attributes:
        params: trainable parameters.
        macs: multiply-adds of convolutions and dense layers.
        activations: numbers that all layers together put out, of which training keeps about
            as many for the backward pass; padding layers are not counted.
    """

    params: int
    macs: int
    activations: int = field(default=0, compare=False)


def cost(
    architecture: Architecture, values: Mapping[str, Any], shape: tuple[int, int, int], classes: int
) -> Cost:
    """Parameters and MACs with complete, validated arguments.

    Raises:
        InputSizeError: see `check_input`.
    """
    ledger = _checked(architecture, values, shape, classes)
    return Cost(ledger.params, ledger.macs, ledger.activations)


def _run(
    architecture: Architecture,
    values: Mapping[str, Any],
    shape: tuple[int, int, int],
    classes: int | None,
) -> Ledger:
    """The bill of the trunk and, unless `classes` is None, of the classifier.

    Raises:
        InputSizeError: a window or a kernel doesn't fit into its map.
    """
    ledger = _sketched(architecture, values, shape, classes)
    large = [name for name, (kernel, side) in ledger.kernels.items() if kernel > side]
    own = architecture.space.with_own_kernels(values) if large else values
    if own == values:
        return ledger
    usual = _sketched(architecture, own, shape, classes).kernels
    for name in large:
        kernel, side = ledger.kernels[name]
        if usual[name][0] < kernel:
            raise InputSizeError(
                f"{name}: a kernel of {kernel}×{kernel}, where the network's own has "
                f"{usual[name][0]}×{usual[name][0]}, must not be larger than the map it reads, "
                f"whose smaller side has {side}."
            )
    return ledger


def _sketched(
    architecture: Architecture,
    values: Mapping[str, Any],
    shape: tuple[int, int, int],
    classes: int | None,
) -> Ledger:
    """The bill, whatever the kernels."""
    ledger = Ledger()
    try:
        with without_values():  # layers that aren't blocks are made, and built to be counted
            _network(architecture, values, Sketch((None, *shape), ledger), classes)
    except KerascnnError:
        raise
    except Exception:
        # A plugin's builder may use keras.layers directly, which fails on a sketch in any way it
        # likes. What is wrong with the builder itself goes wrong in the real build again.
        pass
    else:
        return ledger
    return _run_keras(architecture, values, shape, classes)


def _network(
    architecture: Architecture, values: Mapping[str, Any], inputs: Any, classes: int | None
) -> Any:
    features = architecture.trunk(inputs, values)
    return features if classes is None else architecture.classifier(features, classes, values)


def _run_keras(
    architecture: Architecture,
    values: Mapping[str, Any],
    shape: tuple[int, int, int],
    classes: int | None,
) -> Ledger:
    """The same from a real Keras graph, built without values for its weights."""
    import keras

    from kerascnn.profiling import profile

    allow_deep_graphs()
    try:
        with without_values():
            inputs = keras.Input(shape, name="input")
            model = keras.Model(inputs, _network(architecture, values, inputs, classes))
    except ValueError as error:
        # Keras's error for a window that doesn't fit is like any other: ask a larger input.
        if min(shape[:2]) >= LARGEST_INPUT:
            raise
        _run_keras(architecture, values, (LARGEST_INPUT, LARGEST_INPUT, shape[2]), classes)
        raise InputSizeError(str(error).partition("\n")[0]) from error
    profiled = profile(model)
    for layer in profiled.layers:
        if min(layer.output_shape, default=1) < 1:
            raise InputSizeError(f"{layer.name}: the map is empty.")
    kernels = {
        layer.name: (max(layer.kernel), min(layer.input_shapes[0][:-1]))
        for layer in profiled.layers
        if layer.kernel and layer.params
    }
    activations = profiled.activation_bytes // 4
    return Ledger(profiled.params, profiled.macs, activations, kernels=kernels)


def check_input(
    architecture: Architecture,
    values: Mapping[str, Any],
    shape: tuple[int | None, int | None, int],
    classes: int | None,
) -> None:
    """Refuse an input that is too small; heights and widths of None are not checked.

    Too small is one into whose maps a window doesn't fit, or that is halved more often than its
    pixels allow. A kernel that padding makes fit may be larger than its map if it is the
    architecture's own (ResNet's 3×3 meet maps of one pixel at 32×32, as in keras.applications), but
    not if an argument has made it larger than that: most of its weights would see zeros alone.

    Raises:
        InputSizeError: the message names the smallest legal size and the layer that fails.
    """
    if shape[0] is not None or shape[1] is not None:
        _checked(architecture, values, shape, classes)


def _checked(
    architecture: Architecture,
    values: Mapping[str, Any],
    shape: tuple[int | None, int | None, int],
    classes: int | None,
) -> Ledger:
    """The bill; an unknown side is taken to be as long as the known one."""
    height, width, channels = shape
    rows, columns = height or width, width or height
    assert rows
    assert columns
    try:
        return _run(architecture, values, (rows, columns, channels), classes)
    except InputSizeError as error:
        least = smallest_input(architecture, values, channels, classes)
        raise InputSizeError(
            f"{architecture.name}: the input is too small for these arguments. {error} "
            f"Smallest legal height and width: {least}×{least}. Received: {height}×{width}."
        ) from None


def smallest_input(
    architecture: Architecture, values: Mapping[str, Any], channels: int, classes: int | None
) -> int:
    """The smallest legal side of a square input, in pixels.

    Raises:
        InputSizeError: even an input of `LARGEST_INPUT` pixels is too small.
    """

    def fits(side: int) -> bool:
        try:
            _run(architecture, values, (side, side, channels), classes)
        except InputSizeError:
            return False
        return True

    low, high = 0, 1  # `low` is too small; `high` grows until it fits
    while not fits(high):
        low, high = high, high * 2
        if high > LARGEST_INPUT:
            raise InputSizeError(
                f"{architecture.name}: no input up to {LARGEST_INPUT} pixels is large enough for "
                "these arguments; use smaller kernels or fewer stages."
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
