"""What one unit of a map sees: its receptive field and stride, drawn over a photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from kerascnn.errors import ArgumentError
from kerascnn.features import endpoints
from kerascnn.profiles import LayerProfile
from kerascnn.profiling import profile
from kerascnn.receptive_fields import ReceptiveField
from kerascnn.style import GRID, INK, PAPER, VALIDATION, Drawing
from kerascnn.words import did_you_mean, listed

SQUARE = 16  # pixels: of what is drawn where there is no photo
NEIGHBOURS = 4  # units on each side of the middle one whose centres are marked
PANEL = 3.0  # inches
OUTSIDE = "#e7e5df"


@dataclass(frozen=True)
class Field:
    """What the middle unit of a map sees.

    Attributes:
        name: as it was asked for, such as "C4".
        layer: the layer that gives the map.
        units: rows and columns of the map.
        channels: its number of maps.
        receptive_field: its units', in input pixels.
    """

    name: str
    layer: str
    units: tuple[int, int]
    channels: int
    receptive_field: ReceptiveField

    def corner(self, row: int, column: int) -> tuple[float, float]:
        """The first pixel, left and top, that a unit sees; negative in the padding."""
        field = self.receptive_field
        return (
            field.start[1] + column * field.stride[1],
            field.start[0] + row * field.stride[0],
        )

    @property
    def middle(self) -> tuple[int, int]:
        """Row and column of the unit in the middle."""
        return self.units[0] // 2, self.units[1] // 2


def fields(
    model: keras.Model, names: Sequence[str], input_shape: Any = None
) -> tuple[list[Field], tuple[int, int, int]]:
    """The receptive fields of maps, and the shape of the images that they lie in.

    Raises:
        ArgumentError: a name is unknown, its units see the whole image, or a size is open.
    """
    measured = profile(model, input_shape)
    known = endpoints(model)
    rows = {row.name: row for row in measured.layers if _is_map(row)}
    found = []
    for name in names:
        row = rows.get(known[name].layer if name in known else name)
        if row is None:
            whole = name in {row.name for row in measured.layers}
            why = "sees the whole image, so it has no field" if whole else "is no feature map"
            raise ArgumentError(
                f"{model.name}: {name} {why}. Expected an endpoint, {', '.join(known)}, or one of "
                f"its {len(rows)} maps, such as {listed(list(rows)[-3:])}."
                f"{did_you_mean(name, [*known, *rows])} Received: {name!r}."
            )
        assert row.receptive_field
        shape = row.output_shape
        found.append(Field(name, row.name, shape[:2], shape[2], row.receptive_field))
    height, width, channels = measured.layers[0].output_shape
    return found, (height, width, channels)


def _is_map(row: LayerProfile) -> bool:
    return row.receptive_field is not None and len(row.output_shape) == 3 and row.kind != "Input"


def square(height: int, width: int) -> int:
    """Side of the squares of `board`: 16 pixels, or an eighth of a small picture's."""
    least = min(height, width)
    return SQUARE if least >= 7 * SQUARE else max(1, least // 8)


def board(height: int, width: int) -> np.ndarray:
    """A picture where there is no photo: coloured squares."""
    side = square(height, width)
    rows, columns = np.indices((height, width))
    squares = (rows // side + columns // side) % 2
    ramp = np.stack(
        [columns / width, 0.5 + 0 * rows, 1 - rows / height],
        axis=-1,
    )
    return np.clip((0.62 + 0.12 * squares[..., None] + 0.22 * ramp) * 255, 0, 255).astype("uint8")


def field_page(
    model_name: str, found: Sequence[Field], size: tuple[int, int], image: np.ndarray | None
) -> Figure:
    """Above, each map's middle unit and its neighbours over the image; below, what it sees.

    Args:
        model_name: for the title.
        found: a column each.
        size: height and width of the network's input.
        image: uint8 `[height, width, 1 or 3]` of this size; None: `board`.
    """
    known = f", squares of {SQUARE}" if image is None and square(*size) == SQUARE else ""
    image = board(*size) if image is None else image
    columns = len(found)
    figure = Drawing(
        figsize=(max(5.0, 0.4 + columns * (PANEL + 0.25)), 2 * PANEL + 1.55),
        dpi=150,
        layout="constrained",
        facecolor=PAPER,
    )
    grid = figure.subplots(2, columns, squeeze=False)
    height, width = image.shape[:2]
    title = f"{model_name}: what one unit sees of {width}×{height} pixels{known}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    picture = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
    for field, above, below in zip(found, *grid):
        _over(above, field, picture)
        _patch(below, field, picture)
    return figure


def _over(axes: Axes, field: Field, image: np.ndarray) -> None:
    """The image, the unit's field, two neighbours' fields, and the centres of those around."""
    height, width = image.shape[:2]
    size, stride = field.receptive_field.size, field.receptive_field.stride
    row, column = field.middle
    _show(axes, image)
    for down, right in ((0, 1), (1, 0)):
        if row + down < field.units[0] and column + right < field.units[1]:
            _frame(axes, field.corner(row + down, column + right), size, INK, 0.9, "--")
    x, y = field.corner(row, column)
    _frame(axes, (x, y), size, VALIDATION, 2.2, "-")
    centres = [
        field.corner(row + down, column + right)
        for down in range(-NEIGHBOURS, NEIGHBOURS + 1)
        for right in range(-NEIGHBOURS, NEIGHBOURS + 1)
        if 0 <= row + down < field.units[0] and 0 <= column + right < field.units[1]
    ]
    xs = [left + (size[1] - 1) / 2 for left, _ in centres]
    ys = [top + (size[0] - 1) / 2 for _, top in centres]
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markeredgecolor": PAPER}
    axes.plot(xs, ys, color=INK, markersize=3.2, markeredgewidth=0.5, **dot)
    x0, y0 = x + (size[1] - 1) / 2, y + (size[0] - 1) / 2
    axes.plot([x0], [y0], color=VALIDATION, markersize=5.5, markeredgewidth=0.7, **dot)
    left, right = min(0, x), max(width, x + size[1] + stride[1])
    top, bottom = min(0, y), max(height, y + size[0] + stride[0])
    margin = 0.02 * max(right - left, bottom - top)
    axes.set_xlim(max(left - margin, -width), min(right + margin, 2 * width))
    axes.set_ylim(min(bottom + margin, 2 * height), max(top - margin, -height))
    axes.set_title(f"{field.name}", loc="left", fontsize=11, fontweight="bold", color=INK)
    sides = "×".join(f"{side}" for side in size)
    step = "×".join(dict.fromkeys(f"{value:g}" for value in stride))
    lines = [
        "" if field.layer == field.name else field.layer,
        f"field {sides}, stride {step}",
        f"{field.units[0]}×{field.units[1]} units, {field.channels} maps",
    ]
    axes.set_xlabel("\n".join(filter(None, lines)), fontsize=8.5, color=INK)


def _patch(axes: Axes, field: Field, image: np.ndarray) -> None:
    """What lies in the field, large; beyond the image there are zeros of the padding."""
    x, y = field.corner(*field.middle)
    _show(axes, image)
    size = field.receptive_field.size
    axes.set_xlim(x - 0.5, x + size[1] - 0.5)
    axes.set_ylim(y + size[0] - 0.5, y - 0.5)
    inside = x >= 0 and y >= 0 and x + size[1] <= image.shape[1] and y + size[0] <= image.shape[0]
    text = "what it sees" if inside else "what it sees; beyond the image: padding"
    axes.set_xlabel(text, fontsize=8.5, color=INK)
    for spine in axes.spines.values():
        spine.set_color(VALIDATION)
        spine.set_linewidth(2.2)


def _show(axes: Axes, image: np.ndarray) -> None:
    axes.set_facecolor(OUTSIDE)
    axes.imshow(image, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(GRID)


def _frame(
    axes: Axes,
    corner: tuple[float, float],
    size: Sequence[int],
    color: str,
    width: float,
    line: str,
) -> None:
    frame = Rectangle((corner[0] - 0.5, corner[1] - 0.5), size[1], size[0], fill=False)
    frame.set(edgecolor=color, linewidth=width, linestyle=line)
    frame.set_path_effects([withStroke(linewidth=width + 1.2, foreground=PAPER)])  # on dark photos
    axes.add_patch(frame)
