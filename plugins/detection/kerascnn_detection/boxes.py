"""Boxes: one format everywhere, `kerascnn.data.Boxes`' own.

A box is x1, y1, x2, y2 in pixels: the edges, so that the whole image is 0, 0, width, height, and a
side is the difference of two. Whatever counts pixels from 1, or takes corners to be pixels, as
VOC's files and the authors' code do, is converted where it comes in.

Objects come as rows of six, `[..., most, 6]`, as in a batch of `kerascnn.data.Boxes`. A row whose
label is `ABSENT` is none; that alone says so, since zeros are a legal corner.

All functions are of `keras.ops`, for any number of leading dimensions unless they say otherwise,
and in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from keras import ops
from keras.utils import bounding_boxes

from kerascnn.data import ABSENT

FORMAT = "xyxy"
CODE = "center_xywh"
PLAIN = (1.0, 1.0, 1.0, 1.0)  # weights of the region proposal network's codes
PAPERS = (10.0, 10.0, 5.0, 5.0)  # of the heads': 1 / standard deviations of .1, .1, .2, .2
LARGEST = math.log(1000 / 16)  # of a code's two sides when decoding: a box of 16 becomes 1000


def corners(objects: Any) -> Any:
    """The boxes of objects, `[..., most, 4]`, of `[..., most, 6]`."""
    return objects[..., :4]


def labels(objects: Any) -> Any:
    """The labels of objects, int32 `[..., most]`; `ABSENT` where there is none."""
    return ops.cast(objects[..., 4], "int32")


def present(objects: Any) -> Any:
    """Which rows are objects, bool `[..., most]`."""
    return ops.not_equal(labels(objects), ABSENT)


def area(boxes: Any) -> Any:
    """In square pixels, `[...]` of `[..., 4]`."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def iou(first: Any, second: Any) -> Any:
    """Intersection over union of each box with each: `[batch, n, m]`, or `[n, m]`.

    Two boxes without area have 0.

    Args:
        first: `[batch, n, 4]` or `[n, 4]`.
        second: `[batch, m, 4]` or `[m, 4]`.
    """
    return bounding_boxes.compute_iou(first, second, FORMAT)


def encode(boxes: Any, anchors: Any, weights: Sequence[float] = PLAIN) -> Any:
    """How boxes differ from their anchors: what a network learns to say.

    The shift of the centre as a share of the anchor's width and height, the logarithms of the
    sides' ratios; each times its weight (R-CNN, appendix C). Finite for boxes without area, too.

    Args:
        boxes: `[..., n, 4]`.
        anchors: `[n, 4]` or `[..., n, 4]`.
        weights: of dx, dy, dw, dh.

    Returns:
        float32 `[..., n, 4]`: dx, dy, dw, dh.
    """
    code = bounding_boxes.encode_box_to_deltas(anchors, boxes, FORMAT, FORMAT, CODE)
    return code * ops.convert_to_tensor(weights, code.dtype)


def decode(
    codes: Any, anchors: Any, weights: Sequence[float] = PLAIN, largest: float = LARGEST
) -> Any:
    """The boxes that codes stand for.

    Sides are kept from growing beyond all bounds, as an untrained network would have them: the
    authors of the papers don't; with `largest=math.inf` neither does this.

    Args:
        codes: `[..., n, 4]`.
        anchors: `[n, 4]` or `[..., n, 4]`.
        weights: of dx, dy, dw, dh.
        largest: of dw and dh, after the weights are divided out.

    Returns:
        float32 `[..., n, 4]`, not yet clipped to the image.
    """
    codes = ops.cast(codes, "float32") / ops.convert_to_tensor(weights, "float32")
    codes = ops.concatenate([codes[..., :2], ops.minimum(codes[..., 2:], largest)], axis=-1)
    return bounding_boxes.decode_deltas_to_boxes(anchors, codes, FORMAT, FORMAT, CODE)


def clip(boxes: Any, size: tuple[Any, Any]) -> Any:
    """Boxes cut at the borders of their image, `[..., n, 4]`.

    Args:
        boxes: `[..., n, 4]`.
        size: `(height, width)` in pixels: numbers, or one for each image, `[..., 1]`.
    """
    height, width = (ops.cast(side, boxes.dtype) for side in size)
    x1, x2 = (ops.minimum(ops.maximum(boxes[..., i], 0), width) for i in (0, 2))
    y1, y2 = (ops.minimum(ops.maximum(boxes[..., i], 0), height) for i in (1, 3))
    return ops.stack([x1, y1, x2, y2], axis=-1)


def inside(boxes: Any, size: tuple[Any, Any]) -> Any:
    """Which boxes don't cross the border of their image, bool `[..., n]`; see `clip`."""
    height, width = (ops.cast(side, boxes.dtype) for side in size)
    first = ops.logical_and(boxes[..., 0] >= 0, boxes[..., 1] >= 0)
    return first & (boxes[..., 2] <= width) & (boxes[..., 3] <= height)


def at_least(boxes: Any, side: float) -> Any:
    """Which boxes are at least so wide and so high, bool `[..., n]`."""
    wide, high = (boxes[..., i + 2] - boxes[..., i] >= side for i in (0, 1))
    return ops.logical_and(wide, high)


def taken(rows: Any, index: Any) -> Any:
    """Some of each image's rows, `[batch, m, k]`.

    Args:
        rows: `[batch, n, k]`.
        index: int32 `[batch, m]`.
    """
    return ops.take_along_axis(rows, index[..., None], axis=-2)
