"""Many variants of a few images: what they are mixed with, and in which units they are seen."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kerascnn.errors import ArgumentError
from kerascnn.explain.gradients import at_once
from kerascnn.explain.graph import Replay
from kerascnn.explain.targets import Target, units


def pairs(images: np.ndarray, variants: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every image with each of its variants, as many at once as memory is to be used for.

    Args:
        images: `[batch, height, width, channels]`.
        variants: of each image.

    Yields:
        Numbers of images, and of their variants: two arrays of one length.
    """
    size, total = at_once(images), len(images) * variants
    for start in range(0, total, size):
        yield np.divmod(np.arange(start, min(start + size, total)), variants)


def chosen_units(
    replay: Replay, pixels: tf.Tensor, layer: str | None, targets: Sequence[Target]
) -> np.ndarray:
    """The units that targets mean in these images, to be looked at in their variants, too.

    Returns:
        Ones and zeros, `[batch, ..., channels]` as the layer's output.
    """
    return units(targets, replay.play(pixels, [layer])[0].numpy())


def baseline_of(baseline: Any, images: np.ndarray) -> np.ndarray:
    """The image that stands for nothing, in the shape of each image: `[height, width, channels]`.

    Args:
        baseline: a number, one for each channel, or an image.
        images: `[batch, height, width, channels]`.

    Raises:
        ArgumentError: it is none of these.
    """
    shape = images.shape[1:]
    try:
        found = np.asarray(baseline, "float32")
    except (TypeError, ValueError):
        found = None
    if found is None or not np.isfinite(found).all():
        received = reprlib.repr(baseline)
    elif found.shape not in ((), shape[-1:], shape):
        received = f"an array of shape {found.shape}"
    else:
        return np.broadcast_to(found, shape)
    raise ArgumentError(
        f"baseline must be a number, an array of {shape[-1]} (one for each channel) or an image of "
        f"shape {shape}, all finite, as the network takes it. Received: {received}."
    )
