"""Sliding windows, and what one unit of a map sees of the input: receptive field arithmetic.

A field's size, stride and start follow from those of the layer before and the layer's window, axis
by axis, in fractions of pixels where a layer enlarges the map (Araujo, Norris, Sim, 2019,
doi:10.23915/distill.00021).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from keras import layers

from kerascnn.layers import BilinearResizing, BilinearUpsampling, Cropping, MultiplePadding
from kerascnn.windows import extent, sides

Shape = tuple[Any, ...]

TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
# Every unit of their output depends on every unit of their input.
_GLOBAL = (layers.MultiHeadAttention, layers.Attention, layers.RNN, layers.Flatten)


@dataclass(frozen=True)
class Window:
    """One axis of a layer's sliding window.

    Attributes:
        size: extent in input pixels, dilation included.
        stride: step in input pixels; below 1 where the layer enlarges the map. Its units then
            read from different places between two pixels: size and before hold for all of them.
        before: how far the first unit's window begins in front of the first pixel.
    """

    size: Fraction
    stride: Fraction
    before: Fraction


@dataclass(frozen=True)
class ReceptiveField:
    """The input pixels that one unit of a map can see, for each spatial axis.

    Attributes:
        size: extent of the field, in input pixels.
        stride: distance between the fields of neighbours; a fraction where the map is larger than
            the input.
        start: the first pixel that the first unit sees; negative inside the padding.
    """

    size: tuple[int, ...]
    stride: tuple[float, ...]
    start: tuple[int, ...]

    def through(self, windows: Sequence[Window]) -> ReceptiveField:
        """The field of a unit behind a layer with these windows."""
        axes = []
        for size, stride, start, window in zip(self.size, self.stride, self.start, windows):
            step = Fraction(stride)
            first = start - window.before * step
            end = math.ceil(first + size + (window.size - 1) * step)
            axes.append((end - math.floor(first), _number(step * window.stride), math.floor(first)))
        sizes, strides, starts = zip(*axes)
        return ReceptiveField(sizes, strides, starts)

    def __or__(self, other: ReceptiveField) -> ReceptiveField | None:
        """The union, where maps are added or concatenated; None if their strides differ."""
        if self.stride != other.stride:
            return None
        starts = tuple(map(min, self.start, other.start))
        ends = (max(a + n, b + m) for a, n, b, m in zip(*self._span(), *other._span()))
        return ReceptiveField(
            tuple(end - start for end, start in zip(ends, starts)), self.stride, starts
        )

    def _span(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.start, self.size

    def __str__(self) -> str:
        return f"{axes_text(self.size)} / {axes_text(self.stride)}"


def channel_axis(layer: Any) -> int:
    """Where the channels are in a shape without the batch."""
    return 0 if getattr(layer, "data_format", None) == "channels_first" else -1


def spatial(layer: Any, shape: Shape) -> Shape:
    """A shape without batch and channels."""
    return shape[1:] if channel_axis(layer) == 0 else shape[:-1]


def geometry(layer: Any, shape: Shape) -> dict[str, Any] | None:
    """Kernel, strides, dilation and padding of a layer with a sliding window, else None.

    Read from attributes named as Keras's: `kernel_size` or `pool_size`, `strides`,
    `dilation_rate`, and `padding`, which may also be the numbers of `kerascnn.windows.Padding`. A
    layer of one's own that has them is understood too; with `strides` alone it skips pixels.
    """
    if isinstance(layer, (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)):
        amounts = layer.padding if isinstance(layer.padding[0], tuple) else (layer.padding,)
        one = (1,) * len(amounts)
        return {"kernel": one, "strides": one, "dilation": one, "padding": tuple(amounts)}
    sizes = spatial(layer, shape)
    size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if not sizes or (size is None and not hasattr(layer, "strides")):
        return None

    def axes(value: Any) -> tuple[int, ...]:
        return tuple(value) if isinstance(value, (list, tuple)) else (value,) * len(sizes)

    kernel, dilation = axes(size or 1), axes(getattr(layer, "dilation_rate", 1))
    strides = axes(getattr(layer, "strides", None) or 1)
    extents = list(map(extent, kernel, dilation))
    padding = getattr(layer, "padding", "valid")
    if padding == "same":
        pads = tuple(_same(n, k, s) for n, k, s in zip(sizes, extents, strides))
    elif padding == "valid":
        pads = ((0, 0),) * len(sizes)
    else:
        top, bottom, left, right = sides(padding, extents[0])
        pads = ((top, bottom), (left, right))
    return {"kernel": kernel, "strides": strides, "dilation": dilation, "padding": pads}


def _same(size: int, window: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same": zeros for `ceil(size / stride)` windows, the odd one last."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def union(fields: Iterable[ReceptiveField | None]) -> ReceptiveField | None:
    """The field of maps that are added or concatenated; None without any, or if they clash."""
    found = list(fields)
    return functools.reduce(lambda a, b: a | b if a and b else None, found) if found else None


def through_layer(
    layer: Any,
    field: ReceptiveField,
    shape: Shape,
    out_shape: Shape,
    window: dict[str, Any] | None,
) -> ReceptiveField | None:
    """The field behind a layer; None where each unit sees everything, or it isn't known."""
    if isinstance(layer, _GLOBAL):
        return None
    axes = len(field.size)
    if isinstance(layer, (layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)):
        cropped = layer.cropping if axes > 1 else (layer.cropping,)
        return field.through([_plain(1, 1, -before) for before, _ in cropped])
    if isinstance(layer, (layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D)):
        factors = layer.size if axes > 1 else (layer.size,)
        nearest = getattr(layer, "interpolation", "nearest") == "nearest"
        return field.through([_enlarged(factor, nearest) for factor in factors])
    if isinstance(layer, BilinearResizing):
        sizes = zip(spatial(layer, shape), spatial(layer, out_shape))
        return field.through([_interpolated(size, wanted) for size, wanted in sizes])
    if isinstance(layer, BilinearUpsampling):
        return field.through([_transposed(2 * layer.factor, layer.factor, "valid")] * axes)
    if isinstance(layer, Cropping):
        sizes = zip(spatial(layer, shape), spatial(layer, out_shape))
        return field.through([_plain(1, 1, -layer.start(size, part)) for size, part in sizes])
    if isinstance(layer, MultiplePadding):
        return field
    if window is None:
        # Element-wise, or along the channels; a map of another size was made in an unknown way.
        same = spatial(layer, out_shape) == spatial(layer, shape)
        return field if same and len(out_shape) == axes + 1 else None
    spans = map(extent, window["kernel"], window["dilation"])
    rows = list(zip(spans, window["strides"], window["padding"]))
    if isinstance(layer, TRANSPOSED):
        return field.through([_transposed(k, s, layer.padding) for k, s, _ in rows])
    return field.through([_plain(k, s, before) for k, s, (before, _) in rows])


