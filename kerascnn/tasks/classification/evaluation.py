"""What a classifier is worth: loss, errors and each class's figures, as papers report them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data import Split, readable_errors
from kerascnn.heads import scores_of
from kerascnn.recipes.losses import make_loss
from kerascnn.recipes.recipe import Protocol, Recipe
from kerascnn.tasks.classification import measures, protocols
from kerascnn.tasks.forward import outputs, preparation, preprocessed
from kerascnn.tasks.sight import Sight
from kerascnn.words import counted, listed


def evaluate(
    model: keras.Model,
    sight: Sight,
    images: Split,
    *,
    recipe: Recipe,
    protocol: Protocol,
    top: int | None,
    batch_size: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """See `kerascnn.Run.evaluate`, which returns this and what was evaluated.

    Args:
        model: with its classifier activation, as it is saved.
        sight: how it sees images.
        images: labelled as the model numbers its classes.
        recipe: its loss and label smoothing.
        protocol: the views of each image.
        top: of how many likeliest classes an image's own may be one; None: it is not reported.
        batch_size: images in one step.
        say: is called with each note.

    Raises:
        RunError: the model answers with no numbers.
        ArgumentError: the protocol doesn't fit.
        DataError: an image can't be read.
    """
    names, labels = sight.named_classes, images.labels
    batches, judges = _judged_by(model, sight, images, recipe, protocol, batch_size)
    with readable_errors(images):
        answers = measures.judged(batches, labels, judges)
    found: dict[str, Any] = {**answers.losses, "error": answers.error()}
    if top:
        found[f"top{top}_error"] = answers.error(top)
    found["classes"] = measures.per_class(labels, answers.predicted, names)
    if missing := [one["name"] for one in found["classes"] if not one["support"]]:
        say(
            f"No image of {counted(len(missing), 'class', 'classes')} of the run's {len(names)}, "
            f"whose recall is not defined: {listed(missing)}."
        )
    found["confusion"] = None
    if len(names) <= measures.MOST_CLASSES:
        matrix = measures.confusion(labels, answers.predicted, len(names))
        found["confusion"] = matrix.tolist()
    return found


def _judged_by(
    model: keras.Model,
    sight: Sight,
    images: Split,
    recipe: Recipe,
    protocol: Protocol,
    batch_size: int,
) -> tuple[Iterator[np.ndarray], dict[str, measures.Loss]]:
    """What the network says of the images, seen as the protocol wants it, and its losses."""
    scores, from_logits = scores_of(model)
    if protocol == Protocol():
        batches = outputs(scores, images, preparation(sight), batch_size)
    else:
        batches = protocols.probabilities(
            scores,
            images,
            protocol,
            is_logits=from_logits,
            prepare=preprocessed(sight.preprocessing),
            size=sight.input_shape[:2],
            batch_size=batch_size,
        )
        # Probabilities are averaged: of them, only the plain cross-entropy has a meaning.
        recipe, from_logits = Recipe(), False
    return batches, {
        name: _on_arrays(make_loss(one, sight.classes, from_logits=from_logits))
        for name, one in (("loss", recipe), ("cross_entropy", Recipe()))
    }


def _on_arrays(loss: Callable[[Any, Any], Any]) -> measures.Loss:
    return lambda labels, scores: loss(tf.constant(labels), tf.constant(scores))
