"""Blocks unfolded once: paths side by side from top to bottom, as the papers draw them."""

from __future__ import annotations

from collections.abc import Sequence

from kerascnn.drawing.outline import Design
from kerascnn.drawing.pen import (
    COLORS,
    Lines,
    Pen,
    Point,
    amount,
    cuboid,
    node,
    sizes,
    text_width,
)
from kerascnn.drawing.units import INPUT, Block, Shape, Unit, window
from kerascnn.style import FAINT, INK
from kerascnn.words import listed

LANES = (1.5, 1.3, 1.15, 1.06, 0.95, 0.86, 0.78)  # widths of a path: the first that fits
RISE, PANEL_GAP = 0.44, 0.4
MOST_RISE, GAP = 3.9, 0.12
HEAD, NARROWEST = 0.5, 2.6  # the title's height; where it is wider than this, it gets smaller


def unit_text(unit: Unit | None) -> Lines:
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
    channels = row.output_shape[-1] if row.output_shape else 0
    if unit.kind == "merge":
        return "concat" if row.kind == "Concatenate" else row.kind
    if unit.kind == "dense":
        return f"dense {channels}"
    if unit.kind == "pool":
        return window(row)
    if unit.kind == "conv":
        groups = f" in {row.groups}" if 1 < row.groups < channels else ""
        return f"{window(row) or 'dense'}, {channels}{groups}"
    if row.kind == "PaddedIdentity":
        return f"identity / {row.strides[0]}, {channels}"
    return sizes(row.output_shape) if unit.kind == "input" else row.kind


class Panel:
    """A block with its paths side by side, from top to bottom."""

    def __init__(self, design: Design, lane: float) -> None:
        self.design, self.lane = design, lane
        block = design.block
        self.rows = max(block.depths) + 1  # the input's, and the units'
        self.lanes = block.lanes
        tall = max(len(unit_text(unit)) for unit in block.units)
        self.pitch = min(RISE + (0.12 if tall > 2 else 0), MOST_RISE / self.rows)
        self.node = min(0.32 if tall < 3 else 0.42, self.pitch - 0.12)
        self.title = _title_of(design)
        texts = min(NARROWEST, max(text_width(line, 7.5, False) for line in self.title))
        chain = 3.2 if design.growth else 0.0
        self.graph = self.lane * len(self.lanes)
        self.width = max(self.graph + chain, texts, 1.6)
        self.height = HEAD + self.pitch * self.rows + (0.2 if block.units[-1].behind else 0)

    def draw(self, pen: Pen, left: float, top: float) -> None:
        """With its upper left corner there."""
        for line, text in enumerate(self.title):
            size, color = (7.5, FAINT) if line else (8.5, INK)
            pen.text(left, top - 0.06 - 0.14 * line, text, size, bold=line == 0, color=color,
                     room=self.width)  # fmt: skip
        top -= HEAD
        start = (left + self.graph / 2, top - self.pitch * 0.4)
        places = self._places(left, top)
        self._edges(pen, places, start, left)
        for place, unit in enumerate(self.design.block.units):
            self._unit(pen, unit, *places[place])
        block = self.design.block
        text = " ".join((sizes(_input_shape(block)), *block.lead))
        span = max(self.lane - GAP, min(self.graph - GAP, 1.5))
        node(pen, start[0] - span / 2, start[1], span, 0.22, [(text, True)], "input", 8)
        if self.design.growth:
            _dense_block(
                pen, left + self.graph + 0.25, top, 2.8, self.height - HEAD - 0.1, self.design
            )

    def _places(self, left: float, top: float) -> list[tuple[float, float]]:
        """The middle of each unit: in its path, one below those it reads."""
        block = self.design.block
        depths = block.depths
        xs = [left + self.graph / 2] * len(block.units)
        for number, lane in enumerate(self.lanes):
            for place in lane:
                xs[place] = left + self.lane * (number + 0.5)
        inputs = block.units[-1].inputs
        if len(inputs) == 1 and inputs[0] != INPUT:
            xs[-1] = xs[inputs[0]]
        return [(x, top - self.pitch * (depth + 0.4)) for x, depth in zip(xs, depths)]

    def _unit(self, pen: Pen, unit: Unit, x: float, y: float) -> None:
        """Its box; a sum's is a circle, and that of the last concatenation spans all paths."""
        wide = self.lane - GAP
        if unit.kind == "merge" and unit.main.kind in SIGNS:
            self._sign(pen, x, y, unit)
        elif unit.kind == "merge" and unit is self.design.block.units[-1]:
            span = max(wide, self.graph - GAP)
            text = f"{_computes(unit)}: {sizes(unit.main.output_shape)}"
            node(pen, x - span / 2, y, span, 0.22, [(text, True)], "merge", 8)
        else:
            node(pen, x - wide / 2, y, wide, self.node, unit_text(unit), unit.kind, 8)

    def _sign(self, pen: Pen, x: float, y: float, unit: Unit) -> None:
        pen.axes.plot([x], [y], "o", markersize=13, markerfacecolor="white",
                      markeredgecolor=INK, markeredgewidth=1.0)  # fmt: skip
        pen.text(x, y - 0.005, SIGNS[unit.main.kind], 11, align="center")
        if unit.behind:
            pen.arrow((x, y - 0.1), (x, y - 0.27))
            pen.text(x + 0.07, y - 0.2, ", ".join(unit.behind), 7.3, color=FAINT)

    def _half(self, unit: Unit) -> float:
        """Half a unit's height."""
        return 0.1 if unit.kind == "merge" and unit.main.kind in SIGNS else self.node / 2

    def _edges(self, pen: Pen, places: Sequence[Point], start: Point, left: float) -> None:
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

    def _around(self, pen: Pen, start: Point, end: Point, side: float, unit: Unit) -> None:
        """The identity: from the input past all layers."""
        (x0, y0), (x, y) = start, end
        turn = y0 - 0.11 - 0.25 * (self.pitch - self.node)
        pen.line([(x0, y0 - 0.11), (x0, turn), (side, turn)], color=INK, width=1.2)
        if unit.main.kind in SIGNS:
            pen.line([(side, turn), (side, y)], color=INK, width=1.2)
            sign = 1 if side > x else -1
            pen.arrow((side, y), (x + sign * 0.1, y), color=INK)
        else:
            pen.arrow((side, turn), (side, y + 0.11), color=INK)
        pen.text(side + 0.05, (turn + y) / 2 + 0.1, "identity", 7.3, color=FAINT)


