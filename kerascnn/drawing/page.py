"""An outline as a page: volumes in a row, their parameters below, blocks unfolded at the foot.

Everything is placed in inches on one axes, so that texts can be measured and made to fit.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch, Polygon, Rectangle
from matplotlib.path import Path

from kerascnn.drawing.outline import (
    INPUT,
    Block,
    Design,
    Head,
    Outline,
    Shape,
    Stage,
    Unit,
    window,
)
from kerascnn.style import GRID, INK, PAPER
from kerascnn.words import counted, listed

WIDTH, MARGIN = 11.7, 0.35  # inches: A4, landscape
WIDEST_COLUMN = 1.3
HIGHEST = 1.55  # of a volume
NARROWEST = 8.0
TITLE, BARS = 0.95, 1.3  # heights
FAMILY = "DejaVu Sans"  # comes with matplotlib
SMALLEST = 5.2  # points
DIM = "#6b7078"
COLORS = {
    "input": "#c9ccd1",
    "conv": "#0072b2",
    "block": "#0072b2",
    "several": "#0072b2",
    "dense": "#d55e00",
    "pool": "#e0b93d",
    "merge": "#9aa0a8",
    "other": "#9aa0a8",
    "left out": "#ffffff",
}


def page(outline: Outline) -> Figure:
    """Draw an outline on one page."""
    columns = len(outline.stages)
    column = min(WIDEST_COLUMN, (WIDTH - 2 * MARGIN - BARS_LEFT) / columns)
    width = max(NARROWEST, 2 * MARGIN + BARS_LEFT + columns * column)
    panels, hidden = _panels(outline.designs, width - 2 * MARGIN)
    left = max(MARGIN + BARS_LEFT, (width - columns * column + BARS_LEFT) / 2)
    row = _Row(outline, left, column)
    heads = _Heads(outline)
    notes = [*outline.notes, *hidden, _key(outline)]
    foot = max((panel.height + 0.3 for panel in panels), default=0.0)
    end = 0.16 * len(notes) + 0.2
    volumes = row.above() + HIGHEST / 2 + heads.room + 0.1
    labels = LINE * len(_label_lines(outline.stages, column - 0.07)) + 0.1
    height = TITLE + volumes + labels + BARS + foot + end
    figure = Figure(figsize=(width, height), dpi=150, facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    pen = Pen(axes)
    _title(pen, outline, width, height)
    bottom = height - TITLE - volumes
    row.middle = bottom + 0.05 + HIGHEST / 2
    row.draw(pen)
    heads.draw(pen, row)
    _labels(pen, row, bottom - 0.08)
    _bars(pen, row, bottom - labels - BARS + 0.1)
    x = MARGIN
    for panel in panels:
        panel.draw(pen, x, end + foot - 0.3)
        x += panel.width + PANEL_GAP
    for number, note in enumerate(notes):
        pen.text(MARGIN, end - 0.12 - 0.16 * number, note, 7.5, color=DIM, room=width - 2 * MARGIN)
    return figure


def _key(outline: Outline) -> str:
    """How to read the drawing."""
    parts = ["Fronts: height is map size, width is channels, both compressed"]
    if any("/" in stage.window for stage in outline.stages):
        parts.append("“3×3 / 2”: kernel and stride")
    if any(stage.repeats > 1 and stage.kind != "several" for stage in outline.stages):
        parts.append("“×2”: so many in a row, the last one’s size")
    if any("dw" in stage.window for stage in outline.stages) or any(
        window(unit.main).startswith("dw")
        for design in outline.designs
        for unit in design.block.units
    ):
        parts.append("dw: depthwise")
    parts.append("bars: trainable parameters, logarithmic, k thousand, M million")
    return "; ".join(parts) + "."


# --- Words ---------------------------------------------------------------------------------------


def amount(number: int) -> str:
    """Three digits and k, M or B: "34.9k", "4.10M", "138M"."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= 0.9995 * size:
            value = Decimal(number) / size
            digits = 2 if value < Decimal("9.995") else 1 if value < Decimal("99.95") else 0
            return f"{value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)}{unit}"
    return str(number)


def _sizes(shape: Shape) -> str:
    return "×".join(str(side) for side in shape)


