"""RandAugment's fourteen operations (Cubuk, Zoph, Shlens, Le, 2019) on a batch of images.

Each is `operation(images, strengths) -> images`: float32 `[batch, height, width, channels]` in
0..255, and a strength in [-1, 1] for each image, whose sign is the direction where there is one.
The largest changes are those of the paper's code; the colour operations are Pillow's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import tensorflow as tf

GREY = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow's
LARGEST_ROTATION = math.pi / 6
LARGEST_SHEAR = 0.3
LARGEST_SHIFT = 100 / 331  # of the side: 100 pixels of the paper's 331
LARGEST_BLEND = 0.9
MOST_BITS = 4  # that posterizing drops

Operation = Callable[[Any, Any], Any]
Border = Literal["edge", "mirror"] | float
_FILL_MODES: dict[Border, str] = {"edge": "NEAREST", "mirror": "REFLECT"}


def blended(images: Any, other: Any, factors: Any) -> Any:
    """From `other` (0) over the images (1) to beyond them (more), a factor for each image."""
    factors = tf.reshape(factors, [-1, 1, 1, 1])
    return tf.clip_by_value(other + factors * (images - other), 0, 255)


def grey(images: Any) -> Any:
    """Luminance `[batch, height, width, 1]`; the mean where there aren't three channels."""
    if images.shape[-1] == 3:
        return tf.reduce_sum(images * tf.constant(GREY), axis=-1, keepdims=True)
    return tf.reduce_mean(images, axis=-1, keepdims=True)


def contrasted(images: Any, factors: Any) -> Any:
    """Away from the mean luminance, or towards it."""
    return blended(images, tf.reduce_mean(grey(images), axis=(1, 2), keepdims=True), factors)


def transformed(
    images: Any,
    matrices: Any,
    size: tuple[int, int] | None = None,
    *,
    border: Border = 0.0,
    nearest: bool = False,
) -> Any:
    """Images resampled bilinearly.

    Args:
        images: float32 `[batch, height, width, channels]`; also uint8 where `nearest`.
        matrices: `[batch, 2, 3]`, from a pixel (x, y, 1) of the result to one of the image; or
            `[1, 2, 3]` for all.
        size: `(height, width)` of the result; default: the image's.
        border: what is outside of the image: a value; "edge", the nearest pixel; or "mirror", the
            image mirrored at its edges, the outermost pixels twice.
        nearest: take the nearest pixel in place of a mean of four.
    """
    fill = 0.0 if isinstance(border, str) else border
    flat = tf.reshape(matrices, [-1, 6])
    result = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.concat([flat, tf.zeros_like(flat[:, :2])], axis=1),
        output_shape=size or tf.shape(images)[1:3],
        fill_value=fill,
        interpolation="NEAREST" if nearest else "BILINEAR",
        fill_mode=_FILL_MODES.get(border, "CONSTANT"),
    )
    return tf.ensure_shape(result, [images.shape[0], *(size or images.shape[1:3]), images.shape[3]])


def _identity(images: Any, strengths: Any) -> Any:
    return images


def _autocontrast(images: Any, strengths: Any) -> Any:
    low = tf.reduce_min(images, axis=(1, 2), keepdims=True)
    span = tf.reduce_max(images, axis=(1, 2), keepdims=True) - low
    return tf.where(span > 0, tf.math.divide_no_nan((images - low) * 255, span), images)


