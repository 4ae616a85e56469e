"""Shapes and texts on an axes whose unit is the inch, so that texts can be made to fit."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch, Polygon, Rectangle
from matplotlib.path import Path

from kerascnn.drawing.units import Shape
from kerascnn.style import FAINT, INK, TRAIN, VALIDATION

FAMILY = "DejaVu Sans"  # comes with matplotlib
SMALLEST = 5.2  # points
HINTED = 1.03  # small text is drawn up to so much wider, as its letters begin on whole pixels
Point = tuple[float, float]
"""In inches, to the right and upwards."""

COLORS = {
    "input": "#c9ccd1",
    "conv": TRAIN,
    "block": TRAIN,
    "several": TRAIN,
    "dense": VALIDATION,
    "pool": "#e0b93d",
    "merge": "#9aa0a8",
    "other": "#9aa0a8",
    "left out": "#ffffff",
}


def amount(number: int) -> str:
    """Three digits and k, M or B: "34.9k", "4.10M", "138M"."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= 0.9995 * size:
            value = Decimal(number) / size
            digits = 2 if value < Decimal("9.995") else 1 if value < Decimal("99.95") else 0
            return f"{value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)}{unit}"
    return str(number)


def sizes(shape: Shape) -> str:
    """A shape as text: "28×28×256"."""
    return "×".join(str(side) for side in shape)


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool) -> float:
    """Of a line of text, in inches."""
    font = get_font(findfont(FontProperties(family=FAMILY, weight="bold" if bold else "normal")))
    font.set_size(100, 72)  # large, as small sizes are hinted
    font.set_text(text)
    return font.get_width_height()[0] / 64 / 72 * size / 100 * HINTED


class Pen:
    """Shapes and texts on an axes whose unit is the inch."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        *,
        room: float | None = None,
        color: str = INK,
        bold: bool = False,
        align: str = "left",
    ) -> None:
        """A line, made smaller and then shorter until it fits into `room`."""
        if room is not None:
            text, size = fitted(text, size, room, bold)
        weight = "bold" if bold else "normal"
        self.axes.text(
            x, y, text, fontsize=size, color=color, ha=align, va="center", weight=weight,
            family=FAMILY,
        )  # fmt: skip

    def box(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """A plain rectangle with its lower left corner there."""
        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=color, linewidth=0))

    def arrow(self, begin: Point, end: Point, color: str = FAINT) -> None:
        """A thin arrow."""
        self.axes.add_patch(
            FancyArrowPatch(
                begin,
                end,
                arrowstyle="-|>",
                mutation_scale=6,
                color=color,
                linewidth=0.8,
                shrinkA=0,
                shrinkB=0,
            )
        )

    def line(
        self, points: Sequence[Point], color: str = FAINT, width: float = 0.8, zorder: float = 0.9
    ) -> None:
        """Straight parts from point to point."""
        xs, ys = zip(*points)
        self.axes.plot(xs, ys, color=color, linewidth=width, solid_capstyle="round", zorder=zorder)

    def arc(self, begin: Point, end: Point, height: float, color: str = INK) -> None:
        """A curve upwards from one point to another, with an arrow's head at its end."""
        (x0, y0), (x1, y1) = begin, end
        top = max(y0, y1) + height
        path = Path([(x0, y0), (x0, top), (x1, top), (x1, y1)], [1, 4, 4, 4])
        style: dict[str, Any] = {"facecolor": "none", "edgecolor": color, "linewidth": 0.9}
        self.axes.add_patch(PathPatch(path, **style))
        head = [(x1, y1), (x1 - 0.025, y1 + 0.06), (x1 + 0.025, y1 + 0.06)]
        self.axes.add_patch(Polygon(head, facecolor=color, linewidth=0))


def fitted(text: str, size: float, room: float, bold: bool = False) -> tuple[str, float]:
    """A text and a font size in which it is no wider than `room`, in inches."""
    wide = text_width(text, size, bold)
    if wide <= room:
        return text, size
    size = max(SMALLEST, size * room / wide)
    while len(text) > 3 and text_width(text, size, bold) > room * 1.01:
        middle = len(text) // 2
        text = f"{text[: middle - 1]}…{text[middle + 1 :]}".replace("……", "…").replace("……", "…")
        if text_width(text, size, bold) > room and "…" in text:
            ahead, _, behind = text.partition("…")
            text = f"{ahead[:-1]}…{behind[1:]}" if len(ahead) > 1 else f"…{behind[1:]}"
    return text, size


def wrapped(text: str, size: float, room: float) -> list[str]:
    """A text in lines that are no wider than `room`, in inches."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size, False) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def tinted(color: str, share: float) -> str:
    """A colour mixed with white; 1 leaves it."""
    parts = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = (round(255 + (part - 255) * share) for part in parts)
    return "#" + "".join(f"{part:02x}" for part in mixed)


Lines = list[tuple[str, bool]]
"""Lines of text, and whether each is a main one."""


def node(
    pen: Pen, x: float, y: float, wide: float, high: float, text: Lines, kind: str, size: float
) -> None:
    """A box with lines of text; its left edge and its middle are given."""
    color = COLORS[kind]
    box = FancyBboxPatch(
        (x, y - high / 2),
        wide,
        high,
        boxstyle="round,pad=0,rounding_size=0.05",
        facecolor=tinted(color, 0.18),
        edgecolor=color,
        linewidth=1.0,
    )
    pen.axes.add_patch(box)
    for number, (line, main) in enumerate(text):
        at = y + min(0.125, 0.82 * high / len(text)) * ((len(text) - 1) / 2 - number)
        pen.text(x + wide / 2, at - 0.008, line, size if main else size - 0.7, align="center",
                 room=wide - 0.06, color=INK if main else FAINT)  # fmt: skip


def cuboid(
    pen: Pen, x: float, y: float, wide: float, high: float, slant: float, color: str, slices: int
) -> None:
    """A box seen from the left above; `slices` of it stand one behind the other."""
    edge: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.7, "joinstyle": "round"}
    top = [(x, y + high), (x + slant, y + high + slant), (x + slant + wide, y + high + slant)]
    pen.axes.add_patch(Polygon([*top, (x + wide, y + high)], facecolor=tinted(color, 0.55), **edge))
    side = [(x + wide, y), (x + wide + slant, y + slant), (x + wide + slant, y + high + slant)]
    pen.axes.add_patch(
        Polygon([*side, (x + wide, y + high)], facecolor=tinted(color, 0.75), **edge)
    )
    pen.axes.add_patch(Rectangle((x, y), wide, high, facecolor=color, **edge))
    for line in range(1, slices):
        at = x + wide * line / slices
        points = [(at, y), (at, y + high), (at + slant, y + high + slant)]
        pen.line(points, color="white", width=0.7, zorder=1.1)
