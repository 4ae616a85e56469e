"""What a two-stage network's training makes small: four losses, of its proposals and its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from kerascnn_detection import lessons
from kerascnn_detection.losses import (
    BACKGROUND,
    box_loss,
    class_loss,
    objectness_loss,
    of_class,
)
from kerascnn_detection.sampling import draws
from kerascnn_detection.stages import MARGINS, Detections, Proposals, finder_of, of_each_class

RPN_PARTS = ("rpn_objectness", "rpn_boxes")
PARTS = ("classes", "boxes")

Losses = Callable[[Any, Sequence[Any]], dict[str, Any]]


def parts(scores: keras.Model) -> tuple[str, ...]:
    """The names of the losses that `losses` gives of this network."""
    return PARTS if _proposer(scores) is None else (*RPN_PARTS, *PARTS)


def losses(scores: keras.Model) -> Losses:
    """The function from targets and outputs to each image's losses, by name.

    They are those of the lessons of its layers, "classes" and "boxes"; of a network with region
    proposals "rpn_objectness" and "rpn_boxes" before them. Targets are a batch of
    `kerascnn.data.Boxes`, float32 `[batch, most, 6]`, of which difficult ones and crowds aren't
    learned. Outputs are those of `scores` (its answer, the inputs of its `Detections`, and those of
    its `Proposals` but for the image), or of `kerascnn_detection.training.taught`, which has the
    draws behind them. Without these, anchors are drawn as in image 0 of epoch 0 of seed 0, and a
    head is judged by all proposals.

    Args:
        scores: a two-stage network, see `kerascnn_detection.training.taught`.

    Returns:
        A function to the losses, float32 `[batch]` each.

    Raises:
        ArgumentError: it isn't one.
    """
    finder, proposer = finder_of(scores, Detections), _proposer(scores)

    def of(targets: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        objects = lessons.learned(targets)
        _, logits, codes, rows, image, *rest = outputs
        found = _of_head(finder, objects, logits, codes, rows)
        if proposer is None:
            return found
        maps = 2 * len(proposer.anchors)
        numbers = rest[maps] if len(rest) > maps else ops.zeros((ops.shape(rows)[0], 3), "int32")
        return {**_of_proposer(proposer, objects, [*rest[:maps], image], numbers), **found}

    return of


def _proposer(scores: keras.Model) -> Proposals | None:
    """The layer that proposes, if it is the network that does."""
    found = [layer for layer in scores.layers if isinstance(layer, Proposals)]
    return found[0] if found else None


def _of_head(
    finder: Detections, objects: Any, scores: Any, codes: Any, rows: Any
) -> dict[str, Any]:
    taught = lessons.of_proposals(objects, rows, finder.lesson)
    codes = of_class(of_each_class(codes, scores), taught.labels)
    loss = margin_loss if finder.scores == MARGINS else class_loss
    return {
        "classes": loss(scores, taught.labels, taught.drawn),
        "boxes": box_loss(
            codes, taught.codes, taught.positive, taught.drawn, beta=finder.lesson.beta
        ),
    }


def _of_proposer(
    proposer: Proposals, objects: Any, inputs: Sequence[Any], numbers: Any
) -> dict[str, Any]:
    read, lesson = proposer.read(inputs), proposer.lesson
    anchors = ops.concatenate(read.anchors, axis=0)
    logits, codes = (ops.concatenate(part, axis=1) for part in (read.logits, read.codes))
    each = draws(numbers, ops.shape(anchors)[0])
    taught = lessons.of_anchors(objects, anchors, read.size, each, lesson)
    return {
        "rpn_objectness": objectness_loss(logits, taught.positive, taught.negative),
        "rpn_boxes": box_loss(codes, taught.codes, taught.positive, taught.drawn, beta=lesson.beta),
    }


def margin_loss(margins: Any, labels: Any, drawn: Any) -> Any:
    """The hinge of linear SVMs, one for each class: the mean of those that were drawn, `[batch]`.

    Args:
        margins: `[batch, n, 1 + classes]`; the background's isn't read.
        labels, drawn: see `kerascnn_detection.losses.class_loss`.
    """
    margins = ops.cast(margins, "float32")[..., BACKGROUND + 1 :]
    kinds = ops.arange(margins.shape[-1], dtype="int32") + BACKGROUND + 1
    sides = ops.where(labels[..., None] == kinds, 1.0, -1.0)
    each = ops.sum(ops.maximum(1 - sides * margins, 0), axis=-1)
    total = ops.sum(ops.where(drawn, each, 0), axis=-1)
    return total / ops.maximum(ops.sum(ops.cast(drawn, "float32"), axis=-1), 1)
