"""Settings of a training: what is refused, and what follows from them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import tensorflow as tf

from kerascnn.errors import ArgumentError, DataError, StrategyError
from kerascnn.training.recipes import Recipe

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "float64")


@dataclass(frozen=True)
class Batching:
    """How an epoch is divided.

    Attributes:
        size: images in a step, over all replicas together.
        steps: steps in an epoch.
        notes: what the user should know, in whole sentences.
    """

    size: int
    steps: int
    notes: tuple[str, ...] = ()


def check_settings(recipe: Recipe, precision: str) -> None:
    """Refuse values that no training can have.

    Raises:
        ArgumentError: names the setting.
    """
    if precision not in PRECISIONS:
        raise ArgumentError(
            f"precision must be one of {', '.join(PRECISIONS)}. Received: {precision!r}."
        )
    for name in ("epochs", "batch_size", "learning_rate"):
        if getattr(recipe, name) <= 0:
            raise ArgumentError(f"{name} must be positive. Received: {getattr(recipe, name)!r}.")


def refuse_combinations(strategy: tf.distribute.Strategy, precision: str, jit: bool | None) -> None:
    """Refuse what TensorFlow would fail on, or get wrong, under this strategy.

    Raises:
        StrategyError: names the combination.
    """
    if jit and isinstance(strategy, tf.distribute.MirroredStrategy):
        raise StrategyError(
            "XLA (jit) can't be combined with MirroredStrategy: the compiled step would need "
            "variables of another device. Use jit with --strategy none."
        )
    if precision == "mixed_float16" and strategy.num_replicas_in_sync > 1:
        raise StrategyError(
            "precision mixed_float16 can't be combined with several replicas: the check for "
            "overflow sees the first replica only, and one overflow on another destroys the "
            "weights. Use mixed_bfloat16."
        )


def batching(recipe: Recipe, images: int, strategy: tf.distribute.Strategy) -> Batching:
    """The largest batch up to the recipe's that all replicas share equally.

    Args:
        recipe: its `batch_size`.
        images: for training.
        strategy: its number of replicas.

    Raises:
        DataError: there are fewer images than replicas.
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
    steps, left = divmod(images, size)
    if left:
        notes.append(
            f"Each epoch trains on {steps * size:,} of {images:,} images: the last {left} of its "
            f"order don't fill a batch of {size}."
        )
    return Batching(size, steps, tuple(notes))


def use_jit(wanted: bool | None, strategy: tf.distribute.Strategy) -> bool:
    """Whether to compile the step with XLA: if not said, on a single GPU only."""
    if wanted is None:
        distributed = isinstance(strategy, tf.distribute.MirroredStrategy)
        return bool(tf.config.list_physical_devices("GPU")) and not distributed
    return wanted


@contextlib.contextmanager
def in_precision(name: str) -> Iterator[None]:
    """Make Keras compute in this precision, and as before afterwards."""
    before, floatx = keras.config.dtype_policy(), keras.config.floatx()
    try:
        if name == "float64":
            keras.config.set_floatx("float64")
        keras.config.set_dtype_policy(name)
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(before)
