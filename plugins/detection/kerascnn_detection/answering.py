"""What a detector finds in photos of any size, in the photos' own pixels.

Training covers the network's input with an image, and cuts off what is too long
(`kerascnn.data.fit`). Whoever asks what is in a photo wants all of it: here a photo is scaled until
it fits, lies in the middle of the input, and has zeros where it is shorter. It is seen once and not
squeezed; in a photo of 4:3 objects are three quarters as large as training has seen them. A photo
of the input's shape, as those of `digit_scenes` are, is the same in both ways. Windows at the scale
of training would show objects as large, but cut those in two that are larger than their overlap.

Predictions and evaluations see photos alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data import ABSENT, PAD_LIMIT, Boxes, Placement, Split, fit, read_whole
from kerascnn.errors import RunError
from kerascnn.preprocessing import preprocess
from kerascnn.tasks import Prediction, Sight
from kerascnn_detection import average_precision
from kerascnn_detection.writing import Detected, as_results

PROPOSALS = ("proposals", "selective_search")
"""The layers whose rows say where to look; a network has one of them, or none."""

HIT = 0.5  # the IoU at which a proposal has found an object

Shape = tuple[int, int, int]
Item = TypeVar("Item")

Look = Callable[[Sequence[np.ndarray]], list[tuple[np.ndarray, np.ndarray]]]
"""From photos, uint8 `[height, width, channels]` each, to what is found in each of them, rows
`[n, 6]` of x1, y1, x2, y2, label and score in its pixels, the best first; and to its proposals
likewise."""


def predicted(
    scores: keras.Model,
    sight: Sight,
    files: Iterable[Any],
    *,
    options: Mapping[str, Any],
    batch_size: int,
) -> Iterator[Prediction]:
    """What is in one photo after the other: a `kerascnn_detection.writing.Detected` each.

    Args:
        scores: the network; its first output is rows, of the others nothing but whether they are
            numbers is read.
        sight: how it sees images.
        files: no more are taken than will be read soon.
        options: `least_score` and `top`, see `kept`.
        batch_size: photos in one step.

    Raises:
        RunError: the network's answers are not numbers.
    """
    look: Look | None = None
    height, width, channels = sight.input_shape
    photos = read_whole(files, channels, reading=sight.reading)
    for batch in batches(photos, batch_size):
        look = look or looking(scores, sight, graph=len(batch) == batch_size)
        found = iter(look([one.pixels for one in batch if one.pixels is not None]))
        for photo in batch:
            if photo.pixels is None:
                yield Prediction(photo.path, None, photo.changes, photo.error)
                continue
            changes = photo.changes
            if photo.pixels.shape[:2] != (height, width):
                changes += (f"scaled to fit into {height}×{width}",)
            rows = kept(next(found)[0], **options)
            yield Prediction(photo.path, Detected(rows, photo.pixels), changes)


def judged(scores: keras.Model, sight: Sight, images: Split, *, batch_size: int) -> dict[str, Any]:
    """What detections are worth against the boxes as they are stored.

    Args:
        scores, sight, batch_size: see `predicted`.
        images: each is seen once. The boxes are theirs, difficult ones marked.

    Returns:
        Of JSON: what `average_precision.report` says; "loss", which is not defined; for a network
        with proposals "proposals": the share of objects that one of them has an IoU of .5 with or
        more, and how many there are for an image; and "results", all that is found, as COCO has it:
        images and classes have the annotations' own numbers, or count from 0.

    Raises:
        RunError: the network's answers are not numbers.
        DataError: an image or its boxes can't be read.
    """
    channels, targets = sight.input_shape[2], images.targets
    assert isinstance(targets, Boxes)
    look = looking(scores, sight, graph=images.size > batch_size)
    detections, objects, areas, results = [], [], [], []
    proposed = np.zeros(3, int)
    for positions in batches(range(images.size), batch_size):
        photos = [_as_photo(images.original(position), channels) for position in positions]
        for position, (rows, proposals) in zip(positions, look(photos)):
            of_image = targets.checked(position)
            detections.append(rows)
            objects.append(of_image)
            areas.append(targets.areas_of(position)[of_image[:, 4] != ABSENT])
            image = position if targets.ids is None else int(targets.ids[position])
            results += as_results(rows, image, sight.named_classes, targets.class_ids)
            proposed += (*_hits(proposals, of_image), len(proposals))
    found = average_precision.report(
        padded(detections), padded(objects), sight.named_classes, np.concatenate([[], *areas])
    )
    hits, asked, count = proposed.tolist()
    if _has_proposals(scores):
        found["proposals"] = {
            "recall": hits / asked if asked else None,
            "of_an_image": count / max(1, images.size),
        }
    return {"loss": None, **found, "results": results}


def looking(scores: keras.Model, sight: Sight, *, graph: bool) -> Look:
    """A function that looks at some photos.

    Args:
        scores, sight: see `predicted`.
        graph: whether a graph is made, which pays for many photos.
    """
    proposals = [layer.output for layer in scores.layers if layer.name in PROPOSALS]
    whole = keras.Model(scores.inputs, [*scores.outputs, *proposals])

    def run(images: Any) -> tuple[Any, Any, Any]:
        outputs = whole(preprocess(images, sight.preprocessing), training=False)
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        bad = tf.zeros(tf.shape(images)[:1], bool)
        for output in outputs:
            bad |= tf.reduce_any(tf.math.is_nan(output), axis=range(1, len(output.shape)))
        return outputs[0], outputs[-1] if proposals else outputs[0][:, :0], bad

    if graph:
        run = tf.function(
            run, input_signature=[tf.TensorSpec((None, *sight.input_shape), tf.uint8)]
        )

    def look(photos: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        if not photos:
            return []
        placed = [whole_on(photo, sight.input_shape) for photo in photos]
        rows, proposed, bad = (x.numpy() for x in run(np.stack([pixels for pixels, _ in placed])))
        if bad.any():
            raise RunError(
                f"The model answers {bad.sum()} of {len(bad)} images with scores that are not "
                "numbers (NaN), so its answers mean nothing: its weights are damaged, or training "
                "diverged."
            )
        return [
            (back(one, place, photo.shape[:2]), back(other, place, photo.shape[:2]))
            for one, other, (_, place), photo in zip(rows, proposed, placed, photos)
        ]

    return look


def whole_on(photo: np.ndarray, shape: Shape) -> tuple[np.ndarray, Placement]:
    """A whole photo on a canvas, in the middle, with zeros around; and where it lies there.

    Args:
        photo: uint8 `[height, width, channels]`.
        shape: `(height, width, channels)` of the canvas.

    Returns:
        uint8 `[*shape]`, and what takes the photo's pixels there.
    """
    size, canvas = photo.shape[:2], shape[:2]
    inner = size
    if not all(0 <= wanted - side <= PAD_LIMIT for side, wanted in zip(size, canvas)):
        scale = min(wanted / side for side, wanted in zip(size, canvas))
        inner = tuple(max(1, round(scale * side)) for side in size)
    wanted = (*inner, shape[2])
    place = Placement.of(size, wanted)
    pixels = np.zeros(shape, "uint8")
    top, left = ((side - own) // 2 for side, own in zip(canvas, inner))
    pixels[top : top + inner[0], left : left + inner[1]] = fit(photo[None], wanted)[0][0]
    return pixels, Placement(place.scale, (place.offset[0] + top, place.offset[1] + left))


def back(rows: np.ndarray, place: Placement, size: tuple[int, int]) -> np.ndarray:
    """Rows on the canvas as rows in the photo, cut at its border; those that are none are dropped.

    Args:
        rows: float32 `[n, 6]`.
        place: of the photo, see `whole_on`.
        size: `(height, width)` of the photo.
    """
    rows = rows[rows[:, 4] != ABSENT]
    corners = (rows[:, :4] - np.tile(place.offset[::-1], 2)) / np.tile(place.scale[::-1], 2)
    corners = np.clip(corners, 0, np.tile(size[::-1], 2))
    there = (corners[:, 2:] > corners[:, :2]).all(axis=1)
    return np.concatenate([corners, rows[:, 4:]], axis=1)[there].astype("float32")


def kept(
    rows: np.ndarray, *, least_score: float | None = None, top: int | None = None
) -> np.ndarray:
    """The first `top` rows `[n, 6]` whose score is at least so high; None: all."""
    if least_score is not None:
        rows = rows[rows[:, 5] >= least_score]
    return rows[:top]


def padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows `[n, 6]` of each image as one array `[images, most, 6]`, with `ABSENT` ones."""
    found = np.zeros((len(rows), max([1, *map(len, rows)]), 6), "float32")
    found[..., 4] = ABSENT
    for room, of_image in zip(found, rows):
        room[: len(of_image)] = of_image
    return found


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of so many items; the last may be shorter."""
    coming = iter(items)
    while batch := list(itertools.islice(coming, size)):
        yield batch


def _as_photo(stored: np.ndarray, channels: int) -> np.ndarray:
    """A stored image with so many channels, in its own size."""
    return fit(stored[None], (*stored.shape[:2], channels))[0][0]


def _has_proposals(model: keras.Model) -> bool:
    return any(layer.name in PROPOSALS for layer in model.layers)


def _hits(proposals: np.ndarray, objects: np.ndarray) -> tuple[int, int]:
    """How many objects have a proposal, and how many there are; difficult ones don't count."""
    asked = objects[(objects[:, 4] != ABSENT) & (objects[:, 5] == 0)]
    overlaps = average_precision.iou(asked[:, :4], proposals[:, :4])
    return int((overlaps.max(axis=1, initial=0) >= HIT).sum()), len(asked)