@functools.lru_cache(maxsize=4096)
def _width(text: str, size: float, bold: bool) -> float:
    """Of a line of text, in inches."""
    font = get_font(findfont(FontProperties(family=FAMILY, weight="bold" if bold else "normal")))
    font.set_size(100, 72)  # large, as small sizes are hinted
    font.set_text(text)
    return font.get_width_height()[0] / 64 / 72 * size / 100


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
        vertical: str = "center",
    ) -> float:
        """A line, made smaller and then shorter until it fits into `room`; returns its width."""
        if room is not None:
            text, size = fitted(text, size, room, bold)
        weight = "bold" if bold else "normal"
        self.axes.text(
            x, y, text, fontsize=size, color=color, ha=align, va=vertical, weight=weight,
            family=FAMILY,
        )  # fmt: skip
        return _width(text, size, bold)

    def box(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """A plain rectangle with its lower left corner there."""
        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=color, linewidth=0))

    def arrow(self, begin: Any, end: Any, color: str = DIM, bend: float = 0.0) -> None:
        """A thin arrow."""
        self.axes.add_patch(
            FancyArrowPatch(
                begin,
                end,
                arrowstyle="-|>",
                mutation_scale=6,
                connectionstyle=f"arc3,rad={bend}",
                color=color,
                linewidth=0.8,
                shrinkA=0,
                shrinkB=0,
            )
        )

    def line(
        self, points: Sequence[Any], color: str = DIM, width: float = 0.8, zorder: float = 0.9
    ) -> None:
        """Straight parts from point to point."""
        xs, ys = zip(*points)
        self.axes.plot(xs, ys, color=color, linewidth=width, solid_capstyle="round", zorder=zorder)

    def arc(self, begin: Any, end: Any, height: float, color: str = INK) -> None:
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
    wide = _width(text, size, bold)
    if wide <= room:
        return text, size
    size = max(SMALLEST, size * room / wide)
    while len(text) > 3 and _width(text, size, bold) > room * 1.01:
        middle = len(text) // 2
        text = f"{text[: middle - 1]}…{text[middle + 1 :]}".replace("……", "…").replace("……", "…")
        if _width(text, size, bold) > room and "…" in text:
            ahead, _, behind = text.partition("…")
            text = f"{ahead[:-1]}…{behind[1:]}" if len(ahead) > 1 else f"…{behind[1:]}"
    return text, size


def tinted(color: str, share: float) -> str:
    """A colour mixed with white; 1 leaves it."""
    parts = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = (round(255 + (part - 255) * share) for part in parts)
    return "#" + "".join(f"{part:02x}" for part in mixed)


# --- Title ---------------------------------------------------------------------------------------


def _title(pen: Pen, outline: Outline, width: float, height: float) -> None:
    """Name and totals; on the right the share of both kinds of parameters, in true proportion."""
    total = outline.convolutional + outline.dense
    share = 3.6
    right = width - MARGIN - share
    room = right - MARGIN - 0.3
    pen.text(MARGIN, height - 0.33, outline.model, 15, bold=True, room=room)
    first, last = outline.stages[0].shape, outline.stages[-1].shape
    facts = [
        f"{_sizes(first)} → {_sizes(last)}",
        f"{amount(total)} parameters",
        f"{amount(outline.macs)} multiply-adds",
    ]
    if outline.heads:
        beside = amount(sum(head.convolutional + head.dense for head in outline.heads))
        facts[1] += (
            f", {beside} of them in {counted(len(outline.heads), 'further output', 'further outputs')}"
        )
    pen.text(MARGIN, height - 0.62, "   ·   ".join(facts), 9, room=room)
    if not total:
        return
    y = height - 0.44
    part = share * outline.convolutional / total
    pen.box(right, y, part, 0.16, COLORS["conv"])
    pen.box(right + part, y, share - part, 0.16, COLORS["dense"])
    pen.text(right, y + 0.26, "parameters, true to scale", 7.5, color=DIM)
    y -= 0.14
    percent = 100 * outline.convolutional / total
    parts = (
        ("convolutional", outline.convolutional, percent, COLORS["conv"], right, "left"),
        ("dense", outline.dense, 100 - percent, COLORS["dense"], right + share, "right"),
    )
    for word, count, percent, color, x, align in parts:
        if count:
            text = f"{word} {amount(count)}, {_percent(percent)}"
            pen.text(x, y, text, 8, color=color, bold=True, align=align, room=share / 2 - 0.05)


