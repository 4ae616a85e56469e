"""Images with several objects: what a box may be, and which images have one label all the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from kerascnn.data.boxes import Boxes
from kerascnn.data.examples import Encoded, Files, Options
from kerascnn.data.labels import Labels
from kerascnn.data.targets import Size
from kerascnn.data.threads import threads
from kerascnn.errors import DataError

SEVERAL = -1  # no one class
MANY = 5000  # images whose sizes take longer than a moment to read
SHOWN = 3  # wrong objects of an image that a message names
MOST_WRONG = 10_000  # that are told, where all are
# Pixels that a box may reach out of its image, to be cut there: corners are sums of rounded numbers
# or rounded shares of a side. Who counts pixels from 1 is out by twice as much.
ROUNDING = 0.5
REPAIR = (
    "`kerascnn data check` lists all that is wrong; repair it, or leave such images out with "
    "skip_corrupt=True (--skip-corrupt)."
)


class Faults:
    """What is wrong in a source: the first raises, or all are kept to be told together.

    Attributes:
        found: the messages that were kept.

    Args:
        forbearing: keep them; see `kerascnn.data.Options.forbearing`.
    """

    def __init__(self, *, forbearing: bool) -> None:
        self.forbearing = forbearing
        self.found: list[str] = []

    def add(self, message: str) -> None:
        """One more.

        Raises:
            DataError: it isn't kept, or there are too many.
        """
        if not self.forbearing:
            raise DataError(f"{message} {REPAIR}")
        if len(self.found) == MOST_WRONG:
            raise DataError(f"More than {MOST_WRONG:,} annotations are wrong. {self.found[0]}")
        self.found.append(message)


def faulty(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Which boxes have no area, are swapped, or reach out of their images: bool `[m]`.

    Args:
        corners: `[m, 4]`, x1, y1, x2, y2 as edges.
        sizes: `[m, 2]`, `(height, width)` of each box's image.
    """
    low, high = corners[:, :2], corners[:, 2:]
    there = (low < high) & (low >= -ROUNDING) & (high <= sizes[:, ::-1] + ROUNDING)
    return np.logical_not(there.all(axis=1))


def faults(corners: np.ndarray, size: tuple[int, int]) -> dict[int, str]:
    """The row of each box of an image that is `faulty` → what is wrong with it.

    Args:
        corners: `[k, 4]`, x1, y1, x2, y2 as edges.
        size: `(height, width)` of the image.
    """
    wrong = np.flatnonzero(faulty(corners, np.array([size])))
    return {row: _fault(corners[row].tolist(), size) for row in wrong.tolist()}


def _fault(corners: Sequence[float], size: tuple[int, int]) -> str:
    x1, y1, x2, y2 = corners
    if x2 < x1 or y2 < y1:
        return "the corners of its box are swapped: it ends before it begins"
    if not (x1 < x2 and y1 < y2):
        return "its box has no area"
    height, width = size
    before, beyond = max(-x1, -y1), max(x2 - width, y2 - height)
    one = abs(beyond - 1) <= ROUNDING and beyond > before
    hint = ", as where pixels are counted from 1" if one else ""
    far = f"{max(before, beyond):.3g}"
    return (
        f"its box reaches {far} {'pixel' if far == '1' else 'pixels'} out of the image, which has "
        f"{height}×{width} (height×width){hint}"
    )


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


def sizes(examples: Encoded, options: Options) -> list[Size]:
    """`(height, width)` of images, upright, from their headers.

    Raises:
        DataError: one can't be read. Where the options are forbearing its size is 0, 0, and it is
            told when the image is read.
    """
    if len(examples.labels) > MANY:
        options.echo(f"Reading the sizes of {len(examples.labels):,} images …")

    def size(position: int) -> Size:
        try:
            return examples.size(position)
        except DataError:
            if not options.forbearing:
                raise
            return 0, 0

    return list(threads().map(size, range(len(examples.labels))))


def with_targets(
    files: Files, boxes: Boxes, split: str, options: Options
) -> tuple[Files, list[str], list[str]]:
    """Images with their boxes, or those that have one label with it; the notes, and what is wrong.

    Args:
        files: of a split.
        boxes: of each.
        split: its name.
        options: say what is wanted.
    """
    if options.target == Boxes.kind:
        return replace(files, labels=boxes), [], []
    found = labelled(boxes, split)
    return replace(files.take(found.kept), labels=found.labels.labels), found.notes, found.wrong


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
