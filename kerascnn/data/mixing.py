"""Two images made one, with the labels of both: mixup and CutMix, for a whole batch at once.

mixup (Zhang, Cisse, Dauphin, Lopez-Paz, 2017, arXiv:1710.09412) adds them up, in shares that are
drawn from a Beta distribution. CutMix (Yun et al., 2019, arXiv:1905.04899) puts a box of one into
the other; the share of a label is then the share of the area that its image has got, after the box
was clipped at the edges.

An image's partner is its neighbour in the batch: the order of an epoch is random, so its neighbours
are, too. Pairs stay together when workers share a batch, unless a worker's share is odd. Everything
else is a pure function of (seed, epoch, index of the image).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kerascnn.data.draws import Draw
from kerascnn.recipes.recipe import MIXES, Augmentation

# Streams of random numbers: see `kerascnn.data.draws`.
_SHARE, _WHICH, _WHETHER, _RIGHT, _DOWN = 20, 21, 22, 30, 31
_HALVINGS = 30  # of [0, 1] in search of a quantile: float32 has no more digits


def mixes(augmentation: Augmentation) -> bool:
    """Whether two images are made one."""
    return augmentation.mixed > 0 and any(getattr(augmentation, name) for name in MIXES)


def mixed(
    images: Any,
    labels: Any,
    index: Any,
    epoch: Any,
    *,
    seed: int,
    augmentation: Augmentation,
) -> tuple[Any, Any]:
    """Images mixed with their partners, and what they show.

    Args:
        images: float32 `[batch, height, width, channels]`.
        labels: int32 `[batch]`.
        index, epoch: int64 `[batch]`, each image's number in its split, and its epoch.
        seed: the run's seed.
        augmentation: its `mixup`, `cutmix` and `mixed`. Where it has both ways, each image goes
            one of them, with equal chances.

    Returns:
        The images, and float32 `[batch, 3]`: the image's own label, its partner's, and the share of
        its own.
    """
    draw = Draw(index, epoch, seed)
    other = partners(images.shape[0])
    pixels = tf.gather(images, other)
    results = []
    if augmentation.mixup:
        share = quantile(augmentation.mixup, (draw(_SHARE) + 1) / 2)
        weights = share[:, None, None, None]
        results.append((weights * images + (1 - weights) * pixels, share))
    if augmentation.cutmix:
        share = quantile(augmentation.cutmix, (draw(_SHARE) + 1) / 2)
        inside, share = boxes(draw, share, (images.shape[1], images.shape[2]))
        results.append((tf.where(inside[..., None], pixels, images), share))
    found, share = results[0]
    if len(results) == 2:
        cut = draw(_WHICH) > 0
        found = tf.where(cut[:, None, None, None], results[1][0], found)
        share = tf.where(cut, results[1][1], share)
    if augmentation.mixed < 1:
        chosen = (draw(_WHETHER) + 1) / 2 < augmentation.mixed
        found = tf.where(chosen[:, None, None, None], found, images)
        share = tf.where(chosen, share, 1.0)
    own = tf.cast(labels, tf.float32)
    return found, tf.stack([own, tf.gather(own, other), share], axis=1)


def partners(batch: int) -> np.ndarray:
    """The place of each image's partner: its neighbour in pairs, of an odd last one the first."""
    other = np.arange(batch) ^ 1
    other[other >= batch] = 0
    return other


def quantile(alpha: float, probability: Any) -> Any:
    """Of Beta(alpha, alpha), float32 `[batch]`: found by halving, as TensorFlow has none."""
    low, high = tf.zeros_like(probability), tf.ones_like(probability)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = tf.math.betainc(alpha, alpha, middle) < probability
        low, high = tf.where(below, middle, low), tf.where(below, high, middle)
    return (low + high) / 2


def boxes(draw: Draw, share: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """Where the partner shows, bool `[batch, height, width]`, and what share the image keeps.

    Args:
        draw: of the images.
        share: `[batch]`, that the image would keep if the box were not clipped.
        size: `(height, width)`.
    """
    height, width = size
    side = tf.sqrt(1 - share)
    rows = _span(draw(_DOWN), side, height)
    columns = _span(draw(_RIGHT), side, width)
    inside = rows[:, :, None] & columns[:, None, :]
    area = tf.reduce_sum(tf.cast(inside, tf.float32), axis=(1, 2))
    return inside, 1 - area / (height * width)


def _span(middle: Any, share: Any, side: int) -> Any:
    """Which of a side's pixels are within a length around a random one, bool `[batch, side]`."""
    length = tf.cast(share * side, tf.int32)
    centre = tf.cast(tf.floor((middle + 1) / 2 * side), tf.int32)
    pixels = tf.range(side)[None]
    first, last = centre - length // 2, centre + length // 2  # as the authors' code has it
    return (pixels >= first[:, None]) & (pixels < last[:, None])
