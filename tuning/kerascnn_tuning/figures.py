"""Figures as people read them."""

from __future__ import annotations

from kerascnn.tasks import Measure

COUNTS = ("params", "macs")


def figure(measure: Measure, value: float, spread: float | None = None) -> str:
    """A value of a measure: `4.60%`, `61,706` or `0.1234`; with a spread, `4.60 ± 0.21%`."""
    if measure.share:
        text = f"{value:.2%}"
    else:
        text = f"{value:,.0f}" if measure.name in COUNTS else f"{value:.4g}"
    if spread is None:
        return text
    if measure.share:
        return f"{text.removesuffix('%')} ± {spread:.2%}"
    return f"{text} ± {spread:.2g}"
