"""Motion: how a batch of images was moved, so that masks and boxes follow them.

Drawn by `augmentation.motion`, as a function of seed, epoch and image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from kerascnn.data.randaugment import Border, transformed

_STEPS = 8  # of the search for where a point of a deformed canvas comes to lie


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Where each pixel of the results comes from on the canvas; a point is (x, y) of a pixel.

    Whole numbers are the middles of pixels: the canvas reaches from -0.5 to `width - 0.5`.

    Attributes:
        matrices: float32 `[batch, 2, 3]`, from a pixel (x, y, 1) of the result to the canvas.
        displacement: float32 `[batch, height, width, 2]`, added to that, in pixels of the canvas;
            None: nothing is.
        size: `(height, width)` of the results.
        border: what is outside of the canvas: "zero", or "mirror"; see `Augmentation`.
    """

    matrices: Any
    displacement: Any = None
    size: tuple[int, int]
    border: str = "zero"

    def pixels(self, images: Any) -> Any:
        """Images moved, in bilinear interpolation.

        Args:
            images: float32 `[batch, height, width, channels]` of the canvas.

        Returns:
            float32 `[batch, *size, channels]`.
        """
        border: Border = "mirror" if self.border == "mirror" else 0.0
        if self.displacement is None:
            return transformed(images, self.matrices, self.size, border=border)
        return _bilinear(images, self._points(), border)

    def labels(self, masks: Any, outside: int) -> Any:
        """Masks moved, the nearest pixel of each.

        Args:
            masks: uint8 `[batch, height, width]` of the canvas.
            outside: what is outside of the canvas unless the border is mirrored.

        Returns:
            uint8 `[batch, *size]`.
        """
        border: Border = "mirror" if self.border == "mirror" else float(outside)
        masks = masks[..., None]
        if self.displacement is None:
            moved = transformed(masks, self.matrices, self.size, border=border, nearest=True)
        else:
            x, y = tf.unstack(tf.cast(tf.floor(self._points() + 0.5), tf.int32), axis=3)
            moved = _at(masks, x, y, border)
        return moved[..., 0]

    def landed(self, points: Any) -> Any:
        """Where points of the canvas come to lie in the results.

        Args:
            points: float32 `[batch, count, 2]`.

        Returns:
            float32 `[batch, count, 2]`: exact without a displacement; with one, found step by step,
            which converges as long as the deformation doesn't fold the image.
        """
        found = self._back(points)
        if self.displacement is None:
            return found
        last = np.array(self.size[::-1], "float32") - 1
        for _ in range(_STEPS):
            places = tf.clip_by_value(found, 0.0, last)  # beyond the edge it goes on as at the edge
            displacement = _bilinear(self.displacement, places[:, None], 0.0)[:, 0]
            found = self._back(points - displacement)
        return found

    def _points(self) -> Any:
        """float32 `[batch, height, width, 2]`: where each pixel of the results comes from."""
        columns, rows = np.meshgrid(*(np.arange(side, dtype="float32") for side in self.size[::-1]))
        xx, xy, dx, yx, yy, dy = self._entries(2)
        places = tf.stack(
            [xx * columns + xy * rows + dx, yx * columns + yy * rows + dy],
            axis=-1,
        )
        return places if self.displacement is None else places + self.displacement

    def _back(self, points: Any) -> Any:
        """Through the inverse of the matrices, `[batch, count, 2]`."""
        xx, xy, dx, yx, yy, dy = self._entries(1)
        x, y = points[..., 0] - dx, points[..., 1] - dy
        area = xx * yy - xy * yx
        return tf.stack([(yy * x - xy * y) / area, (xx * y - yx * x) / area], axis=-1)

    def _entries(self, axes: int) -> list[Any]:
        """xx, xy, dx, yx, yy, dy of the matrices, for products with so many axes after the batch.

        Products of numbers, not of matrices, whose rounding depends on the batch.
        """
        return tf.unstack(tf.reshape(self.matrices, [-1, *(1,) * axes, 6]), axis=-1)


def _bilinear(images: Any, points: Any, border: Border) -> Any:
    """float32 images `[batch, ..., channels]` at points `[batch, h, w, 2]`."""
    first = tf.floor(points)
    right, down = tf.split(points - first, 2, axis=3)
    x, y = tf.unstack(tf.cast(first, tf.int32), axis=3)
    rows = [
        _at(images, x, row, border) * (1 - right) + _at(images, x + 1, row, border) * right
        for row in (y, y + 1)
    ]
    return rows[0] * (1 - down) + rows[1] * down


def _at(images: Any, x: Any, y: Any, border: Border) -> Any:
    """The pixels at whole numbers: `[batch, h, w, channels]`; `x` and `y` are `[batch, h, w]`."""
    height, width = images.shape[1:3]
    inside_x, inside_y = (
        (_mirrored(x, width), _mirrored(y, height))
        if border == "mirror"
        else (tf.clip_by_value(x, 0, width - 1), tf.clip_by_value(y, 0, height - 1))
    )
    shape = tf.shape(images)
    flat = tf.reshape(images, [shape[0], height * width, images.shape[3]])
    found = tf.gather(flat, inside_y * width + inside_x, batch_dims=1)
    if isinstance(border, str):
        return found
    inside = (inside_x == x) & (inside_y == y)
    return tf.where(inside[..., None], found, tf.cast(border, images.dtype))


def _mirrored(position: Any, size: int) -> Any:
    """A side's pixels again and again, each time backwards: d c b a | a b c d | d c b a."""
    place = tf.math.floormod(position, 2 * size)
    return tf.minimum(place, 2 * size - 1 - place)
