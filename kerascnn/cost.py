"""What a network costs, and whether it can be built at all, without building it.

What builds it is run with a `Sketch` in place of a tensor; see `kerascnn.sketch`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kerascnn.errors import InputSizeError, InputStepError
from kerascnn.sketch import Ledger, drawn
from kerascnn.windows import extent

LARGEST_INPUT = 4096

Build = Callable[[Any], Any]
"""From inputs `[batch, height, width, channels]`, tensors or a sketch, to a network's outputs."""


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
    build: Build,
    shape: tuple[int | None, int | None, int],
    *,
    owner: str,
    usual: Build | None = None,
) -> Cost:
    """Parameters and multiply-adds of a network, which the input must be large enough for.

    Too small is one into whose maps a window doesn't fit, or that is halved more often than its
    pixels allow. A kernel that padding makes fit may be larger than its map if it is the
    architecture's own (ResNet's 3×3 meet maps of one pixel at 32×32, as in keras.applications), but
    not if an argument has made it larger than that: most of its weights would see zeros alone.

    Args:
        build: the network.
        shape: `(height, width, channels)`; one of the sides may be None, and is then taken to be
            as long as the other.
        owner: whose network it is, for the message.
        usual: the network with kernels that are nowhere larger than the architecture's own; None:
            `build` is that.

    Raises:
        InputSizeError: the message names the smallest legal size and the layer that fails.
        InputStepError: it is large enough, but the network takes only some sizes.
    """
    height, width, channels = shape
    rows, columns = height or width, width or height
    assert rows
    assert columns
    try:
        ledger = _run(build, (rows, columns, channels), usual)
    except InputStepError as error:
        raise InputStepError(f"{owner}: {error}", nearest=error.nearest) from None
    except InputSizeError as error:
        least = smallest_input(build, channels, owner=owner, usual=usual)
        raise InputSizeError(
            f"{owner}: the input is too small for these arguments. {error} "
            f"Smallest legal height and width: {least}×{least}. Received: {height}×{width}."
        ) from None
    return Cost(ledger.params, ledger.macs, ledger.activations)


def smallest_input(build: Build, channels: int, *, owner: str, usual: Build | None = None) -> int:
    """The smallest legal side of a square input, in pixels; for the arguments see `cost`.

    Raises:
        InputSizeError: even an input of `LARGEST_INPUT` pixels is too small.
    """

    def fits(side: int) -> bool:
        try:
            _run(build, (side, side, channels), usual)
        except InputStepError:
            return True
        except InputSizeError:
            return False
        return True

    low, high = 0, 1  # `low` is too small; `high` grows until it fits
    while not fits(high):
        low, high = high, high * 2
        if high > LARGEST_INPUT:
            raise InputSizeError(
                f"{owner}: no input up to {LARGEST_INPUT} pixels is large enough for "
                "these arguments; use smaller kernels or fewer stages."
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    try:
        _run(build, (high, high, channels), usual)
    except InputStepError as error:
        return next(side for side in error.nearest if side >= high)
    return high


def _run(build: Build, shape: tuple[int, int, int], usual: Build | None) -> Ledger:
    """The bill.

    Raises:
        InputSizeError: a window or a kernel doesn't fit into its map.
    """
    ledger = _sketched(build, shape)
    large = [name for name, (kernel, side) in ledger.kernels.items() if kernel > side]
    if not large or usual is None:
        return ledger
    own = _sketched(usual, shape).kernels
    for name in large:
        kernel, side = ledger.kernels[name]
        if own[name][0] < kernel:
            raise InputSizeError(
                f"{name}: a kernel of {kernel}×{kernel}, where the network's own has "
                f"{own[name][0]}×{own[name][0]}, must not be larger than the map it reads, "
                f"whose smaller side has {side}."
            )
    return ledger


def _sketched(build: Build, shape: tuple[int, int, int]) -> Ledger:
    """The bill, whatever the kernels."""
    sketch = drawn(build, shape)
    return _run_keras(build, shape) if sketch is None else sketch[0].ledger


def _run_keras(build: Build, shape: tuple[int, int, int]) -> Ledger:
    """The same from a real Keras graph, built without values for its weights."""
    import keras

    from kerascnn.keras_internals import allow_deep_graphs, without_values
    from kerascnn.profiling import profile

    allow_deep_graphs()
    try:
        with without_values():
            inputs = keras.Input(shape, name="input")
            model = keras.Model(inputs, build(inputs))
    except ValueError as error:
        # Keras's error for a window that doesn't fit is like any other: ask a larger input.
        if min(shape[:2]) >= LARGEST_INPUT:
            raise
        _run_keras(build, (LARGEST_INPUT, LARGEST_INPUT, shape[2]))
        raise InputSizeError(str(error).partition("\n")[0]) from error
    profiled = profile(model)
    for layer in profiled.layers:
        if min(layer.output_shape, default=1) < 1:
            raise InputSizeError(f"{layer.name}: the map is empty.")
    kernels = {
        layer.name: (
            max(map(extent, layer.kernel, layer.dilation)),
            min(layer.input_shapes[0][:-1]),
        )
        for layer in profiled.layers
        if layer.kernel and layer.params
    }
    activations = profiled.activation_bytes // 4
    return Ledger(profiled.params, profiled.macs, activations, kernels=kernels)
