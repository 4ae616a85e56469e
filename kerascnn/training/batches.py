"""The data pipelines of a training: splits of a dataset as the engine takes them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from kerascnn.data import Dataset, Split
from kerascnn.training.augmentation import augment
from kerascnn.training.engine import Engine, filled
from kerascnn.training.inference import preprocess_with
from kerascnn.training.recipes import Recipe


def training_batches(
    dataset: Dataset, config: Mapping[str, Any], recipe: Recipe, batch_size: int, first_epoch: int
) -> tf.data.Dataset:
    """Augmented and preprocessed images with labels, from `first_epoch` to the last."""
    seed, augmentation = config["seed"], recipe.augmentation
    prepare = preprocess_with(config["preprocessing"])

    def ready(images: Any, labels: Any, index: Any, epoch: Any) -> tuple[Any, Any]:
        changed = augment(images, index, epoch, seed=seed, augmentation=augmentation)
        return prepare(changed), labels

    return dataset.train.batches(
        batch_size,
        seed=seed,
        first_epoch=first_epoch,
        epochs=recipe.epochs,
        drop_remainder=True,
        with_index=True,
    ).map(ready, num_parallel_calls=tf.data.AUTOTUNE)


def evaluation_batch(training_batch: int) -> int:
    """Without gradients there is room for twice as many images."""
    return 2 * training_batch


def repeated(
    split: Split, config: Mapping[str, Any], engine: Engine, training_batch: int
) -> tuple[Iterator[Any], int] | None:
    """An endless iterator over a split, and the steps of one pass; None if it is empty.

    A new iterator for each epoch would cost half a second under a strategy.
    """
    if not split.size:
        return None
    size = evaluation_batch(training_batch)
    prepare = preprocess_with(config["preprocessing"])
    batches = filled(split.batches(size, epochs=None).map(lambda x, y: (prepare(x), y)), size)
    return iter(engine.distribute(batches)), math.ceil(split.size / size)
