"""Figures as people read them."""

from __future__ import annotations

COUNTS = ("params", "macs")


def figure(name: str, value: float, spread: float | None = None) -> str:
    """A metric of this name: `4.60%`, `61,706` or `0.1234`; with a spread, `4.60 ± 0.21%`."""
    percent = name.endswith("error")
    if percent:
        text = f"{value:.2%}"
    else:
        text = f"{value:,.0f}" if name in COUNTS else f"{value:.4g}"
    if spread is None:
        return text
    return f"{text.removesuffix('%')} ± {spread:.2%}" if percent else f"{text} ± {spread:.2g}"
