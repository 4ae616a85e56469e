"""What a step teaches a two-stage detector: which anchors and proposals, and what each is to say.

Matching, sampling and coding put together, as pure functions of the batch and of random numbers
(`kerascnn_detection.sampling.draws`); no gradient goes through them. `of_anchors` says it of a
region proposal network. Of a head `drawn` chooses the proposals, which it is then run on, and
`of_proposals` says what they teach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from keras import ops

from kerascnn.data import ABSENT
from kerascnn_detection import boxes as _boxes
from kerascnn_detection.losses import BACKGROUND, SMOOTH, SMOOTH_RPN
from kerascnn_detection.matching import BELOW, match
from kerascnn_detection.sampling import chosen, sample


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Which candidates are learned from, and how much it matters how far their boxes are off.

    Attributes:
        high, low, each_object: see `kerascnn_detection.matching.match`.
        least: a negative one must overlap so much with an object: hard ones come first.
        count, share: see `kerascnn_detection.sampling.sample`.
        inside: whether candidates that cross the image's border are left out.
        weights: of the codes, see `kerascnn_detection.boxes.encode`; who reads the answers divides
            them out.
        beta: of the loss of boxes, see `kerascnn_detection.losses.smooth_l1`.
    """

    high: float
    low: float
    each_object: bool = False
    least: float = 0.0
    count: int
    share: float
    inside: bool = False
    weights: tuple[float, float, float, float] = _boxes.PAPERS
    beta: float = SMOOTH

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Lesson:
        """Of what `dataclasses.asdict` gives, also from JSON."""
        return cls(**{**config, "weights": tuple(config["weights"])})


ANCHORS = Lesson(
    high=0.7,
    low=0.3,
    each_object=True,
    count=256,
    share=0.5,
    inside=True,
    weights=_boxes.PLAIN,
    beta=SMOOTH_RPN,
)
"""Of a region proposal network (Faster R-CNN, section 3.1.2 and 3.1.3)."""

FAST = Lesson(high=0.5, low=0.5, least=0.1, count=64, share=0.25)
"""Of the head of Fast R-CNN, two images a step (section 2.3)."""

JOINT = Lesson(high=0.5, low=0.5, count=128, share=0.25)
"""Of the head in the authors' joint training, one image a step: any negative one will do."""


def learned(objects: Any) -> Any:
    """The objects without those that are difficult or crowds: their labels are `ABSENT`.

    Args:
        objects: a batch of `kerascnn.data.Boxes`, float32 `[batch, most, 6]`.
    """
    easy = ops.logical_and(_boxes.present(objects), objects[..., 5] == 0)
    labels = ops.where(easy, objects[..., 4], float(ABSENT))
    return ops.concatenate([objects[..., :4], labels[..., None], objects[..., 5:]], axis=-1)


@dataclass(frozen=True, kw_only=True)
class Taught:
    """What is learned from, and what it is to say.

    Attributes:
        boxes: the candidates, float32 `[batch, n, 4]`, or `[n, 4]`.
        labels: int32 `[batch, n]`: `BACKGROUND`, or 1 + the class.
        codes: how to come to the object, float32 `[batch, n, 4]`; of positive ones alone they mean
            something.
        positive, negative: which are learned from as what, bool `[batch, n]`.
    """

    boxes: Any
    labels: Any
    codes: Any
    positive: Any
    negative: Any

    @property
    def drawn(self) -> Any:
        """All that are learned from, bool `[batch, n]`."""
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
    return _drawn(_all(objects, anchors, usable, lesson), draws, lesson)


def of_proposals(objects: Any, rows: Any, lesson: Lesson = JOINT) -> Taught:
    """What a head learns of proposals: of all that are any, and near enough or far enough.

    Args:
        objects: float32 `[batch, most, 6]`.
        rows: proposals, float32 `[batch, n, 6]`, such as `drawn` gives.
        lesson: which are positive and which negative.
    """
    return _all(objects, ops.stop_gradient(rows[..., :4]), _boxes.present(rows), lesson)


def drawn(
    objects: Any, rows: Any, draws: Any, lesson: Lesson = JOINT, *, objects_too: bool = True
) -> Any:
    """The proposals that a head learns from in a step, as many as the lesson has.

    Args:
        objects: float32 `[batch, most, 6]`.
        rows: proposals, float32 `[batch, n, 6]`.
        draws: int32 `[batch, n + most]`, or `[batch, n]` without the objects.
        lesson: which are learned from.
        objects_too: whether the objects' own boxes are proposals, too, as both the authors and
            torchvision have it: otherwise there is nothing to learn from at first.

    Returns:
        Rows, float32 `[batch, count, 6]`, of which `of_proposals` says what they teach; the label
        is `ABSENT` where there are fewer.
    """
    if objects_too:
        rows = ops.concatenate([rows, _as_proposals(objects)], axis=1)
    taught = _drawn(of_proposals(objects, rows, lesson), draws, lesson)
    places, some = chosen(taught.drawn, lesson.count)
    absent = ops.convert_to_tensor([0, 0, 0, 0, ABSENT, 0], "float32")
    return ops.stop_gradient(ops.where(some[..., None], _boxes.taken(rows, places), absent))


def _as_proposals(objects: Any) -> Any:
    """Rows whose label says no more than whether there is one."""
    labels = ops.where(_boxes.present(objects), 0.0, float(ABSENT))[..., None]
    return ops.concatenate([_boxes.corners(objects), labels, ops.zeros_like(labels)], axis=-1)


def _all(objects: Any, candidates: Any, usable: Any, lesson: Lesson) -> Taught:
    """Of all candidates, `[n, 4]` or `[batch, n, 4]`, those that are positive or negative."""
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
    nearest = _boxes.taken(objects, ops.maximum(matches, 0))
    known = ops.where(matches >= 0, _boxes.labels(nearest), ABSENT)
    return Taught(
        boxes=candidates,
        labels=ops.where(known == ABSENT, BACKGROUND, known + 1),
        codes=ops.stop_gradient(_boxes.encode(nearest[..., :4], candidates, lesson.weights)),
        positive=matches >= 0,
        negative=negative,
    )


def _drawn(taught: Taught, draws: Any, lesson: Lesson) -> Taught:
    """Some of them, at random."""
    positive, negative = sample(
        draws, taught.positive, taught.negative, count=lesson.count, share=lesson.share
    )
    return replace(taught, positive=positive, negative=negative)
