"""Figures without pyplot: confusion matrix, samples, filters, maps, and the look that all share.

pyplot has global state, which breaks in threads and takes over notebooks. Each figure has a solid
light background, so that it can be read on light and dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from kerascnn.style import GRID, INK, PAPER, RIGHT, TITLE, TRAIN, WRONG, Drawing
from kerascnn.words import without_middle

__all__ = ["bars", "dress", "figure_of", "mosaic", "pixels", "rgb"]  # what plugins draw with

MOST_NAMED = 120  # classes; a larger matrix has numbers instead of names
MOST_COUNTED = 50  # classes; a larger matrix has no numbers in its cells
MOST_FILTERS = 256
LONGEST_NAME, LONGEST_LABEL = 14, 24  # characters; the second of an axis
MOST_BARS = 60  # classes; of more, the worst are drawn


def confusion(matrix: np.ndarray, class_names: Sequence[str]) -> Figure:
    """A confusion matrix; right answers in green and errors in red, each with a scale of its own.

    Args:
        matrix: counts `[classes, classes]`; rows are labels, columns predictions.
        class_names: one for each class.
    """
    classes = len(matrix)
    cell = 0.36 if classes <= 25 else 0.26 if classes <= MOST_COUNTED else 0.13  # inches
    side = 2.4 + cell * classes if classes <= MOST_NAMED else 9.0
    figure = figure_of(side + 0.4, side)
    axes = figure.add_subplot()
    right = np.eye(classes, dtype=bool)
    shade = np.zeros((classes, classes))
    for mask, color in ((right, RIGHT), (~right, WRONG)):
        shade[mask] = matrix[mask] / max(1, matrix[mask].max(initial=0))
        shades = LinearSegmentedColormap.from_list(color, [PAPER, color])
        axes.imshow(np.where(mask, shade, np.nan), cmap=shades, vmin=0, vmax=1)
    dress(axes, _wrong(matrix), xlabel="Prediction", ylabel="Label")
    axes.grid(False)
    axes.tick_params(length=0)
    if classes <= MOST_NAMED:
        names = [without_middle(name, LONGEST_LABEL) for name in class_names]
        upright = max(map(len, names)) > 3
        size = 8 if classes <= MOST_COUNTED else 6
        axes.set_xticks(range(classes), names, rotation=90 if upright else 0, fontsize=size)
        axes.set_yticks(range(classes), names, fontsize=size)
    if classes <= MOST_COUNTED:
        for row, column in np.argwhere(matrix > 0):
            color = PAPER if shade[row, column] > 0.5 else INK
            count = str(matrix[row, column])
            size = 8 if classes <= 25 else 6
            axes.text(column, row, count, ha="center", va="center", color=color, fontsize=size)
    elif classes <= MOST_NAMED:  # where cells are small, lines lead the eye to the names
        axes.set_xticks(np.arange(-0.5, classes, 10), minor=True)
        axes.set_yticks(np.arange(-0.5, classes, 10), minor=True)
        axes.grid(True, which="minor", color=GRID, linewidth=0.6)
    return figure


def _wrong(matrix: np.ndarray) -> str:
    total = int(matrix.sum())
    wrong = total - int(np.trace(matrix))
    return f"{wrong:,} of {total:,} wrong ({wrong / max(1, total):.2%})"


def samples(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    columns: int = 8,
    title: str | None = None,
) -> Figure:
    """Images, each with its top prediction; wrong ones are framed in red and say what it is.

    Args:
        images: `[n, height, width, channels]`, integers in [0, 255] or floats in [0, 1].
        labels: `[n]`.
        probabilities: `[n, classes]`.
        class_names: one for each class.
        columns: images in one row.
        title: default: how many are right.
    """
    top = probabilities.argmax(axis=-1)
    figure, axes, places = mosaic(rgb(images), columns, cell=1.25, caption=0.4)
    for (x, y, bottom), label, guess, row in zip(places, labels, top, probabilities):
        caption = f"{without_middle(class_names[guess], LONGEST_NAME)}  {row[guess]:.0%}"
        look: dict[str, Any] = {"color": INK}
        if guess != label:
            caption += f"\nis {without_middle(class_names[label], LONGEST_NAME)}"
            look = {"color": WRONG, "fontweight": "bold"}
            frame = Rectangle((x, y), 1, bottom - y, fill=False, edgecolor=WRONG, linewidth=2.5)
            axes.add_patch(frame)
        axes.text(x + 0.5, bottom + 0.04, caption, ha="center", va="top", fontsize=8, **look)
    axes.set_title(title or f"{np.sum(top == labels)} of {len(labels)} right", **TITLE)
    return figure


def augmented(
    originals: np.ndarray,
    changed: Sequence[np.ndarray],
    names: Sequence[str],
    *,
    cell: float = 1.25,
    over: Callable[[Axes, int, float, float], None] | None = None,
) -> Figure:
    """Images, each followed by what random changes make of it.

    Args:
        originals: `[n, height, width, channels]`, integers in [0, 255] or floats in [0, 1].
        changed: the same images after each of several draws.
        names: what to write below each original.
        cell: width of a picture, in inches.
        over: draws over each picture, each original followed by its draws: axes, the picture's
            number, its left and its upper edge. The axes' unit is the width of a picture.
    """
    rows = np.stack([originals, *changed], axis=1)
    draws, many = rows.shape[1], len(originals) > 3
    images = rgb(rows.reshape(-1, *originals.shape[1:]))
    figure, axes, places = mosaic(images, 2 * draws if many else draws, cell=cell, caption=0.3)
    for number, (x, y, bottom) in enumerate(places):
        if number % draws == 0:
            frame = Rectangle((x, y), 1, bottom - y, fill=False, edgecolor=TRAIN, linewidth=2.5)
            axes.add_patch(frame)
            caption = without_middle(names[number // draws], LONGEST_NAME)
            axes.text(x + 0.5, bottom + 0.05, caption, ha="center", va="top", fontsize=8, color=INK)
        if over:
            over(axes, number, x, y)
    axes.set_title("Framed: the image; beside it: as epochs of training see it", **TITLE)
    return figure


def filters(kernel: np.ndarray, name: str, columns: int = 16) -> Figure:
    """Convolution kernels as pictures: middle grey is zero, each is scaled by its largest weight.

    Three input channels are shown as RGB, one as grey, others by their mean.

    Args:
        kernel: `[height, width, channels in, channels out]`.
        name: the layer's.
        columns: filters in one row.
    """
    height, width, channels, count = kernel.shape
    shown = np.moveaxis(np.asarray(kernel, "float32"), -1, 0)[:MOST_FILTERS]
    if channels not in (1, 3):
        shown = shown.mean(axis=-1, keepdims=True)
    largest = np.abs(shown).max(axis=(1, 2, 3), keepdims=True)
    pictures = rgb(0.5 + 0.5 * shown / np.where(largest > 0, largest, 1))
    figure, axes, places = mosaic(pictures, columns, cell=0.62, caption=0.16)
    for index, (x, _, bottom) in enumerate(places):
        axes.text(x + 0.5, bottom + 0.05, str(index), ha="center", va="top", fontsize=6, color=INK)
    first = f", the first {MOST_FILTERS}" if count > MOST_FILTERS else ""
    mean = "" if channels in (1, 3) else ", mean over the channels"
    axes.set_title(f"{name}: {count} of {height}×{width}×{channels}{first}{mean}", **TITLE)
    return figure


def feature_maps(maps: np.ndarray, name: str, columns: int = 16) -> Figure:
    """What a layer makes of one image: its channels, black at zero, white at the largest of all.

    Negative values, which ReLU has none of, are black too.

    Args:
        maps: `[height, width, channels]`.
        name: the layer's.
        columns: channels in one row.
    """
    height, width, channels = maps.shape
    shown = np.moveaxis(np.asarray(maps, "float32"), -1, 0)[:MOST_FILTERS, ..., None]
    pictures = rgb(shown / max(float(shown.max()), 1e-12))
    figure, axes, _ = mosaic(pictures, columns, cell=0.62, caption=0.06)
    first = f", the first {MOST_FILTERS}" if channels > MOST_FILTERS else ""
    axes.set_title(f"{name}: {channels} maps of {height}×{width}{first}", **TITLE)
    return figure


def first_convolution(model: Any) -> Any | None:
    """The first layer with a kernel `[height, width, channels in, channels out]`; or None."""
    for layer in model.layers:
        nested = hasattr(layer, "layers")
        kernel = getattr(layer, "kernel", None)
        found = first_convolution(layer) if nested else layer
        if found is not None and (nested or (kernel is not None and len(kernel.shape) == 4)):
            return found
    return None


def pixels(figure: Figure) -> np.ndarray:
    """The figure as an image, `[height, width, 3]`, in [0, 255]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def figure_of(width: float, height: float) -> Figure:
    """An empty figure; sizes in inches."""
    return Drawing(figsize=(width, height), dpi=100, layout="constrained", facecolor=PAPER)


