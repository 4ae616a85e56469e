"""How well a trained run does on the images of any data whose classes it knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from kerascnn.data import readable_errors
from kerascnn.errors import ArgumentError
from kerascnn.heads import scores_of
from kerascnn.recipes import trusted
from kerascnn.recipes.losses import make_loss
from kerascnn.recipes.recipe import Protocol, Recipe
from kerascnn.runs.choosing import Chosen
from kerascnn.runs.config import RunConfig, plain
from kerascnn.tasks.classification import measures, protocols
from kerascnn.tasks.classification.measures import Answers
from kerascnn.tasks.forward import outputs, preparation, preprocessed
from kerascnn.words import counted, listed

TOP = 5  # top-5 errors are reported where there are more than five classes


def evaluate(
    model: keras.Model,
    config: RunConfig,
    chosen: Chosen,
    *,
    protocol: Protocol,
    top: int | None,
    batch_size: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """What a trained model is worth on some images; see `kerascnn.Run.evaluate`.

    Args:
        model: with its classifier activation, as it is saved.
        config: that it was trained with.
        chosen: the images.
        protocol: the views of each image.
        top: see `checked_top`.
        batch_size: images in one step.
        say: is called with each note.

    Raises:
        RunError: the model answers with no numbers.
        ArgumentError: the protocol doesn't fit.
        DataError: an image can't be read.
    """
    names = config.named_classes
    answers = _answers(model, config, chosen, protocol, batch_size, say)
    found = {
        "data": chosen.data,
        "split": chosen.split,
        "images": chosen.images.size,
        "trained_on": chosen.trained_on,
        "protocol": plain(protocol),
        **answers.losses,
        "error": answers.error(),
    }
    if top:
        found[f"top{top}_error"] = answers.error(top)
    found["classes"] = measures.per_class(chosen.labels, answers.predicted, names)
    if missing := [one["name"] for one in found["classes"] if not one["support"]]:
        say(
            f"No image of {counted(len(missing), 'class', 'classes')} of the run's {len(names)}, "
            f"whose recall is not defined: {listed(missing)}."
        )
    found["confusion"] = None
    if len(names) <= measures.MOST_CLASSES:
        matrix = measures.confusion(chosen.labels, answers.predicted, len(names))
        found["confusion"] = matrix.tolist()
    return found


def checked_top(top: int | None, classes: int) -> int | None:
    """Of how many likeliest classes an image's own may be one; None: it is not reported.

    Raises:
        ArgumentError: there are not so many classes.
    """
    if top is None:
        return TOP if classes > TOP else None
    if not 0 < top < classes:
        raise ArgumentError(
            f"top must be at least 1 and less than the run's {classes} classes. Received: {top}."
        )
    return top


def _answers(
    model: keras.Model,
    config: RunConfig,
    chosen: Chosen,
    protocol: Protocol,
    batch_size: int,
    say: Callable[[str], None],
) -> Answers:
    """What the network says of the images, seen as the protocol wants it."""
    scores, is_logits = scores_of(model)
    if protocol == Protocol():
        recipe, from_logits = _with_known_loss(config, say), is_logits
        batches = outputs(scores, chosen.images, preparation(config), batch_size)
    else:
        # Probabilities are averaged: of them, only the plain cross-entropy has a meaning.
        recipe, from_logits = Recipe(), False
        batches = protocols.probabilities(
            scores,
            chosen.images,
            protocol,
            is_logits=is_logits,
            prepare=preprocessed(config.preprocessing),
            size=config.input_shape[:2],
            batch_size=batch_size,
        )
    judges = {
        name: _on_arrays(make_loss(one, config.classes, from_logits=from_logits))
        for name, one in (("loss", recipe), ("cross_entropy", Recipe()))
    }
    with readable_errors(chosen.images):
        return measures.judged(batches, chosen.labels, judges)


def _with_known_loss(config: RunConfig, say: Callable[[str], None]) -> Recipe:
    """The run's recipe; a loss that no installed package has is cross-entropy, and that is said.

    What a run names is never imported: its files may come from a stranger.
    """
    recipe, architecture = config.recipe, config.architecture
    if not isinstance(recipe.loss, str):
        return recipe
    found = trusted.known(recipe.loss, architecture.name if architecture else None)
    if found is None:
        say(f"The loss is cross-entropy: the run's own, {recipe.loss}, is not imported.")
        return replace(recipe, loss=None, label_smoothing=0.0)
    return replace(recipe, loss=found)


def _on_arrays(loss: Callable[[Any, Any], Any]) -> measures.Loss:
    return lambda labels, scores: loss(tf.constant(labels), tf.constant(scores))
