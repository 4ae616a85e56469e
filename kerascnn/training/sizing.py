"""Batch, learning rate and number of epochs, where they follow from how few images there are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from kerascnn.recipes.recipe import Recipe
from kerascnn.words import counted

EPOCH_UPDATES = 20
"""Updates that an epoch should have: a batch of 128 or 256 is for fifty thousand images or more."""
SMALLEST_BATCH = 8
"""No batch is made smaller than it: its normalization statistics would become too rough."""
ALL_UPDATES = 500
"""Updates that a training should have: with fewer little is learned before the rate is zero."""
ALL_IMAGES = 8_000
"""Images that it should have seen, each as often as it came: more updates, where batches are small
and cost little. Both are by trial: see "Few images" in this folder's README."""
MOST_TIMES = 10
"""Times a recipe's epochs, at most: each is also validated and saved."""


@dataclass(frozen=True, kw_only=True)
class Free:
    """What of a recipe may follow the images: what neither the user nor a paper has said.

    Attributes:
        batch: the batch size.
        rate: the learning rate, with the batch.
        epochs: the number of epochs, and with it what else is counted in epochs.
    """

    batch: bool = True
    rate: bool = True
    epochs: bool = True


def sized(
    recipe: Recipe, images: int, replicas: int, free: Free = Free()
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe for so many images, and what was changed, and why, in whole sentences.

    The batch is halved until an epoch has `EPOCH_UPDATES`, but not below `SMALLEST_BATCH`; the
    learning rate follows it: linearly (Goyal et al., 2017), with Adam by the square root (Malladi
    et al., 2022). Then there are as many epochs as `ALL_UPDATES` and `ALL_IMAGES` take, and what is
    counted in epochs is stretched with them.

    Args:
        recipe: as it was chosen.
        images: for training.
        replicas: that share a batch.
        free: what may change.
    """
    notes = []
    if free.batch:
        recipe, note = _with_a_batch(recipe, images, replicas, scale_rate=free.rate)
        notes.append(note)
    if free.epochs:
        recipe, note = _with_epochs(recipe, images)
        notes.append(note)
    return recipe, tuple(filter(None, notes))


def _with_a_batch(
    recipe: Recipe, images: int, replicas: int, *, scale_rate: bool
) -> tuple[Recipe, str]:
    size = recipe.batch_size
    while images // (size * recipe.accumulation) < EPOCH_UPDATES:
        if size // 2 < max(SMALLEST_BATCH, replicas):
            break
        size //= 2
    if size == recipe.batch_size:
        return recipe, ""
    size -= size % replicas
    share = size / recipe.batch_size
    rate = recipe.learning_rate
    if scale_rate:
        rate *= share if recipe.optimizer == "sgd" else share**0.5
    updates = images // (size * recipe.accumulation)
    note = f"{images} training images: batches of {size} instead of {recipe.batch_size}"
    if updates:
        note += f", so that an epoch has {counted(updates, 'update', 'updates')}"
    if scale_rate:
        note += f"; learning rate {rate:.3g} instead of {recipe.learning_rate:.3g}"
    note += f". (--batch-size {recipe.batch_size} keeps them.)"
    return replace(recipe, batch_size=size, learning_rate=rate), note


def _with_epochs(recipe: Recipe, images: int) -> tuple[Recipe, str]:
    batch = min(images, recipe.batch_size) * recipe.accumulation
    each, before = images // batch, recipe.epochs
    if not each:
        return recipe, ""
    needed = max(math.ceil(ALL_UPDATES / each), math.ceil(ALL_IMAGES / images))
    if before >= needed:
        return recipe, ""
    longer = _stretched(recipe, min(MOST_TIMES, needed / before))
    return longer, (
        f"{images} training images: {longer.epochs} epochs instead of {before}, which are "
        f"{longer.epochs * each} updates instead of {before * each}. (--epochs {before} keeps "
        "them.)"
    )


def _stretched(recipe: Recipe, factor: float) -> Recipe:
    """The recipe with `factor` times as many epochs, and all else that is counted in them."""
    return replace(
        recipe,
        epochs=round(recipe.epochs * factor),
        steps=tuple((epoch * factor, rate) for epoch, rate in recipe.steps),
        every=recipe.every * factor,
        patience=round(recipe.patience * factor),
        warmup_epochs=recipe.warmup_epochs * factor,
        freeze_epochs=round(recipe.freeze_epochs * factor),
        thaw_epochs=round(recipe.thaw_epochs * factor),
    )