def bars(shares: np.ndarray, names: Sequence[str], title: str, mean: float) -> Figure:
    """A bar for a share of each class, and a dotted line for their mean.

    Args:
        shares: in [0, 1], `[classes]`; NaN where it isn't defined.
        names: of the classes.
        title: what it is a share of, such as "IoU by class".
        mean: of the shares.
    """
    shown = list(range(len(shares)))
    if len(shares) > MOST_BARS:
        worst = np.argsort(np.nan_to_num(shares, nan=2), kind="stable")[:MOST_BARS]
        shown = sorted(worst.tolist())
    first = f", the worst {MOST_BARS} of {len(shares)} classes" if len(shown) < len(shares) else ""
    figure = figure_of(6.4, 0.9 + 0.22 * len(shown))
    axes = figure.add_subplot()
    dress(axes, f"{title}, dotted: their mean {mean:.1%}{first}")
    axes.grid(False, axis="y")
    places = range(len(shown))
    axes.barh(places, np.nan_to_num(shares[shown]), height=0.7, color=TRAIN)
    for place, value in zip(places, shares[shown]):
        text = "not there" if np.isnan(value) else f"{value:.1%}"
        look: dict[str, Any] = {"color": INK, "fontsize": 7, "va": "center"}
        box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}  # over the dotted line
        axes.text(np.nan_to_num(value) + 0.01, place, text, bbox=box, **look)
    axes.axvline(mean, color=INK, linewidth=1, linestyle=":")
    labels = [without_middle(names[place], LONGEST_NAME) for place in shown]
    axes.set_yticks(places, labels, fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 1.1)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{tick:.0%}" for tick in np.linspace(0, 1, 6)])
    return figure


