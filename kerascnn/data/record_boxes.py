"""Objects in boxes in record files, beside their images, as TensorFlow Datasets writes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascnn.data import images, objects
from kerascnn.data.boxes import Boxes
from kerascnn.data.examples import Options
from kerascnn.data.names import Names
from kerascnn.data.record_index import Shard, examples_in
from kerascnn.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Objects:
    """The features of a record that hold its objects.

    Attributes:
        box: ymin, xmin, ymax, xmax of each as shares of the image's sides, one after the other.
        label: the number of each one's class.
        difficult: whether each is difficult, a crowd or a group; any that there are.
        classes: names.
    """

    box: str
    label: str
    difficult: tuple[str, ...]
    classes: tuple[str, ...]


def read(shards: Sequence[Shard], image: str, held: Objects, options: Options) -> Boxes:
    """The boxes of all records, in pixels of their images.

    Args:
        shards: the files, in their order.
        image: the feature that holds the image.
        held: those that hold the objects.
        options: of the source.

    Raises:
        DataError: a record or a box is wrong, unless the options are forbearing: then it is told of
            its image. Or a file has changed.
    """
    sizes, rows, places, reasons = [], [], [], []
    for shard in shards:
        number = -1
        try:
            for number, example in enumerate(examples_in(shard.stored, shard.offsets)):
                place = f"{shard.path}, record {number}"
                size, boxes, reason = _objects(place, example, image, held, options)
                sizes.append(size)
                rows.append(boxes)
                places.append(os.fsencode(place))
                reasons.append(os.fsencode(reason))
        except DataError:
            raise
        except Exception as error:  # the file has changed since it was indexed
            raise DataError(
                f"{shard.path}, record {number + 1} can't be read: {type(error).__name__} {error}"
            ) from error
    return Boxes.of(rows, sizes, Names.of(places), Names.of(reasons) if any(reasons) else None)


def _objects(
    place: str, example: Any, image: str, held: Objects, options: Options
) -> tuple[tuple[int, int], np.ndarray, str]:
    """Size and boxes of a record's image, and what is wrong with them."""
    nothing = np.zeros((0, 6), "float32")
    try:
        content = example.features.feature[image].bytes_list.value[0]
        size = images.size(f"{place},", content, options.reading)
    except DataError:
        if not options.forbearing:
            raise
        return (0, 0), nothing, ""  # it is told when the image is read
    try:
        return size, annotation(example.features.feature, held, size), ""
    except ValueError as error:
        if not options.forbearing:
            raise DataError(f"{place}: {error}. {objects.REPAIR}") from None
        return size, nothing, f"{place}: {error}."


def annotation(features: Any, held: Objects, size: tuple[int, int]) -> np.ndarray:
    """The boxes in a record's features.

    Args:
        features: of a `tf.train.Example`, by their names.
        held: which of them are read.
        size: `(height, width)` of the image.

    Returns:
        float32 `[k, 6]`: x1, y1, x2, y2, the class, and 1 where it is difficult.

    Raises:
        ValueError: what is wrong, with all objects that are.
    """
    labels = np.array(features[held.label].int64_list.value, "int64")
    shares = np.array(features[held.box].float_list.value, "float64")
    flags = [np.array(features[name].int64_list.value, "int64") for name in held.difficult]
    count = len(labels)
    if len(shares) != 4 * count or any(len(flag) != count for flag in flags):
        raise ValueError(
            f"expected four numbers in {held.box} for each of {count} in {held.label}. "
            f"Received: {len(shares)}"
        )
    shares = shares.reshape(-1, 4)
    boxes = np.zeros((count, 6), "float32")
    boxes[:, :4] = shares[:, [1, 0, 3, 2]] * np.array([size[1], size[0]] * 2)
    boxes[:, 4] = labels
    boxes[:, 5] = np.any(flags, axis=0) if flags else 0
    wrong = {
        row: f"{fault}. Received: {', '.join(f'{one:g}' for one in shares[row])} "
        "(ymin, xmin, ymax, xmax as shares)"
        for row, fault in objects.faults(boxes[:, :4], size).items()
    }
    for row in np.flatnonzero((labels < 0) | (labels >= len(held.classes))).tolist():
        last = len(held.classes) - 1
        wrong[row] = f"expected a class from 0 to {last}. Received: {labels[row]}"
    if wrong:
        raise ValueError(
            objects.all_wrong([f"object {row + 1}: {wrong[row]}" for row in sorted(wrong)])
        )
    return boxes
