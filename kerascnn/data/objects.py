"""Images with several objects, in data sets for tasks that know one label for an image."""

from __future__ import annotations

import numpy as np

SEVERAL = -1  # no one class


def one_class(labels: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The class of each image whose objects are all of one.

    Args:
        labels: integers `[m]`, the classes of all objects, those of an image one after the other.
        starts: int64 `[n + 1]`, the first object of each image, and m.

    Returns:
        int32 `[n]`; `SEVERAL` of images with objects of several classes, or without any.
    """
    found = np.full(len(starts) - 1, SEVERAL, "int32")
    some = np.flatnonzero(np.diff(starts))  # without them each part of reduceat is an image's own
    if len(some):
        low = np.minimum.reduceat(labels, starts[some])
        same = low == np.maximum.reduceat(labels, starts[some])
        found[some[same]] = low[same]
    return found


def note(left: int, total: int, split: str) -> str:
    """What to say of the images that have no one label."""
    return (
        f"{left:,} of {total:,} {split} images are left out: the label is the class of an image "
        "whose objects are all of one class, and these have several classes, or no object."
    )
