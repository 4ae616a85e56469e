"""Which anchor or proposal is to learn which object (Faster R-CNN, section 3.1.2)."""

from __future__ import annotations

from typing import Any

from keras import ops

BELOW = -1  # an anchor that shows background
BETWEEN = -2  # one that is neither near enough to an object nor far enough from all


def match(
    overlaps: Any,
    present: Any,
    *,
    high: float,
    low: float,
    each_object: bool = False,
    usable: Any = None,
) -> Any:
    """The object that each anchor is nearest to, if near enough.

    Args:
        overlaps: IoU `[..., objects, anchors]`.
        present: which objects there are, bool `[..., objects]`.
        high: an anchor with an IoU of at least so much with an object is a positive one.
        low: one with less than so much with every object is a negative one.
        each_object: the anchors that are best for an object are positive as well, however little
            they overlap with it; all of them, if several are alike. An anchor is given the object
            that it overlaps with most, even if it is another one for which it is the best: so
            torchvision's `allow_low_quality_matches` and the authors' code. An object that no
            anchor touches has no best: otherwise all anchors, being alike, would be positive.
        usable: which anchors take part, bool `[anchors]` or `[..., anchors]`, such as those inside
            the image; the others are `BETWEEN`. None: all.

    Returns:
        int32 `[..., anchors]`: the number of an object, `BELOW` or `BETWEEN`.
    """
    overlaps = ops.where(present[..., None], overlaps, -1.0)
    if usable is not None:
        usable = ops.broadcast_to(usable, ops.shape(overlaps[..., 0, :]))
        overlaps = ops.where(usable[..., None, :], overlaps, -1.0)
    best = ops.max(overlaps, axis=-2)
    nearest = ops.cast(ops.argmax(overlaps, axis=-2), "int32")
    found = ops.where(best < low, BELOW, ops.where(best < high, BETWEEN, nearest))
    if each_object:
        of_object = ops.max(overlaps, axis=-1, keepdims=True)
        its_best = ops.logical_and(overlaps == of_object, of_object > 0)
        found = ops.where(ops.any(its_best, axis=-2), nearest, found)
    return found if usable is None else ops.where(usable, found, BETWEEN)