def _percent(value: float) -> str:
    if 0 < value < 0.1:
        return "under 0.1 %"
    return "over 99.9 %" if 99.9 < value < 100 else f"{value:.3g} %"


# --- Volumes -------------------------------------------------------------------------------------


class _Row:
    """Where each stage stands, and its volume."""

    middle = 0.0  # its height on the page

    def __init__(self, outline: Outline, left: float, column: float) -> None:
        self.outline, self.column = outline, column
        self.tapped = {n for pair in outline.connections for n in pair}
        self.tapped |= {head.stage for head in outline.heads}
        self.stages = outline.stages
        self.centers = [left + column * (number + 0.5) for number in range(len(self.stages))]
        largest = max((max(s.shape[:-1]) for s in self.stages if len(s.shape) > 1), default=1)
        self.sizes = [_extent(stage, largest) for stage in self.stages]
        reach = max(wide + SLANT * high for wide, high in self.sizes)
        self.scale = min(1.0, 0.86 * column / reach)

    def size(self, number: int) -> tuple[float, float, float]:
        """Width of the front, height of the front, and how far the back is to the right and up."""
        wide, high = self.sizes[number]
        slant = SLANT * high * self.scale if len(self.stages[number].shape) > 1 else 0.05
        return max(0.07, wide * self.scale), high, slant

    def left(self, number: int) -> float:
        """Of the front."""
        wide, _, slant = self.size(number)
        return self.centers[number] - (wide + slant) / 2

    def right(self, number: int) -> float:
        """Of the back."""
        wide, _, slant = self.size(number)
        return self.centers[number] + (wide + slant) / 2

    def bottom(self, number: int) -> float:
        """Of the front."""
        _, high, slant = self.size(number)
        return self.middle - (high + slant) / 2

    def top(self, number: int) -> float:
        """Of the back."""
        _, high, slant = self.size(number)
        return self.middle + (high + slant) / 2

    def crown(self, number: int) -> float:
        """Height of the arcs above a volume."""
        stage = self.stages[number]
        if not stage.shortcut:
            return 0.0
        longest = min(stage.repeats, SLICES) - 1 if stage.merge == "concat" else 0
        return 0.16 + 0.026 * longest

    def above(self) -> float:
        """How far everything reaches above the middle."""
        found = []
        for number, stage in enumerate(self.stages):
            times = 0.2 if stage.repeats > 1 and stage.kind != "several" else 0.0
            arcs = [0.1 + 0.04 * (b - a) for a, b in self.outline.connections if a <= number <= b]
            crown = max(self.crown(number) + times, max(arcs, default=0.0))
            found.append(self.top(number) - self.middle + crown)
        return max(found)

    def draw(self, pen: Pen) -> None:
        """All volumes, the arrows between them, and what skips some of them."""
        self.pen = pen
        for number in range(len(self.stages) - 1):
            begin, end = self.right(number) + 0.02, self.left(number + 1) - 0.02
            if end - begin > 0.05:
                self.pen.arrow((begin, self.middle), (end, self.middle))
        for number, stage in enumerate(self.stages):
            self._volume(number, stage)
        for begin, end in self.outline.connections:
            points = [(self.centers[n], self.top(n) + 0.02) for n in (begin, end)]
            self.pen.arc(*points, height=0.1 + 0.05 * (end - begin), color=DIM)

    def _volume(self, number: int, stage: Stage) -> None:
        wide, high, slant = self.size(number)
        x, y = self.left(number), self.bottom(number)
        color = COLORS[stage.kind]
        if stage.kind == "left out":
            self.pen.text(x + wide / 2, self.middle, "⋯", 18, align="center")
            return
        towers = stage.groups if stage.kind == "conv" and 1 < stage.groups <= 4 else 1
        gap = 0.07 if towers > 1 else 0.0
        part = (high - gap * (towers - 1)) / towers
        for tower in range(towers):
            slices = min(stage.repeats, SLICES) if stage.kind in ("block", "conv") else 1
            _cuboid(self.pen, x, y + tower * (part + gap), wide, part, slant, color, slices)
            if stage.kind == "block" and stage.merge == "concat" and not stage.shortcut:
                for line in range(1, stage.branches):
                    height = y + part * line / stage.branches
                    self.pen.line(
                        [(x, height), (x + wide, height)], color="white", width=1.0, zorder=1.1
                    )
        if stage.shortcut:
            self._shortcuts(number, stage)
        if stage.repeats > 1 and stage.kind != "several":
            middle = self.centers[number] + (-0.2 if number in self.tapped else slant / 2)
            at = self.top(number) + 0.11 + self.crown(number)
            self.pen.text(middle, at, f"×{stage.repeats}", 10, bold=True, align="center")

    def _shortcuts(self, number: int, stage: Stage) -> None:
        """An arc over each slice; DenseNet's maps reach all layers behind, so arcs grow."""
        wide, _, slant = self.size(number)
        count = min(stage.repeats, SLICES)
        x, y = self.left(number) + slant, self.top(number) + 0.03
        step = wide / count
        for place in range(count):
            ends = range(place + 1, count + 1) if stage.merge == "concat" else [place + 1]
            for end in ends:
                height = 0.13 + (0.035 * (end - place - 1))
                self.pen.arc((x + place * step, y), (x + end * step, y), height)


