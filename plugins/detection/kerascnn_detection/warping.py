"""A picture for each window, which is how R-CNN has a classifier look at it (section 2.1).

`Warp` cuts the windows out of the image and brings them to one size. A classifier knows nothing of
windows: `MergeWindows` makes one batch of those of all images, and `SplitWindows` takes it apart.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerascnn_detection.regions import RoIAlign, Size, read_corners

CONTEXT = 16  # pixels around the window in its picture


@keras.saving.register_keras_serializable("kerascnn_detection")
class Warp(RoIAlign):
    """What is in a window, stretched to a size, with its surroundings (R-CNN, appendix A).

    The window's sides are scaled as they need be, whatever its shape, and `context` pixels of the
    picture on each side show what is around it. Pixels are interpolated, one point for each, as the
    authors have it, who don't blur before they shrink. What lies outside of the image is 0, the
    mean of preprocessed images.

    Input: images `[batch, height, width, channels]`, and windows as `kerascnn_detection.regions`
    has them; output `[batch, n, *size, channels]`.

    Args:
        size: height and width of a picture.
        context: pixels of it on each side that lie around the window.

    R. Girshick, J. Donahue, T. Darrell, J. Malik, "Rich Feature Hierarchies for Accurate Object
    Detection and Semantic Segmentation", CVPR 2014.
    """

    def __init__(self, size: Size, *, context: int = CONTEXT, **kwargs: Any) -> None:
        super().__init__(size, **{**kwargs, "stride": 1, "samples": 1, "aligned": True})
        self.context = context

    def call(self, inputs: Any) -> Any:
        """Cut out each window."""
        images, boxes = inputs
        corners = read_corners(boxes)
        first, last = corners[..., :2], corners[..., 2:]
        factors = [side / (side - 2 * self.context) for side in reversed(self.size)]
        middle, halves = (first + last) / 2, (last - first) / 2
        halves = halves * ops.convert_to_tensor(factors, "float32")
        around = ops.concatenate([middle - halves, middle + halves], axis=-1)
        return super().call([images, around])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        own = {key: config[key] for key in config.keys() - {"stride", "samples", "aligned"}}
        return {**own, "context": self.context}


@keras.saving.register_keras_serializable("kerascnn_detection")
class MergeWindows(keras.layers.Layer):
    """Pictures of windows as one batch: `[batch, n, ...]` becomes `[batch * n, ...]`."""

    def call(self, inputs: Any) -> Any:
        """Put all into one row."""
        return ops.reshape(inputs, (-1, *ops.shape(inputs)[2:]))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Without the dimension of windows."""
        return (None, *input_shape[2:])

    def images(self, input_shape: tuple) -> int:
        """How many images the layers behind it see of each one, see `kerascnn.profile`."""
        return input_shape[1]


@keras.saving.register_keras_serializable("kerascnn_detection")
class SplitWindows(keras.layers.Layer):
    """The same backwards: `[batch * n, channels]` becomes `[batch, n, channels]`.

    Input: what a network says of each picture, and the pictures `[batch, n, ...]`, of which nothing
    but their number is read.
    """

    maps_read = 1

    def call(self, inputs: Any) -> Any:
        """Give each image its windows back."""
        merged, pictures = inputs
        return ops.reshape(merged, (*ops.shape(pictures)[:2], merged.shape[-1]))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, n, channels]`."""
        merged, pictures = input_shape
        return (*pictures[:2], merged[-1])

    def images(self, input_shape: tuple) -> int:
        """One again, see `MergeWindows.images`."""
        return 1
