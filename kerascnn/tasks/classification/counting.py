"""What a classifier minimises and counts, in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kerascnn.tasks.objective import Objective


def counted(
    loss: Callable[[Any, Any], Any],
    *,
    factors: Sequence[float] = (1.0,),
    class_weight: Sequence[float] | None = None,
) -> Objective:
    """The objective of a loss on labels.

    Args:
        loss: `loss(labels, scores) -> [batch]`.
        factors: of each output's loss; the first is the main one.
        class_weight: factors on what is minimised of each class's images, `[classes]`; None: 1.
    """

    def losses(labels: Any, outputs: list[Any]) -> dict[str, Any]:
        return {
            f"output{number}": factor * loss(labels, output)
            for number, (factor, output) in enumerate(zip(factors, outputs, strict=True))
        }

    def weighted(labels: Any, outputs: list[Any]) -> Any:
        each = objective.loss(labels, outputs)
        return each * tf.gather(tf.constant(class_weight, each.dtype), labels)

    objective = Objective(
        losses=losses,
        minimised=None if class_weight is None else weighted,
        size=1,
        sums=right,
        figures=lambda sums, images: {"error": wrong(sums, images)},
    )
    return objective


def right(labels: Any, outputs: list[Any], real: Any) -> Any:
    """How many real images have their label's score as the highest, float64 `[1]`."""
    predicted = tf.argmax(outputs[0], axis=-1, output_type=tf.int32)
    correct = (predicted == tf.cast(labels, tf.int32)) & real
    return tf.reduce_sum(tf.cast(correct, tf.float64))[None]


def wrong(sums: np.ndarray, images: float) -> float:
    """Share of images with a wrong top-1 prediction, in [0, 1]."""
    return (images - float(sums[0])) / images if images else float("nan")
