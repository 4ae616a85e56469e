"""Pictures of many: the strongest patches of maps, over the epochs; what changes do to features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from kerascnn.errors import ArgumentError
from kerascnn.explain.arguments import evenly, require_whole
from kerascnn.explain.changing import Border, Curves, Invariance, changed
from kerascnn.explain.evolving import Evolution
from kerascnn.explain.methods import MOST_MAPS, PROJECTING
from kerascnn.explain.patches import TopPatches
from kerascnn.pictures import rgb
from kerascnn.style import FAINT, GRID, INK, PAPER, TITLE, TRAIN, VALIDATION, Drawing
from kerascnn.words import without_middle

CELL, GAP = 96, 4  # pixels: of a patch's longer side, and between patches
TILE = 0.36  # inches of a patch's side
BETWEEN, MARGIN, CAPTION = 0.16, 0.6, 0.62  # in tiles: in a map, between maps, above a map
HEAD = 0.66  # inches above all
# Of a map over the epochs, in tiles: above patches, below projections, beside them, between epochs.
EPOCHS, SHARES, NAMES, STEP = 0.4, 0.6, 1.5, 0.18
# Okabe and Ito's, which colour-blind people can tell apart.
COLORS = (TRAIN, VALIDATION, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", INK)
LONGEST = 28  # characters of an image's name
SHOWN = 5  # steps of each kind of change, as pictures of the first image
SMALL: dict[str, Any] = {"fontsize": 8, "color": INK}


# --- Figure 2: the strongest patches of feature maps ------------------------------------------


def sheet(
    found: TopPatches, *, rows: int | None = None, columns: int = 4, title: str | None = None
) -> Figure:
    """Figure 2 of Zeiler and Fergus (2014): of each map its strongest patches and projections.

    Each map has two squares, of 3×3 for the strongest nine: on the left the patches, on the right,
    in the same places, their projections. Above them stand the map's number and its strongest
    activation. The strongest patch is in the upper left corner; they follow as one reads.

    Patches and projections are scaled to one size, whatever the images' borders have cut off. In a
    projection middle grey is zero, and the largest value, of either sign, is brightest or darkest:
    so those of weak activations can be read too. A place is empty where a unit doesn't fire (a
    value of exactly 0), and a map that never fires says so.

    Args:
        found: what `top_patches` returns; its first `rows * columns` maps with patches are shown.
        rows: default: as all maps need, or the first `MOST_MAPS` of more.
        columns: maps in one row.
        title: default: the layer, and how many of its maps are shown.

    Returns:
        A figure, to be saved with `figure.savefig(path)`.

    Raises:
        ArgumentError: rows or columns is below 1, or no map has patches.
    """
    maps = len(found.channels)
    if not maps:
        raise ArgumentError("found must have patches of at least one map. Received: none.")
    require_whole("columns", columns, 1)
    if rows is not None:
        require_whole("rows", rows, 1)
    columns = min(columns, maps)
    rows = min(rows or math.ceil(MOST_MAPS / columns), math.ceil(maps / columns))
    shown = min(maps, rows * columns)
    k = found.values.shape[1]
    side = math.ceil(math.sqrt(k))  # patches in a row of a square
    square = max(2, side)  # a single patch is larger, as the caption needs the room
    tall = square * math.ceil(k / side) / side  # without rows that would be empty
    across, down = 2 * square + BETWEEN + MARGIN, tall + CAPTION
    figure, axes = _page(columns * across - MARGIN, rows * down)
    light = _light([patch for row in found.patches[:shown] for patch in row])
    for slot in range(shown):
        x, y = slot % columns * across, slot // columns * down + CAPTION
        channel = int(found.channels[slot])
        values = found.values[channel]
        fires = values != 0
        _caption(axes, x, x + 2 * square + BETWEEN, y, channel, float(values[0]))
        patches = [_rgb(patch, *light) for patch in found.patches[slot]]
        projections = [_signed(projection) for projection in found.projections[slot]]
        for left, pictures in ((x, patches), (x + square + BETWEEN, projections)):
            kept = [picture if lit else None for picture, lit in zip(pictures, fires)]
            extent = (left, left + square, y + tall, y)
            axes.imshow(_mosaic(kept, side), extent=extent, interpolation="antialiased")
    what = f"left the {k} strongest patches" if k > 1 else "left the strongest patch"
    words = f"{what}, right: {PROJECTING[found.method]}"
    _head(figure, title or _title(found, shown), words)
    return figure


def _title(found: TopPatches, shown: int) -> str:
    maps = len(found.values)
    some = f"{shown} of {maps}" if shown < maps else str(maps)
    return f"{found.layer}: {some} feature map{'s' if maps > 1 else ''}"


def _page(width: float, height: float) -> tuple[Figure, Axes]:
    """A page with one axes, whose unit is a tile, and room for a head; sizes in tiles."""
    margin = 0.4
    inches = max(5.0, (width + 2 * margin) * TILE), HEAD + (height + margin) * TILE
    figure = Drawing(figsize=inches, dpi=150, facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1 - HEAD / inches[1]))
    axes.set_axis_off()
    axes.set_xlim(-margin, inches[0] / TILE - margin)
    axes.set_ylim(height + margin, 0)
    return figure, axes


def _head(figure: Figure, title: str, words: str) -> None:
    """The title, and what is to be seen."""
    width, height = figure.get_size_inches()
    left = 0.4 * TILE / width
    look = {**TITLE, "fontsize": 11}
    look["ha"] = look.pop("loc")
    figure.text(left, 1 - 0.16 / height, title, va="top", **look)
    figure.text(left, 1 - 0.40 / height, words, va="top", fontsize=8, color=FAINT)


def _caption(axes: Axes, left: float, right: float, y: float, channel: int, value: float) -> None:
    """A map's number and its strongest activation."""
    fires = value != 0
    text = f"max {value:.3g}" if fires else "never fires"
    place: dict[str, Any] = {"va": "bottom", "fontsize": 7.5, "color": INK if fires else FAINT}
    axes.text(left, y - 0.08, f"map {channel}", ha="left", fontweight="bold", **place)
    axes.text(right, y - 0.08, text, ha="right", **place)


