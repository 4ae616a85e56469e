"""Pictures of boxes: samples with what was missed and what was wrong, AP by class, a photo."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerascnn.data import ABSENT
from kerascnn.overlays import boxes_on, palette
from kerascnn.pictures import bars, dress, figure_of, mosaic, rgb
from kerascnn.style import INK, TITLE
from kerascnn.tasks import Seen
from kerascnn.words import counted, without_middle
from kerascnn_detection import average_precision
from kerascnn_detection.average_precision import HUNDRED, iou
from kerascnn_detection.writing import LEAST_SCORE

COLUMNS = 4  # samples side by side
CELL = 2.4  # inches: the width of a sample
SHOWN = 8  # samples, and images with the most errors, and with the most found without one
LARGEST = 1200  # pixels of a photo's longer side in a figure
SMALLEST = 480  # and at least so many, for names to have room
HIT = 0.5  # the IoU beyond which an object is found
MOST_CURVES = 10  # classes; of more, the best and the worst are drawn


def drawn(seen: Seen) -> dict[str, Figure]:
    """What is shown of the validation images: samples, the worst, the best, and AP by class."""
    # Which end → images, each with what puts it there.
    ends: dict[str, list[tuple[tuple[int, ...], Any, Any, Any]]] = {"worst": [], "best": []}
    found, known = [], []
    for images, objects, rows in seen.more():
        judged = [_judged(*one) for one in zip(rows, objects)]
        places = {
            "worst": [(-wrong, -right) for right, wrong in judged],
            "best": [(wrong, -right) for right, wrong in judged],
        }
        for tag, keys in places.items():
            first = sorted(range(len(keys)), key=keys.__getitem__)[:SHOWN]
            ends[tag] += [(keys[n], images[n], objects[n], rows[n]) for n in first]
            ends[tag] = sorted(ends[tag], key=lambda one: one[0])[:SHOWN]
        found.append(rows)
        known.append(objects)
    names = seen.class_names
    some = seen.images[:SHOWN], seen.targets[:SHOWN], seen.outputs[:SHOWN]
    figures = {"samples": samples(*some, names)}
    if not found:
        return figures
    precisions = average_precision.voc(np.concatenate(found), np.concatenate(known), len(names))
    mean = average_precision.mean(precisions)
    figures["ap"] = bars(precisions, names, "AP50 by class", mean)
    for tag, most in (("worst", "most"), ("best", "fewest")):
        _, *columns = zip(*ends[tag])
        shown, theirs, answers = (np.stack(column) for column in columns)
        title = f"The {most} errors among {sum(map(len, found)):,} images"
        figures[tag] = samples(shown, theirs, answers, names, title)
    return figures


def samples(
    images: np.ndarray,
    objects: np.ndarray,
    rows: np.ndarray,
    class_names: Sequence[str],
    title: str | None = None,
) -> Figure:
    """Images with what was found, solid with its score, and what is there, dashed.

    Objects that were missed have their names; boxes below `LEAST_SCORE` are left out.

    Args:
        images: `[n, height, width, channels]`, integers in [0, 255] or floats in [0, 1].
        objects: float32 `[n, most, 6]`, see `kerascnn.data.Boxes`.
        rows: float32 `[n, most, 6]`, the last column the score.
        class_names: of the classes.
        title: default: what the lines mean.
    """
    figure, axes, places = mosaic(rgb(images), COLUMNS, cell=CELL, caption=0.34)
    pixel = 1 / images.shape[2]
    for (left, top, bottom), true, found in zip(places, objects, rows):
        found = found[(found[:, 4] != ABSENT) & (found[:, 5] >= LEAST_SCORE)]
        true = true[true[:, 4] != ABSENT]
        right, missed = matched(found, true)
        place: dict[str, Any] = {"left": left, "top": top, "pixel": pixel}
        boxes_on(axes, true[~missed], class_names, dashed=True, named=False, **place)
        boxes_on(axes, true[missed], class_names, dashed=True, **place)
        boxes_on(axes, found[::-1], class_names, scored=True, **place)  # the best on top
        wrong = len(found) - int(right.sum())
        caption = f"{right.sum()} right, {wrong} wrong, {missed.sum()} missed"
        look: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 7, "color": INK}
        axes.text(left + 0.5, bottom + 0.03, caption, **look)
    lines = f"solid: found, with a score of {LEAST_SCORE} or more; dashed: what is there"
    axes.set_title(f"{title}; {lines}" if title else lines.capitalize(), **TITLE)
    return figure


def matched(rows: np.ndarray, objects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which boxes are right, bool `[n]`, and which objects were missed, bool `[m]`.

    As VOC has it, each object is found once, and a difficult one is neither missed nor wrong.

    Args:
        rows: `[n, 6]`, the best first.
        objects: `[m, 6]`.
    """
    same = rows[:, None, 4] == objects[None, :, 4]
    overlaps = np.where(same, iou(rows[:, :4], objects[:, :4]), 0)
    right, taken = np.zeros(len(rows), bool), objects[:, 5] > 0
    for number, each in enumerate(overlaps):
        if not each.size or each.max() <= HIT:
            continue
        nearest = each.argmax()
        right[number] = not taken[nearest] or objects[nearest, 5] > 0
        taken[nearest] = True
    return right, ~taken


