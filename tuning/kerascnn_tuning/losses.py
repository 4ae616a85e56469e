"""Loss and accuracy of a HyperModel: for labels as numbers or one-hot, and Keras can save them."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("kerascnn_tuning")
class LabelLoss(keras.losses.Loss):
    """Cross-entropy, or an architecture's own loss, of logits `[batch, classes]`.

    Labels are numbers, `[batch]` or `[batch, 1]`, or one-hot or soft, `[batch, classes]`.

    Args:
        classes: number of classes.
        label_smoothing: share of each label that is spread over all classes.
        own: a loss that takes labels `[batch]` and logits; None: cross-entropy.
        reduction, name, dtype: as of every loss of Keras.
    """

    def __init__(
        self,
        classes: int,
        *,
        label_smoothing: float = 0.0,
        own: keras.losses.Loss | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "label_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.classes, self.label_smoothing, self.own = classes, label_smoothing, own

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each image, `[batch]`."""
        if self.own is not None:
            return self.own.call(as_numbers(y_true, self.classes), y_pred)
        if not is_one_hot(y_true, self.classes):
            labels = ops.cast(as_numbers(y_true, self.classes), "int32")
            y_true = ops.one_hot(labels, self.classes, dtype=y_pred.dtype)
        return keras.losses.categorical_crossentropy(
            y_true, y_pred, from_logits=True, label_smoothing=self.label_smoothing
        )

    def get_config(self) -> dict[str, Any]:
        """For Keras' serialization."""
        own = self.own and keras.saving.serialize_keras_object(self.own)
        return {
            **super().get_config(),
            "classes": self.classes,
            "label_smoothing": self.label_smoothing,
            "own": own,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LabelLoss:
        """The loss that `get_config` described."""
        own = config.get("own") and keras.saving.deserialize_keras_object(config["own"])
        return cls(**{**config, "own": own})


@keras.saving.register_keras_serializable("kerascnn_tuning")
class LabelAccuracy(keras.metrics.MeanMetricWrapper):
    """The share of images whose largest score is their label's, for labels as in `LabelLoss`.

    Args:
        classes: number of classes.
        name, dtype: as of every metric of Keras.
    """

    def __init__(self, classes: int, name: str = "accuracy", dtype: Any = None) -> None:
        super().__init__(self._matches, name=name, dtype=dtype)
        self.classes = classes
        self._direction = "up"

    def _matches(self, y_true: Any, y_pred: Any) -> Any:
        labels = ops.cast(as_numbers(y_true, self.classes), "int32")
        return ops.cast(labels == ops.cast(ops.argmax(y_pred, axis=-1), "int32"), self.dtype)

    def get_config(self) -> dict[str, Any]:
        """For Keras' serialization."""
        return {"classes": self.classes, "name": self.name, "dtype": self.dtype}


def is_one_hot(labels: Any, classes: int) -> bool:
    """Whether labels are `[batch, classes]`, not `[batch]` or `[batch, 1]`."""
    return len(labels.shape) == 2 and labels.shape[-1] == classes


def as_numbers(labels: Any, classes: int) -> Any:
    """Labels as numbers, `[batch]`."""
    if is_one_hot(labels, classes):
        return ops.argmax(labels, axis=-1)
    return ops.reshape(labels, (-1,))
