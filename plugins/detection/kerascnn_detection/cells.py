"""YOLO's grid: the cell that an object's centre lies in answers for it (section 2).

A network answers with a map `[batch, rows, columns, boxes * 5 + classes]`: of each box x, y, √w, √h
and confidence, then the classes' scores, which the boxes of a cell share. x and y are shares of the
cell, w and h of the image.

J. Redmon, S. Divvala, R. Girshick, A. Farhadi, "You Only Look Once: Unified, Real-Time Object
Detection", CVPR 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from kerascnn_detection import boxes as _boxes
from kerascnn_detection.rounding import floored

PER_BOX = 5  # x, y, √w, √h, confidence

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a network says of each cell.

    Attributes:
        boxes: `[batch, rows, columns, boxes, 4]`: x, y, √w, √h.
        confidence: that there is an object, times the box's IoU with it, `[..., boxes]`.
        classes: of an object, if there is one, `[batch, rows, columns, classes]`.
    """

    boxes: Any
    confidence: Any
    classes: Any

    @classmethod
    def of(cls, output: Any, boxes: int) -> Answer:
        """Of a network's output `[batch, rows, columns, boxes * 5 + classes]`, in float32."""
        output = ops.cast(output, "float32")
        _, rows, columns, _ = ops.shape(output)
        each = output[..., : boxes * PER_BOX]
        each = ops.reshape(each, (-1, rows, columns, boxes, PER_BOX))
        classes = output[..., boxes * PER_BOX :]
        return cls(boxes=each[..., :4], confidence=each[..., 4], classes=classes)

    def found(self, size: Size) -> tuple[Any, Any]:
        """Boxes in pixels and their scores, for `kerascnn_detection.nms.detections`.

        Args:
            size: `(height, width)` of the image.

        Returns:
            `[batch, n, 1, 4]`, clipped, and confidence × class `[batch, n, classes]`; n is
            rows × columns × boxes.
        """
        middle, sides = _in_image(self.boxes)
        height, width = size
        edges = ops.concatenate([middle - sides / 2, middle + sides / 2], axis=-1)
        edges = edges * ops.convert_to_tensor([width, height, width, height], "float32")
        scores = self.confidence[..., None] * self.classes[..., None, :]
        _, rows, columns, boxes, _ = ops.shape(self.boxes)
        edges = ops.reshape(edges, (-1, rows * columns * boxes, 1, 4))
        scores = ops.reshape(scores, (-1, rows * columns * boxes, self.classes.shape[-1]))
        return _boxes.clip(edges, size), scores


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is in each cell.

    Attributes:
        present: whether an object's centre is, bool `[batch, rows, columns]`.
        boxes: x, y, w, h of the object, float32 `[batch, rows, columns, 4]`; zeros without one.
        classes: one-hot, float32 `[batch, rows, columns, classes]`; zeros without an object.
    """

    present: Any
    boxes: Any
    classes: Any

    @classmethod
    def of(cls, objects: Any, size: Size, grid: Size, classes: int) -> Truth:
        """Of a batch of objects. If several lie in a cell the first stays, as in darknet.

        Args:
            objects: float32 `[batch, most, 6]`, see `kerascnn_detection.boxes`.
            size: `(height, width)` of the images.
            grid: rows and columns.
            classes: how many.
        """
        (height, width), (rows, columns) = size, grid
        x1, y1, x2, y2 = (objects[..., edge] for edge in range(4))
        column, x = _placed((x1 + x2) / 2, columns, width)
        row, y = _placed((y1 + y2) / 2, rows, height)
        boxes = ops.stack([x, y, (x2 - x1) / width, (y2 - y1) / height], axis=-1)
        number = ops.cast(row * columns + column, "int32")
        number = ops.where(_boxes.present(objects), number, -1)
        here = number[..., None] == ops.arange(rows * columns, dtype="int32")
        present = ops.any(here, axis=1)
        first = ops.cast(ops.argmax(ops.cast(here, "int32"), axis=1), "int32")
        labels = ops.take_along_axis(_boxes.labels(objects), first, axis=1)
        known = ops.cast(present, "float32")[..., None]
        names = ops.one_hot(ops.maximum(labels, 0), classes, dtype="float32")
        return cls(
            present=ops.reshape(present, (-1, rows, columns)),
            boxes=ops.reshape(known * _boxes.taken(boxes, first), (-1, rows, columns, 4)),
            classes=ops.reshape(known * names, (-1, rows, columns, classes)),
        )


def _placed(middle: Any, cells: int, side: float) -> tuple[Any, Any]:
    """The number of the cell that a middle lies in, float32, and its place as a share of the cell.

    A middle on the image's right or lower border belongs to the last cell.
    """
    cell = ops.clip(floored(middle * cells, side), 0, cells - 1)
    return cell, (middle * cells - cell * side) / side


def _in_image(boxes: Any) -> tuple[Any, Any]:
    """Middles and sides as shares of the image, of x, y, √w, √h in each cell's."""
    _, rows, columns, *_ = ops.shape(boxes)
    x = ops.cast(ops.arange(columns), "float32")[None, :, None]
    y = ops.cast(ops.arange(rows), "float32")[:, None, None]
    across, down = (ops.cast(cells, "float32") for cells in (columns, rows))
    middle = [(boxes[..., 0] + x) / across, (boxes[..., 1] + y) / down]
    return ops.stack(middle, axis=-1), ops.square(boxes[..., 2:])


def fit(answer: Answer, truth: Truth) -> tuple[Any, Any]:
    """How well each box of a cell fits the object in it, and which one is responsible.

    Responsible is the box with the best IoU; where none overlaps at all, the one that is nearest
    (the smallest root of squared differences of x, y, w and h), as in darknet.

    Returns:
        IoU float32 `[batch, rows, columns, boxes]`, and one-hot which is responsible, of the same
        shape, zeros in cells without an object. No gradient goes through either.
    """
    middle, sides = _in_image(ops.stop_gradient(answer.boxes))
    of_truth = ops.concatenate([truth.boxes[..., :2], ops.sqrt(truth.boxes[..., 2:])], axis=-1)
    true_middle, true_sides = _in_image(of_truth[..., None, :])
    low = ops.maximum(middle - sides / 2, true_middle - true_sides / 2)
    high = ops.minimum(middle + sides / 2, true_middle + true_sides / 2)
    common = ops.prod(ops.maximum(high - low, 0), axis=-1)
    union = ops.prod(sides, axis=-1) + ops.prod(true_sides, axis=-1) - common
    overlap = ops.where(union > 0, common / ops.where(union > 0, union, 1), 0)
    away = ops.sum(ops.square(middle - true_middle) + ops.square(sides - true_sides), axis=-1)
    touched = ops.any(overlap > 0, axis=-1, keepdims=True)
    best = ops.argmax(ops.where(touched, overlap, -away), axis=-1)
    known = ops.cast(truth.present, "float32")[..., None]
    return overlap, known * ops.one_hot(best, answer.boxes.shape[3], dtype="float32")
