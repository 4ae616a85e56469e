"""What a classifier minimises and counts, in TensorFlow.

A batch of labels is int32 `[batch]`; or of images that were mixed from two float32 `[batch, 3]`, as
`kerascnn.data.mixing.mixed` gives it.
"""

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

    def of_labels(labels: Any, outputs: list[Any]) -> dict[str, Any]:
        return {
            f"output{number}": factor * loss(labels, output)
            for number, (factor, output) in enumerate(zip(factors, outputs, strict=True))
        }

    def losses(labels: Any, outputs: list[Any]) -> dict[str, Any]:
        return shared(labels, lambda one: of_labels(one, outputs))

    def weighted(labels: Any, outputs: list[Any]) -> Any:
        def of_weighted(one: Any) -> Any:
            each = tf.add_n(list(of_labels(one, outputs).values()))
            return each * tf.gather(tf.constant(class_weight, each.dtype), one)

        return shared(labels, of_weighted)

    return Objective(
        losses=losses,
        minimised=None if class_weight is None else weighted,
        size=1,
        sums=right,
        figures=lambda sums, images: {"error": wrong(sums, images)},
    )


def shared(labels: Any, of: Callable[[Any], Any]) -> Any:
    """What labels come to, tensors `[batch]`; of two labels the mean, by their shares.

    So a loss on labels is one on shares of them: cross-entropy, smoothed or not, is linear in its
    target. Both papers' code does the same.
    """
    if len(labels.shape) == 1:
        return of(labels)
    own, other, share = tf.unstack(labels, axis=1)
    first, second = of(tf.cast(own, tf.int32)), of(tf.cast(other, tf.int32))

    def mean(one: Any, two: Any) -> Any:
        part = tf.cast(share, one.dtype)
        return part * one + (1 - part) * two

    return tf.nest.map_structure(mean, first, second)


def right(labels: Any, outputs: list[Any], real: Any) -> Any:
    """How many real images have their label's score as the highest, float64 `[1]`.

    An image of two labels counts for the share of the one that was found.
    """
    predicted = tf.argmax(outputs[0], axis=-1, output_type=tf.int32)
    correct = shared(labels, lambda one: tf.cast(predicted == tf.cast(one, tf.int32), tf.float64))
    return tf.reduce_sum(tf.where(real, correct, tf.zeros_like(correct)))[None]


def wrong(sums: np.ndarray, images: float) -> float:
    """Share of images with a wrong top-1 prediction, in [0, 1]."""
    return (images - float(sums[0])) / images if images else float("nan")
