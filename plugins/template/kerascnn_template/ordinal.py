"""A task of its own: classes in an order, such as ages or grades.

To take a face of 30 years for one of 31 is a smaller mistake than to take it for one of 60. So the
answer is a number: the mean of the classes' numbers, each with its probability (Rothe, Timofte, Van
Gool, 2015: "DEX: Deep EXpectation of apparent age"). What networks put out, a score for each class,
is that of a classifier, and so is the data: its classes are in the order of their names.

Deviation: the paper minimizes the cross-entropy alone; here the squared distance is added to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kerascnn import Recipe, Task, data, errors, tasks
from kerascnn_template.allcnn import AllCNNC


class Ordinal(Task):
    """The answer to an image is a number from 0 to that of the last class."""

    name = "ordinal"
    help = "classes in an order, such as ages"
    targets = data.Labels
    # The first one decides which epoch is best, what a search looks for, how runs are sorted.
    measures = (
        tasks.Measure(name="distance", title="Mean distance", share=False),
        tasks.Measure(name="median_distance", title="Median distance", share=False),
    )

    def objective(
        self,
        recipe: Recipe,
        *,
        scores: Any,
        classes: int,
        from_logits: bool,
        class_weight: Sequence[float] | None = None,
    ) -> tasks.Objective:
        """Cross-entropy and squared distance; the mean distance and the median one."""
        import keras
        import tensorflow as tf

        if len(scores.outputs) > 1 or class_weight is not None:
            raise errors.ArgumentError("ordinal has neither auxiliary outputs nor class weights.")

        def distance(labels: Any, outputs: list[Any]) -> Any:
            """Between each image's answer and its class, `[batch]`."""
            shares = tf.nn.softmax(outputs[0]) if from_logits else outputs[0]
            numbers = tf.range(classes, dtype=shares.dtype)
            return tf.abs(tf.linalg.matvec(shares, numbers) - tf.cast(labels, shares.dtype))

        def losses(labels: Any, outputs: list[Any]) -> dict[str, Any]:
            entropy = keras.losses.sparse_categorical_crossentropy(
                labels, outputs[0], from_logits=from_logits
            )
            return {"entropy": entropy, "distance": distance(labels, outputs) ** 2 / classes}

        def sums(labels: Any, outputs: list[Any], real: Any) -> Any:
            counted = tf.where(real, distance(labels, outputs), 0)
            return tf.reduce_sum(tf.cast(counted, tf.float64), keepdims=True)

        return tasks.Objective(
            losses=losses,
            parts=("distance",),  # is logged as loss_distance
            # A mean is made of sums, which add up over batches, replicas and workers.
            size=1,
            sums=sums,
            figures=lambda sums, images: {"distance": float(sums[0]) / images},
            # A median needs the distances of all images at once.
            answers=distance,
            judged=lambda distances: {"median_distance": float(np.median(distances))},
        )

    def said(self, answer: Any, class_names: Sequence[str]) -> str:
        """What `kerascnn predict` says: `2.8, next to "3"`."""
        number = float(answer @ np.arange(len(answer)))
        return f'{number:.1f}, next to "{class_names[round(number)]}"'

    def random_targets(
        self, generator: np.random.Generator, *, scores: Any, classes: int, count: int
    ) -> np.ndarray:
        """For `kerascnn check`: classes, int32 `[count]`."""
        return generator.integers(0, classes, count).astype("int32")


ORDINAL = Ordinal()
AllCNNCOrdinal = replace(AllCNNC.variant("allcnn_c_ordinal"), task="ordinal")
