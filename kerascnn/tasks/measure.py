"""Measure: a figure that answers are judged by. Light: no Keras, no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kerascnn.errors import ArgumentError

LOWER, HIGHER = "lower", "higher"


@dataclass(frozen=True)
class Measure:
    """A figure that a task's answers are judged by.

    Attributes:
        name: in logs and files and on the command line, such as "error"; that of the validation
            images is "val_error" there.
        title: of a curve or a column, such as "Top-1 error".
        better: "lower" or "higher".
        share: whether it is a share in [0, 1], which is written in percent.

    Raises:
        ArgumentError: `better` is neither.
    """

    name: str
    title: str
    better: str = LOWER
    share: bool = True

    def __post_init__(self) -> None:
        if self.better not in (LOWER, HIGHER):
            raise ArgumentError(
                f"The measure {self.name}: better must be {LOWER!r} or {HIGHER!r}. "
                f"Received: {self.better!r}."
            )

    @property
    def sign(self) -> int:
        """1 if less of it is better, -1 if more is."""
        return 1 if self.better == LOWER else -1

    def written(self, value: float) -> str:
        """A value for people: "4.36%", "0.4812"."""
        return f"{value:.2%}" if self.share else f"{value:.4g}"


def of_logged(name: str, measures: Sequence[Measure]) -> Measure | None:
    """The measure that is logged, or stands in metrics.json, under a name: also "val_error"."""
    known: Mapping[str, Measure] = {measure.name: measure for measure in measures}
    for part in ("", "val_", "test_"):
        if name.startswith(part) and (found := known.get(name.removeprefix(part))):
            return found
    return None
