"""What an objective counts over a split, on one device: how a trained model is evaluated."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data import Split, readable_errors
from kerascnn.errors import RunError
from kerascnn.tasks.forward import middle_of_targets, preparation
from kerascnn.tasks.objective import Objective
from kerascnn.tasks.sight import Sight


def counted_over(
    objective: Objective, scores: keras.Model, sight: Sight, images: Split, *, batch_size: int
) -> dict[str, Any]:
    """The mean loss, its logged parts, measures and details, each image counted once.

    Args:
        objective: for these scores.
        scores: the model without the softmax at its ends, as `Task.scores` gives it.
        sight: how it sees images.
        images: with their targets.
        batch_size: images in one step.

    Raises:
        RunError: the loss is not a number.
        DataError: an image can't be read.
    """
    prepare, follow = preparation(sight), middle_of_targets(type(images.targets), sight)
    batches = images.batches(batch_size)

    @tf.function(input_signature=batches.element_spec, autograph=False)
    def step(pixels, targets):  # type: ignore[no-untyped-def]
        targets = follow(pixels, targets)
        found = scores(prepare(pixels), training=False)
        outputs = list(found) if isinstance(found, (list, tuple)) else [found]
        real = tf.ones(tf.shape(pixels)[:1], tf.bool)
        parts = objective.losses(targets, outputs)
        answers = objective.answers(targets, outputs) if objective.answers else tf.zeros([0])
        summed = {name: tf.reduce_sum(tf.cast(part, tf.float64)) for name, part in parts.items()}
        return summed, objective.sums(targets, outputs, real), answers

    losses: dict[str, float] = {}
    sums, answers = np.zeros(objective.size), []
    with readable_errors(images):
        for batch in batches:
            parts, counted, answered = step(*batch)
            losses = {name: losses.get(name, 0.0) + float(part) for name, part in parts.items()}
            sums += counted.numpy()
            answers.append(answered.numpy())
    found: dict[str, Any] = {"loss": sum(losses.values()) / images.size}
    if math.isnan(found["loss"]):
        raise RunError(
            "The loss of the model's answers is not a number (NaN), so they mean nothing: its "
            "weights are damaged, or training diverged."
        )
    found |= {f"loss_{name}": losses[name] / images.size for name in objective.parts}
    found |= objective.figures(sums, images.size)
    if objective.details:
        found |= objective.details(sums)
    if objective.judged:
        found |= objective.judged(np.concatenate(answers))
    return found
