"""The picture that explains what a network says about one photo.

Everything is drawn into one axes whose unit is an inch, so that nothing is left empty and nothing
overlaps; an axes for each picture would also take several times as long.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from kerascnn.explain.colours import FOR, coloured, large, strip
from kerascnn.explain.methods import HEAT, PIXELS, SIGNED
from kerascnn.pictures import rgb
from kerascnn.style import FAINT, GRID, INK, PAPER, Drawing
from kerascnn.words import without_middle

PANEL, NARROW = 1.85, 1.5  # widths in inches: of a panel, and of one of a tall photo at least
LABEL = 1.0  # width of a row's name
WIDTH = 10.4  # of the whole picture, at most
EDGE, GAP, NEAR = 0.16, 0.16, 0.05  # around all, between panels, between pictures of one map
HEAD, TITLE, STRIP = 0.52, 0.2, 0.085  # heights: the title of all, a panel's, its colour scale
SCALE = STRIP + 0.2  # height of the colour scale with the words at its ends
BARS = (1.75, 1.3)  # width and height that the classes need at least
LOWEST = 0.16  # height of a class's bar with its name; of more classes the first are shown
ABOVE, BELOW = 0.19, 0.12  # heights: the words above a map, the space below it
NUMBER = 1.1  # width of a map's number and value
IN_ROW = 4  # maps
NOTES, CELLS = 0.72, 1.6  # heights: of what stands at the left of maps, of a picture of one at most
LONGEST = 30  # characters of a class's name

Place = tuple[float, float, float, float]
"""Left edge, upper edge, width and height, in inches."""

Field = tuple[int, int, int, int]
"""Top, left, bottom and right in pixels; the last two are behind the last pixel."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One method's answer.

    Attributes:
        title: what it is called.
        caption: what it shows, and whose method it is; a few words.
        kind: how `values` become colours: one of `kerascnn.explain.methods`.
        values: `[rows, columns]`, or `[height, width, channels]` of PIXELS, in RGB.
        low, high: what the ends of the colour scale mean; "": it has no scale.
    """

    title: str
    caption: str
    kind: str
    values: np.ndarray
    low: str = ""
    high: str = ""


@dataclass(frozen=True, eq=False)
class StrongMap:
    """One map of a layer, and what its strongest unit sees.

    Attributes:
        channel: which of the layer's maps.
        value: its strongest activation.
        unit: where, row and column in the map.
        values: all of it, `[rows, columns]`.
        field: what its strongest unit can see; outside of the image are zeros.
        projection: of that unit, `[height, width, channels]`, in RGB.
    """

    channel: int
    value: float
    unit: tuple[int, int]
    values: np.ndarray
    field: Field
    projection: np.ndarray


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer's strongest maps.

    Attributes:
        name: as it was asked for: "C4".
        notes: what to write below the name, a line each.
        maps: the strongest first.
    """

    name: str
    notes: tuple[str, ...]
    maps: Sequence[StrongMap]


@dataclass(frozen=True)
class Said:
    """A class, and what the network says about it.

    Attributes:
        name: the class's.
        probability: in [0, 1].
        explained: whether the picture explains this one.
    """

    name: str
    probability: float
    explained: bool


