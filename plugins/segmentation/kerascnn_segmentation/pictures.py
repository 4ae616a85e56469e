"""Pictures of masks: samples with their errors, IoU by class, a photo with what was found in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from kerascnn.data import VOID
from kerascnn.overlays import UNKNOWN, coloured, legend, overlay, palette
from kerascnn.pictures import bars, figure_of, rgb
from kerascnn.style import TITLE, WRONG
from kerascnn.tasks import Seen
from kerascnn.words import without_middle
from kerascnn_segmentation import measures
from kerascnn_segmentation.losses import middle

COLUMNS = 2  # samples side by side, each with four pictures
LARGEST = 1200  # pixels of a photo's longer side in a figure

SHOWN = 8  # samples, and images with the most errors, and with the fewest

# Right, wrong, unknown.
_ERROR = np.array([(235, 235, 232), tuple(bytes.fromhex(WRONG[1:])), UNKNOWN], "uint8")


def drawn(seen: Seen) -> dict[str, Figure]:
    """What is shown of the validation images: samples, the worst, the best, and IoU by class."""
    names, classes = seen.class_names, len(seen.class_names)
    matrix = np.zeros((classes, classes), "int64")
    # Sign of the share of wrong pixels → the images that it puts first.
    ends: dict[int, list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]] = {-1: [], 1: []}
    count = 0
    for images, masks, outputs in seen.more():
        answers = decoded(outputs)
        masks = middle(masks, answers.shape[1:])
        matrix += measures.confusion_of(masks, answers, classes)
        known = masks != VOID
        wrong = ((masks != answers) & known).sum((1, 2)) / np.maximum(1, known.sum((1, 2)))
        for sign, kept in ends.items():
            first = np.argsort(sign * wrong, kind="stable")[:SHOWN]
            kept += [(sign * wrong[n], images[n], masks[n], answers[n]) for n in first]
            ends[sign] = sorted(kept, key=lambda one: one[0])[:SHOWN]
        count += len(images)
    some = seen.images[:SHOWN], seen.targets[:SHOWN], decoded(seen.outputs[:SHOWN])
    found = {"samples": samples(*some, names), "iou": overlaps(matrix, names)}
    for tag, sign, most in (("worst", -1, "most"), ("best", 1, "fewest")):
        if ends[sign]:
            _, *columns = zip(*ends[sign])
            images, masks, answers = (np.stack(column) for column in columns)
            title = f"The {most} wrong pixels among {count:,} images"
            found[tag] = samples(images, masks, answers, names, title)
    return found


def decoded(scores: np.ndarray) -> np.ndarray:
    """The class of each pixel, uint8 `[..., height, width]`, of scores with one more axis."""
    return scores.argmax(axis=-1).astype("uint8")


def samples(
    images: np.ndarray,
    masks: np.ndarray,
    answers: np.ndarray,
    class_names: Sequence[str],
    title: str | None = None,
) -> Figure:
    """Images, each with its mask, the network's answer, and in red where they differ.

    Where the answers are for the middle of the images, that is shown.

    Args:
        images: `[n, height, width, channels]`, integers in [0, 255] or floats in [0, 1].
        masks: uint8 `[n, height, width]`, or of the answers' size.
        answers: uint8 `[n, rows, columns]`.
        class_names: of the classes.
        title: default: the mean IoU of these images.
    """
    size = answers.shape[1:]
    photos, masks = middle(rgb(images), size), middle(masks, size)
    colours, classes = palette(class_names), len(class_names)
    matrix = measures.confusion_of(masks, answers, classes)
    rows, columns = math.ceil(len(images) / COLUMNS), min(COLUMNS, len(images))
    tall, gap, cell = size[0] / size[1], 0.06, 1.3
    step, down = 4 + 3 * gap + 0.35, tall + 0.22
    high = 0.5 + rows * down * cell
    figure = figure_of(max(columns * step * cell, 3.2), high)
    axes = figure.add_subplot()
    axes.set_axis_off()
    for number, (photo, mask, answer) in enumerate(zip(photos, masks, answers)):
        wrong = np.where(mask == VOID, 2, mask != answer)
        left, top = number % columns * step, number // columns * down
        drawn = photo, coloured(mask, colours), coloured(answer, colours), _ERROR[wrong]
        share = (wrong == 1).sum() / max(1, (wrong < 2).sum())
        captions = "image", "truth", "answer", f"{share:.1%} wrong"
        for place, (picture, caption) in enumerate(zip(drawn, captions)):
            x = left + place * (1 + gap)
            axes.imshow(picture, extent=(x, x + 1, top + tall, top), interpolation="nearest")
            axes.text(x + 0.5, top + tall + 0.03, caption, ha="center", va="top", fontsize=7)
    axes.set_xlim(-0.06, columns * step - 0.29)
    axes.set_ylim(rows * down, -0.06)
    known = f"Mean IoU of these images: {measures.figures(matrix)['mean_iou']:.1%}"
    axes.set_title(title or known, **TITLE)
    there = np.unique(np.concatenate([masks.ravel(), answers.ravel()]))
    _with_legend(figure, there, class_names)
    return figure


def overlaps(matrix: np.ndarray, class_names: Sequence[str]) -> Figure:
    """A bar for the IoU of each class, and a line for their mean.

    Args:
        matrix: counts of pixels `[classes, classes]`; rows are labels, columns predictions.
        class_names: of the classes.
    """
    mean = measures.figures(matrix)["mean_iou"]
    return bars(measures.iou(matrix), class_names, "IoU by class", mean)


def found_in(
    photo: np.ndarray, mask: np.ndarray, class_names: Sequence[str], title: str = ""
) -> Figure:
    """A photo under the colours of what was found in it, with each class's name and share.

    Args:
        photo: uint8 `[height, width, 1 or 3]`.
        mask: uint8 `[height, width]`.
        class_names: of the classes.
        title: above it.
    """
    step = max(1, math.ceil(max(mask.shape) / LARGEST))
    smaller, labels = photo[::step, ::step], mask[::step, ::step]
    drawn = overlay(np.broadcast_to(smaller, (*labels.shape, 3)), labels, class_names)
    there, pixels = np.unique(mask, return_counts=True)
    shares = dict(zip(there.tolist(), pixels / mask.size))
    most = sorted(there.tolist(), key=lambda label: -shares[label])
    height, width = (max(160, side) / 100 for side in labels.shape)  # inches
    figure = figure_of(max(width, 3.2), height + 0.4)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.imshow(drawn, interpolation="nearest")
    if title:
        axes.set_title(without_middle(title, int(12 * max(width, 3.2))), **TITLE)
    _with_legend(figure, most, class_names, shares)
    return figure


def _with_legend(
    figure: Figure,
    labels: Sequence[int] | np.ndarray,
    class_names: Sequence[str],
    shares: Mapping[int, float] | None = None,
) -> None:
    """Say below a figure which colour is which class; the figure grows by that."""
    across = max(1, int(figure.get_figwidth() // 1.6))
    rows = legend(figure, labels, class_names, across=across, shares=shares)
    figure.set_figheight(figure.get_figheight() + 0.2 * rows)
