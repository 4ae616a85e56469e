"""Settings of a training: what is refused, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import tensorflow as tf

from kerascnn.distribution import strategies
from kerascnn.distribution.workers import Workers
from kerascnn.errors import DataError, StrategyError
from kerascnn.recipes.recipe import Recipe
from kerascnn.training.sizing import EPOCH_UPDATES, SMALLEST_BATCH
from kerascnn.words import counted


@dataclass(frozen=True)
class Batching:
    """How an epoch is divided.

    Attributes:
        size: images in a batch, over all replicas together.
        accumulation: batches whose gradients make one update of the weights.
        updates: updates in an epoch.
        notes: what the user should know, in whole sentences.
    """

    size: int
    accumulation: int
    updates: int
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """Images in an update."""
        return self.size * self.accumulation

    @property
    def description(self) -> str:
        """Such as "7 updates × 500 images"."""
        parts = f" in {self.accumulation} batches" if self.accumulation > 1 else ""
        return f"{self.updates} × {self.images} images{parts}"


def refuse_jit(strategy: tf.distribute.Strategy, jit: bool | None) -> None:
    """Refuse XLA under a strategy, on which TensorFlow would fail.

    Raises:
        StrategyError: names the strategy.
    """
    if jit and strategies.distributed(strategy):
        raise StrategyError(
            f"XLA (jit) can't be combined with {strategies.describe(strategy)}: the compiled step "
            "would need variables of another device. Use jit with --strategy none."
        )


def refuse_mixed_variables(model: keras.Model, strategy: tf.distribute.Strategy) -> None:
    """Refuse trainable variables of several types, whose gradients workers can't sum.

    Raises:
        StrategyError: names one of each type.
    """
    examples = {variable.dtype: variable.path for variable in model.trainable_variables}
    if Workers(strategy).count > 1 and len(examples) > 1:
        raise StrategyError(
            "strategy multiworker needs trainable variables of one type: TensorFlow sums "
            "gradients of one type between machines. Received: "
            f"{', '.join(f'{path} of {dtype}' for dtype, path in sorted(examples.items()))}."
        )


def batching(recipe: Recipe, images: int, strategy: tf.distribute.Strategy) -> Batching:
    """The largest batch up to the recipe's that all replicas share equally.

    Args:
        recipe: its `batch_size` and `accumulation`.
        images: for training.
        strategy: its number of replicas.

    Raises:
        DataError: there are fewer images than replicas, or than one update takes.
    """
    wanted, replicas, notes = recipe.batch_size, strategy.num_replicas_in_sync, []
    size = min(wanted, images) // replicas * replicas
    if not size:
        raise DataError(
            f"A batch of {min(wanted, images)} can't be shared between {replicas} replicas: there "
            f"are {images} training images, and the recipe's batch is {wanted}. "
            "Use --strategy none."
        )
    if size != wanted:
        why = f"{images} training images" if images < wanted else f"{replicas} replicas"
        notes.append(f"The global batch is {size} instead of {wanted}, because of {why}.")
    whole = size * recipe.accumulation
    updates, left = divmod(images, whole)
    if not updates:
        raise DataError(
            f"{recipe.accumulation} batches of {size} (accumulation) are more than the {images} "
            "training images. Use a smaller batch size or accumulation."
        )
    if left:
        notes.append(
            f"Each epoch trains on {updates * whole:,} of {images:,} images: the last {left} of "
            f"its order don't fill {_batches(recipe.accumulation, size)}."
        )
    if updates < EPOCH_UPDATES // 2 and size >= 2 * SMALLEST_BATCH:
        notes.append(
            f"An epoch has only {counted(updates, 'update', 'updates')}: with fewer images in a "
            f"batch (--batch-size {SMALLEST_BATCH}) it has more."
        )
    return Batching(size, recipe.accumulation, updates, tuple(notes))


def _batches(count: int, size: int) -> str:
    return f"a batch of {size}" if count == 1 else f"{count} batches of {size}"


def use_jit(wanted: bool | None, strategy: tf.distribute.Strategy) -> bool:
    """Whether to compile the step with XLA: if not said, on a single GPU only."""
    if wanted is None:
        gpu = bool(tf.config.list_physical_devices("GPU"))
        return gpu and not strategies.distributed(strategy)
    return wanted
