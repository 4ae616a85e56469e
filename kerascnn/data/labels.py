"""Labels: one class for each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kerascnn.data.fitting import Shape
from kerascnn.data.targets import Size, Targets


class Labels(Targets):
    """One class for each image.

    Attributes:
        labels: int32 `[n]`.
    """

    kind = "label"
    moves = False
    unit = "images"

    def __init__(self, labels: Any) -> None:
        self.labels = np.ascontiguousarray(labels, "int32")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> Labels:
        """See `Targets.take`."""
        return Labels(self.labels[index])

    def joined(self, others: Sequence[Labels]) -> Labels:
        """See `Targets.joined`."""
        return Labels(np.concatenate([self.labels, *(other.labels for other in others)]))

    def digest(self, update: Callable[[Any], None]) -> None:
        """The labels."""
        update(self.labels)

    def stored(self, position: int) -> np.ndarray:
        """int32 `[]`."""
        return np.asarray(self.labels[position])

    def element(self, size: Size) -> tuple[tuple[int, ...], str]:
        """int32 `[]`."""
        return (), "int32"

    def fitted(self, position: int, shape: Shape) -> np.ndarray:
        """int32 `[]`, whatever the canvas."""
        return self.stored(position)

    def fetch(self, shape: Shape) -> Callable[[Any], Any]:
        """See `Targets.fetch`; without a way through Python."""
        import tensorflow as tf

        with tf.device("CPU:0"):
            labels = tf.constant(self.labels)
        return lambda index: tf.gather(labels, index)

    def relabelled(self, table: np.ndarray) -> Labels:
        """See `Targets.relabelled`."""
        return Labels(table[self.labels])

    @classmethod
    def count(cls, target: np.ndarray, classes: int) -> tuple[np.ndarray, int]:
        """See `Targets.count`."""
        return np.bincount([int(target)], minlength=classes), 0

    def counts(self, classes: int) -> np.ndarray:
        """Images of each class."""
        return np.bincount(self.labels, minlength=classes).astype("float64")

    def used(self, classes: int) -> np.ndarray:
        """See `Targets.used`."""
        return self.counts(classes) > 0

    def named(self, position: int, class_names: Sequence[str]) -> str:
        """The name of its class."""
        return class_names[int(self.labels[position])]


def targets_of(labels: Any) -> Targets:
    """What the `labels` of examples are: integers `[n]` are `Labels`, `Targets` stay."""
    return labels if isinstance(labels, Targets) else Labels(labels)
