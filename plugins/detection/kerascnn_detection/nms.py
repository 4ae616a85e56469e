"""Non-maximum suppression: of boxes that lie on each other, the one with the highest score.

It is greedy: the best box stays and removes what overlaps with it by more than a share, then the
best of the rest, and so on. Classes, images and levels don't touch each other: boxes are never
shifted apart by their class, as others do, who lose digits or meet across borders.

Boxes are taken in the order of their scores, a tile at a time. Of a tile first those go that
overlap with a box that has stayed; then all go that overlap with a better one of the tile, then
those come back of which all such are gone, and so on until nothing changes: that is what a loop
over boxes gives, in as many rounds as boxes are linked in a row. It ends with enough boxes, or none
left, and has a fixed shape, also under XLA.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from kerascnn.data import ABSENT
from kerascnn_detection import boxes as _boxes
from kerascnn_detection.sampling import chosen

TILE = 256  # boxes that are compared at a time


def suppress(
    boxes: Any, scores: Any, valid: Any, *, overlap: float, most: int, groups: Any = None
) -> tuple[Any, Any]:
    """The boxes that stay, the best first; of equal scores the one that comes first.

    Args:
        boxes: float32 `[batch, n, 4]`, clipped to their image; one without area never stays.
        scores: `[batch, n]`.
        valid: which take part, bool `[batch, n]`.
        overlap: a box is removed where its IoU with a better one is more than this.
        most: room for so many.
        groups: int32 `[batch, n]`: boxes of different groups don't touch; None: all are one.

    Returns:
        Their places, int32 `[batch, most]`, and which of these are any, bool `[batch, most]`.
    """
    boxes = ops.cast(boxes, "float32")
    wide = ops.logical_and(boxes[..., 2] > boxes[..., 0], boxes[..., 3] > boxes[..., 1])
    valid = ops.logical_and(valid, wide)
    scores = ops.where(valid, ops.cast(scores, "float32"), -np.inf)
    count = ops.shape(scores)[1]
    _, order = ops.top_k(scores, count)
    groups = ops.zeros_like(order) if groups is None else groups
    tile = min(TILE, scores.shape[1] or TILE)
    ranked = _Boxes(
        corners=_boxes.taken(ops.where(valid[..., None], boxes, 0.0), order),
        groups=ops.take_along_axis(groups, order, axis=1),
        places=ops.cast(order, "int32"),
        there=ops.take_along_axis(valid, order, axis=1),
    ).padded(tile)

    def unfinished(begin: Any, *stayed: Any) -> Any:
        left = ops.take(ranked.there, begin, axis=1)  # those that don't take part are the last
        room = ops.logical_not(_Boxes(*stayed).there[:, -1])
        return ops.logical_and(begin < count, ops.any(ops.logical_and(left, room)))

    def next_tile(begin: Any, *stayed: Any) -> tuple[Any, ...]:
        found, now = _Boxes(*stayed), ranked.at(begin + ops.arange(tile, dtype="int32"))
        free = ops.logical_and(now.there, ops.logical_not(found.removes(now, overlap)))
        now = now._replace(there=_greedy(now, free, overlap))
        return (begin + tile, *found.followed_by(now, most))

    start = _Boxes(*(ops.zeros_like(part[:, :1]) for part in ranked)).padded(most - 1)
    _, *stayed = ops.while_loop(unfinished, next_tile, (ops.zeros((), "int32"), *start))
    found = _Boxes(*stayed)
    return found.places, found.there


class _Boxes(NamedTuple):
    """Boxes of each image in the order of their scores.

    Attributes:
        corners: float32 `[batch, n, 4]`.
        groups: int32 `[batch, n]`.
        places: where they come from, int32 `[batch, n]`.
        there: which are any, bool `[batch, n]`.
    """

    corners: Any
    groups: Any
    places: Any
    there: Any

    def padded(self, room: int) -> _Boxes:
        """With room for more, that are none."""
        return _Boxes(*(_padded(part, room) for part in self))

    def at(self, index: Any) -> _Boxes:
        """Some of them, the same of each image."""
        return _Boxes(*(ops.take(part, index, axis=1) for part in self))

    def followed_by(self, others: _Boxes, most: int) -> _Boxes:
        """The first ones of these and the others."""
        both = _Boxes(*(ops.concatenate(parts, axis=1) for parts in zip(self, others)))
        index, there = chosen(both.there, most)
        return _Boxes(
            corners=_boxes.taken(both.corners, index),
            groups=ops.take_along_axis(both.groups, index, axis=1),
            places=ops.take_along_axis(both.places, index, axis=1),
            there=there,
        )

    def touching(self, others: _Boxes, overlap: float) -> Any:
        """Which of the others each of these would remove, bool `[batch, n, others]`."""
        same = self.groups[:, :, None] == others.groups[:, None, :]
        near = _boxes.iou(self.corners, others.corners) > overlap
        return self.there[:, :, None] & near & same

    def removes(self, others: _Boxes, overlap: float) -> Any:
        """Which of the others one of these removes, bool `[batch, others]`."""
        return ops.any(self.touching(others, overlap), axis=1)


def _padded(x: Any, room: int) -> Any:
    return ops.pad(x, ((0, 0), (0, room), *((0, 0),) * (len(x.shape) - 2)))


def _greedy(boxes: _Boxes, free: Any, overlap: float) -> Any:
    """Those of the free ones that a loop over them would leave, bool `[batch, n]`."""
    order = ops.arange(free.shape[1], dtype="int32")
    touching = boxes.touching(boxes, overlap) & (order[:, None] < order)

    # Whether a round changed anything is said within it: a state that is handed on as another one
    # is taken for it in ONNX, where a comparison of both ended the loop after one round.
    def again(_: Any, now: Any) -> tuple[Any, Any]:
        removed = ops.any(touching & now[:, :, None], axis=1)
        left = ops.logical_and(free, ops.logical_not(removed))
        return ops.any(ops.not_equal(left, now)), left

    going = ops.any(free)
    return ops.while_loop(lambda going, _: going, again, (going, free))[1]


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
    count, classes = ops.shape(scores)[1:]
    boxes = ops.transpose(ops.cast(boxes, "float32"), (0, 2, 1, 3))
    boxes = ops.broadcast_to(boxes, (ops.shape(boxes)[0], classes, count, 4))
    scores = ops.transpose(ops.cast(scores, "float32"), (0, 2, 1))
    there = ops.logical_and(scores > least_score, _boxes.at_least(boxes, least_side))
    if valid is not None:
        there = ops.logical_and(there, valid[:, None, :])
    groups = ops.broadcast_to(ops.arange(classes, dtype="int32")[:, None], ops.shape(scores))
    boxes = ops.reshape(boxes, (-1, classes * count, 4))
    scores, there, groups = (
        ops.reshape(part, (-1, classes * count)) for part in (scores, there, groups)
    )
    places, found = suppress(boxes, scores, there, overlap=overlap, most=most, groups=groups)
    labels = ops.cast(ops.take_along_axis(groups, places, axis=1), "float32")
    scores = ops.take_along_axis(scores, places, axis=1)
    rows = [_boxes.taken(boxes, places), labels[..., None], scores[..., None]]
    absent = ops.convert_to_tensor([0, 0, 0, 0, ABSENT, 0], "float32")
    return ops.where(found[..., None], ops.concatenate(rows, axis=-1), absent)
