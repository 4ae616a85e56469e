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
    """One rotation, zoom, shift and flip for each image, in a single resampling.

    Args:
        images: `[batch, height, width, channels]`, uint8 or float; pixels that come from outside
            are 0.
        index: int64 `[batch]`, each image's number in its split.
        epoch: int64 scalar.
        seed: the run's seed.
        augmentation: the largest changes.

    Returns:
        float32 images of the same shape.
    """
    images = tf.cast(images, tf.float32)
    a = augmentation
    if not (a.shift or a.rotation or a.zoom or a.flip):
        return images
    height, width = (tf.cast(n, tf.float32) for n in tf.unstack(tf.shape(images)[1:3]))
    draws = [_uniform(index, epoch, seed, stream) for stream in range(5)]
    angle = draws[0] * (a.rotation * math.pi / 180)
    scale = 1 / (1 + draws[1] * a.zoom)
    mirror = tf.where(draws[4] > 0, -1.0, 1.0) if a.flip else tf.ones_like(scale)
    # The transform maps a pixel of the output to its place in the input, around the centre.
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    x, y = (width - 1) / 2, (height - 1) / 2
    right, down = draws[2] * a.shift * width, draws[3] * a.shift * height
    zero = tf.zeros_like(cos)
    transforms = tf.stack(
        [
            *(cos * mirror, -sin, x - cos * mirror * x + sin * y + right),
            *(sin * mirror, cos, y - sin * mirror * x - cos * y + down),
            *(zero, zero),
        ],
        axis=1,
    )
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
