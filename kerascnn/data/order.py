"""The order of the examples of an epoch: a pure function of seed and epoch.

So a pipeline that starts at epoch k goes on exactly as one that has passed k epochs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

AGAIN = (0x9E3779B9, 0)  # makes another key of one


def positions(size: int, seed: int | None, epoch: Any, *, classes: np.ndarray | None = None) -> Any:
    """Where the examples of an epoch are in their split, one after the other.

    Args:
        size: how many there are, n.
        seed: of the order; None: the natural one.
        epoch: int64 `[]`.
        classes: int32 `[n]`, with a seed: as many of each class, see `balance` of
            `kerascnn.data.splits.Split.batches`; None: each example once.

    Returns:
        int64 `[n]`; with `classes` those that come again are `n`, `2 * n`, ... larger.
    """
    import tensorflow as tf

    index = tf.range(size, dtype=tf.int64)
    if seed is None:
        return index
    key = tf.stack([tf.constant(seed % 2**63, tf.int64), epoch])
    shuffle = tf.random.experimental.stateless_shuffle
    index = shuffle(index, key, alg="philox")
    if classes is None:
        return index
    return shuffle(_balanced(index, classes), key ^ AGAIN, alg="philox")


def _balanced(shuffled: Any, labels: np.ndarray) -> Any:
    """As many positions as there are, the classes in turn, each class's in their shuffled order.

    When a class has been through, it begins again, with positions that are `len(labels)` larger.
    """
    import tensorflow as tf

    size = len(labels)
    grouped = tf.gather(shuffled, tf.argsort(tf.gather(labels, shuffled), stable=True))
    counts = np.bincount(labels).astype("int64")
    counts = counts[counts > 0]
    starts = tf.constant(np.cumsum(counts) - counts)
    turn, which = tf.range(size, dtype=tf.int64) // len(counts), np.arange(size) % len(counts)
    times, place = turn // counts[which], turn % counts[which]
    return tf.gather(grouped, tf.gather(starts, which) + place) + size * times
