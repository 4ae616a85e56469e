"""Measure: a figure that says what answers are worth. Light: neither Keras nor TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerascnn.errors import ArgumentError

LOWER, HIGHER = "lower", "higher"
HELD, TEST = "val_", "test_"
"""Before the name of what the images for validation, and those for the test, give."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A figure that says what answers are worth.

    Attributes:
        name: as it is logged: "error", "mean_iou"; "val_" and "test_" are put before it.
        title: in charts and tables: "Top-1 error".
        better: "lower" or "higher".
        share: whether it is a share in [0, 1], shown in percent.
        complement: the name of what it leaves of 1, by which it may be asked for, too: "accuracy".

    Raises:
        ArgumentError: `better` is neither.
    """

    name: str
    title: str
    better: str = LOWER
    share: bool = True
    complement: str = ""

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
        """The value for people."""
        return f"{value:.2%}" if self.share else f"{value:,.4g}"

    def of(self, logs: Mapping[str, Any], part: str = "") -> float | None:
        """Its value in the logs of an epoch or the final figures, also from its complement.

        Args:
            logs: by names.
            part: "val_", "test_", or nothing for the training images.
        """
        if (value := logs.get(part + self.name)) is not None:
            return float(value)
        if self.complement and (rest := logs.get(part + self.complement)) is not None:
            return 1 - float(rest)
        return None


def logged(name: str, measures: Sequence[Measure]) -> Measure | None:
    """The one of the measures that is logged under a name, such as "val_error"."""
    names = {f"{part}{one.name}": one for part in ("", HELD, TEST) for one in measures}
    return names.get(name)
