"""An outline as a page: volumes in a row, their parameters below, blocks unfolded at the foot."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from matplotlib.figure import Figure

from kerascnn.drawing.outline import MOST_HEADS, Head, Outline, Stage
from kerascnn.drawing.panels import PANEL_GAP, panels_within, unit_text
from kerascnn.drawing.pen import (
    COLORS,
    Pen,
    amount,
    cuboid,
    fitted,
    node,
    sizes,
    text_width,
    tinted,
    wrapped,
)
from kerascnn.drawing.units import Unit, window
from kerascnn.style import FAINT, GRID, INK, PAPER, Drawing
from kerascnn.words import counted

WIDTH, MARGIN = 11.7, 0.35  # inches: A4, landscape
WIDEST_COLUMN = 1.55
HIGHEST = 1.55  # of a volume
NARROWEST = 8.0
TITLE, BARS = 0.95, 1.3  # heights


def page(outline: Outline) -> Figure:
    """Draw an outline on one page."""
    columns = len(outline.stages)
    column = min(WIDEST_COLUMN, (WIDTH - 2 * MARGIN - BARS_LEFT) / columns)
    width = max(NARROWEST, 2 * MARGIN + BARS_LEFT + columns * column)
    panels, hidden = panels_within(outline.designs, width - 2 * MARGIN)
    left = max(MARGIN + BARS_LEFT, (width - columns * column + BARS_LEFT) / 2)
    row = _Row(outline, left, column)
    heads = _Heads(row)
    told = [*outline.notes, *hidden, _key(outline)]
    notes = [line for note in told for line in wrapped(note, 7.5, width - 2 * MARGIN)]
    foot = max((panel.height + 0.3 for panel in panels), default=0.0)
    end = 0.16 * len(notes) + 0.2
    volumes = row.above() + HIGHEST / 2 + heads.room + 0.1
    labels = LINE * len(_label_lines(outline.stages, column - 0.07)) + 0.1
    height = TITLE + volumes + labels + BARS + foot + end
    figure = Drawing(figsize=(width, height), dpi=150, facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    pen = Pen(axes)
    _title(pen, outline, width, height)
    bottom = height - TITLE - volumes
    row.middle = bottom + 0.05 + HIGHEST / 2
    row.draw(pen)
    heads.draw(pen)
    _labels(pen, row, bottom - 0.08)
    _bars(pen, row, bottom - labels - BARS + 0.1)
    x = MARGIN
    for panel in panels:
        panel.draw(pen, x, end + foot - 0.3)
        x += panel.width + PANEL_GAP
    for number, note in enumerate(notes):
        pen.text(MARGIN, end - 0.12 - 0.16 * number, note, 7.5, color=FAINT)
    return figure


def _key(outline: Outline) -> str:
    """How to read the drawing."""
    parts = ["Fronts: height is map size, width is channels, both compressed"]
    if any("/" in stage.window for stage in outline.stages):
        parts.append("“3×3 / 2”: kernel and stride")
    if any(stage.repeats > 1 and stage.kind != "several" for stage in outline.stages):
        parts.append("“×2”: so many in a row, the last one’s size")
    windows = [stage.window for stage in outline.stages]
    windows += [window(unit.main) for one in outline.designs for unit in one.block.units]
    for short, long in (("dw", "depthwise"), ("sep", "separable")):
        if any(text.startswith(f"{short} ") for text in windows):
            parts.append(f"{short}: {long}")
    if any(re.search(r" d\d", text) for text in windows):
        parts.append("“d2”: dilated by 2")
    parts.append("bars: trainable parameters, logarithmic, k thousand, M million")
    return "; ".join(parts) + "."


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
        f"{sizes(first)} → {sizes(last)}",
        f"{amount(total)} parameters",
        f"{amount(outline.macs)} multiply-adds",
    ]
    if outline.heads:
        beside = amount(sum(head.convolutional + head.dense for head in outline.heads))
        outputs = counted(len(outline.heads), "further output", "further outputs")
        facts[1] += f", {beside} of them in {outputs}"
    pen.text(MARGIN, height - 0.62, "   ·   ".join(facts), 9, room=room)
    if not total:
        return
    y = height - 0.44
    part = share * outline.convolutional / total
    pen.box(right, y, part, 0.16, COLORS["conv"])
    pen.box(right + part, y, share - part, 0.16, COLORS["dense"])
    pen.text(right, y + 0.26, "parameters, true to scale", 7.5, color=FAINT)
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
    if value == 100:
        return "100 %"
    return "< 0.1 %" if value < 0.1 else "> 99.9 %" if value > 99.9 else f"{value:.1f} %"


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

    def reach(self, number: int) -> float:
        """How far a volume, and what stands on it, reaches above the middle."""
        stage = self.stages[number]
        times = 0.2 if stage.repeats > 1 and stage.kind != "several" else 0.0
        return self.top(number) - self.middle + self.crown(number) + times

    def above(self) -> float:
        """How far everything reaches above the middle."""
        arcs = [
            max(self.top(begin), self.top(end)) - self.middle + 0.1 + 0.04 * (end - begin)
            for begin, end in self.outline.connections
        ]
        return max(*map(self.reach, range(len(self.stages))), 0.0, *arcs)

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
            left, right = ((self.centers[n], self.top(n) + 0.02) for n in (begin, end))
            self.pen.arc(left, right, 0.1 + 0.05 * (end - begin), color=FAINT)

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
            cuboid(self.pen, x, y + tower * (part + gap), wide, part, slant, color, slices)
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
        return stage.window
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
        ([sizes(stage.shape) for stage in stages], 8.0, False, INK),
        ([two[0] for two in words], 7.0, False, FAINT),
        ([two[1] for two in words], 7.0, False, FAINT),
    ]
    return [line for line in lines if any(line[0])]


def _word_lines(words: Sequence[str]) -> tuple[str, str]:
    """Dropout, which needs much room, on a line of its own."""
    dropout = ", ".join(word for word in words if word.startswith("dropout"))
    others = ", ".join(word for word in words if not word.startswith("dropout"))
    return (others, dropout) if others else (dropout, "")


LINE = 0.145


def _labels(pen: Pen, row: _Row, top: float) -> None:
    """Below each volume: name, operation, size of the map, and what else happens."""
    room = row.column - 0.07
    lines = _label_lines(row.stages, room)
    names = [text for texts, _, bold, _ in lines if bold for text in texts]
    for number, (texts, size, bold, color) in enumerate(lines):
        # One size for a line, or two of names, as long as that can be read.
        common = max(7.0, min(fitted(t, size, room, bold)[1] for t in (names if bold else texts)))
        for x, text in zip(row.centers, texts):
            pen.text(x, top - LINE * number, text, min(size, common), bold=bold, color=color,
                     align="center", room=room)  # fmt: skip


def _two_lines(text: str, size: float, room: float) -> list[str]:
    """One line, or two where a name is long and has a place to break."""
    if text_width(text, size, True) <= room:
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
                 color=FAINT)  # fmt: skip
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
    pen.line([(left, bottom), (left + width, bottom)], color=FAINT)


# --- Heads beside the row ------------------------------------------------------------------------


class _Heads:
    """Boxes in a line above the row for each further output, and the way up to them."""

    high, gap, step = 0.32, 0.16, 0.52

    def __init__(self, row: _Row) -> None:
        self.row = row
        # The leftmost on top, so that no way up crosses another head.
        self.shown = sorted(row.outline.heads[:MOST_HEADS], key=lambda head: head.stage)
        below = range(self.shown[0].stage, len(row.stages)) if self.shown else ()
        self.base = max((row.reach(number) for number in below), default=0.0) + 0.3
        top = self.base + self.step * (len(self.shown) - 1) + 0.32
        self.room = max(0.0, top - row.above()) if self.shown else 0.0

    def draw(self, pen: Pen) -> None:
        """Each on a line of its own."""
        for number, head in enumerate(reversed(self.shown)):
            self._head(pen, self.row, head, self.row.middle + self.base + self.step * number)

    def _head(self, pen: Pen, row: _Row, head: Head, y: float) -> None:
        """From its stage up and to the right, or to the left where there is more room."""
        units = _few(head.units)
        texts = [unit_text(unit) for unit in units]
        widths = [0.16 + max(text_width(line, 7.5, False) for line, _ in text) for text in texts]
        x = row.centers[head.stage]
        right, left = row.centers[-1] + row.column / 2 - x, x - MARGIN
        sign = 1 if right > 2 or right > left else -1
        long = sum(widths) + self.gap * len(widths)
        scale = min(1.0, (right if sign > 0 else left) / long)
        pen.line([(x, row.top(head.stage) + 0.02), (x, y)], color=FAINT)
        total = amount(head.convolutional + head.dense)
        pen.text(x + 0.1 * sign, y + 0.24, f"{head.name}: {total} parameters", 7.5, color=FAINT,
                 align="left" if sign > 0 else "right")  # fmt: skip
        for text, wide, unit in zip(texts, widths, units):
            begin, wide = x, wide * scale
            x += sign * self.gap * scale
            pen.arrow((begin, y), (x, y))
            at = x if sign > 0 else x - wide
            node(pen, at, y, wide, self.high, text, unit.kind if unit else "other", 7.5 * scale)
            x += sign * wide


def _few(units: Sequence[Unit]) -> list[Unit | None]:
    """All of a few, or the ends of many."""
    return list(units) if len(units) <= 6 else [*units[:3], None, *units[-2:]]
