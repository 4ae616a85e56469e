"""Occlusion: what is lost when a part of the image is covered."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.errors import ArgumentError
from kerascnn.explain.arguments import is_whole
from kerascnn.explain.gradients import for_each_layer
from kerascnn.explain.graph import Replay
from kerascnn.explain.targets import Target
from kerascnn.explain.variants import baseline_of, chosen_units, pairs


def occlusion(
    model: keras.Model,
    images: Any,
    target: Any,
    *,
    window: int | tuple[int, int],
    stride: int | tuple[int, int],
    baseline: Any = 0.0,
) -> np.ndarray:
    """How much of the target is lost when a window of the image is covered.

    A window moves over the image and puts the baseline in place of what is under it (Zeiler and
    Fergus, 2014, section 4.2). A pixel's value is the mean of what the target loses, over the
    windows that cover it: positive where the image speaks for the target. The last window of a row
    or column is cut at the border.

    Args:
        model: functional, or a built Sequential, with any activations.
        images: as the network takes them, `[batch, height, width, channels]`.
        target: as in `deconvnet`. The strongest unit of a map is that of the whole image.
        window: side of the window in pixels, or `(height, width)`.
        stride: pixels from one window to the next, at most the window's side; or `(down, right)`.
        baseline: what covers, as the network takes it: a number, one for each channel, or an image
            `[height, width, channels]`.

    Returns:
        `[batch, height, width]`, float32, in the unit of the target.

    Raises:
        ArgumentError: images, target or baseline don't fit the model, or window and stride the
            images.
    """
    window, stride = _pair("window", window), _pair("stride", stride)
    totals = functools.cache(_totals)

    def cover(
        replay: Replay, pixels: tf.Tensor, layer: str | None, targets: Sequence[Target]
    ) -> np.ndarray:
        originals = pixels.numpy()
        nothing = baseline_of(baseline, originals)
        down, right = (_windows(*each) for each in zip(originals.shape[1:3], window, stride))
        chosen = chosen_units(replay, pixels, layer, targets)
        total = totals(replay, layer, *(like.shape[1:] for like in (originals, chosen)))
        losses = np.empty((len(originals), len(down) * len(right)), "float32")
        for image, place in pairs(originals, losses.shape[1]):
            row, column = np.divmod(place, len(right))
            covered = down[row, :, None, None] & right[column, None, :, None]
            shown = np.where(covered, nothing, originals[image])
            losses[image, place] = total(shown, chosen[image])
        losses = total(originals, chosen)[:, None] - losses
        grid = losses.reshape(-1, len(down), len(right))
        sums = np.einsum("nrc,rh,cw->nhw", grid, down, right, optimize=True)
        return (sums / np.outer(down.sum(axis=0), right.sum(axis=0))).astype("float32")

    return for_each_layer(model, images, target, cover)


def _totals(
    replay: Replay, layer: str | None, *shapes: tuple[int, ...]
) -> Callable[..., np.ndarray]:
    """From images and their chosen units to the sums of those units, `[batch]`: one graph.

    Args:
        replay, layer: as `for_each_layer` gives them, the layer played before.
        shapes: of one image, and of the layer's output for it.
    """

    def total(shown: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
        (maps,) = replay.play(shown, [layer])
        return tf.reduce_sum(maps * chosen, axis=range(1, len(maps.shape)))

    specs = [tf.TensorSpec([None, *shape], "float32") for shape in shapes]
    graph = tf.function(total, autograph=False).get_concrete_function(*specs)
    return lambda *arrays: graph(*map(tf.constant, arrays)).numpy()


def _pair(name: str, value: Any) -> tuple[int, int]:
    both = value if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or not all(map(is_whole, both)) or min(both) < 1:
        raise ArgumentError(
            f"{name} must be a whole number of pixels, at least 1, or two of them. Received: "
            f"{value!r}."
        )
    return int(both[0]), int(both[1])


def _windows(size: int, window: int, stride: int) -> np.ndarray:
    """Which of a side's pixels each window covers: bool `[windows, size]`."""
    if window > size or stride > window:
        raise ArgumentError(
            f"window must fit into the image, {size} pixels here, and stride must be at most the "
            f"window, so that every pixel is covered. Received: window={window}, "
            f"stride={stride}."
        )
    start = stride * np.arange(math.ceil((size - window) / stride) + 1)[:, None]
    pixel = np.arange(size)
    return (start <= pixel) & (pixel < start + window)
