"""How good masks are: the figures of the FCN paper (section 5), all of one confusion matrix.

All images are added up before anything is divided, so each pixel counts the same and the figures
don't depend on how images were divided among batches, devices and workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kerascnn.data import VOID
from kerascnn_segmentation.losses import middle


def confusion(masks: Any, scores: Any, real: Any) -> Any:
    """How many pixels of each class were taken for each.

    Args:
        masks: uint8 `[batch, height, width]`; `VOID` doesn't count.
        scores: `[batch, rows, columns, classes]`, for the masks' middle.
        real: bool `[batch]`; images that are none count nothing.

    Returns:
        float64 `[classes * classes]`, row by row: rows are labels, columns predictions.
    """
    classes = scores.shape[-1]
    masks = middle(masks, scores.shape[1:3])
    labels = tf.cast(masks, tf.int32)
    pairs = labels * classes + tf.argmax(scores, axis=-1, output_type=tf.int32)
    known = (masks != VOID) & tf.reshape(real, [-1, 1, 1])
    # Whole numbers, so that the sum is the same in any order; a negative place is left out.
    places = tf.reshape(tf.where(known, pairs, -1), [-1])
    ones = tf.ones_like(places)
    return tf.cast(tf.math.unsorted_segment_sum(ones, places, classes**2), tf.float64)


def confusion_of(masks: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """The same of masks and predicted masks of one size on the host, int64 `[classes, classes]`."""
    known = masks != VOID
    pairs = masks[known].astype("int64") * classes + predicted[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def iou(matrix: np.ndarray) -> np.ndarray:
    """Intersection over union of each class, `[classes]`: n_ii / (t_i + Σ_j n_ji - n_ii).

    Of a class that is only predicted it is 0; of one that is neither there nor predicted, NaN.

    Args:
        matrix: counts `[classes, classes]`; rows are labels, columns predictions.
    """
    right, there, taken = _counts(matrix)
    return _shares(right, there + taken - right)


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """The share of each class's pixels that are taken for it, `[classes]`; NaN without pixels."""
    right, there, _ = _counts(matrix)
    return _shares(right, there)


def figures(matrix: np.ndarray) -> dict[str, float]:
    """Mean IoU, pixel accuracy, mean accuracy and frequency-weighted IoU, each in [0, 1].

    With n_ij pixels of class i that are taken for j, and t_i = Σ_j n_ij: the mean of `iou`,
    Σ n_ii / Σ t_i, the mean of `accuracy`, and Σ t_i IoU_i / Σ t_i. Classes that have none are
    left out of a mean. Without any pixel that counts they are 0.

    Args:
        matrix: counts `[classes, classes]`; rows are labels, columns predictions.
    """
    right, there, _ = _counts(matrix)
    pixels = there.sum()
    overlaps = iou(matrix)
    weighted = np.where(there > 0, there * np.nan_to_num(overlaps), 0).sum()
    return {
        "mean_iou": _mean(overlaps),
        "pixel_accuracy": float(right.sum() / pixels) if pixels else 0.0,
        "mean_accuracy": _mean(accuracy(matrix)),
        "frequency_weighted_iou": float(weighted / pixels) if pixels else 0.0,
    }


def per_class(matrix: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """The figures of each class.

    Returns:
        `{"name", "pixels", "predicted", "iou", "accuracy"}` for each class; None where a figure
        isn't defined.
    """
    _, there, taken = _counts(matrix)
    shares = zip(iou(matrix), accuracy(matrix))
    return [
        {
            "name": name,
            "pixels": int(t),
            "predicted": int(p),
            "iou": _or_none(overlap),
            "accuracy": _or_none(share),
        }
        for name, t, p, (overlap, share) in zip(names, there, taken, shares)
    ]


def _counts(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each class the pixels that are right, that are there, and that are taken for it."""
    matrix = np.asarray(matrix, "float64")
    return np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)


def _shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else 0.0


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
