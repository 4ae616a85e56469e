"""What a network gets wrong and right, among many: the confusion matrix, the worst, the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerascnn import pictures
from kerascnn.tasks.classification.measures import confusion
from kerascnn.tasks.task import Seen

SHOWN = 24  # of the worst images, and of the best


@dataclass(frozen=True)
class Ranked:
    """Images in an order.

    Attributes:
        images: `[k, height, width, channels]`, integers in [0, 255] or floats in [0, 1].
        labels: theirs, `[k]`.
        probabilities: theirs, `[k, classes]`.
    """

    images: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Mistakes:
    """What a network makes of many images.

    Attributes:
        labels: `[m]`.
        predictions: top-1, `[m]`.
        worst: those with the highest loss, the highest first.
        best: those with the lowest loss, the lowest first.
    """

    labels: np.ndarray
    predictions: np.ndarray
    worst: Ranked
    best: Ranked


def drawn(seen: Seen) -> Mapping[str, Figure]:
    """Pictures of what a classifier answers for validation images."""

    def probabilities(outputs: np.ndarray) -> np.ndarray:
        return softmax(outputs.astype("float32")) if seen.are_logits else outputs

    names = seen.class_names
    found = find_mistakes((i, labels, probabilities(out)) for i, labels, out in seen.more())
    matrix = confusion(found.labels, found.predictions, len(names))
    among = f"among {len(found.labels):,} images"

    def ranked(some: Ranked, title: str) -> Figure:
        return pictures.samples(some.images, some.labels, some.probabilities, names, title=title)

    return {
        "samples": pictures.samples(seen.images, seen.targets, probabilities(seen.outputs), names),
        "confusion_matrix": pictures.confusion(matrix, names),
        "worst": ranked(found.worst, f"The highest losses {among}"),
        "best": ranked(found.best, f"The lowest losses {among}"),
    }


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def find_mistakes(batches: Iterable[tuple[Any, Any, Any]]) -> Mistakes:
    """Compare a network's answers with the labels; `SHOWN` images are kept of either end.

    Args:
        batches: images `[batch, height, width, channels]`, labels `[batch]` and probabilities
            `[batch, classes]`.
    """
    labels, predicted = [], []
    ends: dict[int, list[tuple[float, Any, Any, Any]]] = {-1: [], 1: []}  # sign of the loss → kept
    for images, truth, chances in batches:
        labels.append(truth)
        predicted.append(chances.argmax(-1))
        losses = -np.log(np.maximum(chances[np.arange(len(chances)), truth], 1e-30))
        for sign, kept in ends.items():
            first = np.argsort(sign * losses, kind="stable")[:SHOWN]
            kept += [(sign * losses[i], images[i], truth[i], chances[i]) for i in first]
            ends[sign] = sorted(kept, key=lambda one: one[0])[:SHOWN]
    return Mistakes(
        labels=np.concatenate(labels),
        predictions=np.concatenate(predicted),
        worst=_ranked(ends[-1]),
        best=_ranked(ends[1]),
    )


def _ranked(kept: list[tuple[float, Any, Any, Any]]) -> Ranked:
    _, *columns = zip(*kept)
    return Ranked(*(np.stack(column) for column in columns))
