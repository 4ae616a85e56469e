"""Random numbers that are pure functions of (seed, epoch, index of the image).

So resumed runs, other batch sizes and other numbers of workers draw the same. tf.random has no
generator for each example; hence a hash.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class Draw:
    """Numbers in [-1, 1), one for each image in each stream, of which each seed has 64.

    Args:
        index, epoch: int64 `[batch]`, each image's number in its split, and its epoch.
        seed: the run's seed.
    """

    def __init__(self, index: Any, epoch: Any, seed: int) -> None:
        self._position = index, epoch, seed

    def __call__(self, stream: int) -> Any:
        """`[batch]`."""
        return _uniform(*self._position, stream)

    def between(self, low: float, high: float, stream: int) -> Any:
        """Uniform in [low, high)."""
        return low + (high - low) * (self(stream) + 1) / 2

    def normal(self, stream: int) -> Any:
        """Standard normal."""
        return _normal(self(stream))

    def several(self, stream: int, count: int) -> Any:
        """`[batch, count]`, all of one stream."""
        index, epoch, seed = self._position
        parts = tf.range(count, dtype=tf.int64)
        return _uniform(index[:, None], epoch[:, None], seed, stream, parts)

    def normals(self, stream: int, count: int) -> Any:
        """Standard normal, `[batch, count]`, all of one stream."""
        return _normal(self.several(stream, count))


def _normal(uniform: Any) -> Any:
    """Of numbers uniform in [-1, 1) those that are distributed as a standard normal."""
    share = (uniform + 1) / 2
    return tf.math.ndtri(tf.clip_by_value(share, 2.0**-24, 1 - 2.0**-24))


def _uniform(index: Any, epoch: Any, seed: int, stream: int, part: Any = None) -> Any:
    """Numbers in [-1, 1) for each index: a hash, as tf.random has no generator for each example.

    Where a stream gives several numbers for each index, `part` counts them; None: one.

    The mixing is that of SplitMix64 (Steele, Lea, Flood, 2014), on wrapping 64-bit integers.
    """
    state = (
        tf.cast(index, tf.int64) * 0x2545F4914F6CDD1D
        + tf.cast(epoch, tf.int64) * 0x1D8E4E27C47D124F
    )
    if part is not None:  # to add 0 would make TensorFlow round what follows otherwise
        state += tf.cast(part, tf.int64) * 0x5851F42D4C957F2D
    state += seed * 64 + stream
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = tf.bitwise.bitwise_xor(state, _shifted(state, shift))
        state *= factor - (1 << 64)
    state = tf.bitwise.bitwise_xor(state, _shifted(state, 31))
    return tf.cast(_shifted(state, 40), tf.float32) / (1 << 23) - 1


def _shifted(state: Any, bits: int) -> Any:
    """Logical shift to the right of a signed integer."""
    wide = tf.bitcast(state, tf.uint64)
    return tf.bitcast(tf.bitwise.right_shift(wide, tf.cast(bits, tf.uint64)), tf.int64)
