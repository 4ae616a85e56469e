"""What is explained of a detector: a class's score is that of the best box of it.

So `kerascnn.explain` goes back from one box: through its score, to the map that the head has seen
of it, and to the pixels. Where the network has proposed the box is no part of it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

SMALLEST = 1e-6  # of a score: what isn't found has a score of this


@keras.saving.register_keras_serializable("kerascnn_detection")
class BestBoxes(keras.layers.Layer):
    """Of rows `[batch, n, 6]` the logit of the best score of each class, `[batch, classes]`.

    On the way back it hands its gradient to that score as it is: a score that has come to 0 or 1
    would have none.

    Args:
        classes: how many.
    """

    def __init__(self, *, classes: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **{**kwargs, "dtype": "float32"})
        self.classes = classes

    def call(self, rows: Any) -> Any:
        """The logits."""
        of_class = rows[..., 4:5] == ops.arange(self.classes, dtype="float32")
        best = ops.max(ops.where(of_class, rows[..., 5:6], 0.0), axis=1)
        share = ops.clip(best, SMALLEST, 1 - SMALLEST)
        logit = ops.log(share) - ops.log1p(-share)
        return best + ops.stop_gradient(logit - best)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`[batch, classes]`."""
        return (input_shape[0], self.classes)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "classes": self.classes}


def explained(model: keras.Model, classes: int) -> keras.Model:
    """A detector that answers with the best score of each class, `[batch, classes]`.

    Args:
        model: that answers with rows.
        classes: how many.
    """
    best = BestBoxes(classes=classes, name="best_boxes")(model.outputs[0])
    scores = keras.layers.Activation("sigmoid", dtype="float32", name="scores")(best)
    return keras.Model(model.inputs[0], scores, name=model.name)
