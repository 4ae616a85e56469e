"""Counts the crops that AlexNet's augmentation draws from one image, by drawing them.

    python tests/experiments/crops.py --draws 100000

"Random 224×224 patches (and their horizontal reflections) from the 256×256 images [...] increase
the size of our training set by a factor of 2048" (Krizhevsky et al., 2012, section 4.1): that is
(256 - 224)² positions, times two. On a side of 256 a crop of 224 has 33 places, from 0 to 32, so
that there are 33² · 2 = 2,178 crops.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import answers
import numpy as np
import tensorflow as tf

from kerascnn.data.augmentation import augment, crops
from kerascnn.recipes.papers import ALEXNET

CANVAS, CROP = 256, 224
CHANGES = replace(ALEXNET.augmentation, lighting=0.0)  # it changes colours and moves nothing

Crop = tuple[int, int, bool]
"""Its first row and column on the canvas, and whether it is mirrored."""


def drawn(count: int, *, seed: int = 0) -> list[Crop]:
    """The crops of one image in so many epochs, as the training's reader of images draws them."""
    found, _ = crops(CHANGES, seed=seed, canvas=(CANVAS, CANVAS), size=(CROP, CROP))
    assert found
    epochs = tf.range(count, dtype=tf.int64)
    parts = found.choose(tf.zeros_like(epochs), epochs)
    return list(zip(*(part.numpy().tolist() for part in parts)))


def seen(epoch: int, *, seed: int = 0) -> Crop:
    """The crop of an epoch, read from the pixels: each of this image's tells its row and column."""
    places = np.indices((CANVAS, CANVAS)).transpose(1, 2, 0)[None]
    index = np.zeros(1, "int64")
    crop = augment(places, index, index + epoch, seed=seed, augmentation=CHANGES, size=(CROP, CROP))
    (top, left), (_, right) = np.asarray(crop)[0, 0, [0, -1]].round().astype(int).tolist()
    return top, min(left, right), left > right


def rows(draws: int, epochs: int) -> list[answers.Row]:
    """What the paper counts, what there is, what was drawn."""
    all_drawn = drawn(draws)
    times = Counter(all_drawn)
    tops, lefts, mirrored = zip(*all_drawn)
    found = {
        "the paper's count, (256 - 224)² · 2": (CANVAS - CROP) ** 2 * 2,
        "crops that there are, 33² · 2": (CANVAS - CROP + 1) ** 2 * 2,
        f"different ones in {draws:,} draws": len(times),
        "first and last row": f"{min(tops)}, {max(tops)}",
        "first and last column": f"{min(lefts)}, {max(lefts)}",
        "share that is mirrored": sum(mirrored) / draws,
        "the rarest and the most frequent were drawn": f"{min(times.values())}, "
        f"{max(times.values())} times",
        f"different ones in the {epochs} epochs of a training": len(set(all_drawn[:epochs])),
    }
    return [{"crops": what, "seen": value} for what, value in found.items()]


if __name__ == "__main__":
    parser = answers.parser(__doc__)
    parser.add_argument("--draws", type=int, default=100_000)
    given = parser.parse_args()
    answers.show(rows(given.draws, ALEXNET.epochs), as_json=given.json)