def _mosaic(pictures: Sequence[np.ndarray | None], side: int) -> np.ndarray:
    """Pictures uint8 `[height, width, 3]`, each fitted into a cell, `side` of them in a row."""
    step, rows = CELL + GAP, math.ceil(len(pictures) / side)
    canvas = np.empty((rows * step - GAP, side * step - GAP, 3), "uint8")
    canvas[:] = _color(PAPER)
    for number, picture in enumerate(pictures):
        top, left = number // side * step, number % side * step
        cell = canvas[top : top + CELL, left : left + CELL]
        if picture is None:
            cell[:] = _color(GRID)
            continue
        fitted = _fitted(picture)
        height, width = fitted.shape[:2]
        y, x = (CELL - height) // 2, (CELL - width) // 2
        cell[y : y + height, x : x + width] = fitted
    return canvas


def _fitted(picture: np.ndarray) -> np.ndarray:
    """Scaled so that its longer side fills a cell; enlarged pixels stay squares."""
    height, width = picture.shape[:2]
    factor = CELL / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    way = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(picture).resize(size, way))


def _light(patches: Sequence[np.ndarray]) -> tuple[float, float]:
    """What is black and what is white: 0 and 255 of pixels, else the extremes of all patches."""
    if all(np.issubdtype(patch.dtype, np.integer) for patch in patches):
        return 0.0, 255.0
    low = min(float(patch.min()) for patch in patches)
    high = max(float(patch.max()) for patch in patches)
    return low, high if high > low else low + 1


def _signed(projection: np.ndarray) -> np.ndarray:
    """Middle grey is zero; the largest value of either sign is at the end of the range."""
    largest = float(np.abs(projection).max()) or 1.0
    return _rgb(projection, -largest, largest)


