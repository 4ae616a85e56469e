"""Detection: what is in an image, and where.

A network for it answers with rows, float32 `[batch, most, 6]`: x1, y1, x2, y2 in pixels of its
input, the label and the score of each box, the best first; the label is `ABSENT` in rows without
one. It decodes and suppresses itself, so what is saved or exported answers with boxes, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from kerascnn import Recipe, Task
from kerascnn.data import ABSENT, Boxes, Targets
from kerascnn.errors import ArgumentError
from kerascnn.tasks import Measure, Objective

if TYPE_CHECKING:
    import keras


class Detection(Task):
    """Objects in boxes, each with a class; an answer is boxes with their classes and scores."""

    name = "detection"
    help = "objects in boxes, each with a class"
    targets: ClassVar[type[Targets]] = Boxes
    measures = (
        Measure(name="ap50", title="AP50", better="higher"),
        Measure(name="ap75", title="AP75", better="higher"),
    )
    batch: ClassVar[int] = 8

    # --- What a network for it answers ------------------------------------------------------

    def scores(self, model: keras.Model) -> tuple[keras.Model, bool]:
        """The network with what losses are made of behind its answer."""
        from kerascnn_detection.counting import scores_of

        return scores_of(model), True

    def training(self, scores: keras.Model) -> keras.Model:
        """Of a two-stage network one whose head sees a sample of proposals and objects."""
        from kerascnn_detection.counting import taught

        return taught(scores)

    def check_model(self, model: keras.Model, classes: int) -> None:
        """Refuse a model that doesn't make boxes of so many classes."""
        from kerascnn_detection.counting import classes_of, finder_of

        if (found := classes_of(finder_of(model))) != classes:
            raise ArgumentError(
                f"The data has {classes} classes. Received a model that tells {found} apart."
            )

    def random_targets(
        self, generator: np.random.Generator, *, scores: keras.Model, classes: int, count: int
    ) -> np.ndarray:
        """Up to three objects in each image, none in the first: float32 `[count, 3, 6]`."""
        size = np.array(scores.inputs[0].shape[2:0:-1], "float32")
        low, high = np.sort(generator.uniform(0, 1, (2, count, 3, 2)), axis=0)
        corners = np.concatenate([low * size / 2, (1 + high) * size / 2], axis=-1)
        labels = generator.integers(0, classes, (count, 3, 1))
        labels[np.arange(3) >= np.arange(count)[:, None]] = ABSENT
        found = np.concatenate([corners, labels, np.zeros_like(labels)], axis=-1)
        return np.where(labels == ABSENT, [0, 0, 0, 0, ABSENT, 0], found).astype("float32")

    # --- What is learned --------------------------------------------------------------------

    def objective(
        self,
        recipe: Recipe,
        *,
        scores: keras.Model,
        classes: int,
        from_logits: bool,
        class_weight: Sequence[float] | None = None,
    ) -> Objective:
        """The losses of the network's paper, by part; average precision at IoUs of .5 and .75.

        Difficult objects and crowds aren't learned. Precision is VOC's, an area under the curve,
        in the network's own pixels.
        """
        from kerascnn_detection.counting import counted

        return counted(recipe, scores=scores, classes=classes, class_weight=class_weight)


DETECTION = Detection()