def _judged(rows: np.ndarray, objects: np.ndarray) -> tuple[int, int]:
    """How many boxes of an image are right; how many are wrong, and objects missed."""
    found = rows[(rows[:, 4] != ABSENT) & (rows[:, 5] >= LEAST_SCORE)]
    right, missed = matched(found, objects[objects[:, 4] != ABSENT])
    return int(right.sum()), len(found) - int(right.sum()) + int(missed.sum())


def found_in(
    photo: np.ndarray, rows: np.ndarray, class_names: Sequence[str], title: str = ""
) -> Figure:
    """A photo with the boxes that were found in it, their names and scores.

    Args:
        photo: uint8 `[height, width, 1 or 3]`.
        rows: float32 `[n, 6]` in its pixels, the best first.
        class_names: of the classes.
        title: above it.
    """
    longer = max(photo.shape[:2])
    step = max(1, math.ceil(longer / LARGEST))
    smaller = rgb(photo[::step, ::step])
    grown = max(1.0, SMALLEST * step / longer) / step  # pixels of the figure for one of the photo
    height, width = (side * grown for side in photo.shape[:2])
    figure = figure_of(max(width / 100, 3.2), height / 100 + 0.3)
    axes = figure.add_subplot()
    axes.set_axis_off()
    extent = (0, photo.shape[1], photo.shape[0], 0)
    axes.imshow(smaller, extent=extent, interpolation="nearest")
    boxes_on(axes, rows[::-1], class_names, scored=True, fontsize=8)
    count = counted(len(rows), "object", "objects")
    name = without_middle(title, int(12 * max(width / 100, 3.2)) - len(count) - 2)
    axes.set_title(f"{name}: {count}" if title else count, **TITLE)
    return figure


def curves(classes: Sequence[Mapping[str, Any]]) -> Figure:
    """Precision against recall, a line for each class, with its AP.

    Args:
        classes: as `average_precision.report` has them; those without objects are left out.
    """
    names = [one["name"] for one in classes]
    colours = palette(names) / 255
    known = [n for n, one in enumerate(classes) if one["ap50"] is not None]
    by_ap = sorted(known, key=lambda n: -classes[n]["ap50"])
    half = MOST_CURVES // 2
    some = len(by_ap) > MOST_CURVES
    shown = by_ap[:half] + by_ap[-half:] if some else by_ap
    figure = figure_of(7.2, 4.4)
    axes = figure.add_subplot()
    first = f", the best and the worst {half} of {len(by_ap)} classes" if some else ""
    dress(axes, f"Precision by recall at an IoU of .5{first}", "recall", "precision")
    for number in shown:
        one = classes[number]
        label = f"{one['ap50']:.1%} {without_middle(one['name'], 18)}"
        look: dict[str, Any] = {"color": tuple(colours[number].tolist()), "linewidth": 1.8}
        axes.plot(HUNDRED, one["precision"], label=label, **look)
    for limit, ticks in ((axes.set_xlim, axes.set_xticks), (axes.set_ylim, axes.set_yticks)):
        limit(0, 1.02)
        ticks(np.linspace(0, 1, 6), [f"{tick:.0%}" for tick in np.linspace(0, 1, 6)])
    if shown:
        place: dict[str, Any] = {"loc": "outside right upper", "frameon": False}
        figure.legend(title="AP50", title_fontsize=8, fontsize=8, labelcolor=INK, **place)
    return figure
