"""He's initialization, drawn in a fraction of the time that Keras takes.

The numbers are drawn by NumPy, in parts of a fixed size that each have a generator of their own: so
they depend on the seed alone, and several threads draw at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from kerascnn import processors

PART = 2**17  # values that one generator draws
CHUNK = 2**15  # of them at a time, so that they stay in the processor's cache
CUT = 2.0  # standard deviations
SHRUNK = 0.87962566103423978  # standard deviation of a standard normal one that is cut there


class HeNormal(keras.initializers.HeNormal):
    """`keras.initializers.HeNormal`: normal, cut at two deviations, `sqrt(2 / fan_in)` wide.

    The same distribution, other numbers of a seed. In a saved model it goes by the name of Keras's
    own, so that nothing of ours is needed to load that.

    Seeds other than whole numbers, other types than float32, other backends than TensorFlow and
    graphs get Keras's own numbers.
    """

    __module__ = "keras.initializers"

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """A tensor `[..., in, out]` of random values."""
        kind = keras.backend.standardize_dtype(dtype)
        if not isinstance(self.seed, int) or kind != "float32" or not _eager():
            return super().__call__(shape, dtype)
        fan_in = math.prod(shape[:-1])
        deviation = math.sqrt(2 / max(1, fan_in)) / SHRUNK
        return keras.ops.convert_to_tensor(truncated_normal(shape, deviation, self.seed))


HeNormal.__qualname__ = HeNormal.__name__


def _eager() -> bool:
    """Whether arrays can be made now; in a graph they would be large constants."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.executing_eagerly())


def truncated_normal(shape: Sequence[int], deviation: float, seed: int) -> np.ndarray:
    """float32 values of a normal distribution around 0, none farther than two deviations.

    Args:
        shape: of the array.
        deviation: standard deviation before it is cut.
        seed: whole number, from which all follows, whatever the number of threads.
    """
    values = np.empty(math.prod(shape), np.float32)
    parts = [values[start : start + PART] for start in range(0, len(values), PART)]
    seeds = np.random.SeedSequence(seed).spawn(len(parts))
    work = [(part, seed, np.float32(deviation)) for part, seed in zip(parts, seeds)]
    if len(parts) < 2:
        for one in work:
            _draw(*one)
    else:
        with ThreadPoolExecutor(min(len(parts), processors.available())) as pool:
            list(pool.map(lambda one: _draw(*one), work))
    return values.reshape(shape)


def _draw(values: np.ndarray, seed: np.random.SeedSequence, deviation: np.float32) -> None:
    """Fill the array."""
    generator = np.random.Generator(np.random.SFC64(seed))
    for start in range(0, len(values), CHUNK):
        chunk = values[start : start + CHUNK]
        generator.standard_normal(out=chunk, dtype=np.float32)
        far = np.flatnonzero(np.abs(chunk) > CUT)
        while len(far):
            again = generator.standard_normal(len(far), dtype=np.float32)
            chunk[far] = again
            far = far[np.abs(again) > CUT]
        chunk *= deviation