def dress(axes: Axes, title: str, xlabel: str = "", ylabel: str = "") -> None:
    """The same look for all axes."""
    axes.set_facecolor(PAPER)
    axes.set_title(title, **TITLE)
    axes.set_xlabel(xlabel, color=INK, fontsize=9)
    axes.set_ylabel(ylabel, color=INK, fontsize=9)
    axes.tick_params(which="both", colors=INK, labelsize=8)
    axes.grid(True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)


def mosaic(
    pictures: np.ndarray, columns: int, cell: float, caption: float
) -> tuple[Figure, Axes, list[tuple[float, float, float]]]:
    """Pictures in rows, with space for a caption below each.

    One axes holds all, which is drawn several times faster than an axes for each. Its unit is the
    width of a picture.

    Args:
        pictures: `[n, height, width, 3]` in [0, 1].
        columns: pictures in one row.
        cell: width of a picture, in inches.
        caption: height of a caption, in inches.

    Returns:
        The figure, its axes, and of each picture the left, upper and lower edge.
    """
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    tall = pictures.shape[1] / pictures.shape[2]
    across, down = 1.12, tall + caption / cell
    figure = figure_of(max(3.2, columns * across * cell), 0.3 + rows * down * cell)
    axes = figure.add_subplot()
    axes.set_axis_off()
    places = []
    for index, picture in enumerate(pictures):
        x, y = index % columns * across, index // columns * down
        axes.imshow(picture, extent=(x, x + 1, y + tall, y), interpolation="nearest")
        places.append((x, y, y + tall))
    axes.set_xlim(-0.06, columns * across - 0.06)
    axes.set_ylim(rows * down, -0.06)
    return figure, axes, places


def rgb(images: np.ndarray) -> np.ndarray:
    """Images of any number of channels as RGB in [0, 1]: other numbers than 3 by their mean."""
    images = np.asarray(images)
    scale = 255 if np.issubdtype(images.dtype, np.integer) else 1
    images = images.astype("float32") / scale
    if images.shape[-1] != 3:
        images = np.repeat(images.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.clip(images, 0, 1)
