"""Padding and pooling arithmetic: how many windows fit into a map, and the zeros around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kerascnn.errors import ArgumentError

FORMAT: Mapping[str, str] = {"data_format": "channels_last"}
"""Said to every layer that asks, whatever `keras.config.image_data_format()` is."""

Padding = int | str | Sequence[int]
"""Zeros around the map: "valid", "same" (half the kernel on every side), an amount for every
side, or (top, bottom, left, right)."""


def extent(kernel: int, dilation: int) -> int:
    """From the first to the last pixel that a kernel reads, both counted."""
    return (kernel - 1) * dilation + 1


def sides(padding: Padding, kernel: int) -> tuple[int, int, int, int]:
    """Zeros to add at the top, bottom, left and right; `kernel` is the extent of a dilated one.

    "same" is the papers' and torch's: `(kernel - 1) // 2` on every side at every stride (an even
    kernel gets one more at the bottom and right). TensorFlow's differs at stride 2: it puts the
    odd zero at the bottom right, which shifts every feature map by half a pixel.
    """
    if padding == "valid":
        return (0, 0, 0, 0)
    if padding == "same":
        before, after = (kernel - 1) // 2, kernel // 2
        return (before, after, before, after)
    if isinstance(padding, int):
        return (padding, padding, padding, padding)
    assert not isinstance(padding, str), padding
    top, bottom, left, right = padding  # a list, where it comes from a saved model
    return (top, bottom, left, right)


def same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same": zeros for `ceil(size / stride)` windows, the odd one last."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def pooled(size: int, window: int, stride: int, before: int, after: int, *, ceil: bool) -> int:
    """How many windows fit into `size` pixels with padding before and after."""
    room = size + before + after - window
    if not ceil:
        return room // stride + 1
    # Caffe's clip: the last window must start inside the map or the padding before it.
    return min(-(-room // stride), (size + before - 1) // stride) + 1


def require_transposed(name: str, kernel: int, strides: int, padding: Padding) -> None:
    """Refuse a transposed convolution that `blocks.conv_transpose` doesn't make."""
    if padding not in ("valid", "same"):
        raise ArgumentError(
            f'{name}: the padding of a transposed convolution must be "valid" or "same". '
            f"Received: {padding!r}."
        )
    if kernel < strides:
        raise ArgumentError(
            f"{name}: the kernel of a transposed convolution must not be smaller than its "
            f"strides, which would leave holes. Received: kernel={kernel}, strides={strides}."
        )


def require_dilation(name: str, strides: int, dilation: int) -> None:
    """Refuse what Keras has no convolution for."""
    if strides > 1 and dilation > 1:
        raise ArgumentError(
            f"{name}: a convolution has strides or a dilation, not both. "
            f"Received: strides={strides}, dilation={dilation}."
        )


_LANES = 16  # channels that oneDNN's kernels work on at a time


def sampled_first(kernel: int, strides: int, channels: int) -> bool:
    """Whether a layer picks the pixels of a strided 1×1 convolution, which then has no strides.

    Below 16 channels TensorFlow's gradient of its weights (oneDNN's, on CPUs with AVX-512) writes
    outside its memory for certain batches and maps, of one image of 16×16, too: the process ends,
    or goes on with other numbers.

    Args:
        kernel, strides: of the convolution.
        channels: that one of its kernels reads: those of a group, where there are some.
    """
    return kernel == 1 and strides > 1 and channels < _LANES
