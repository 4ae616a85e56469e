"""Images with several objects, in data sets for tasks that know one label for an image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kerascnn.data.boxes import Boxes
from kerascnn.data.labels import Labels

SEVERAL = -1  # no one class
SHOWN = 3  # wrong objects of an image that a message names


class Labelled(NamedTuple):
    """The images whose objects are all of one class.

    Attributes:
        kept: int64, their positions.
        labels: their classes.
        notes: what to say of the others.
        wrong: what is wrong with the boxes of some of them; see `Boxes`.
    """

    kept: np.ndarray
    labels: Labels
    notes: list[str]
    wrong: list[str]


def labelled(boxes: Boxes, split: str) -> Labelled:
    """Labels of images, from their boxes; without those whose boxes can't be used."""
    found = one_class(boxes.boxes[:, 4].astype("int32"), boxes.starts)
    wrong = [text for text in boxes.wrong or () if text]
    if boxes.wrong:
        found[boxes.wrong.length > 0] = SEVERAL
    kept = np.flatnonzero(found != SEVERAL)
    left = len(found) - len(kept) - len(wrong)
    notes = [note(left, len(found), split)] if left else []
    return Labelled(kept, Labels(found[kept]), notes, list(map(os.fsdecode, wrong)))


def all_wrong(reasons: Sequence[str]) -> str:
    """What is wrong with the objects of one image, the first of them in full."""
    more = [f"and {len(reasons) - SHOWN:,} more"] if len(reasons) > SHOWN else []
    return "; ".join([*reasons[:SHOWN], *more])


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
