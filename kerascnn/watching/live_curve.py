"""Curves of a training that goes on, as SVG: cheap enough to draw anew after each epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from kerascnn.style import FAINT, GRID, INK, PAPER, TRAIN, VALIDATION
from kerascnn.tasks.measure import HELD, Measure

WIDE, HIGH = 300, 110  # pixels of a chart
LEFT, TOP, BELOW, GAP = 58, 20, 18, 16  # around its lines
MOST = 200  # points of a line; of more epochs they are evenly chosen
LOSS = Measure(name="loss", title="Loss", share=False)


def live_curves(rows: Sequence[Mapping[str, Any]], measure: Measure) -> str:
    """Loss and measure over the epochs so far, training and validation; "" before the second.

    Args:
        rows: the logs of each epoch, with "epoch" counted from 1.
        measure: the task's main one.
    """
    if len(rows) < 2:
        return ""
    width, height = 2 * (LEFT + WIDE + GAP), TOP + HIGH + BELOW
    charts = [_chart(rows, one, n * (LEFT + WIDE + GAP)) for n, one in enumerate((LOSS, measure))]
    return (
        f'<svg role="img" aria-label="{escape(_said(rows[-1], measure))}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" '
        f'style="max-width:100%;background:{PAPER}" font-family="sans-serif" font-size="11" '
        f'fill="{INK}" xmlns="http://www.w3.org/2000/svg">{"".join(charts)}</svg>'
    )


def _said(row: Mapping[str, Any], measure: Measure) -> str:
    parts = [
        f"{name} {_written(one, value)}"
        for one in (LOSS, measure)
        for part, name in (("", one.title), (HELD, f"validation {one.title}"))
        if (value := _number(one.of(row, part))) is not None
    ]
    return f"Epoch {row.get('epoch')}: {', '.join(parts)}."


def _chart(rows: Sequence[Mapping[str, Any]], measure: Measure, left: float) -> str:
    """One chart; its lines from the first epoch at the left to the last at the right."""
    step = max(1, math.ceil(len(rows) / MOST))
    kept = [*rows[:-1:step], rows[-1]]
    lines = {part: [_number(measure.of(row, part)) for row in kept] for part in ("", HELD)}
    known = [value for line in lines.values() for value in line if value is not None]
    title = f'<text x="{left + LEFT}" y="13" font-weight="bold">{escape(measure.title)}</text>'
    if not known:
        return title
    low, high = min(known), max(known)
    span = (high - low) or 1.0

    def place(number: int, value: float) -> str:
        x = left + LEFT + WIDE * number / (len(kept) - 1)
        return f"{x:.1f},{TOP + HIGH * (high - value) / span:.1f}"

    drawn = [title]
    for value, y in ((high, TOP), (low, TOP + HIGH)):
        drawn.append(
            f'<line x1="{left + LEFT}" x2="{left + LEFT + WIDE}" y1="{y}" y2="{y}" '
            f'stroke="{GRID}"/>'
            f'<text x="{left + LEFT - 5}" y="{y + 4}" text-anchor="end">'
            f"{_written(measure, value)}</text>"
        )
    for epoch, x, anchor in ((kept[0], 0, "start"), (kept[-1], WIDE, "end")):
        drawn.append(
            f'<text x="{left + LEFT + x}" y="{TOP + HIGH + 15}" text-anchor="{anchor}" '
            f'fill="{FAINT}">{int(epoch.get("epoch", 0))}</text>'
        )
    looks = (("", "train", TRAIN, 150), (HELD, "validation", VALIDATION, 90))
    for part, name, colour, x in looks:
        points = [place(n, v) for n, v in enumerate(lines[part]) if v is not None]
        if points:
            drawn.append(
                f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" '
                f'stroke-width="1.6"/><text x="{left + LEFT + WIDE - x + 30}" y="13" '
                f'fill="{colour}">{name}</text>'
            )
    return "".join(drawn)


def _number(value: Any) -> float | None:
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else None


def _written(measure: Measure, value: float) -> str:
    return f"{100 * value:.3g} %" if measure.share else f"{value:.3g}"
