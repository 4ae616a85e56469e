"""Shows what local response normalization does to the maps of a trained AlexNet.

    python tests/experiments/lrn.py --save lrn.png

Each unit is divided by (2 + 1e-4 · the sum of the squares of five neighbouring maps there)^0.75
(Krizhevsky et al., 2012, section 3.3). Of a unit among silent ones 2^-0.75 = 0.595 is left; where
it or its neighbours are strong, less. The picture shows one image, the numbers are of all.
"""

from __future__ import annotations

from pathlib import Path

import answers
import numpy as np
from trained import trained

from kerascnn import feature_extractor

SILENT = 2**-0.75
LAYERS = {"norm1": "conv1_relu", "norm2": "conv2_relu"}


def row(name: str, before: np.ndarray, after: np.ndarray) -> answers.Row:
    """What is left of the active units, and how much the strongest stands out.

    Args:
        name: the layer's.
        before, after: its maps, `[images, rows, columns, maps]`, not negative.
    """
    active = before > 0
    left = after[active] / before[active]
    seen = active.any(axis=-1)
    changed = before.argmax(axis=-1)[seen] != after.argmax(axis=-1)[seen]
    return {
        "layer": name,
        "least_left": float(left.min()),
        "median_left": float(np.median(left)),
        "most_left": float(left.max()),
        "strongest_by_mean_before": float(before.max() / before[active].mean()),
        "strongest_by_mean_after": float(after.max() / after[active].mean()),
        "another_map_leads_percent": 100 * float(changed.mean()),
    }


def picture(pixels: np.ndarray, before: np.ndarray, after: np.ndarray, path: Path) -> None:
    """Write one image, its strongest map before and after, and all maps at its strongest unit.

    Args:
        pixels: `[height, width, 1]`.
        before, after: maps `[rows, columns, maps]` of this image.
        path: where to write.
    """
    from matplotlib.figure import Figure

    from kerascnn.style import GRID, INK, PAPER, TITLE, TRAIN, VALIDATION

    row, column, strongest = np.unravel_index(before.argmax(), before.shape)
    left = np.divide(after, before, out=np.full_like(before, np.nan), where=before > 0)
    figure = Figure(figsize=(9.6, 5.4), dpi=120, layout="constrained", facecolor=PAPER)
    above = ("image", "before", "after", "left")
    axes = figure.subplot_mosaic([above, ["maps"] * 4], height_ratios=[1, 1])
    panels = {
        "image": (pixels[..., 0], "gray", f"Image, {pixels.shape[0]}×{pixels.shape[1]}"),
        "before": (before[..., strongest], "magma", f"Map {strongest}, before"),
        "after": (after[..., strongest], "magma", "after"),
        "left": (left[..., strongest], "viridis", "after ÷ before"),
    }
    for name, (values, colours, title) in panels.items():
        shown = axes[name].imshow(values, cmap=colours)
        axes[name].set_title(title, **TITLE)
        axes[name].set_axis_off()
        if name != "image":
            figure.colorbar(shown, ax=axes[name], shrink=0.8)
            axes[name].plot(column, row, "s", markersize=9, fillstyle="none", color=VALIDATION)
    places = np.arange(before.shape[-1])
    bars = axes["maps"]
    bars.bar(places, before[row, column], color=GRID, edgecolor=INK, linewidth=0.5, label="before")
    bars.bar(places, after[row, column] / SILENT, 0.5, color=TRAIN, label="after, ÷ 0.595")
    bars.set_title(f"All maps at the marked unit: row {row}, column {column}", **TITLE)
    bars.set(
        xlabel="map; each is divided by itself and two on either side",
        ylabel="activation",
        facecolor=PAPER,
    )
    bars.set_xticks(places)
    bars.spines[["top", "right"]].set_visible(False)
    bars.legend(frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    parser = answers.parser(__doc__)
    parser.add_argument("--save", type=Path, help="Write the picture here.")
    parser.add_argument("--image", type=int, default=0, help="Of the test images, from 0 to 999.")
    given = parser.parse_args()
    found = trained(1000)
    names = [name for pair in LAYERS.items() for name in pair]
    maps = dict(zip(names, map(np.asarray, feature_extractor(found.model, names)(found.images))))
    table = [row(after, maps[before], maps[after]) for after, before in LAYERS.items()]
    answers.show(table, as_json=given.json)
    if given.save:
        one = [values[given.image] for values in (maps["conv1_relu"], maps["norm1"])]
        picture(found.pixels[given.image], *one, given.save)