def _plain(size: int, stride: int, before: int) -> Window:
    return Window(Fraction(size), Fraction(stride), Fraction(before))


def _transposed(kernel: int, stride: int, padding: str) -> Window:
    """Unit `u` reads the pixels from `(u + before - kernel + 1) / stride` up, `kernel / stride`."""
    before = max(kernel - stride, 0) // 2 if padding == "same" else 0
    reach = Fraction(kernel - 1, stride)
    return Window(1 + reach, Fraction(1, stride), reach - Fraction(before, stride))


def _enlarged(factor: int, nearest: bool) -> Window:
    """Unit `u` reads pixel `u // factor`, or the two around `(u + 1/2) / factor - 1/2`."""
    step = Fraction(1, factor)
    if nearest:
        return Window(2 - step, step, 1 - step)
    return Window(3 - step, step, Fraction(3, 2) - step)


def _interpolated(size: int, wanted: int) -> Window:
    """Unit `u` reads the two pixels around `(u + 1/2) · size / wanted - 1/2` that there are."""
    step = Fraction(size, wanted)
    first = [((2 * unit + 1) * size - wanted) // (2 * wanted) for unit in range(wanted)]
    before = max(unit * step - max(pixel, 0) for unit, pixel in enumerate(first))
    behind = max(min(pixel + 1, size - 1) - unit * step for unit, pixel in enumerate(first))
    return Window(before + behind + 1, step, before)


def _number(value: Fraction) -> float:
    return int(value) if value.denominator == 1 else float(value)


def axes_text(values: Sequence[float]) -> str:
    """One number where the axes agree, "1×7" where they don't."""
    distinct = values[:1] if len(set(values)) == 1 else values
    return "×".join(f"{value:g}" for value in distinct)
