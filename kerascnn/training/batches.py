"""The data pipelines of a training: splits of a dataset as the engine takes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from kerascnn.data import Split
from kerascnn.data.augmentation import augment, crops, motion
from kerascnn.data.mixing import mixed, mixes
from kerascnn.distribution.workers import Workers
from kerascnn.runs.config import RunConfig
from kerascnn.runs.position import Position
from kerascnn.tasks.forward import middle_of_targets, preparation
from kerascnn.tasks.sight import Sight
from kerascnn.training.engine import filled
from kerascnn.training.settings import Batching


@tf.autograph.experimental.do_not_convert
def training_batches(
    split: Split,
    config: RunConfig,
    batching: Batching,
    start: Position,
    workers: Workers,
    *,
    draws: bool = False,
) -> tf.data.Dataset:
    """Augmented and preprocessed images with targets, from `start` on, without an end.

    With `draws` a third part says what a network may draw by: see `kerascnn.tasks.Task.training`.
    An iterator that has an end costs a collective for each step on several machines.
    """
    seed, recipe = config.seed, config.recipe
    size, canvas = config.input_shape[:2], split.image_shape[:2]
    cut, augmentation = crops(recipe.augmentation, seed=seed, canvas=canvas, size=size)
    prepare = preparation(config)

    kind = type(split.targets)

    def ready(images: Any, targets: Any, index: Any, epoch: Any) -> tuple[Any, ...]:
        place = tuple(images.shape[1:3])
        changed = augment(images, index, epoch, seed=seed, augmentation=augmentation, size=size)
        if kind.moves:  # or else no motion is in the graph, beside which pixels round otherwise
            moved = motion(
                index, epoch, seed=seed, augmentation=augmentation, canvas=place, size=size
            )
            targets = targets if moved is None else kind.moved(targets, moved)
        if mixes(recipe.augmentation):
            changed, targets = mixed(
                changed, targets, index, epoch, seed=seed, augmentation=augmentation
            )
        if not draws:
            return prepare(changed), targets
        return prepare(changed), targets, _drawn_by(seed, epoch, index)

    return split.batches(
        batching.size,
        seed=seed,
        first_epoch=start.epoch,
        first_step=start.update * batching.accumulation,
        epochs=None,
        drop_remainder=True,
        with_index=True,
        share=(workers.index, workers.count),
        multiple=batching.accumulation,
        crops=cut,
        balance=recipe.balance,
    ).map(ready, num_parallel_calls=tf.data.AUTOTUNE)


def _drawn_by(seed: int, epoch: Any, index: Any) -> Any:
    """The run's seed, the epoch and the image's number, int32 `[batch, 3]`."""
    index = tf.cast(index, tf.int32)
    seed = int(np.uint32(seed).astype("int32"))  # the same 32 bits
    parts = [tf.broadcast_to(tf.cast(part, tf.int32), tf.shape(index)) for part in (seed, epoch)]
    return tf.stack([*parts, index], axis=-1)


def evaluation_batch(training_batch: int) -> int:
    """Without gradients there is room for twice as many images."""
    return 2 * training_batch


@tf.autograph.experimental.do_not_convert
def evaluation_batches(
    split: Split, sight: Sight, *, training_batch: int, workers: Workers
) -> tuple[tf.data.Dataset, int]:
    """A split's images again and again, all batches of one size; and how many are one pass."""
    size = evaluation_batch(training_batch)
    share = (workers.index, workers.count)
    prepare, follow = preparation(sight), middle_of_targets(type(split.targets), sight)

    def ready(images: Any, targets: Any) -> tuple[Any, Any]:
        return prepare(images), follow(images, targets)

    batches = split.batches(size, epochs=None, share=share).map(ready)
    return filled(batches, size // workers.count), math.ceil(split.size / size)
