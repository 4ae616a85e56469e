"""What the networks are trained to make small: pure functions, each image's summands `[batch]`.

Means are those of an image, whose number of candidates is the same for all but for images that lack
negative ones. An image without objects has finite losses: those of boxes are 0, and so are their
gradients.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from kerascnn_detection.cells import Answer, Truth, fit

BACKGROUND = 0  # the first score of a head; that of class i is i + 1
SMOOTH_RPN = 1 / 9  # β of the proposal network: σ = 3 (Faster R-CNN's code, and torchvision)
SMOOTH = 1.0  # β of the head: σ = 1 (Fast R-CNN, equation 3); torchvision has 1/9
COORD, NOOBJ = 5.0, 0.5  # YOLO's weights (section 2.2)


def beta(sigma: float) -> float:
    """What others call β: below it the loss is a parabola. The papers' code says σ, 1 / √β."""
    return 1 / sigma**2


def smooth_l1(difference: Any, beta: float = SMOOTH) -> Any:
    """x² / 2β where |x| < β, else |x| - β / 2; of any shape."""
    size = ops.abs(difference)
    return ops.where(size < beta, ops.square(size) / (2 * beta), size - beta / 2)


def objectness_loss(logits: Any, positive: Any, negative: Any) -> Any:
    """Whether anchors show an object: the mean cross-entropy of those that were drawn, `[batch]`.

    Where a network has two scores for an anchor, as the authors', the logit is their difference.

    Args:
        logits: `[batch, n]`.
        positive, negative: which were drawn, bool `[batch, n]`; see
            `kerascnn_detection.sampling.sample`.
    """
    logits = ops.cast(logits, "float32")
    target = ops.cast(positive, "float32")
    each = ops.maximum(logits, 0) - logits * target + ops.log1p(ops.exp(-ops.abs(logits)))
    return _mean(each, ops.logical_or(positive, negative))


def class_loss(logits: Any, labels: Any, drawn: Any) -> Any:
    """Which class proposals show: the mean cross-entropy of those that were drawn, `[batch]`.

    Args:
        logits: `[batch, n, 1 + classes]`.
        labels: int32 `[batch, n]`; `BACKGROUND`, or 1 + the number of a class.
        drawn: bool `[batch, n]`.
    """
    chances = ops.log_softmax(ops.cast(logits, "float32"))
    each = -ops.take_along_axis(chances, labels[..., None], axis=-1)[..., 0]
    return _mean(each, drawn)


def box_loss(codes: Any, targets: Any, positive: Any, drawn: Any, *, beta: float) -> Any:
    """How far boxes are off: smooth L1 of the positive ones, over all that were drawn, `[batch]`.

    Args:
        codes: what the network says, `[batch, n, 4]`; of a head that says it for each class those
            of the right one, see `of_class`.
        targets: see `kerascnn_detection.boxes.encode`, `[batch, n, 4]`.
        positive: which were drawn and show an object, bool `[batch, n]`.
        drawn: which were drawn, bool `[batch, n]`.
        beta: see `smooth_l1`.
    """
    each = ops.sum(smooth_l1(ops.cast(codes, "float32") - targets, beta), axis=-1)
    total = ops.sum(ops.where(positive, each, 0), axis=-1)
    return total / ops.maximum(ops.sum(ops.cast(drawn, "float32"), axis=-1), 1)


def of_class(codes: Any, labels: Any) -> Any:
    """The codes for each proposal's class, `[batch, n, 4]`.

    Args:
        codes: `[batch, n, scores, 4]`.
        labels: int32 `[batch, n]`, as in `class_loss`.
    """
    return ops.take_along_axis(codes, labels[..., None, None], axis=2)[..., 0, :]


def yolo_loss(
    answer: Answer, truth: Truth, *, coord: float = COORD, noobj: float = NOOBJ
) -> dict[str, Any]:
    """YOLO's sum of squared errors (equation 3), term by term, `[batch]` each.

    The confidence of the responsible box is to be its IoU with the object, that of all others 0,
    also of those in a cell with an object. Darknet prints another number: the sum of the squares of
    its gradient, in which `coord` and `noobj` are squared, too.

    Args:
        answer: of the network.
        truth: what is there.
        coord, noobj: λ of the coordinates, and of boxes without an object.

    Returns:
        "coordinates", "object", "no_object", "classes", with their factors.
    """
    overlap, responsible = fit(answer, truth)
    sought = ops.concatenate([truth.boxes[..., :2], ops.sqrt(truth.boxes[..., 2:])], axis=-1)
    off = ops.sum(ops.square(answer.boxes - sought[..., None, :]), axis=-1)
    errors = ops.sum(ops.square(answer.classes - truth.classes), axis=-1)
    there = ops.cast(truth.present, "float32")

    def total(each: Any) -> Any:
        return ops.sum(each, axis=tuple(range(1, len(each.shape))))

    return {
        "coordinates": coord * total(responsible * off),
        "object": total(responsible * ops.square(answer.confidence - overlap)),
        "no_object": noobj * total((1 - responsible) * ops.square(answer.confidence)),
        "classes": total(there * errors),
    }


def _mean(each: Any, among: Any) -> Any:
    """Over the marked ones of each image, `[batch]`; 0 where there are none."""
    total = ops.sum(ops.where(among, each, 0), axis=-1)
    return total / ops.maximum(ops.sum(ops.cast(among, "float32"), axis=-1), 1)
