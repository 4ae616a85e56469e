"""How good a network's answers are: errors, losses, and precision and recall of each class.

Answers come batch by batch; of each image only three numbers are kept, so that a million images of
a thousand classes fit in 12 MB, where their scores would take 4 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascnn.tasks.forward import require_numbers

MOST_CLASSES = 1000  # of a confusion matrix; for more it would take gigabytes


def rank(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Classes in front of each image's own, `[n]`: 0 is a correct top-1 prediction.

    Of equal scores the first class is in front, as `argmax` has it.

    Args:
        scores: `[n, classes]`, finite.
        labels: `[n]`.
    """
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    return ((scores > own) | ((scores == own) & earlier)).sum(1)


@dataclass(frozen=True)
class Answers:
    """What a network answered.

    Attributes:
        labels: int32 `[n]`, what the images are.
        predicted: int32 `[n]`, the class with the highest score.
        rank: int32 `[n]`, see `rank`.
        losses: the mean of each loss over the images.
    """

    labels: np.ndarray
    predicted: np.ndarray
    rank: np.ndarray
    losses: dict[str, float]

    def error(self, top: int = 1) -> float:
        """Share of images whose class is not among the `top` likeliest."""
        return float((self.rank >= top).mean())


Loss = Callable[[np.ndarray, np.ndarray], Any]
"""From labels `[n]` and scores `[n, classes]` to a loss for each image, `[n]`."""


def judged(scores: Iterable[np.ndarray], labels: np.ndarray, losses: Mapping[str, Loss]) -> Answers:
    """Compare a network's answers with the labels.

    Args:
        scores: `[batch, classes]` for one batch after the other, in the order of the labels.
        labels: int32 `[n]`.
        losses: functions by name.

    Raises:
        RunError: an answer is not a number.
    """
    predicted = np.empty(len(labels), "int32")
    ranks = np.empty(len(labels), "int32")
    sums = dict.fromkeys(losses, 0.0)
    done = 0
    for batch in scores:
        require_numbers(batch)
        part = slice(done, done + len(batch))
        own = labels[part]
        predicted[part] = batch.argmax(axis=1)
        ranks[part] = rank(batch, own)
        for name, loss in losses.items():
            sums[name] += float(np.asarray(loss(own, batch), "float64").sum())
        done += len(batch)
    assert done == len(labels)
    return Answers(labels, predicted, ranks, {name: sum_ / done for name, sum_ in sums.items()})


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often images of one class were taken for another, int64 `[classes, classes]`.

    Rows are labels, columns predictions, as scikit-learn has it.
    """
    pairs = labels.astype("int64") * classes + predicted
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def per_class(
    labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class; None where it is not defined.

    With the images of a class (`support`), those taken for it (`predicted`) and those that are both
    (right): precision is right / predicted, recall right / support, and F1 their harmonic mean,
    2 right / (support + predicted). Of a class without images recall and F1 are not defined, and
    precision isn't of a class that nothing is taken for.

    Returns:
        `{"name", "support", "predicted", "precision", "recall", "f1"}` for each class.
    """
    classes = len(names)
    images = np.bincount(labels, minlength=classes).tolist()
    guessed = np.bincount(predicted, minlength=classes).tolist()
    right = np.bincount(labels[labels == predicted], minlength=classes).tolist()
    return [
        {
            "name": name,
            "support": n,
            "predicted": p,
            "precision": r / p if p else None,
            "recall": r / n if n else None,
            "f1": 2 * r / (n + p) if n else None,
        }
        for name, n, p, r in zip(names, images, guessed, right)
    ]
