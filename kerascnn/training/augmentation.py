"""Random changes of training images, inside tf.data and for a whole batch at once.

Each image's change is a pure function of (seed, epoch, index of the image): resumed runs, other
batch sizes and other numbers of workers see the same images.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from kerascnn.training.recipes import Augmentation


def augment(images: Any, index: Any, epoch: Any, *, seed: int, augmentation: Augmentation) -> Any:
    """Rotation, zoom, shear, shift and flip for each image, in a single resampling.

    Args:
        images: `[batch, height, width, channels]`, uint8 or float; pixels that come from outside
            are 0.
        index, epoch: int64 `[batch]`, each image's number in its split, and its epoch.
        seed: the run's seed.
        augmentation: the largest changes.

    Returns:
        float32 images of the same shape.
    """
    images = tf.cast(images, tf.float32)
    if augmentation == Augmentation():
        return images
    height, width = (tf.cast(n, tf.float32) for n in tf.unstack(tf.shape(images)[1:3]))
    turn, grow, right, down, slant, mirror = (
        _uniform(index, epoch, seed, stream) for stream in range(6)
    )
    angle = turn * (augmentation.rotation * math.pi / 180)
    scale = 1 / (1 + grow * augmentation.zoom)
    slant *= augmentation.shear
    mirrored = tf.where(mirror > 0, -1.0, 1.0) if augmentation.flip else tf.ones_like(scale)
    # Output pixel → input pixel: mirror, then shear, then turn and scale, all around the centre.
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    xx, xy = cos * mirrored, cos * slant - sin
    yx, yy = sin * mirrored, sin * slant + cos
    x, y = (width - 1) / 2, (height - 1) / 2
    dx = x - xx * x - xy * y + right * augmentation.shift * width
    dy = y - yx * x - yy * y + down * augmentation.shift * height
    zero = tf.zeros_like(xx)
    transforms = tf.stack([xx, xy, dx, yx, yy, dy, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _uniform(index: Any, epoch: Any, seed: int, stream: int) -> Any:
    """Numbers in [-1, 1) for each index: a hash, as tf.random has no generator for each example.

    The mixing is that of SplitMix64 (Steele, Lea, Flood, 2014), on wrapping 64-bit integers.
    """
    state = (
        tf.cast(index, tf.int64) * 0x2545F4914F6CDD1D
        + tf.cast(epoch, tf.int64) * 0x1D8E4E27C47D124F
    )
    state += seed * 8 + stream
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = tf.bitwise.bitwise_xor(state, _shifted(state, shift))
        state *= factor - (1 << 64)
    state = tf.bitwise.bitwise_xor(state, _shifted(state, 31))
    return tf.cast(_shifted(state, 40), tf.float32) / (1 << 23) - 1


def _shifted(state: Any, bits: int) -> Any:
    """Logical shift to the right of a signed integer."""
    wide = tf.bitcast(state, tf.uint64)
    return tf.bitcast(tf.bitwise.right_shift(wide, tf.cast(bits, tf.uint64)), tf.int64)