SLICES = 6  # that a volume is cut into at most, for blocks that are folded
SLANT = 0.24  # of a volume's height: how far its back is shifted


def _extent(stage: Stage, largest: int) -> tuple[float, float]:
    """Width (channels, logarithmic) and height (map size, compressed) of a front, in inches."""
    if not stage.shape:
        return 0.3, 0.3
    channels = stage.shape[-1] or 1
    if len(stage.shape) < 2:
        return 0.1, 0.2 + 0.085 * math.log2(max(channels, 1))
    side = max(stage.shape[:-1])
    high = HIGHEST / (1 + SLANT) * (side / largest) ** 0.6
    return 0.05 + 0.042 * math.log2(channels + 1), max(high, 0.09)


def _cuboid(
    pen: Pen, x: float, y: float, wide: float, high: float, slant: float, color: str, slices: int
) -> None:
    """A box seen from the left above; `slices` of it stand one behind the other."""
    depth, rise = slant, slant
    edge: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.7, "joinstyle": "round"}
    top = [(x, y + high), (x + depth, y + high + rise), (x + depth + wide, y + high + rise)]
    pen.axes.add_patch(Polygon([*top, (x + wide, y + high)], facecolor=tinted(color, 0.55), **edge))
    side = [(x + wide, y), (x + wide + depth, y + rise), (x + wide + depth, y + high + rise)]
    pen.axes.add_patch(
        Polygon([*side, (x + wide, y + high)], facecolor=tinted(color, 0.75), **edge)
    )
    pen.axes.add_patch(Rectangle((x, y), wide, high, facecolor=color, **edge))
    for line in range(1, slices):
        at = x + wide * line / slices
        points = [(at, y), (at, y + high), (at + depth, y + high + rise)]
        pen.line(points, color="white", width=0.7, zorder=1.1)


# --- Labels --------------------------------------------------------------------------------------


def _operation(stage: Stage) -> str:
    """What a stage does, in a few words."""
    if stage.kind == "block":
        if stage.shortcut:
            return "dense block" if stage.merge == "concat" else "residual"
        return counted(stage.branches, "branch", "branches") if stage.merge else "block"
    if stage.kind == "several":
        return counted(stage.repeats, "layer", "layers")
    if stage.kind == "left out":
        return f"{stage.repeats} left out"
    if stage.kind == "pool":
        return f"pool {stage.window}" if stage.window else "pool, all"
    if stage.kind == "conv":
        groups = f", {stage.groups} groups" if 1 < stage.groups < stage.shape[-1] else ""
        return f"{stage.window or 'dense'}{groups}"
    return "" if stage.kind == "input" else stage.kind