def _equalize(images: Any, strengths: Any) -> Any:
    """Every channel's histogram made even."""
    pixels = tf.cast(tf.clip_by_value(tf.round(images), 0, 255), tf.int32)
    shape = tf.shape(pixels)
    planes = tf.reshape(tf.transpose(pixels, [0, 3, 1, 2]), [shape[0] * shape[3], -1])
    offsets = tf.range(tf.shape(planes)[0])[:, None] * 256
    bins = tf.math.bincount(tf.reshape(planes + offsets, [-1]), minlength=tf.size(offsets) * 256)
    bins = tf.reshape(bins, [-1, 256])
    brightest = tf.gather(bins, tf.reduce_max(planes, axis=1), batch_dims=1)
    step = (tf.reduce_sum(bins, axis=1) - brightest) // 255
    below = tf.cumsum(bins, axis=1, exclusive=True)
    table = (below + step[:, None] // 2) // tf.maximum(step[:, None], 1)
    table = tf.where(step[:, None] > 0, tf.minimum(table, 255), tf.range(256)[None])
    planes = tf.gather(table, planes, batch_dims=1)
    planes = tf.reshape(planes, tf.gather(shape, [0, 3, 1, 2]))
    return tf.cast(tf.transpose(planes, [0, 2, 3, 1]), tf.float32)


def _posterize(images: Any, strengths: Any) -> Any:
    width = tf.pow(2.0, tf.round(MOST_BITS * tf.abs(strengths)))[:, None, None, None]
    return tf.floor(images / width) * width


def _solarize(images: Any, strengths: Any) -> Any:
    threshold = 256 * (1 - tf.abs(strengths))[:, None, None, None]
    return tf.where(images < threshold, images, 255 - images)


def _colour(images: Any, strengths: Any) -> Any:
    return blended(images, grey(images), 1 + LARGEST_BLEND * strengths)


def _contrast(images: Any, strengths: Any) -> Any:
    return contrasted(images, 1 + LARGEST_BLEND * strengths)


def _brightness(images: Any, strengths: Any) -> Any:
    return blended(images, 0.0, 1 + LARGEST_BLEND * strengths)


def _sharpness(images: Any, strengths: Any) -> Any:
    """Away from a smoothed image, or towards it; the border stays."""
    # Sums of slices: TensorFlow's convolutions give wrong shapes for a batch of none.
    inner = images[:, 1:-1, 1:-1]
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    box = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    detail = inner - (box + 4 * inner) / 13
    smooth = images - tf.pad(detail, [[0, 0], [1, 1], [1, 1], [0, 0]])
    return blended(images, smooth, 1 + LARGEST_BLEND * strengths)


def _moved(images: Any, xx: Any, xy: Any, yx: Any, yy: Any, right: Any, down: Any) -> Any:
    """Around the centre, by a matrix for each image; 0 comes in from outside."""
    x, y = (images.shape[2] - 1) / 2, (images.shape[1] - 1) / 2
    dx, dy = x - xx * x - xy * y + right, y - yx * x - yy * y + down
    matrices = tf.reshape(tf.stack([xx, xy, dx, yx, yy, dy], axis=1), [-1, 2, 3])
    return transformed(images, matrices)


def _rotate(images: Any, strengths: Any) -> Any:
    cos, sin = tf.cos(strengths * LARGEST_ROTATION), tf.sin(strengths * LARGEST_ROTATION)
    zero = tf.zeros_like(strengths)
    return _moved(images, cos, -sin, sin, cos, zero, zero)


def _shear_x(images: Any, strengths: Any) -> Any:
    zero, one = tf.zeros_like(strengths), tf.ones_like(strengths)
    return _moved(images, one, LARGEST_SHEAR * strengths, zero, one, zero, zero)


def _shear_y(images: Any, strengths: Any) -> Any:
    zero, one = tf.zeros_like(strengths), tf.ones_like(strengths)
    return _moved(images, one, zero, LARGEST_SHEAR * strengths, one, zero, zero)


def _shift_x(images: Any, strengths: Any) -> Any:
    zero, one = tf.zeros_like(strengths), tf.ones_like(strengths)
    right = tf.round(LARGEST_SHIFT * images.shape[2] * strengths)
    return _moved(images, one, zero, zero, one, right, zero)


def _shift_y(images: Any, strengths: Any) -> Any:
    zero, one = tf.zeros_like(strengths), tf.ones_like(strengths)
    down = tf.round(LARGEST_SHIFT * images.shape[1] * strengths)
    return _moved(images, one, zero, zero, one, zero, down)


OPERATIONS: tuple[Operation, ...] = (
    *(_identity, _autocontrast, _equalize, _rotate, _solarize, _colour, _posterize),
    *(_contrast, _brightness, _sharpness, _shear_x, _shear_y, _shift_x, _shift_y),
)
