"""Proposals: the anchors that look most like an object, moved and thinned out (Faster R-CNN, 3.3).

Their number is fixed, so that the graph is, too; where an image has fewer, the rest are marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from kerascnn_detection import boxes as _boxes
from kerascnn_detection.nms import suppress


@dataclass(frozen=True, kw_only=True)
class Thinning:
    """How many proposals there are, and which.

    Attributes:
        before: the best of each map, so many, are looked at.
        after: so many are kept, of all maps together.
        overlap: a proposal is removed where its IoU with a better one is more than this.
        least_side: narrower or lower ones are left out, in pixels of the network's input.
        small_first: whether those are left out before the best are taken, as the authors do
            (`proposal_layer.py`), or after, as torchvision does.
        least_score: proposals with a probability below are left out.
    """

    before: int
    after: int
    overlap: float = 0.7
    least_side: float = 16.0
    small_first: bool = True
    least_score: float = 0.0


TRAINED = Thinning(before=12000, after=2000)
"""The authors', in training."""
TESTED = Thinning(before=6000, after=300)
"""The authors', in testing."""


def proposals(
    anchors: Sequence[Any],
    logits: Sequence[Any],
    codes: Sequence[Any],
    size: tuple[Any, Any],
    thinning: Thinning,
    weights: Sequence[float] = _boxes.PLAIN,
) -> tuple[Any, Any, Any]:
    """The proposals of each image. No gradient goes through them.

    Args:
        anchors: of each map, float32 `[n, 4]`.
        logits: of each map, that an anchor shows an object, `[batch, n]`.
        codes: of each map, `[batch, n, 4]`, see `kerascnn_detection.boxes.decode`.
        size: `(height, width)` of the images, see `kerascnn_detection.boxes.clip`.
        thinning: how many, and which.
        weights: of the codes, see `kerascnn_detection.boxes.decode`.

    Returns:
        float32 `[batch, after, 4]`; their probabilities, float32 `[batch, after]`, the best first;
        and which are any, bool `[batch, after]`. The others are zeros.
    """
    maps = [_of_map(*one, size, thinning, weights) for one in zip(anchors, logits, codes)]
    boxes, scores, there = (ops.concatenate(parts, axis=1) for parts in zip(*maps))
    missing = max(0, thinning.after - scores.shape[1])
    boxes = ops.pad(boxes, ((0, 0), (0, missing), (0, 0)))
    scores = ops.pad(scores, ((0, 0), (0, missing)))
    there = ops.pad(there, ((0, 0), (0, missing)))
    _, best = ops.top_k(ops.where(there, scores, -1.0), thinning.after)
    found = (
        _boxes.taken(boxes, best),
        ops.take_along_axis(scores, best, axis=1),
        ops.take_along_axis(there, best, axis=1),
    )
    boxes, scores, there = (ops.stop_gradient(part) for part in found)
    return ops.where(there[..., None], boxes, 0.0), ops.where(there, scores, 0.0), there


def _of_map(
    anchors: Any,
    logits: Any,
    codes: Any,
    size: tuple[Any, Any],
    thinning: Thinning,
    weights: Sequence[float],
) -> tuple[Any, Any, Any]:
    """Those of one map, at most `after`: boxes, probabilities, and which are any."""
    logits = ops.cast(logits, "float32")
    if logits.shape[1] is None:  # not known before it is run: room for as many as are wanted
        room = (0, thinning.before)
        anchors = ops.pad(anchors, (room, (0, 0)))
        codes = ops.pad(codes, ((0, 0), room, (0, 0)))
        logits = ops.pad(logits, ((0, 0), room), constant_values=-np.inf)
    boxes = _boxes.clip(_boxes.decode(codes, anchors, weights), size)
    large = _boxes.at_least(boxes, thinning.least_side)
    order = ops.where(large, logits, -np.inf) if thinning.small_first else logits
    _, best = ops.top_k(order, min(thinning.before, logits.shape[1] or thinning.before))
    boxes, large = _boxes.taken(boxes, best), ops.take_along_axis(large, best, axis=1)
    scores = ops.sigmoid(ops.take_along_axis(logits, best, axis=1))
    valid = ops.logical_and(large, scores >= thinning.least_score)
    most = min(thinning.after, best.shape[1])
    places, there = suppress(boxes, scores, valid, overlap=thinning.overlap, most=most)
    return _boxes.taken(boxes, places), ops.take_along_axis(scores, places, axis=1), there
