"""What a step teaches a two-stage detector: which anchors and proposals, and what each is to say.

`of_anchors` and `of_proposals` put matching, sampling and coding together. They are pure functions
of the batch and of random numbers (`kerascnn_detection.sampling.draws`), and no gradient goes
through them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from kerascnn.data import ABSENT
from kerascnn_detection import boxes as _boxes
from kerascnn_detection.losses import BACKGROUND
from kerascnn_detection.matching import BELOW, match
from kerascnn_detection.sampling import chosen, sample


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Which candidates are learned from.

    Attributes:
        high, low, each_object: see `kerascnn_detection.matching.match`.
        least: a negative one must overlap so much with an object: hard ones come first.
        count, share: see `kerascnn_detection.sampling.sample`.
        inside: whether candidates that cross the image's border are left out.
        weights: of the codes, see `kerascnn_detection.boxes.encode`.
    """

    high: float
    low: float
    each_object: bool = False
    least: float = 0.0
    count: int
    share: float
    inside: bool = False
    weights: tuple[float, float, float, float] = _boxes.PAPERS


ANCHORS = Lesson(
    high=0.7,
    low=0.3,
    each_object=True,
    count=256,
    share=0.5,
    inside=True,
    weights=_boxes.PLAIN,
)
"""Of a region proposal network (Faster R-CNN, section 3.1.2 and 3.1.3)."""

FAST = Lesson(high=0.5, low=0.5, least=0.1, count=64, share=0.25)
"""Of the head of Fast R-CNN, two images a step (section 2.3)."""

JOINT = Lesson(high=0.5, low=0.5, count=128, share=0.25)
"""Of the head in the authors' joint training, one image a step: any negative one will do."""


@dataclass(frozen=True, kw_only=True)
class Taught:
    """What was drawn, and what it is to say.

    Attributes:
        boxes: the candidates, float32 `[batch, n, 4]`, or `[n, 4]`.
        labels: int32 `[batch, n]`: `BACKGROUND`, or 1 + the class.
        codes: how to come to the object, float32 `[batch, n, 4]`; of positive ones alone they mean
            something.
        positive, negative: which were drawn as what, bool `[batch, n]`.
    """

    boxes: Any
    labels: Any
    codes: Any
    positive: Any
    negative: Any

    @property
    def drawn(self) -> Any:
        """All that were drawn, bool `[batch, n]`."""
        return ops.logical_or(self.positive, self.negative)


def of_anchors(
    objects: Any, anchors: Any, size: tuple[Any, Any], draws: Any, lesson: Lesson = ANCHORS
) -> Taught:
    """What a region proposal network learns in a step.

    Args:
        objects: float32 `[batch, most, 6]`, see `kerascnn_detection.boxes`.
        anchors: of all maps, `[n, 4]`.
        size: `(height, width)` of the images.
        draws: int32 `[batch, n]`.
        lesson: which are learned from.
    """
    usable = _boxes.inside(anchors, size) if lesson.inside else None
    return _taught(objects, anchors, usable, draws, lesson)


def of_proposals(
    objects: Any, rows: Any, draws: Any, lesson: Lesson = JOINT, *, objects_too: bool = True
) -> Taught:
    """What a head learns in a step, of as many boxes as the lesson has.

    Args:
        objects: float32 `[batch, most, 6]`.
        rows: proposals, float32 `[batch, n, 6]`.
        draws: int32 `[batch, n + most]`, or `[batch, n]` without the objects.
        lesson: which are learned from.
        objects_too: whether the objects' own boxes are proposals, too, as both the authors and
            torchvision have it: otherwise there is nothing to learn from at first.
    """
    boxes, there = rows[..., :4], _boxes.present(rows)
    if objects_too:
        boxes = ops.concatenate([boxes, _boxes.corners(objects)], axis=1)
        there = ops.concatenate([there, _boxes.present(objects)], axis=1)
    taught = _taught(objects, ops.stop_gradient(boxes), there, draws, lesson)
    places, some = chosen(taught.drawn, lesson.count)

    def those(values: Any) -> Any:
        return ops.take_along_axis(values, places, axis=1)

    return Taught(
        boxes=_boxes.taken(taught.boxes, places),
        labels=those(taught.labels),
        codes=_boxes.taken(taught.codes, places),
        positive=ops.logical_and(those(taught.positive), some),
        negative=ops.logical_and(those(taught.negative), some),
    )


def _taught(objects: Any, candidates: Any, usable: Any, draws: Any, lesson: Lesson) -> Taught:
    """Of all candidates, `[n, 4]` or `[batch, n, 4]`, those that are drawn."""
    present = _boxes.present(objects)
    overlaps = _boxes.iou(_boxes.corners(objects), candidates)
    matches = match(
        overlaps,
        present,
        high=lesson.high,
        low=lesson.low,
        each_object=lesson.each_object,
        usable=usable,
    )
    negative = matches == BELOW
    if lesson.least:
        best = ops.max(ops.where(present[..., None], overlaps, 0.0), axis=1)
        negative = ops.logical_and(negative, best >= lesson.least)
    positive, negative = sample(
        draws, matches >= 0, negative, count=lesson.count, share=lesson.share
    )
    nearest = _boxes.taken(objects, ops.maximum(matches, 0))
    known = ops.where(matches >= 0, _boxes.labels(nearest), ABSENT)
    return Taught(
        boxes=candidates,
        labels=ops.where(known == ABSENT, BACKGROUND, known + 1),
        codes=ops.stop_gradient(_boxes.encode(nearest[..., :4], candidates, lesson.weights)),
        positive=positive,
        negative=negative,
    )
