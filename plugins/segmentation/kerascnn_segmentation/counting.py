"""What a training for masks minimises and counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kerascnn import Recipe
from kerascnn.errors import ArgumentError
from kerascnn.tasks import Objective
from kerascnn_segmentation import measures
from kerascnn_segmentation.losses import CrossEntropy, PixelLoss

AUXILIARY = "auxiliary"

Parts = Callable[[Any, Any, Sequence[float] | None], Mapping[str, Any]]
"""From masks, scores and class weights to the parts of each image's loss."""


def counted(
    recipe: Recipe,
    *,
    outputs: int,
    classes: int,
    from_logits: bool,
    class_weight: Sequence[float] | None = None,
) -> Objective:
    """See `kerascnn_segmentation.task.Segmentation.objective`.

    Raises:
        ArgumentError: the recipe's own loss needs logits, or can't weigh classes.
    """
    parts_of, names = _loss(recipe, from_logits, class_weight)

    def losses(
        masks: Any, maps: list[Any], weights: Sequence[float] | None = None
    ) -> Mapping[str, Any]:
        main, *others = maps
        found = dict(parts_of(masks, main, weights))
        if others:
            each = [part for out in others for part in parts_of(masks, out, weights).values()]
            found[AUXILIARY] = recipe.auxiliary_weight * tf.add_n(each)
        return found

    def minimised(masks: Any, maps: list[Any]) -> Any:
        return tf.add_n(list(losses(masks, maps, class_weight).values()))

    def matrix(sums: np.ndarray) -> np.ndarray:
        return np.reshape(sums, (classes, classes))

    logged = (*names, AUXILIARY) if outputs > 1 else names
    return Objective(
        losses=losses,
        minimised=None if class_weight is None else minimised,
        parts=logged if len(logged) > 1 else (),
        size=classes**2,
        sums=lambda masks, maps, real: measures.confusion(masks, maps[0], real),
        figures=lambda sums, images: measures.figures(matrix(sums)),
        details=lambda sums: {"confusion": matrix(sums).astype("int64").tolist()},
    )


def _loss(
    recipe: Recipe, from_logits: bool, class_weight: Sequence[float] | None
) -> tuple[Parts, tuple[str, ...]]:
    """The parts of the recipe's loss, and their names."""
    if recipe.loss is None:
        smoothing = recipe.label_smoothing
        loss = CrossEntropy(from_logits=from_logits, label_smoothing=smoothing)
        return loss.parts, loss.names
    if not from_logits:
        raise ArgumentError("The recipe's loss needs logits. Received: a softmax output.")
    if isinstance(recipe.loss, str):
        raise ArgumentError(
            "The recipe's loss must be a class; kerascnn.recipes.losses.load imports one from "
            f"its place. Received: {recipe.loss!r}."
        )
    own = recipe.loss()
    if isinstance(own, PixelLoss):
        return own.parts, own.names
    if class_weight is not None:
        raise ArgumentError(
            "The recipe's loss must be a kerascnn_segmentation.losses.PixelLoss to weigh classes "
            f"(class_weight). Received: {type(own).__name__}."
        )
    return lambda masks, scores, _: {"loss": own.call(masks, scores)}, ("loss",)