def picture(
    photo: np.ndarray,
    said: Sequence[Said],
    panels: Sequence[Panel],
    layers: Sequence[Layer] = (),
    *,
    title: str,
    subtitle: str = "",
    projected: str = "projection",
    there: np.ndarray | None = None,
) -> Drawing:
    """The photo, the classes with bars, a panel for each method, and the strongest maps.

    Args:
        photo: as the network sees it, uint8 `[height, width, channels]`.
        said: the likeliest classes, best first.
        panels: of the methods.
        layers: with their strongest maps; none: the picture ends with the panels.
        title, subtitle: what to write above.
        projected: what to call the projections of maps.
        there: where the answer is the class that is explained, bool `[height, width]`; None: it is
            no map.
    """
    photo = rgb(photo)
    tall = photo.shape[0] / photo.shape[1]
    wide = max(NARROW, PANEL / math.sqrt(max(1, tall)))
    size = (wide, wide * tall)
    sizes = [wide, max(wide, BARS[0]), *[wide] * len(panels)]
    rows = _rows(sizes)
    total = 2 * EDGE + max(sum(sizes[i] for i in row) + GAP * (len(row) - 1) for row in rows)
    bands = _bands(layers, photo, total - 2 * EDGE - LABEL)
    heights = [
        max(
            _height(panels[i - 2], size) if i > 1 else TITLE + BARS[1] + GAP + _high(2) for i in row
        )
        for row in rows
    ]
    heights[0] = max(heights[0], TITLE + size[1] + GAP + _high(2))
    top = HEAD + sum(heights)
    heads = _heads(bands, total, projected)
    bottom = top + sum(band.height for band in bands) + (_high(len(heads)) + 0.1 if bands else 0)
    figure, axes = _page(total, bottom)
    letters = int((total - 2 * EDGE) / 0.094)
    _text(axes, EDGE, 0.13, without_middle(title, letters), size=10.5, weight="bold")
    _text(axes, EDGE, 0.32, without_middle(subtitle, int(letters * 1.4)), color=FAINT)
    y = HEAD
    for row, height in zip(rows, heights):
        x = EDGE
        for index in row:
            place = (x, y + TITLE, sizes[index], size[1])
            if index == 0:
                _photo(axes, photo, place, there)
            elif index == 1:
                _bars(axes, said, (*place[:3], max(size[1], BARS[1])))
            else:
                _panel(axes, panels[index - 2], photo, place)
            x += sizes[index] + GAP
        y += height
    if bands:
        axes.plot([EDGE, total - EDGE], [top, top], color=GRID, linewidth=0.8)
        _text(axes, EDGE, top + 0.09, "Strongest maps", size=8.5, weight="bold")
        _text(axes, EDGE + 1.25, top + 0.1, "\n".join(heads), size=7, color=FAINT)
        y = top + _high(len(heads)) + 0.1
        for band in bands:
            band.draw(axes, photo, y)
            y += band.height
    return figure