def _label_lines(stages: Sequence[Stage], room: float) -> list[tuple[list[str], float, bool, str]]:
    """Lines of texts, one for each stage; their size, whether they are bold, their colour."""
    names = [_two_lines(stage.name, 8.5, room) for stage in stages]
    words = [_word_lines(stage.words) for stage in stages]
    lines = [
        ([name[0] for name in names], 8.5, True, INK),
        ([name[1] if len(name) > 1 else "" for name in names], 8.5, True, INK),
        ([_operation(stage) for stage in stages], 8.0, False, INK),
        ([_sizes(stage.shape) for stage in stages], 8.0, False, INK),
        ([two[0] for two in words], 7.0, False, DIM),
        ([two[1] for two in words], 7.0, False, DIM),
    ]
    return [line for line in lines if any(line[0])]


def _word_lines(words: Sequence[str]) -> tuple[str, str]:
    """Dropout, which needs much room, on a line of its own."""
    parts = [
        ", ".join(word for word in words if word.startswith("dropout") is dropout)
        for dropout in (False, True)
    ]
    first, *others = [part for part in parts if part] or [""]
    return first, *(others or [""])


LINE = 0.145


def _labels(pen: Pen, row: _Row, top: float) -> None:
    """Below each volume: name, operation, size of the map, and what else happens."""
    room = row.column - 0.07
    for number, (texts, size, bold, color) in enumerate(_label_lines(row.stages, room)):
        common = max(7.0, min(fitted(text, size, room, bold)[1] for text in texts))
        for x, text in zip(row.centers, texts):
            pen.text(x, top - LINE * number, text, min(size, common), bold=bold, color=color,
                     align="center", room=room)  # fmt: skip


def _two_lines(text: str, size: float, room: float) -> list[str]:
    """One line, or two where a name is long and has a place to break."""
    if _width(text, size, True) <= room:
        return [text]
    breaks = [place + 1 for place, letter in enumerate(text) if letter in "_/…"]
    breaks = [place for place in breaks if 0 < place < len(text)]
    if not breaks:
        return [text]
    best = min(breaks, key=lambda place: max(place, len(text) - place))
    return [text[:best], text[best:]]


# --- Parameters ----------------------------------------------------------------------------------

BARS_LEFT = 0.3  # inches for the letters k, M and B
LEAST = 1.0  # the bars begin at 10^1 parameters


def _bars(pen: Pen, row: _Row, bottom: float) -> None:
    """Parameters of each stage on a logarithmic scale, whose bands say k, M or B at a glance."""
    most = max((max(s.convolutional, s.dense) for s in row.stages), default=0)
    decades = max(6, 3 * math.ceil((math.log10(max(most, 10)) + 0.2) / 3))
    high = 1.02

    def level(value: float) -> float:
        return high * max(0.0, value - LEAST) / (decades - LEAST)

    left = row.centers[0] - row.column / 2
    width = row.column * len(row.stages)
    for number, decade in enumerate(range(0, decades, 3)):
        begin, end = level(decade), level(decade + 3)
        shade = tinted(GRID, 0.25 + 0.3 * (number % 2))
        pen.box(left, bottom + begin, width, end - begin, shade)
        letter = ("", "k", "M", "B", "T")[number]
        pen.text(left - 0.16, bottom + (begin + end) / 2, letter, 12, bold=True, align="center",
                 color=DIM)  # fmt: skip
    for x, stage in zip(row.centers, row.stages):
        parts = [("conv", stage.convolutional), ("dense", stage.dense)]
        parts = [(kind, count) for kind, count in parts if count]
        wide = min(0.34, 0.6 * row.column) / max(1, len(parts))
        for number, (kind, count) in enumerate(parts):
            at = x + wide * (number - len(parts) / 2)
            tall = max(0.02, level(math.log10(count)))
            pen.box(at, bottom, wide * 0.94, tall, COLORS[kind])
            text = amount(count)
            middle = at + wide / 2
            if len(parts) > 1:
                middle = x + (number - 0.5) * min(0.46 * row.column, 0.5)
            room = row.column / len(parts) - 0.04
            pen.text(middle, bottom + tall + 0.09, text, 8.5, bold=True, align="center",
                     color=COLORS[kind], room=room)  # fmt: skip
    pen.line([(left, bottom), (left + width, bottom)], color=DIM)


