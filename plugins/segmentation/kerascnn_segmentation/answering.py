"""Masks of photos of any size, one photo after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np

from kerascnn.data import PAD_LIMIT, Split, fit, read_whole, uncut
from kerascnn.tasks import Prediction, Sight
from kerascnn_segmentation import measures
from kerascnn_segmentation.task import OWN
from kerascnn_segmentation.tiles import Tiled
from kerascnn_segmentation.writing import Outlined

Outline = Callable[[np.ndarray], np.ndarray]
"""From a photo, uint8 `[height, width, channels]`, to its mask, uint8 `[height, width]`."""


def predicted(
    scores: keras.Model, sight: Sight, files: Iterable[Any], *, size: str, batch_size: int
) -> Iterator[Prediction]:
    """See `kerascnn_segmentation.task.Segmentation.predict_files`."""
    outline = outliner(scores, sight, size, batch_size)
    for photo in read_whole(files, sight.input_shape[2], reading=sight.reading):
        if photo.pixels is None:
            yield Prediction(photo.path, None, photo.changes, photo.error)
            continue
        changes = photo.changes
        if size == OWN and photo.pixels.shape != sight.canvas:
            height, width = sight.canvas[:2]
            changes += (f"looked at unscaled, not as {height}×{width} (--size trained)",)
        yield Prediction(photo.path, Outlined(outline(photo.pixels), photo.pixels), changes)


def judged(scores: keras.Model, sight: Sight, images: Split, *, batch_size: int) -> dict[str, Any]:
    """The measures over images in their own size, and the confusion matrix of their pixels.

    Raises:
        RunError: the network's answers are not numbers.
        DataError: an image or its mask can't be read.
    """
    outline = outliner(scores, sight, OWN, batch_size)
    classes, channels = sight.classes, sight.input_shape[2]
    matrix = np.zeros((classes, classes), "int64")
    for position in range(images.size):
        stored = images.original(position)
        photo = fit(stored[None], (stored.shape[0], stored.shape[1], channels))[0][0]
        matrix += measures.confusion_of(images.targets.checked(position), outline(photo), classes)
    return {"loss": None, **measures.figures(matrix), "confusion": matrix.tolist()}


def outliner(scores: keras.Model, sight: Sight, size: str, batch_size: int) -> Outline:
    """A function that finds the mask of a photo, whatever its size.

    Args:
        scores: the network before its softmax; its first output counts.
        sight: how it sees images.
        size: one of `kerascnn_segmentation.task.SIZES`.
        batch_size: images of the trained size that may be looked at in one step.
    """
    tiled = Tiled(scores, sight, batch_size=batch_size)
    if size == OWN:
        return tiled.mask
    return lambda photo: resized(tiled.mask(uncut(photo, sight.canvas)), photo.shape[:2])


def resized(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The mask of a photo as `uncut` has changed it, in the photo's own size.

    Args:
        mask: uint8 `[rows, columns]`.
        size: `(height, width)` of the photo.
    """
    if all(0 <= side - own <= PAD_LIMIT for side, own in zip(mask.shape, size)):  # it was padded
        top, left = ((side - own) // 2 for side, own in zip(mask.shape, size))
        return mask[top : top + size[0], left : left + size[1]]
    rows, columns = (
        ((np.arange(own) + 0.5) * side / own).astype(int) for side, own in zip(mask.shape, size)
    )
    return mask[rows][:, columns]
