"""Pictures of many: what changes of the image do to features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerascnn.explain.changing import Border, Curves, Invariance, changed
from kerascnn.watching.pictures import GRID, INK, PAPER, TITLE

# Okabe and Ito's, which colour-blind people can tell apart.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", INK)
SHOWN = 5  # steps of each kind of change, as pictures of the first image
SMALL: dict[str, Any] = {"fontsize": 8, "color": INK}


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
    figure = Figure(figsize=size, dpi=100, layout="constrained", facecolor=PAPER)
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
            ncols=len(COLORS),
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
    places = np.unique(np.linspace(0, len(steps) - 1, SHOWN).round().astype(int))
    tall = image.shape[0] / image.shape[1]
    for column, step in enumerate(steps[place] for place in places):
        shown = changed(image[None], **{kind: step}, border=outside)[0].clip(0, 1)
        if shown.shape[-1] != 3:
            shown = shown.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
        x = 1.06 * column
        axes.imshow(shown, extent=(x, x + 1, tall, 0), interpolation="nearest")
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
            label = names[number] if names is not None else ""
            axes.plot(steps, line, color=color, linewidth=1.3, label=label)
    axes.set_facecolor(PAPER)
    axes.tick_params(colors=INK, labelsize=7)
    axes.grid(True, color=GRID, linewidth=0.6)
    axes.margins(x=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)
