"""A recipe's optimizer, schedule and loss, made with Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kerascnn.errors import ArgumentError
from kerascnn.training.recipes import Recipe

# Weight decay is for kernels: biases and normalization have no scale that it could shrink.
NOT_DECAYED = ["bias", "gamma", "beta", "coefficient"]


def make_optimizer(
    recipe: Recipe, steps: int, model: keras.Model, precision: str
) -> keras.optimizers.Optimizer:
    """The optimizer, built for the model's variables; call it in the strategy's scope.

    Args:
        recipe: what to make.
        steps: steps in one epoch.
        model: the model to train.
        precision: under "mixed_float16" the loss is scaled.

    Raises:
        ArgumentError: the recipe names an unknown optimizer or schedule.
    """
    rate = _schedule(recipe, steps)
    common = {"weight_decay": recipe.weight_decay or None}
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=recipe.momentum, **common)
    elif recipe.optimizer == "adam":
        optimizer = keras.optimizers.Adam(rate, **common)
    elif recipe.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    else:
        raise ArgumentError(
            f"optimizer must be one of sgd, adam, adamw. Received: {recipe.optimizer!r}."
        )
    optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def _schedule(recipe: Recipe, steps: int) -> Any:
    warmup = round(recipe.warmup_epochs * steps)
    total = recipe.epochs * steps
    if recipe.schedule == "constant" and not warmup:
        return recipe.learning_rate
    if recipe.schedule == "cosine":
        if not warmup:
            return keras.optimizers.schedules.CosineDecay(recipe.learning_rate, total)
        return keras.optimizers.schedules.CosineDecay(
            0.0,
            max(1, total - warmup),
            warmup_target=recipe.learning_rate,
            warmup_steps=warmup,
        )
    raise ArgumentError(
        'schedule must be "constant" (without warm-up) or "cosine". '
        f"Received: {recipe.schedule!r}, warmup_epochs={recipe.warmup_epochs}."
    )


def make_loss(recipe: Recipe, classes: int, *, from_logits: bool) -> Callable[[Any, Any], Any]:
    """`loss(labels, scores) -> [batch]`: the recipe's own, or cross-entropy.

    Args:
        recipe: its `loss` and `label_smoothing`.
        classes: number of classes.
        from_logits: whether the scores are logits or probabilities.

    Raises:
        ArgumentError: the recipe's own loss needs logits.
    """
    if recipe.loss is not None:
        if not from_logits:
            raise ArgumentError("The recipe's loss needs logits. Received: a softmax output.")
        return recipe.loss().call
    if not recipe.label_smoothing:
        return lambda labels, scores: keras.losses.sparse_categorical_crossentropy(
            labels, scores, from_logits=from_logits
        )

    def smoothed(labels: Any, scores: Any) -> Any:
        targets = ops.one_hot(ops.cast(labels, "int32"), classes, dtype=scores.dtype)
        return keras.losses.categorical_crossentropy(
            targets, scores, from_logits=from_logits, label_smoothing=recipe.label_smoothing
        )

    return smoothed
