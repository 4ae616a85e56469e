"""From scikit-learn's numbers to images: rows of numbers or images, of any range, to 8 bits."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from kerascnn.data.fitting import Shape
from kerascnn.errors import ArgumentError

LARGEST = 255  # of 8 bits


def shape_of(samples: np.ndarray, asked: Shape | None) -> Shape:
    """`(height, width, channels)` of the images that samples hold.

    Rows of numbers without a shape are square images: gray if their number is a square, colour if
    a third of it is. What is neither is put into the smallest gray square that holds it, with a
    warning.

    Args:
        samples: `[n, height, width, channels]`, `[n, height, width]` or rows `[n, numbers]`.
        asked: what the user says that rows are.

    Raises:
        ArgumentError: they are not of the shape asked for, or no images.
    """
    own = samples.shape[1:]
    if len(own) in (2, 3):
        found = (own[0], own[1], own[2] if len(own) == 3 else 1)
        if asked is not None and found != tuple(asked):
            raise ArgumentError(f"image_shape is {tuple(asked)}. Received: images of {found}.")
        return found
    if len(own) != 1:
        raise ArgumentError(
            "Expected images [n, height, width, channels], or one row of numbers for each. "
            f"Received: an array {list(samples.shape)}."
        )
    (count,) = own
    if asked is not None:
        if math.prod(asked) != count:
            raise ArgumentError(
                f"image_shape {tuple(asked)} has {math.prod(asked)} numbers. "
                f"Received: rows of {count}."
            )
        height, width, channels = asked
        return height, width, channels
    for channels in (1, 3):
        side = math.isqrt(count // channels)
        if side * side * channels == count:
            return side, side, channels
    side = math.isqrt(count - 1) + 1
    warnings.warn(
        f"Rows of {count} numbers are no square image: they are put into one of {side}×{side}, "
        "whose last pixels are black. If they are an image, pass "
        "image_shape=(height, width, channels).",
        stacklevel=3,
    )
    return side, side, 1


def range_of(samples: np.ndarray, asked: tuple[float, float] | None) -> tuple[float, float]:
    """The numbers that are black and white.

    Args:
        samples: those of training. Without a range, 8-bit numbers have theirs, and of others the
            least is black and the greatest white.
        asked: the user's.

    Raises:
        ArgumentError: it isn't two rising numbers.
    """
    if asked is None:
        if samples.dtype == np.uint8:
            return 0.0, float(LARGEST)
        return float(samples.min()), float(samples.max())
    low, high = map(float, asked)
    if not low < high < math.inf or low == -math.inf:
        raise ArgumentError(
            f"value_range must be (black, white), two rising numbers. Received: {asked}."
        )
    return low, high


def images_of(samples: np.ndarray, shape: Shape, values: tuple[float, float]) -> np.ndarray:
    """Samples as images uint8 `[n, *shape]`; what is beyond the range is black or white.

    Args:
        samples: as `shape_of` takes them.
        shape: what that has found.
        values: what `range_of` has found.
    """
    low, high = values
    if samples.dtype == np.uint8 and values == (0, LARGEST):
        scaled: Any = samples
    else:
        share = (samples.astype("float64") - low) / ((high - low) or 1)
        scaled = np.rint(np.clip(share, 0, 1) * LARGEST).astype("uint8")
    rows = scaled.reshape(len(samples), -1)
    rest = math.prod(shape) - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, rest))).reshape(len(samples), *shape)