# --- Heads beside the row ------------------------------------------------------------------------


class _Heads:
    """Boxes in a line above the row for each further output, and the way up to them."""

    high, gap, step = 0.32, 0.16, 0.52

    def __init__(self, outline: Outline) -> None:
        self.shown = outline.heads
        # The volumes below are rarely as high as the first one.
        self.room = max(0.0, self.step * len(self.shown) - 0.3)

    def draw(self, pen: Pen, row: _Row) -> None:
        """From the highest line, that of the first head, down."""
        top = row.middle + row.above() + self.room - 0.15
        for number, head in enumerate(self.shown):
            self._head(pen, row, head, top - self.step * number)

    def _head(self, pen: Pen, row: _Row, head: Head, y: float) -> None:
        """From its stage up and to the right, or to the left where there is more room."""
        units = _few(head.units)
        texts = [_unit_text(unit) for unit in units]
        widths = [0.16 + max(_width(line, 7.5, False) for line, _ in text) for text in texts]
        x = row.centers[head.stage]
        right, left = row.centers[-1] + row.column / 2 - x, x - MARGIN
        sign = 1 if right > 2 or right > left else -1
        long = sum(widths) + self.gap * len(widths)
        scale = min(1.0, (right if sign > 0 else left) / long)
        pen.line([(x, row.top(head.stage) + 0.02), (x, y)], color=DIM)
        total = amount(head.convolutional + head.dense)
        pen.text(x + 0.1 * sign, y + 0.24, f"{head.name}: {total} parameters", 7.5, color=DIM,
                 align="left" if sign > 0 else "right")  # fmt: skip
        for text, wide, unit in zip(texts, widths, units):
            begin, wide = x, wide * scale
            x += sign * self.gap * scale
            pen.arrow((begin, y), (x, y))
            at = x if sign > 0 else x - wide
            _node(pen, at, y, wide, self.high, text, unit.kind if unit else "other", 7.5 * scale)
            x += sign * wide


def _few(units: Sequence[Unit]) -> list[Unit | None]:
    """All of a few, or the ends of many."""
    return list(units) if len(units) <= 6 else [*units[:3], None, *units[-2:]]


# --- Blocks unfolded -----------------------------------------------------------------------------

LANES = (1.5, 1.3, 1.15, 1.06, 0.95, 0.86, 0.78)  # widths of a path: the first that fits
RISE, PANEL_GAP = 0.46, 0.4
MOST_RISE = 3.9


Lines = list[tuple[str, bool]]
"""Lines of text, and whether each is a main one."""


def _unit_text(unit: Unit | None) -> Lines:
    """What stands in a unit's box: what it computes; around it, smaller, what else happens."""
    if unit is None:
        return [("⋯", True)]
    params = sum(row.params for row in unit.rows)
    behind = [" ".join(unit.behind)] if unit.behind else []
    if params:
        behind.append(amount(params))
    lines = [(_computes(unit), True)]
    if unit.before:
        lines.insert(0, (" ".join(unit.before), False))
    if behind:
        lines.append((" · ".join(behind), False))
    return lines


SIGNS = {"Add": "+", "Multiply": "×", "Subtract": "−"}


def _computes(unit: Unit) -> str:
    row = unit.main
    channels = row.output_shape[-1] if row.output_shape else ""
    if unit.kind == "merge":
        return "concat" if row.kind == "Concatenate" else row.kind
    if unit.kind == "dense":
        return f"dense {channels}"
    if unit.kind == "pool":
        kind = "avg" if "verage" in row.kind else "max" if "Max" in row.kind else row.kind
        return f"{kind} {window(row) or 'of all'}"
    if unit.kind == "conv":
        groups = f" in {row.groups}" if 1 < row.groups < channels else ""
        return f"{window(row) or 'dense'}, {channels}{groups}"
    if row.kind == "PaddedIdentity":
        return f"identity / {row.strides[0]}, {channels}"
    return _sizes(row.output_shape) if unit.kind == "input" else row.kind


def _node(
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
                 room=wide - 0.06, color=INK if main else DIM)  # fmt: skip


