"""Layers that two families share and Keras lacks. All are written in keras.ops."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerascnn.blocks import Padding, sides


@keras.saving.register_keras_serializable("kerascnn")
class MaxPooling(keras.layers.Layer):
    """Max pooling with explicit padding, and with Caffe's rounding up if asked.

    Padding never wins a maximum. With `ceil=True` the last window may reach beyond the map by up
    to `strides - 1`; a window that would start in the right or bottom padding is left out, as in
    Caffe and torch.

    Args:
        pool_size, strides: side and step of the square window.
        padding: see `kerascnn.blocks.Padding`.
        ceil: round the number of windows up instead of down.

    Input and output: `[batch, height, width, channels]`.
    """

    def __init__(
        self,
        pool_size: int,
        strides: int,
        *,
        padding: Padding = "valid",
        ceil: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size = pool_size
        self.strides = strides
        self.padding = sides(padding, pool_size)
        self.ceil = ceil

    def call(self, inputs: Any) -> Any:
        """Pool `[batch, height, width, channels]`."""
        top, bottom, left, right = self.padding
        rows = (top, bottom + self._overhang(inputs.shape[1], top, bottom))
        columns = (left, right + self._overhang(inputs.shape[2], left, right))
        if any((*rows, *columns)):
            lowest = float("-inf")
            inputs = ops.pad(inputs, ((0, 0), rows, columns, (0, 0)), constant_values=lowest)
        return ops.max_pool(inputs, self.pool_size, self.strides, padding="valid")

    def _overhang(self, size: int | None, before: int, after: int) -> int:
        """Rows beyond the padding that rounding up needs; `strides - 1` is right at every size."""
        if not self.ceil:
            return 0
        if size is None:
            # One window too many could start in the padding, but only where there is padding.
            return self.strides - 1
        windows = pooled(size, self.pool_size, self.strides, before, after, ceil=True)
        return max(0, (windows - 1) * self.strides + self.pool_size - (size + before + after))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`[batch, height, width, channels]` of the output."""
        top, bottom, left, right = self.padding
        args = (self.pool_size, self.strides)
        height, width = (
            None if size is None else pooled(size, *args, before, after, ceil=self.ceil)
            for size, before, after in zip(input_shape[1:3], (top, left), (bottom, right))
        )
        return (input_shape[0], height, width, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {k: getattr(self, k) for k in ("pool_size", "strides", "padding", "ceil")}
        return {**super().get_config(), **own}


def pooled(size: int, window: int, stride: int, before: int, after: int, *, ceil: bool) -> int:
    """How many windows fit into `size` pixels with padding before and after."""
    room = size + before + after - window
    if not ceil:
        return room // stride + 1
    windows = -(-room // stride) + 1
    if (before or after) and (windows - 1) * stride >= size + before:
        windows -= 1  # Caffe's clip: the last window must start inside the map
    return windows
