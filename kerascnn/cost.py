"""What an architecture costs, and whether it can be built at all, without building it.

A builder is run with `Sketch` objects in place of tensors: the functions of `kerascnn.blocks` then
do arithmetic on shapes. Milliseconds, where Keras takes a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kerascnn import blocks
from kerascnn.blocks import Padding, sides
from kerascnn.errors import ArgumentError, InputSizeError, KerascnnError
from kerascnn.keras_internals import allow_deep_graphs, without_values
from kerascnn.layers import pooled

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


@dataclass
class Ledger:
    """What the layers of one sketch have cost so far.

    Attributes:
        params, macs, activations: see `Cost`.
        joints: the outputs of the layers that join maps, by name.
        kernels: each convolution's side, and the smaller side of the map it reads, by name.
    """

    params: int = 0
    macs: int = 0
    activations: int = 0
    joints: dict[str, Sketch] = field(default_factory=dict)
    kernels: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(slots=True)
class Sketch:
    """A tensor's shape, `(None, height, width, channels)` or `(None, units)`, and the bill."""

    shape: tuple[Any, ...]
    ledger: Ledger = field(compare=False)

    def after(self, *shape: int, params: int = 0, macs: int = 0) -> Sketch:
        """The sketch of a layer's output, once its costs are noted."""
        self.ledger.params += params
        self.ledger.macs += macs
        self.ledger.activations += math.prod(shape)
        return Sketch((None, *shape), self.ledger)

    def windows(
        self, name: str, kernel: int, stride: int, padding: Padding, *, ceil: bool = False
    ) -> tuple[int, int]:
        """Height and width after sliding a window over the map.

        Raises:
            InputSizeError: the window is larger than the padded map, or the map can't be halved.
        """
        top, bottom, left, right = sides(padding, kernel)
        sizes = []
        for size, before, after in zip(self.shape[1:3], (top, left), (bottom, right)):
            assert size is not None
            count = pooled(size, kernel, stride, before, after, ceil=ceil)
            if size + before + after < kernel or count < 1:
                raise InputSizeError(
                    f"{name}: a {kernel}×{kernel} window does not fit into a map of "
                    f"{self.shape[1]}×{self.shape[2]}."
                )
            if stride > 1 and size < 2:
                raise InputSizeError(f"{name}: a map of 1 pixel can't be halved once more.")
            sizes.append(count)
        return sizes[0], sizes[1]


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


@blocks.apply.register
def _(x: Sketch, layer: Any) -> Sketch:
    shape = layer.compute_output_shape(x.shape)
    if any(size is not None and size < 1 for size in shape):
        raise InputSizeError(f"{layer.name}: a map of {x.shape[1]}×{x.shape[2]} is too small.")
    layer.build(x.shape)
    params = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
    macs = layer.macs(x.shape) if hasattr(layer, "macs") else 0
    return x.after(*shape[1:], params=params, macs=macs)


@blocks.conv.register
def _(
    x: Sketch,
    filters: int,
    kernel: int,
    *,
    name: str,
    strides: int = 1,
    padding: Padding = "same",
    groups: int = 1,
    use_bias: bool = True,
    initializer: str = "glorot_uniform",
    dtype: str | None = None,
) -> Sketch:
    height, width = x.windows(name, kernel, strides, padding)
    _, *sides_, channels = x.shape
    x.ledger.kernels[name] = (kernel, min(sides_))
    assert channels is not None
    if channels % groups or filters % groups:
        raise ArgumentError(
            f"{name}: {groups} groups must divide the channels. "
            f"Received: {channels} channels in, {filters} out."
        )
    kernels = kernel * kernel * (channels // groups) * filters
    return x.after(
        height,
        width,
        filters,
        params=kernels + filters * use_bias,
        macs=kernels * height * width,
    )


@blocks.batch_norm.register
def _(x: Sketch, *, name: str, epsilon: float = 1e-5, momentum: float = 0.9) -> Sketch:
    return x.after(*x.shape[1:], params=2 * x.shape[-1])


@blocks.lrn.register
def _(
    x: Sketch,
    *,
    name: str,
    size: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    divide_alpha: bool = False,
) -> Sketch:
    return x.after(*x.shape[1:])


@blocks.activation.register
def _(x: Sketch, kind: Any, *, name: str, dtype: str | None = None) -> Sketch:
    return x.after(*x.shape[1:])


@blocks.dropout.register
def _(x: Sketch, rate: float, *, name: str) -> Sketch:
    return x.after(*x.shape[1:]) if rate else x


@blocks.max_pool.register
def _(
    x: Sketch,
    size: int,
    *,
    name: str,
    strides: int | None = None,
    padding: Padding = "valid",
    ceil: bool = False,
) -> Sketch:
    return x.after(*x.windows(name, size, strides or size, padding, ceil=ceil), x.shape[3])


@blocks.avg_pool.register
def _(
    x: Sketch,
    size: int,
    *,
    name: str,
    strides: int | None = None,
    padding: Padding = "valid",
    ceil: bool = False,
) -> Sketch:
    return x.after(*x.windows(name, size, strides or size, padding, ceil=ceil), x.shape[3])


@blocks.grid_pool.register
def _(x: Sketch, grid: int, *, name: str) -> Sketch:
    return x.after(grid, grid, x.shape[3])


@blocks.global_avg_pool.register
def _(x: Sketch, *, name: str = "avg_pool", dtype: str | None = None) -> Sketch:
    return x.after(x.shape[3])


@blocks.flatten.register
def _(x: Sketch, *, name: str = "flatten") -> Sketch:
    return x.after(x.shape[1] * x.shape[2] * x.shape[3])


@blocks.dense.register
def _(x: Sketch, units: int, *, name: str, use_bias: bool = True) -> Sketch:
    kernels = x.shape[-1] * units
    return x.after(units, params=kernels + units * use_bias, macs=kernels)


@blocks.logits.register
def _(x: Sketch, classes: int, *, name: str = "logits") -> Sketch:
    return blocks.dense(x, classes, name=name)


@blocks.add.register
def _(x: Sketch, *others: Sketch, name: str) -> Sketch:
    shapes = {tensor.shape for tensor in (x, *others)}
    if len(shapes) > 1:
        raise ArgumentError(f"{name}: maps of different shapes can't be added: {sorted(shapes)}.")
    x.ledger.joints[name] = x
    return x.after(*x.shape[1:])


@blocks.concat.register
def _(x: Sketch, *others: Sketch, name: str) -> Sketch:
    maps = (x, *others)
    if len({tensor.shape[1:-1] for tensor in maps}) > 1:
        raise ArgumentError(
            f"{name}: maps of different sizes can't be concatenated: {[m.shape for m in maps]}."
        )
    joint = x.after(*x.shape[1:-1], sum(tensor.shape[-1] for tensor in maps))
    x.ledger.joints[name] = joint
    return joint


@blocks.tensor_at.register
def _(x: Sketch, name: str) -> Sketch:
    return x.ledger.joints[name]
