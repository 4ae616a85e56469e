"""What an exported detector answers, and how it is compared with its model.

Rounding, which differs between runtimes, can make two boxes of nearly one score change places, or
have the other one of two stay that overlap by nearly the threshold. So a box is compared with the
one that is the most like it, wherever that stands, and a few of many may have none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerascnn.data import ABSENT
from kerascnn.tasks import Comparison
from kerascnn_detection.stages import Finder

SPARED = 0.02  # of all boxes, so many may differ: a few of hundreds, and none of less than fifty

Described = tuple[np.ndarray, Sequence[np.ndarray]]
"""Rows, float32 `[batch, n, 6]`, and what else is said of each, `[batch, n, k]`."""


def raw(model: keras.Model, finder: Any) -> keras.Model:
    """The network up to its finder, for a suppression of one's own.

    Args:
        model: that answers with boxes.
        finder: the layer that makes them, of numbers and, at last, the image.

    Returns:
        To what the finder reads: YOLO's cells; or scores `[batch, n, 1 + classes]`, codes
        `[batch, n, 4 * (1 + classes)]` and the proposals that these are of, rows `[batch, n, 6]`.
    """
    numbers = finder.input[:-1]
    outputs = numbers[0] if len(numbers) == 1 else numbers
    return keras.Model(model.inputs[0], outputs, name=model.name)


def comparison(model: keras.Model) -> Comparison | None:
    """How a file of a model is compared with it; None: number by number, as YOLO's cells are.

    Args:
        model: that answers with boxes, or what `raw` leaves of it.
    """
    if any(isinstance(layer, Finder) for layer in model.layers):
        return of_boxes()
    return of_proposals() if len(model.outputs) > 1 else None


def of_boxes() -> Comparison:
    """Of files that answer with boxes."""

    return _comparison("boxes", lambda outputs: (outputs[0], (outputs[0][..., 5:],)))


def of_proposals() -> Comparison:
    """Of files that answer with scores, codes and the proposals that these are of."""

    def described(outputs: Sequence[np.ndarray]) -> Described:
        rows = next(output for output in outputs if _are_proposals(output))
        others = sorted((one for one in outputs if one is not rows), key=lambda one: one.shape[-1])
        return rows, others

    return _comparison("proposals", described)


def _comparison(what: str, described: Callable[[Sequence[np.ndarray]], Described]) -> Comparison:
    def gap(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
        sides = [(rows, [rows[..., :4], *said]) for rows, said in map(described, (ours, theirs))]
        (rows, parts), (other_rows, other_parts) = sides
        if [x.shape[::2] for x in parts] != [x.shape[::2] for x in other_parts]:
            return np.inf
        ranges = [max(1.0, float(np.abs(part).max(initial=0))) for part in parts]
        one, other = (
            np.concatenate([x.astype("float64") / scale for x, scale in zip(each, ranges)], axis=-1)
            for each in (parts, other_parts)
        )
        labels, other_labels = rows[..., 4], other_rows[..., 4]
        return max(_gap(one, labels, other, other_labels), _gap(other, other_labels, one, labels))

    return Comparison(what=what, said=lambda outputs: _said(described(outputs)[0]), gap=gap)


def _said(rows: np.ndarray) -> np.ndarray:
    """How many boxes there are, and how far apart their scores: equal ones come in any order."""
    there, scores = rows[..., 4] != ABSENT, rows[..., 5]
    highest = np.where(there, scores, -np.inf).max(axis=1)
    apart = highest - np.where(there, scores, np.inf).min(axis=1)
    return there.sum(axis=1) * np.where(there.any(axis=1), 1e-3 + apart, 0)


def _are_proposals(output: np.ndarray) -> bool:
    """Whether these are rows of no class; scores of five classes have as many columns."""
    return output.shape[-1] == 6 and bool(np.isin(output[..., 4], (0, ABSENT)).all())


def _gap(one: np.ndarray, labels: np.ndarray, other: np.ndarray, kinds: np.ndarray) -> float:
    """The largest difference of a box of one from what is the most like it of the other.

    Of all boxes the share `SPARED` doesn't count.

    Args:
        one, other: boxes with what is said of them, `[batch, n, k]`, as shares of their range.
        labels, kinds: which kind each of them is of, `[batch, n]`.
    """
    gaps = [
        min((np.abs(box - like).max() for like in theirs[of_them == label]), default=np.inf)
        for ours, of_ours, theirs, of_them in zip(one, labels, other, kinds)
        for box, label in zip(ours, of_ours)
        if label != ABSENT
    ]
    gaps.sort(reverse=True)
    return float(gaps[int(SPARED * len(gaps))]) if gaps else 0.0
