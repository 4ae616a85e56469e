"""Pixels to the network's size and channels: padded, resized, cropped, grey or colour.

The same code adapts what files and what archives hold, so an image is the same from both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from kerascnn.errors import DataError

Shape = tuple[int, int, int]

# A target that is larger by at most this many pixels on each axis, both sides together, is reached
# by padding, as the paper takes MNIST's 28×28 to 32×32; every other size by resizing.
PAD_LIMIT = 8


def eight_bits(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Numbers of any kind as uint8: the limits become 0 and 255, what is beyond is cut off."""
    low, high = limits
    scaled = (np.nan_to_num(values.astype("float64"), nan=low) - low) * (255 / (high - low))
    return np.clip(np.floor(scaled + 0.5), 0, 255).astype("uint8")


def fit(images: np.ndarray, shape: Shape) -> tuple[np.ndarray, tuple[str, ...]]:
    """Images of another size or number of channels, as the network takes them.

    A target larger by at most `PAD_LIMIT` pixels on each axis is reached with zeros around the
    image. Otherwise the image is scaled to cover the target, keeping its aspect ratio (bilinear,
    antialiased), and the middle is taken. One channel is repeated; three become their luminance
    (ITU-R 601).

    Args:
        images: uint8 `[n, height, width, channels]`.
        shape: `(height, width, channels)` wanted.

    Returns:
        uint8 `[n, *shape]`, and a phrase for each conversion.

    Raises:
        DataError: no rule leads from these channels to those.
    """
    height, width, target = shape
    channels = images.shape[3]
    if channels not in (1, target) and (channels, target) != (3, 1):
        raise DataError(
            f"Images with {channels} channels can't be converted to {target}: one channel is "
            "repeated, three become one, everything else is left to you. Expected images "
            f"[n, height, width, channels]. Received: {list(images.shape)}."
        )
    changes: list[str] = []
    if grows_or_shrinks(images.shape[1:3], shape):
        images = np.stack([_cover_array(image, shape) for image in images])
        changes.append(f"resized to {height}×{width}")
    elif images.shape[1:3] != shape[:2]:
        images = _padded(images, height, width)
        changes.append(f"padded with zeros to {height}×{width}")
    if channels == 3 and target == 1:
        images = _luminance(images)
        changes.append("converted from colour to grey")
    elif channels == 1 and target != 1:
        images = np.repeat(images, target, axis=3)
        changes.append(f"grey repeated to {target} channels")
    return images, tuple(changes)


@dataclass(frozen=True)
class Placement:
    """Where `fit` puts an image on the canvas: an edge at x comes to `scale * x + offset`.

    Attributes:
        scale, offset: down and across; the offset in pixels of the canvas.
    """

    scale: tuple[float, float]
    offset: tuple[float, float]

    @classmethod
    def of(cls, size: tuple[int, int], shape: Shape) -> Placement:
        """Of an image `(height, width)` on a canvas `(height, width, channels)`."""
        if not grows_or_shrinks(size, shape):
            down, across = ((wanted - side) // 2 for side, wanted in zip(size, shape))
            return cls((1.0, 1.0), (float(down), float(across)))
        left, top, right, bottom = _window(size, shape)
        tall, wide = shape[0] / (bottom - top), shape[1] / (right - left)
        return cls((tall, wide), (-top * tall, -left * wide))

    def nearest(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Which row and column of the image the middle of each pixel of the canvas is in.

        Args:
            size: `(height, width)` of the canvas.

        Returns:
            int64 `[height]` and `[width]`; beyond the image where the canvas is padded.
        """
        rows, columns = (
            np.floor((np.arange(side) + 0.5 - offset) / scale).astype("int64")
            for side, offset, scale in zip(size, self.offset, self.scale)
        )
        return rows, columns


def uncut(image: np.ndarray, shape: Shape) -> np.ndarray:
    """One image as `fit` makes it, but whole: what would be cut off the longer side stays.

    With a square target that is the image with its shorter side scaled to the target's.

    Args:
        image: uint8 `[height, width, channels]`.
        shape: `(height, width, channels)` to cover.

    Returns:
        uint8, at least as high and wide as `shape` says, and as one of them exactly.

    Raises:
        DataError: see `fit`.
    """
    if grows_or_shrinks(image.shape[:2], shape):
        scale = max(wanted / side for side, wanted in zip(image.shape, shape[:2]))
        height, width = (
            max(wanted, round(scale * side)) for side, wanted in zip(image.shape, shape[:2])
        )
        image = _cover_array(image, (height, width, shape[2]))
        shape = (height, width, shape[2])
    return fit(image[None], shape)[0][0]


def _luminance(images: np.ndarray) -> np.ndarray:
    """Pillow's integer arithmetic, so that arrays and files agree."""
    weighted = images @ np.array([19595, 38470, 7471], "uint32")
    return ((weighted + 0x8000) >> 16).astype("uint8")[..., None]


def grows_or_shrinks(size: tuple[int, ...], shape: Shape) -> bool:
    """Whether padding doesn't do."""
    return not all(0 <= wanted - side <= PAD_LIMIT for side, wanted in zip(size, shape))


def _padded(images: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = height - images.shape[1], width - images.shape[2]
    around = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
    return np.pad(images, ((0, 0), *around, (0, 0)))


def cover(image: Image.Image, shape: Shape) -> Image.Image:
    """Scaled to cover the target; the middle of it."""
    height, width, _ = shape
    box = _window((image.height, image.width), shape)
    return image.resize((width, height), Image.Resampling.BILINEAR, box, reducing_gap=2.0)


def _window(size: tuple[int, int], shape: Shape) -> tuple[float, float, float, float]:
    """What of an image `(height, width)` covers the target: left, top, right and bottom."""
    height, width = size
    scale = max(shape[0] / height, shape[1] / width)
    # Not beyond the image, which rounding would allow and Pillow refuses.
    wide, high = min(width, shape[1] / scale), min(height, shape[0] / scale)
    left, top = (width - wide) / 2, (height - high) / 2
    return left, top, min(width, left + wide), min(height, top + high)


def _cover_array(image: np.ndarray, shape: Shape) -> np.ndarray:
    """The same for an array, `[height, width, channels]`; each channel is scaled by itself."""
    if image.shape[2] == 3:
        return array_of(cover(Image.fromarray(image), shape))
    planes = np.moveaxis(image, 2, 0)
    scaled = [array_of(cover(Image.fromarray(plane), shape)) for plane in planes]
    return np.concatenate(scaled, axis=2)


def array_of(image: Image.Image) -> np.ndarray:
    """uint8 `[height, width, 1 or 3]`."""
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def cut_out(batch: Any, top: Any, left: Any, mirrored: Any, size: tuple[int, int]) -> Any:
    """A part of each image or mask, perhaps mirrored: `[batch, height, width, ...]`.

    Arguments as those of `kerascnn.data.targets.Targets.cut`.
    """
    import tensorflow as tf

    height, width = size
    top, left, mirrored = (part[:, None] for part in (top, left, mirrored))
    batch = tf.gather(batch, top + tf.range(height), axis=1, batch_dims=1)
    columns = tf.where(mirrored, width - 1 - tf.range(width), tf.range(width))
    return tf.gather(batch, left + columns, axis=2, batch_dims=1)
