"""Non-maximum suppression: of boxes that lie on each other, the one with the highest score.

It is greedy: the best box stays and removes what overlaps with it by more than a share, then the
best of the rest, and so on. Classes, images and levels don't touch each other: each is a dimension
of its own, where others shift boxes apart by their class, and lose digits or meet across borders.

This needs TensorFlow: `tf.image.non_max_suppression_padded` works in tiles and has a fixed shape,
also under XLA. 12,000 boxes take a tenth of the time that a loop over boxes takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from kerascnn.data import ABSENT
from kerascnn_detection import boxes as _boxes

TILE = 512  # boxes that are compared at a time


def suppress(boxes: Any, scores: Any, valid: Any, *, overlap: float, most: int) -> tuple[Any, Any]:
    """The boxes that stay, the best first; of equal scores the one that comes first.

    Args:
        boxes: float32 `[..., n, 4]`, clipped to their image; one without area never stays.
        scores: `[..., n]`.
        valid: which take part, bool `[..., n]`.
        overlap: a box is removed where its IoU with a better one is more than this.
        most: room for so many.

    Returns:
        Their places, int32 `[..., most]`, and which of these are any, bool `[..., most]`.
    """
    import tensorflow as tf

    # TensorFlow takes a box to be there if a corner is positive, and removes where the IoU is
    # equal, too: a box that doesn't take part is all zeros, and the threshold the next number.
    valid = ops.logical_and(
        valid, ops.logical_and(boxes[..., 2] > boxes[..., 0], boxes[..., 3] > boxes[..., 1])
    )
    boxes = ops.where(valid[..., None], ops.cast(boxes, "float32"), 0.0)
    scores = ops.where(valid, ops.cast(scores, "float32"), -np.inf)
    next_up = max(np.nextafter(np.float32(overlap), np.float32(2)), np.finfo("float32").tiny)
    places, count = tf.image.non_max_suppression_padded(
        boxes,
        scores,
        most,
        tf.constant(next_up),  # a number would have the function traced anew for each
        pad_to_max_output_size=True,
        canonicalized_coordinates=True,
        tile_size=min(TILE, boxes.shape[-2] or TILE),
    )
    return places, ops.arange(most, dtype="int32") < count[..., None]


def detections(
    boxes: Any,
    scores: Any,
    *,
    overlap: float,
    most: int,
    least_score: float = 0.05,
    least_side: float = 0.01,
    valid: Any = None,
) -> Any:
    """What a detector answers: the best boxes of an image, after suppression within each class.

    Args:
        boxes: float32 `[batch, n, classes, 4]`, clipped; `[batch, n, 1, 4]` where all classes have
            the same.
        scores: `[batch, n, classes]`.
        overlap: see `suppress`.
        most: boxes of an image.
        least_score: boxes with no higher score are left out.
        least_side: so are those that are less wide or high, in pixels.
        valid: which boxes are any, bool `[batch, n]`; None: all.

    Returns:
        float32 `[batch, most, 6]`: x1, y1, x2, y2, label, score, the best first; the label is
        `ABSENT` in rows without one.
    """
    classes = scores.shape[-1]
    boxes = ops.transpose(ops.cast(boxes, "float32"), (0, 2, 1, 3))
    boxes = ops.broadcast_to(boxes, (ops.shape(boxes)[0], classes, *ops.shape(boxes)[2:]))
    scores = ops.transpose(ops.cast(scores, "float32"), (0, 2, 1))
    there = ops.logical_and(scores > least_score, _boxes.at_least(boxes, least_side))
    if valid is not None:
        there = ops.logical_and(there, valid[:, None, :])
    places, there = suppress(boxes, scores, there, overlap=overlap, most=most)
    numbers = ops.arange(classes, dtype="float32")[:, None]
    rows = ops.concatenate(
        [
            _boxes.taken(boxes, places),
            ops.broadcast_to(numbers, ops.shape(places))[..., None],
            ops.take_along_axis(scores, places, axis=-1)[..., None],
        ],
        axis=-1,
    )
    absent = ops.convert_to_tensor([0, 0, 0, 0, ABSENT, 0], "float32")
    rows = ops.reshape(ops.where(there[..., None], rows, absent), (-1, classes * most, 6))
    _, best = ops.top_k(ops.where(rows[..., 4] == ABSENT, -np.inf, rows[..., 5]), most)
    return _boxes.taken(rows, best)
