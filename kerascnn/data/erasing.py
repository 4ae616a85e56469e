"""Random erasing (Zhong, Zheng, Kang, Li, Yang, 2017, arXiv:1708.04896), for a whole batch at once.

A rectangle of an image is replaced by random values, each pixel's own, which the paper found to be
better than a mean, black or white. They are pixels in 0..255: what a network wants of pixels comes
behind it. A shape that doesn't fit is drawn again, as in the paper; its place is drawn among those
where it fits, where the paper would draw the shape again, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kerascnn.data.draws import Draw
from kerascnn.recipes.recipe import Augmentation

ATTEMPTS = 16  # at a shape that fits; after them the image stays as it is
# Streams of random numbers: see `kerascnn.data.draws`.
_WHETHER, _AREA, _ASPECT, _LEFT, _TOP, _SHIFT = range(24, 30)


def erased(images: Any, draw: Draw, changes: Augmentation, seed: int) -> Any:
    """Images, some of them with a rectangle of noise.

    Args:
        images: float32 `[batch, height, width, channels]` in 0..255.
        draw: of these images.
        changes: its `erase`, `erase_area` and `erase_aspect`.
        seed: the run's.
    """
    height, width = images.shape[1:3]
    chosen = (draw(_WHETHER) + 1) / 2 < changes.erase
    top, left, tall, wide = rectangles(draw, changes, (height, width))
    rows, columns = tf.range(height)[None, :, None], tf.range(width)[None, None, :]
    inside = (
        chosen[:, None, None]
        & (rows >= top[:, None, None])
        & (rows < (top + tall)[:, None, None])
        & (columns >= left[:, None, None])
        & (columns < (left + wide)[:, None, None])
    )
    return tf.where(inside[..., None], _noise(images.shape[1:], draw, seed), images)


def rectangles(draw: Draw, changes: Augmentation, size: tuple[int, int]) -> tuple[Any, ...]:
    """Top, left, height and width of what is erased, int32 `[batch]` each.

    The height is 0 where no shape fits.
    """
    height, width = size
    area = _between(draw.several(_AREA, ATTEMPTS), *changes.erase_area) * (height * width)
    aspect = _between(draw.several(_ASPECT, ATTEMPTS), *changes.erase_aspect)
    tall = tf.cast(tf.round(tf.sqrt(area * aspect)), tf.int32)
    wide = tf.cast(tf.round(tf.sqrt(area / aspect)), tf.int32)
    fits = (tall <= height) & (wide <= width)
    first = tf.argmax(fits, axis=1, output_type=tf.int32)
    tall, wide = (tf.gather(sides, first, batch_dims=1) for sides in (tall, wide))
    tall = tf.where(tf.reduce_any(fits, axis=1), tall, 0)
    top, left = (
        tf.cast(tf.floor((draw(stream) + 1) / 2 * tf.cast(side - kept + 1, tf.float32)), tf.int32)
        for stream, side, kept in ((_TOP, height, tall), (_LEFT, width, wide))
    )
    return top, left, tall, wide


def _between(uniform: Any, low: float, high: float) -> Any:
    return low + (high - low) * (uniform + 1) / 2


def _noise(shape: tuple[int, int, int], draw: Draw, seed: int) -> Any:
    """Pixels, each uniform in [0, 256): one texture, shifted modulo 256 for each image.

    A hash for each pixel of a batch would take longer than all other changes together.
    """
    texture = np.random.default_rng(seed).uniform(0, 256, shape).astype("float32")
    shift = 128 * (draw(_SHIFT) + 1)
    return tf.math.floormod(tf.constant(texture) + shift[:, None, None, None], 256.0)
