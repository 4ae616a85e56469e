"""Compares what overlapping 3×3 and plain 2×2 windows of a pooling keep, at the same stride of 2.

    python tests/experiments/pooling.py

On the maps that pool1 reads in a trained AlexNet (Krizhevsky et al., 2012, section 3.4). Windows
lie within the map, so that both put out as many: 27 of 55 in the paper's network, 7 of 15 here.
"""

from __future__ import annotations

import answers
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from trained import trained

from kerascnn import feature_extractor
from kerascnn.windows import pooled

STRIDE = 2


def winners(maps: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """The pooled maps, and how many windows each unit is the largest of.

    Args:
        maps: `[images, rows, columns, channels]`.
        window: side of the windows.

    Returns:
        `[images, rows', columns', channels]`, and counts of the shape of `maps`; of equal units the
        first of a window counts, and units of 0 don't.
    """
    views = sliding_window_view(maps, (window, window), axis=(1, 2))[:, ::STRIDE, ::STRIDE]
    flat = views.reshape(*views.shape[:4], -1)
    outputs, places = flat.max(axis=-1), flat.argmax(axis=-1)
    image, row, column, channel = np.nonzero(outputs)
    place = places[image, row, column, channel]
    counts = np.zeros(maps.shape, int)
    unit = (image, row * STRIDE + place // window, column * STRIDE + place % window, channel)
    np.add.at(counts, unit, 1)
    return outputs, counts


def row(maps: np.ndarray, window: int) -> answers.Row:
    """What windows of this side read and keep."""
    outputs, counts = winners(maps, window)
    still, moved = (winners(part, window)[0] for part in (maps[:, :, :-1], maps[:, :, 1:]))
    active, kept = maps > 0, counts > 0
    strong = maps >= np.quantile(maps[active], 0.9)
    size = outputs.shape[1]
    return {
        "windows": (window, window),
        "of_55": pooled(55, window, STRIDE, 0, 0, ceil=False),
        "of_15": size,
        "windows_of_a_unit": size**2 * window**2 / (maps.shape[1] * maps.shape[2]),
        "active_kept_percent": 100 * float(kept.sum() / active.sum()),
        "strongest_tenth_kept_percent": 100 * float((kept & strong).sum() / strong.sum()),
        "repeated_percent": 100 * float(1 - kept.sum() / counts.sum()),
        "changed_by_shift_percent": 100 * float(_length(still - moved) / _length(still)),
    }


def _length(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values, dtype="float64").sum()))


if __name__ == "__main__":
    given = answers.parser(__doc__).parse_args()
    found = trained(1000)
    maps = np.asarray(feature_extractor(found.model, "norm1")(found.images))
    answers.show([row(maps, window) for window in (3, 2)], as_json=given.json)
