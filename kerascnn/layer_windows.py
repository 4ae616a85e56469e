"""How the layers of Keras and ours slide windows over maps, read off the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers

from kerascnn.layers import BilinearResizing, BilinearUpsampling, Cropping, MultiplePadding
from kerascnn.receptive_fields import (
    Shape,
    Window,
    enlarged,
    interpolated,
    plain,
    slid,
    transposed,
)
from kerascnn.windows import extent, same_padding, sides

TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
# Every unit of their output depends on every unit of their input.
_GLOBAL = (layers.MultiHeadAttention, layers.Attention, layers.RNN, layers.Flatten)


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
        pads = tuple(same_padding(n, k, s) for n, k, s in zip(sizes, extents, strides))
    elif padding == "valid":
        pads = ((0, 0),) * len(sizes)
    else:
        top, bottom, left, right = sides(padding, extents[0])
        pads = ((top, bottom), (left, right))
    return {"kernel": kernel, "strides": strides, "dilation": dilation, "padding": pads}


def sliding(
    layer: Any, shape: Shape, out_shape: Shape, window: dict[str, Any] | None
) -> Sequence[Window] | None:
    """A layer's window on each axis; see `ReceptiveField.through`."""
    if isinstance(layer, _GLOBAL):
        return None
    before, behind = spatial(layer, shape), spatial(layer, out_shape)
    axes = len(before)
    if isinstance(layer, (layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)):
        cropped = layer.cropping if axes > 1 else (layer.cropping,)
        return [plain(1, 1, -first) for first, _ in cropped]
    if isinstance(layer, (layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D)):
        factors = layer.size if axes > 1 else (layer.size,)
        nearest = getattr(layer, "interpolation", "nearest") == "nearest"
        return [enlarged(factor, nearest) for factor in factors]
    if isinstance(layer, BilinearResizing):
        return [interpolated(size, wanted) for size, wanted in zip(before, behind)]
    if isinstance(layer, BilinearUpsampling):
        return [transposed(2 * layer.factor, layer.factor, "valid")] * axes
    if isinstance(layer, Cropping):
        return [plain(1, 1, -layer.start(n, part)) for n, part in zip(before, behind)]
    if isinstance(layer, MultiplePadding):
        return ()
    if window is None:
        # Element-wise, or along the channels; a map of another size was made in an unknown way.
        return () if before == behind and len(out_shape) == axes + 1 else None
    if isinstance(layer, TRANSPOSED):
        spans = map(extent, window["kernel"], window["dilation"])
        return [transposed(k, s, layer.padding) for k, s in zip(spans, window["strides"])]
    return slid(window)