def _input_shape(block: Block) -> Shape:
    """Of the map that the block reads."""
    inside = {row.name for row in block.rows}
    for row in block.rows:
        for name, shape in zip(row.inputs, row.input_shapes):
            if name not in inside:
                return shape
    return ()


def _title_of(design: Design) -> list[str]:
    names, block = design.names, design.block
    title = [block.name, f"{amount(sum(row.params for row in block.rows))} parameters"]
    if len(names) > 1:
        title.append(f"one of {len(names)} alike, {names[0]} to {names[-1]}")
    return title


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
            pen.arc((x + 0.04, y + 0.24), (x1 - 0.03, y + 0.24), height, color=FAINT)
        cuboid(
            pen, x - 0.09, y - 0.2, 0.12, 0.32, 0.09, COLORS["input" if not place else "conv"], 1
        )
        label = str(begin) if not place else f"+{design.growth}"
        pen.text(x, y - 0.31, label, 8, align="center")
    pen.text(left + wide, y, "…", 12, align="center")


def panels_within(designs: Sequence[Design], width: float) -> tuple[list[Panel], list[str]]:
    """Those that stand side by side in the width, and a note about the others."""
    panels: list[Panel] = []
    for lane in LANES:
        panels = [Panel(design, lane) for design in designs]
        if sum(panel.width + PANEL_GAP for panel in panels) - PANEL_GAP <= width:
            return panels, []
    shown: list[Panel] = []
    left = 0.0
    for panel in panels:
        if left + panel.width > width:
            break
        shown.append(panel)
        left += panel.width + PANEL_GAP
    hidden = [panel.design.block.name for panel in panels[len(shown) :]]
    return shown, [f"Not unfolded: {listed(hidden, 6)}."]
