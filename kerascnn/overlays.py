"""Colours of classes, and masks and boxes drawn in them over images, with a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle

from kerascnn import pictures
from kerascnn.data.sentinels import ABSENT, VOID
from kerascnn.style import GRID, INK, PAPER
from kerascnn.words import without_middle

UNKNOWN = (224, 224, 192)
"""The colour of `VOID`, which VOC draws borders of objects in."""

BACKGROUND = "background"
VOC_CLASSES = 21
STRENGTH = 0.6  # of a class's colour over a photo
LONGEST = 18  # characters of a class's name
MOST_NAMED = 24  # classes in a legend
CELL = 1.9  # inches: the width of a picture with its targets

# Okabe and Ito's, which colour-blind people can tell apart.
_FIRST = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66)),
    *((0, 114, 178), (213, 94, 0), (204, 121, 167)),
)
_GRID = np.stack(np.meshgrid(*[np.linspace(0, 255, 9)] * 3, indexing="ij"), -1).reshape(-1, 3)


def voc_colours(count: int = 256) -> np.ndarray:
    """The colours of the PASCAL VOC devkit, uint8 `[count, 3]`.

    The bits of a class's number go to red, green and blue in turns, from the highest of each on.
    """
    numbers = np.arange(count)
    bits = (numbers[:, None, None] >> (3 * np.arange(8)[:, None] + np.arange(3))) & 1
    return (bits << np.arange(7, -1, -1)[:, None]).sum(1).astype("uint8")


def palette(class_names: Sequence[str]) -> np.ndarray:
    """A colour for each class, uint8 `[classes, 3]`.

    Of 21 classes VOC's. Else black for a class called background; then Okabe and Ito's seven, which
    colour-blind people can tell apart; and each further one is that which is the farthest from all
    others, and from the colour of what is unknown, to the eye (CIELAB).
    """
    classes = len(class_names)
    if classes == VOC_CLASSES:
        return voc_colours(classes)
    found = [(0, 0, 0)] if BACKGROUND in class_names else []
    found += _FIRST[: classes - len(found)]
    near = _distances(np.array([(0, 0, 0), UNKNOWN, (255, 255, 255), *found])).min(axis=0)
    while len(found) < classes:
        far = _GRID[int(near.argmax())].round().astype(int)
        found.append(tuple(far.tolist()))
        near = np.minimum(near, _distances(far[None])[0])
    if BACKGROUND in class_names:  # wherever it is
        found.insert(list(class_names).index(BACKGROUND), found.pop(0))
    return np.array(found, "uint8").reshape(-1, 3)


def _distances(colours: np.ndarray) -> np.ndarray:
    """Between colours and those of `_GRID`, `[colours, grid]`."""
    return np.linalg.norm(_lab(colours)[:, None] - _lab(_GRID)[None], axis=-1)


def _lab(colours: np.ndarray) -> np.ndarray:
    """CIELAB of sRGB in [0, 255], `[n, 3]`, under D65."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = linear @ np.array(to_xyz).T / (0.9505, 1.0, 1.089)
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def coloured(mask: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """A mask as a picture, uint8 `[height, width, 3]`.

    Args:
        mask: uint8 `[height, width]`.
        colours: uint8 `[classes, 3]`.
    """
    return whole_palette(colours)[mask]


def whole_palette(colours: np.ndarray) -> np.ndarray:
    """A colour for each of 256 numbers: the classes', black, and at the end `UNKNOWN`."""
    table = np.zeros((256, 3), "uint8")
    table[: len(colours)] = colours
    table[VOID] = UNKNOWN
    return table


def overlay(photo: np.ndarray, mask: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """A photo under the colours of its classes, with full colour on their edges.

    Of a class called background the photo is seen as it is.

    Args:
        photo: uint8 `[height, width, 3]`.
        mask: uint8 `[height, width]`.
        class_names: of the classes.

    Returns:
        uint8 `[height, width, 3]`.
    """
    over = _strength(mask, class_names)[..., None]
    mixed = (1 - over) * photo + over * coloured(mask, palette(class_names))
    return np.clip(np.round(mixed), 0, 255).astype("uint8")


def _strength(mask: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """How much of a class's colour is seen over a photo, float32 in [0, 1] `[height, width]`."""
    strength = np.full(256, STRENGTH, "float32")
    strength[[n for n, name in enumerate(class_names) if name == BACKGROUND]] = 0
    over = strength[mask]
    edges = np.zeros(mask.shape, bool)
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    for side, differs in (
        (edges[:, 1:], across),
        (edges[:, :-1], across),
        (edges[1:], down),
        (edges[:-1], down),
    ):
        side |= differs
    return np.where(edges & (over > 0), 1, over)


def legend(
    figure: Figure,
    labels: Sequence[int] | np.ndarray,
    class_names: Sequence[str],
    *,
    across: int,
    shares: Mapping[int, float] | None = None,
) -> int:
    """Write below a figure which colour is which class; of many the first ones.

    Args:
        figure: of a layout that makes room for it.
        labels: those that are shown, `VOID` perhaps among them.
        class_names: of the classes.
        across: names in a row.
        shares: to write behind the names, in [0, 1].

    Returns:
        How many rows it takes.
    """
    colours, patches = palette(class_names), []
    for label in [int(label) for label in labels][:MOST_NAMED]:
        name = "unknown" if label == VOID else class_names[label]
        text = without_middle(name, LONGEST) + (f" {shares[label]:.1%}" if shares else "")
        color = np.array(UNKNOWN if label == VOID else colours[label]) / 255
        look: dict[str, Any] = {"edgecolor": GRID, "linewidth": 0.5}
        patches.append(Patch(facecolor=tuple(color.tolist()), label=text, **look))
    if patches:
        place: dict[str, Any] = {"loc": "outside lower left", "frameon": False}
        figure.legend(handles=patches, ncols=across, fontsize=8, labelcolor=INK, **place)
    return -(-len(patches) // across)


def mask_on(
    axes: Axes,
    mask: np.ndarray,
    class_names: Sequence[str],
    *,
    left: float = 0.0,
    top: float = 0.0,
    pixel: float = 1.0,
) -> None:
    """Draw a mask over an image, as `overlay` does.

    Args:
        axes: that the image is drawn on.
        mask: uint8 `[height, width]`.
        class_names: of the classes.
        left, top: where the image begins.
        pixel: its width there.
    """
    height, width = mask.shape
    extent = (left, left + width * pixel, top + height * pixel, top)
    colours = coloured(mask, palette(class_names)) / 255
    shown = AxesImage(axes, extent=extent, interpolation="nearest")
    shown.set_data(np.dstack([colours, _strength(mask, class_names)]))
    axes.add_image(shown)  # `axes.imshow` would change the limits of the axes


def boxes_on(
    axes: Axes,
    boxes: np.ndarray,
    class_names: Sequence[str],
    *,
    left: float = 0.0,
    top: float = 0.0,
    pixel: float = 1.0,
    scored: bool = False,
    dashed: bool = False,
    named: bool = True,
    fontsize: float = 6.0,
) -> None:
    """Draw boxes over an image, each with its class's name; dotted, where it is difficult.

    Args:
        axes: that the image is drawn on.
        boxes: float32 `[n, 6]`, see `kerascnn.data.Boxes`; later ones are drawn over earlier ones.
        class_names: of the classes.
        left, top: where the image begins.
        pixel: its width there.
        scored: the last column is a score, which is written behind the name.
        dashed: draw dashed lines.
        named: write names.
        fontsize: of names, in points.
    """
    colours = palette(class_names) / 255
    for x1, y1, x2, y2, label, last in boxes[boxes[:, 4] != ABSENT].tolist():
        color = tuple(colours[int(label)].tolist())
        corner = (left + x1 * pixel, top + y1 * pixel)
        style = "--" if dashed else ":" if last and not scored else "-"
        size = ((x2 - x1) * pixel, (y2 - y1) * pixel)
        axes.add_patch(
            Rectangle(corner, *size, fill=False, edgecolor=color, linewidth=1.5, linestyle=style)
        )
        if named:
            name = without_middle(class_names[int(label)], LONGEST)
            text = f"{name} {last:.2f}" if scored else name
            ground = {"facecolor": PAPER, "edgecolor": color, "pad": 0.8, "linewidth": 0.8}
            look: dict[str, Any] = {"va": "bottom", "ha": "left", "bbox": ground}
            axes.text(*corner, text, color=INK, fontsize=fontsize, **look)


class Draw(Protocol):
    """What draws a target over its image: `kerascnn.data.Targets.draw`."""

    def __call__(
        self,
        axes: Axes,
        target: np.ndarray,
        class_names: Sequence[str],
        *,
        left: float,
        top: float,
        pixel: float,
    ) -> Sequence[int]:
        """See there."""


def augmented(
    originals: np.ndarray,
    changed: Sequence[np.ndarray],
    names: Sequence[str],
    *,
    draw: Draw,
    targets: Sequence[np.ndarray],
    class_names: Sequence[str],
) -> Figure:
    """`kerascnn.pictures.augmented`, with what the images are labelled with drawn over them.

    Args:
        originals, changed, names: as there.
        draw: of the kind of the targets.
        targets: of the originals, then of each draw: `[n, ...]`.
        class_names: of the classes.
    """
    rows = np.stack(targets, axis=1).reshape(-1, *targets[0].shape[1:])
    pixel = 1 / originals.shape[2]
    explained: set[int] = set()

    def over(axes: Axes, number: int, left: float, top: float) -> None:
        explained.update(draw(axes, rows[number], class_names, left=left, top=top, pixel=pixel))

    figure = pictures.augmented(originals, changed, names, cell=CELL, over=over)
    if explained:
        across = max(1, int(figure.get_figwidth() // 1.6))
        lines = legend(figure, sorted(explained), class_names, across=across)
        figure.set_figheight(figure.get_figheight() + 0.25 * lines)
    return figure