class _Panel:
    """A block with its paths side by side, from top to bottom."""

    def __init__(self, design: Design, lane: float) -> None:
        self.design, self.lane = design, lane
        block = design.block
        self.rows = max(block.depths) + 1  # the input's, and the units'
        self.lanes = block.lanes
        tall = max(len(_unit_text(unit)) for unit in block.units)
        self.pitch = min(RISE + (0.12 if tall > 2 else 0), MOST_RISE / self.rows)
        self.node = min(0.32 if tall < 3 else 0.44, self.pitch - 0.12)
        self.title = _title_of(design)
        texts = max((_width(line, 8, True) for line in self.title), default=1.0)
        chain = 3.2 if design.growth else 0.0
        self.graph = self.lane * len(self.lanes)
        self.width = max(self.graph + chain, texts, 1.6)
        self.height = 0.42 + self.pitch * self.rows + (0.2 if block.units[-1].behind else 0)

    def draw(self, pen: Pen, left: float, top: float) -> None:
        """With its upper left corner there."""
        block = self.design.block
        for line, text in enumerate(self.title):
            pen.text(left, top - 0.06 - 0.15 * line, text, 8.5 if line == 0 else 7.5,
                     bold=line == 0, color=INK if line == 0 else DIM)  # fmt: skip
        top -= 0.42
        places: dict[int, tuple[float, float]] = {}
        center = left + self.graph / 2
        last = len(block.units) - 1
        depths = block.depths
        for number, lane in enumerate(self.lanes):
            x = left + self.lane * (number + 0.5)
            for unit in lane:
                places[unit] = (x, top - self.pitch * (depths[unit] + 0.4))
        places[last] = (center, top - self.pitch * (max(depths) + 0.4))
        if len(block.units[last].inputs) == 1 and (source := block.units[last].inputs[0]) in places:
            places[last] = (places[source][0], places[last][1])
        start = (center, top - self.pitch * 0.4)
        self._edges(pen, places, start, left)
        wide = self.lane - 0.12
        for place, unit in enumerate(block.units):
            x, y = places[place]
            text = _unit_text(unit)
            if unit.kind == "merge" and unit.main.kind in SIGNS:
                self._sign(pen, x, y, unit)
                continue
            if place == last and unit.kind == "merge":
                span = max(wide, self.graph - 0.12)
                text = [(f"{text[0][0]}: {_sizes(unit.main.output_shape)}", True)]
                _node(pen, x - span / 2, y, span, 0.22, text, "merge", 8)
                continue
            _node(pen, x - wide / 2, y, wide, self.node, text, unit.kind, 8)
        shape = block.units[0].main.input_shapes[0] if block.units[0].main.input_shapes else ()
        words = f" {' '.join(block.lead)}" if block.lead else ""
        text = [(f"{_sizes(_input_shape(block) or shape)}{words}", True)]
        span = max(wide, min(self.graph - 0.12, 1.5))
        _node(pen, start[0] - span / 2, start[1], span, 0.22, text, "input", 8)
        if self.design.growth:
            _dense_block(pen, left + self.graph + 0.25, top, 2.8, self.height - 0.5, self.design)

    def _sign(self, pen: Pen, x: float, y: float, unit: Unit) -> None:
        pen.axes.plot([x], [y], "o", markersize=13, markerfacecolor="white",
                      markeredgecolor=INK, markeredgewidth=1.0)  # fmt: skip
        pen.text(x, y - 0.005, SIGNS[unit.main.kind], 11, align="center")
        if unit.behind:
            pen.arrow((x, y - 0.1), (x, y - 0.27))
            pen.text(x + 0.07, y - 0.2, ", ".join(unit.behind), 7.3, color=DIM)

    def _half(self, unit: Unit) -> float:
        """Half a unit's height."""
        return 0.1 if unit.kind == "merge" and unit.main.kind in SIGNS else self.node / 2

    def _edges(self, pen: Pen, places: dict[int, Any], start: Any, left: float) -> None:
        block = self.design.block
        last = len(block.units) - 1
        for place, unit in enumerate(block.units):
            x, y = places[place]
            half = self._half(unit)
            for source in unit.inputs:
                x0, y0 = start if source == INPUT else places[source]
                below = 0.11 if source == INPUT else self._half(block.units[source])
                if source == INPUT and place == last:
                    lanes = [n for n, lane in enumerate(self.lanes) if not lane]
                    side = left + self.lane * (lanes[0] + 0.5) if lanes else x0
                    self._around(pen, (x0, y0), (x, y), side, unit)
                elif place == last and unit.kind == "merge" and unit.main.kind not in SIGNS:
                    pen.arrow((x0, y0 - below), (x0, y + 0.11))
                elif unit.main.kind in SIGNS and abs(x0 - x) > 0.05:  # from the side
                    sign = 1 if x0 > x else -1
                    pen.line([(x0, y0 - below), (x0, y)])
                    pen.arrow((x0, y), (x + sign * 0.1, y))
                elif abs(x0 - x) < 0.05:
                    pen.arrow((x0, y0 - below), (x, y + half))
                else:
                    turn = y + half + 0.5 * (self.pitch - self.node)
                    pen.line([(x0, y0 - below), (x0, turn), (x, turn)])
                    pen.arrow((x, turn), (x, y + half))

    def _around(self, pen: Pen, start: Any, end: Any, side: float, unit: Unit) -> None:
        """The identity: from the input past all layers."""
        (x0, y0), (x, y) = start, end
        turn = y0 - 0.11 - 0.25 * (self.pitch - self.node)
        color = INK
        pen.line([(x0, y0 - 0.11), (x0, turn), (side, turn)], color=color, width=1.2)
        if unit.main.kind in SIGNS:
            pen.line([(side, turn), (side, y)], color=color, width=1.2)
            sign = 1 if side > x else -1
            pen.arrow((side, y), (x + sign * 0.1, y), color=color)
        else:
            pen.arrow((side, turn), (side, y + 0.11), color=color)
        pen.text(side + 0.05, (turn + y) / 2 + 0.1, "identity", 7.3, color=DIM)


