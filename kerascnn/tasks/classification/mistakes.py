"""Which images a network gets wrong, among many: for the confusion matrix and the worst of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

SHOWN = 24  # of the worst images


@dataclass(frozen=True)
class Mistakes:
    """What a network makes of many images.

    Attributes:
        labels: `[m]`.
        predictions: top-1, `[m]`.
        worst_images: those with the highest loss, the highest first, `[k, height, width,
            channels]`, integers in [0, 255] or floats in [0, 1].
        worst_labels: theirs, `[k]`.
        worst_probabilities: theirs, `[k, classes]`.
    """

    labels: np.ndarray
    predictions: np.ndarray
    worst_images: np.ndarray
    worst_labels: np.ndarray
    worst_probabilities: np.ndarray


def find_mistakes(
    batches: Iterable[tuple[Any, Any]], probabilities: Callable[[Any], np.ndarray]
) -> Mistakes:
    """Compare a network's answers with the labels; the `SHOWN` worst images are kept.

    Args:
        batches: tensors of images `[batch, height, width, channels]` and labels `[batch]`.
        probabilities: from such images to `[batch, classes]`.
    """
    labels, predicted = [], []
    worst: list[tuple[float, Any, Any, Any]] = []  # loss, image, label, probabilities
    for images, truth in batches:
        chances = probabilities(images)
        labels.append(truth.numpy())
        predicted.append(chances.argmax(-1))
        losses = -np.log(np.maximum(chances[np.arange(len(chances)), labels[-1]], 1e-30))
        high = np.argsort(-losses)[:SHOWN]
        worst += [(losses[i], images[i].numpy(), labels[-1][i], chances[i]) for i in high]
        worst = sorted(worst, key=lambda one: -one[0])[:SHOWN]
    _, pictures, truths, rows = zip(*worst)
    return Mistakes(
        labels=np.concatenate(labels),
        predictions=np.concatenate(predicted),
        worst_images=np.stack(pictures),
        worst_labels=np.stack(truths),
        worst_probabilities=np.stack(rows),
    )
