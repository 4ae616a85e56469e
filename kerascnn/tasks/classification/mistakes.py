"""Which images a network gets wrong, among many: for the confusion matrix and the worst of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerascnn import pictures
from kerascnn.tasks.classification.measures import confusion
from kerascnn.tasks.task import Seen

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


def drawn(seen: Seen) -> Mapping[str, Figure]:
    """TensorBoard's pictures of what a classifier answers for validation images."""

    def probabilities(outputs: np.ndarray) -> np.ndarray:
        return softmax(outputs.astype("float32")) if seen.are_logits else outputs

    names = seen.class_names
    found = find_mistakes((i, labels, probabilities(out)) for i, labels, out in seen.more())
    matrix = confusion(found.labels, found.predictions, len(names))
    return {
        "samples": pictures.samples(seen.images, seen.targets, probabilities(seen.outputs), names),
        "confusion_matrix": pictures.confusion(matrix, names),
        "worst": pictures.samples(
            found.worst_images,
            found.worst_labels,
            found.worst_probabilities,
            names,
            title=f"The highest losses among {len(found.labels):,} images",
        ),
    }


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def find_mistakes(batches: Iterable[tuple[Any, Any, Any]]) -> Mistakes:
    """Compare a network's answers with the labels; the `SHOWN` worst images are kept.

    Args:
        batches: images `[batch, height, width, channels]`, labels `[batch]` and probabilities
            `[batch, classes]`.
    """
    labels, predicted = [], []
    worst: list[tuple[float, Any, Any, Any]] = []  # loss, image, label, probabilities
    for images, truth, chances in batches:
        labels.append(truth)
        predicted.append(chances.argmax(-1))
        losses = -np.log(np.maximum(chances[np.arange(len(chances)), truth], 1e-30))
        high = np.argsort(-losses)[:SHOWN]
        worst += [(losses[i], images[i], truth[i], chances[i]) for i in high]
        worst = sorted(worst, key=lambda one: -one[0])[:SHOWN]
    _, shown, truths, rows = zip(*worst)
    return Mistakes(
        labels=np.concatenate(labels),
        predictions=np.concatenate(predicted),
        worst_images=np.stack(shown),
        worst_labels=np.stack(truths),
        worst_probabilities=np.stack(rows),
    )