def _rgb(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """As uint8 `[height, width, 3]`: other numbers of channels than 3 by their mean."""
    shares = (np.asarray(values, "float32") - low) / (high - low)
    return np.rint(255 * rgb(shares)).astype("uint8")


def _color(name: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(name.removeprefix("#")))


# --- Figure 4: feature maps over the epochs -----------------------------------------------------


def evolution_sheet(found: Evolution, *, columns: int = 2, title: str | None = None) -> Figure:
    """Figure 4 of Zeiler and Fergus (2014): how maps came to respond to what they respond to.

    Of each map a row of patches, one for each epoch, those that excite it most of all, and below
    them their projections. A bar between two patches says that they are of one image; where there
    is none, another image has taken its place, and the picture jumps.

    Each projection is scaled as in `sheet`; below it stands how strong the activation is, as a
    share of the strongest of all epochs. A place is empty where the map doesn't fire.

    Args:
        found: what `evolution` returns.
        columns: maps beside each other.
        title: default: the layer, and how many of its maps are shown.

    Returns:
        A figure, to be saved with `figure.savefig(path)`.

    Raises:
        ArgumentError: columns is below 1, or no map has patches.
    """
    maps, count = len(found.channels), found.values.shape[1]
    require_whole("columns", columns, 1)
    if not maps:
        raise ArgumentError("found must have patches of at least one map. Received: none.")
    columns = min(columns, maps)
    rows = math.ceil(maps / columns)
    across = NAMES + len(found.epochs) * (1 + STEP) - STEP + MARGIN
    down = EPOCHS + 2 + BETWEEN + SHARES
    figure, axes = _page(columns * across - MARGIN, rows * down)
    light = _light([patch for row in found.patches for patch in row])
    for slot in range(maps):
        _history(axes, found, slot, slot % columns * across, slot // columns * down, light)
    shown = f"{maps} of {count}" if maps < count else str(count)
    words = f"{found.layer}: {shown} feature map{'s' if count > 1 else ''} over the epochs"
    what = f"strongest patch of {found.images:,} images"
    _head(figure, title or words, f"{what}; below: {PROJECTING[found.method]}")
    return figure


def _history(
    axes: Axes, found: Evolution, slot: int, left: float, top: float, light: tuple[float, float]
) -> None:
    """One map's patches, projections and strengths, epoch by epoch."""
    channel = int(found.channels[slot])
    values, index = found.values[:, channel], found.index[:, channel]
    largest = float(np.abs(values).max())
    top += EPOCHS
    said = f"max {largest:.3g}" if largest else "never fires"
    name: dict[str, Any] = {"fontsize": 7.5, "color": INK, "fontweight": "bold"}
    axes.text(left, top + 0.5, f"map {channel}", va="center", **name)
    axes.text(left, top + 1 + BETWEEN / 2, said, va="center", fontsize=7, color=FAINT)
    small: dict[str, Any] = {"ha": "center", "fontsize": 7, "color": FAINT}
    for column, epoch in enumerate(found.epochs):
        x = left + NAMES + column * (1 + STEP)
        fires = values[column] != 0
        patch = _rgb(found.patches[column][slot], *light) if fires else None
        projection = _signed(found.projections[column][slot]) if fires else None
        for y, picture in ((top, patch), (top + 1 + BETWEEN, projection)):
            cell = _mosaic([picture], 1)
            axes.imshow(cell, extent=(x, x + 1, y + 1, y), interpolation="antialiased")
        label = f"epoch {epoch}" if not column and epoch else "start" if epoch == 0 else f"{epoch}"
        axes.text(x + 0.5, top - 0.08, label, va="bottom", **{**small, "color": INK})
        share = f"{values[column] / largest:.0%}" if fires else "–"
        axes.text(x + 0.5, top + 2 + BETWEEN + 0.08, share, va="top", **small)
        if column and fires and values[column - 1] and index[column] == index[column - 1]:
            bar: dict[str, Any] = {"color": FAINT, "linewidth": 2.5, "solid_capstyle": "butt"}
            axes.plot((x - STEP, x), (top + 0.5,) * 2, **bar)


# --- Figure 5: features under changes of the image ---------------------------------------------


def invariance_sheet(
    found: Invariance, photos: np.ndarray, names: Sequence[str] | None = None
) -> Figure:
    """How features change when images are moved, scaled and turned: figure 5 of the ZFNet paper.

    A row for each kind of change: the first image at some of its steps, the distance of the
    features in each layer, and the probability of the class that was predicted for the original. A
    line for each image; of more images than there are colours the median and the quartiles.

    Args:
        found: what `kerascnn.explain.invariance` gives.
        photos: the same images as a person sees them, `[images, height, width, channels]`, integers
            in [0, 255] or floats in [0, 1].
        names: one for each image.

    Returns:
        A figure, to be saved with `figure.savefig(path)`.
    """
    rows: list[tuple[str, str, Curves]] = [
        ("down", "moved down by pixels", found.translation),
        ("scale", "scaled by", found.scaling),
        ("degrees", "turned by degrees", found.rotation),
    ]
    rows = [row for row in rows if row[2].steps]
    titles = [f"{layer}: distance" for layer in found.translation.distances]
    titles.append("Probability of the class")
    widths = [0.4 * SHOWN, *[1.0] * len(titles)]
    size = (2.3 * sum(widths), 1.9 * len(rows) + 0.5)
    figure = Drawing(figsize=size, dpi=100, layout="constrained", facecolor=PAPER)
    grid = figure.subplots(len(rows), len(widths), squeeze=False, width_ratios=widths)
    for (strip, *panels), (kind, label, curves) in zip(grid, rows):
        _strip(strip, photos[0], kind, curves.steps, found.border)
        *distances, probability = panels
        for panel, values in zip(distances, curves.distances.values()):
            _lines(panel, curves.steps, values, names)
            panel.set_ylim(bottom=0)
        _lines(probability, curves.steps, curves.probabilities, names)
        probability.set_ylim(-0.03, 1.03)
        for panel in panels:
            panel.set_xlabel(label, **SMALL)
    titles.insert(0, "The first image, changed")
    for panel, title in zip(grid[0], titles):
        panel.set_title(title, **TITLE)
    if names is not None or len(photos) > len(COLORS):
        figure.legend(
            *grid[0, -1].get_legend_handles_labels(),
            loc="outside lower right",
            ncols=4 if max(map(len, names or [""])) > 10 else len(COLORS),
            frameon=False,
            fontsize=8,
            labelcolor=INK,
        )
    return figure


def _strip(
    axes: Axes, photo: np.ndarray, kind: str, steps: Sequence[float], border: Border
) -> None:
    """An image at some steps of a change, side by side."""
    # A border's value is one of the network's input: of which colour that is isn't known here.
    outside: Border = "edge" if border == "edge" else 0.5
    image = np.asarray(photo, "float32") / (255 if photo.dtype.kind in "iu" else 1)
    tall = image.shape[0] / image.shape[1]
    for column, step in enumerate(steps[place] for place in evenly(len(steps), SHOWN)):
        shown = changed(image[None], **{kind: step}, border=outside)[0]
        x = 1.06 * column
        axes.imshow(rgb(shown), extent=(x, x + 1, tall, 0), interpolation="nearest")
        axes.text(x + 0.5, tall + 0.04, f"{step:g}", ha="center", va="top", **SMALL)
    axes.set_xlim(0, 1.06 * SHOWN)
    axes.set_ylim(tall + 0.3, -0.05)
    axes.set_axis_off()


def _lines(
    axes: Axes, steps: Sequence[float], values: np.ndarray, names: Sequence[str] | None
) -> None:
    """A line for each column of `values`, `[steps, images]`."""
    many = values.shape[1] > len(COLORS)
    if many:
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=1)
        label = f"median of {values.shape[1]} images"
        axes.plot(steps, middle, color=COLORS[0], linewidth=1.6, label=label)
        axes.fill_between(
            steps, low, high, color=COLORS[0], alpha=0.2, linewidth=0, label="quartiles"
        )
    else:
        for number, (line, color) in enumerate(zip(values.T, COLORS)):
            label = without_middle(names[number], LONGEST) if names is not None else ""
            axes.plot(steps, line, color=color, linewidth=1.3, label=label)
    axes.set_facecolor(PAPER)
    axes.tick_params(colors=INK, labelsize=7)
    axes.grid(True, color=GRID, linewidth=0.6)
    axes.margins(x=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)
