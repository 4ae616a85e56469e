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
from kerascnn_detection.counting import Finder

SPARED = 0.02  # of all boxes, so many may differ: a few of hundreds, and none of less than fifty

Described = tuple[np.ndarray, np.ndarray]
"""Boxes with what is said of them, `[batch, n, k]`, each number as a share of the largest; and
which kind each is of, `[batch, n]`: its label, or `ABSENT` where there is none."""


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
    return _comparison("boxes", lambda outputs: _described(outputs[0], outputs[0][..., 5:]))


def of_proposals() -> Comparison:
    """Of files that answer with scores, codes and the proposals that these are of."""

    def described(outputs: Sequence[np.ndarray]) -> Described:
        rows = next(output for output in outputs if _are_proposals(output))
        others = sorted((one for one in outputs if one is not rows), key=lambda one: one.shape[-1])
        return _described(rows, *others)

    return _comparison("proposals", described)


def _comparison(what: str, described: Callable[[Sequence[np.ndarray]], Described]) -> Comparison:
    def gap(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
        one, other = described(ours), described(theirs)
        if one[0].shape[::2] != other[0].shape[::2]:
            return np.inf
        return max(_gap(one, other), _gap(other, one))

    return Comparison(
        what=what,
        said=lambda outputs: (described(outputs)[1] != ABSENT).sum(axis=1),
        gap=gap,
    )


def _are_proposals(output: np.ndarray) -> bool:
    """Whether these are rows of no class; scores of five classes have as many columns."""
    return output.shape[-1] == 6 and bool(np.isin(output[..., 4], (0, ABSENT)).all())


def _described(rows: np.ndarray, *numbers: np.ndarray) -> Described:
    parts = [part.astype("float64") for part in (rows[..., :4], *numbers)]
    shares = [part / max(1.0, np.abs(part).max(initial=0)) for part in parts]
    return np.concatenate(shares, axis=-1), rows[..., 4]


def _gap(one: Described, other: Described) -> float:
    """The largest difference of a box of one from what is the most like it of the other.

    Of all boxes the share `SPARED` doesn't count.
    """
    gaps = [
        min((np.abs(box - like).max() for like in theirs[kinds == kind]), default=np.inf)
        for ours, labels, theirs, kinds in zip(*one, *other)
        for box, kind in zip(ours, labels)
        if kind != ABSENT
    ]
    gaps.sort(reverse=True)
    return float(gaps[int(SPARED * len(gaps))]) if gaps else 0.0