def _page(width: float, height: float) -> tuple[Drawing, Axes]:
    """An empty page and its axes, in inches from its upper left corner."""
    figure = Drawing(figsize=(width, height), dpi=150, facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return figure, axes


def _rows(sizes: Sequence[float]) -> list[list[int]]:
    """The places of panels of these widths in rows of at most `WIDTH`."""
    rows: list[list[int]] = [[]]
    used = 2 * EDGE
    for index, size in enumerate(sizes):
        if rows[-1] and used + size > WIDTH + 1e-6:
            rows.append([])
            used = 2 * EDGE
        rows[-1].append(index)
        used += size + GAP
    return rows


def _height(panel: Panel, size: tuple[float, float]) -> float:
    """Of a panel whose picture has this width and height."""
    scale = SCALE if panel.low or panel.high else 0.0
    return TITLE + size[1] + scale + _high(len(_wrapped(panel.caption, size[0]))) + GAP


def _high(lines: int) -> float:
    """Of so many lines of a caption."""
    return 0.06 + 0.122 * lines


def _photo(axes: Axes, photo: np.ndarray, place: Place, there: np.ndarray | None) -> None:
    size = f"{photo.shape[0]}×{photo.shape[1]} pixels"
    _title(axes, place, "The photo")
    _show(axes, large(photo), place)
    if there is None:
        _caption(axes, place, f"As the network sees it, {size}.")
        return
    _outline(axes, there, place)
    found = "outlined where it answers with the class" if there.any() else "the class is nowhere"
    _caption(axes, place, f"{size[0].upper()}{size[1:]}; {found}.")


def _outline(axes: Axes, there: np.ndarray, place: Place) -> None:
    """The borders of an area, bool `[height, width]`, over its photo."""
    x, y, width, height = place
    rows, columns = there.shape
    area = np.pad(there, 1).astype("float32")  # so that borders at the edge are closed
    across = x + (np.arange(-1, columns + 1) + 0.5) * width / columns
    down = y + (np.arange(-1, rows + 1) + 0.5) * height / rows
    across, down = across.clip(x, x + width), down.clip(y, y + height)
    if there.any():
        for color, thick in ((PAPER, 1.8), (FOR, 0.9)):
            axes.contour(across, down, area, levels=[0.5], colors=[color], linewidths=thick)


def _bars(axes: Axes, said: Sequence[Said], place: Place) -> None:
    """Classes from above, each with its probability and a bar."""
    x, y, width, height = place
    most = int(height / LOWEST)
    if len(said) > most:
        rest = [one for one in said[most - 1 :] if one.explained] or said[most - 1 :]
        said = [*said[: most - 1], rest[0]]
    each = min(height / max(1, len(said)), 0.4)
    size = 8 if each > 0.3 else 26 * each
    for number, one in enumerate(said):
        color = FOR if one.explained else FAINT
        line = y + number * each
        weight = "bold" if one.explained else "normal"
        letters = int((width - 0.5) / (size * (0.0102 if one.explained else 0.0088)))
        _text(
            axes, x, line, without_middle(one.name, min(LONGEST, letters)), size=size, weight=weight
        )
        _text(axes, x + width, line, share(one.probability), size=size, ha="right")
        thick, under = 0.22 * each, line + 0.0175 * size + 0.02
        for part, shade in ((1.0, GRID), (one.probability, color)):
            axes.add_patch(Rectangle((x, under), width * part, thick, color=shade, linewidth=0))
    _title(axes, place, "What the network says")
    explained = next((one.name for one in said if one.explained), "")
    _caption(axes, place, f"Red: {without_middle(explained, 20)}, which is explained here.")


def share(probability: float) -> str:
    """A probability in words: "99.9%", "100%"."""
    return f"{probability:.1%}" if probability < 0.9995 else "100%"


def _panel(axes: Axes, panel: Panel, photo: np.ndarray, place: Place) -> None:
    """A method's picture, its colour scale and its words."""
    x, y, width, height = place
    _title(axes, place, panel.title)
    _show(axes, coloured(panel.kind, panel.values, photo), place)
    if panel.low or panel.high:
        under = y + height + 0.05
        extent = (x, x + width, under + STRIP, under)
        axes.imshow(strip(panel.kind), extent=extent, aspect="auto")
        words: dict[str, Any] = {"size": 6.5, "color": FAINT}
        _text(axes, x, under + STRIP + 0.025, panel.low, **words)
        _text(axes, x + width, under + STRIP + 0.025, panel.high, ha="right", **words)
        place = (x, y, width, height + SCALE - 0.05)
    _caption(axes, place, panel.caption)


def _title(axes: Axes, place: Place, words: str) -> None:
    """A bold line above a panel."""
    x, y, width, _ = place
    _text(
        axes,
        x,
        y - TITLE + 0.03,
        without_middle(words, int(width / 0.076)),
        size=8.5,
        weight="bold",
    )


def _caption(axes: Axes, place: Place, words: str) -> None:
    """A few lines below a panel."""
    x, y, width, height = place
    _text(axes, x, y + height + 0.06, "\n".join(_wrapped(words, width)), size=7, color=FAINT)


def _wrapped(words: str, width: float) -> list[str]:
    """In lines of a width in inches."""
    return textwrap.wrap(words, int(width / 0.055))


@dataclass(frozen=True)
class _Band:
    """One layer's maps in a row.

    Attributes:
        layer: whose.
        high: of each of the pictures.
        widths: of the pictures of one map: the map, the patch unless that is all, the projection.
        step: from one map's pictures to the next map's.
    """

    layer: Layer
    high: float
    widths: tuple[float, ...]
    step: float

    @property
    def height(self) -> float:
        """Of all of it."""
        return ABOVE + max(self.high, NOTES) + BELOW

    @property
    def whole(self) -> bool:
        """Whether the strongest units see all of the photo."""
        return len(self.widths) == 2

    def draw(self, axes: Axes, photo: np.ndarray, y: float) -> None:
        """From this height downwards."""
        size = 10 if len(self.layer.name) < 10 else 7.5
        name = without_middle(self.layer.name, 13)
        _text(axes, EDGE, y + ABOVE, name, size=size, weight="bold")
        notes = "\n".join(without_middle(note, 18) for note in self.layer.notes)
        _text(axes, EDGE, y + ABOVE + 0.2, notes, size=6.5, color=FAINT, linespacing=1.35)
        for number, one in enumerate(self.layer.maps):
            x = EDGE + LABEL + number * self.step
            words = f"map {one.channel}: {one.value:.3g}"
            _text(axes, x, y + 0.04, words, size=7)
            left = x
            for picture, width in zip(self._pictures(one, photo), self.widths):
                place = (left, y + ABOVE, width, self.high)
                _show(axes, picture, _fitted(picture, place))
                if left == x and not self.whole:
                    _frame(axes, one.field, photo.shape, place)
                left += width + NEAR

    def _pictures(self, one: StrongMap, photo: np.ndarray) -> list[np.ndarray]:
        kind = SIGNED if one.values.min() < 0 else HEAT
        top, left, bottom, right = _window(one.field, photo.shape)
        found = [
            coloured(kind, one.values, photo, smooth=False),
            large(photo[top:bottom, left:right]),
            coloured(PIXELS, one.projection[top:bottom, left:right], photo),
        ]
        return found[:1] + found[2:] if self.whole else found


def _bands(layers: Sequence[Layer], photo: np.ndarray, width: float) -> list[_Band]:
    """Rows of the layers, all with pictures of one height, that fill the width."""
    layers = [row for layer in layers for row in _in_rows(layer)]
    shapes = [_shapes(layer.maps, photo.shape) for layer in layers]

    def alone(layer: Layer, shape: Sequence[float]) -> float:
        """What is between its pictures if its maps stand as near as they may."""
        count = len(layer.maps)
        return GAP * (count - 1) + NEAR * (len(shape) - 1) * count

    high = min(
        (
            (width - alone(layer, shape)) / (sum(shape) * len(layer.maps))
            for layer, shape in zip(layers, shapes)
        ),
        default=0.0,
    )
    high = min(high, CELLS)
    bands = []
    for layer, shape in zip(layers, shapes):
        last = max(high * sum(shape) + NEAR * (len(shape) - 1), NUMBER)
        step = (width - last) / max(1, len(layer.maps) - 1)
        bands.append(_Band(layer, high, tuple(high * one for one in shape), step))
    return bands


def _in_rows(layer: Layer) -> list[Layer]:
    """A layer's maps, `IN_ROW` in a row at most, as even as can be; the first row has the words."""
    rows = math.ceil(len(layer.maps) / IN_ROW)
    found = []
    for number, chosen in enumerate(np.array_split(np.arange(len(layer.maps)), max(1, rows))):
        name, notes = ("", ()) if number else (layer.name, layer.notes)
        found.append(Layer(name, notes, [layer.maps[index] for index in chosen]))
    return found if layer.maps else []


def _shapes(maps: Sequence[StrongMap], shape: tuple[int, ...]) -> tuple[float, ...]:
    """Width by height of the pictures of a map; see `_Band.widths`."""
    photo = shape[1] / shape[0]
    if all(is_whole(one.field, shape) for one in maps):
        return photo, photo
    windows = [_window(one.field, shape) for one in maps]
    patch = max((right - left) / (bottom - top) for top, left, bottom, right in windows)
    return photo, patch, patch


def _frame(axes: Axes, field: Field, shape: tuple[int, ...], place: Place) -> None:
    """Around what the strongest unit sees of the photo."""
    x, y, width, height = place
    top, bottom = (min(max(edge, 0), shape[0]) * height / shape[0] for edge in field[::2])
    left, right = (min(max(edge, 0), shape[1]) * width / shape[1] for edge in field[1::2])
    for color, thick in ((PAPER, 2.4), (INK, 1.1)):
        look: dict[str, Any] = {"fill": False, "edgecolor": color, "linewidth": thick}
        axes.add_patch(Rectangle((x + left, y + top), right - left, bottom - top, **look))


def _heads(bands: Sequence[_Band], width: float, projected: str) -> list[str]:
    """What the pictures of a map are, in lines; said once, above all of them."""
    all_ = all(band.whole for band in bands)
    patch = "" if all_ else ", framed what its strongest unit sees; that patch"
    words = f"Of each: the map over the photo{patch}; the unit's {projected}."
    return _wrapped(words, width - 2 * EDGE - 1.25)


def is_whole(field: Field, shape: Sequence[int]) -> bool:
    """Whether a unit sees all of an image, `[height, width, ...]`."""
    top, left, bottom, right = field
    return top <= 0 and left <= 0 and bottom >= shape[0] and right >= shape[1]


def _window(field: Field, shape: tuple[int, ...]) -> Field:
    """Pixels of the image that hold the field; moved, not cut, where it sticks out."""
    edges = []
    for first, last, size in zip(field[:2], field[2:], shape[:2]):
        length = min(last - first, size)
        start = min(max(first, 0), size - length)
        edges.append((start, start + length))
    (top, bottom), (left, right) = edges
    return top, left, bottom, right


def _fitted(image: np.ndarray, place: Place) -> Place:
    """The largest place within another that has the image's shape; in its middle."""
    x, y, width, height = place
    scale = min(width / image.shape[1], height / image.shape[0])
    wide, high = image.shape[1] * scale, image.shape[0] * scale
    return x + (width - wide) / 2, y + (height - high) / 2, wide, high


def _show(axes: Axes, image: np.ndarray, place: Place) -> None:
    x, y, width, height = place
    extent = (x, x + width, y + height, y)
    axes.imshow(image, extent=extent, aspect="auto", interpolation="antialiased")
    axes.set_autoscale_on(False)


def _text(
    axes: Axes, x: float, y: float, words: str, *, size: float = 7.5, color: str = INK, **look: Any
) -> None:
    """Words from this point to the right and downwards; a dollar sign is no formula."""
    look = {"va": "top", "parse_math": False, **look}
    axes.text(x, y, words, fontsize=size, color=color, **look)