def _input_shape(block: Block) -> Shape:
    """Of the map that the block reads."""
    for unit in block.units:
        if INPUT in unit.inputs and unit.rows[0].input_shapes and unit.kind != "merge":
            return unit.rows[0].input_shapes[0]
    return ()


def _title_of(design: Design) -> list[str]:
    names = design.names
    if len(names) == 1:
        return [design.block.name]
    return [design.block.name, f"one of {len(names)} alike, {names[0]} to {names[-1]}"]


def _dense_block(
    pen: Pen, left: float, top: float, wide: float, high: float, design: Design
) -> None:
    """DenseNet's figure 1: every layer reads the maps of all before it."""
    count = 5
    step = (wide - 0.3) / (count - 1)
    y = top - high * 0.62
    begin = _input_shape(design.block)[-1]
    text = f"each layer adds {design.growth} maps to all before it"
    pen.text(left - 0.1, top - 0.02, text, 8, color=INK)
    for place in range(count):
        x = left + 0.1 + step * place
        for end in range(place + 1, count):
            height = 0.14 + 0.21 * (end - place)
            x1 = left + 0.1 + step * end
            pen.arc((x + 0.04, y + 0.24), (x1 - 0.03, y + 0.24), height, color=DIM)
        _cuboid(
            pen, x - 0.09, y - 0.2, 0.12, 0.32, 0.09, COLORS["input" if not place else "conv"], 1
        )
        label = str(begin) if not place else f"+{design.growth}"
        pen.text(x, y - 0.31, label, 8, align="center")
    pen.text(left + wide, y, "…", 12, align="center")


def _panels(designs: Sequence[Design], width: float) -> tuple[list[_Panel], list[str]]:
    """Those that stand side by side in the width, and a note about the others."""
    panels: list[_Panel] = []
    for lane in LANES:
        panels = [_Panel(design, lane) for design in designs]
        if sum(panel.width + PANEL_GAP for panel in panels) - PANEL_GAP <= width:
            return panels, []
    shown: list[_Panel] = []
    left = 0.0
    for panel in panels:
        if left + panel.width > width:
            break
        shown.append(panel)
        left += panel.width + PANEL_GAP
    hidden = [panel.design.block.name for panel in panels[len(shown) :]]
    return shown, [f"Not unfolded: {listed(hidden, 6)}."]
