"""How well a trained run does on the images of any data whose classes it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from kerascnn.data import Dataset, readable_errors
from kerascnn.errors import ArgumentError
from kerascnn.heads import scores_of
from kerascnn.recipes import trusted
from kerascnn.recipes.losses import make_loss
from kerascnn.recipes.recipe import Protocol, Recipe
from kerascnn.runs import measures, protocols, sides
from kerascnn.runs.choosing import Chosen, choose
from kerascnn.runs.config import plain, recipe_from
from kerascnn.runs.inference import (
    outputs,
    preparation,
    preprocess_with,
)
from kerascnn.runs.matching import class_names, match
from kerascnn.runs.measures import Answers
from kerascnn.runs.run import Run
from kerascnn.words import counted, listed

TOP = 5  # top-5 errors are reported where there are more than five classes


def evaluate_run(
    run: Run,
    data: str | Dataset | None,
    *,
    split: str | None = None,
    batch_size: int,
    echo: Callable[[str], None] | None,
    protocol: Protocol | None = None,
    top: int | None = None,
) -> dict[str, Any]:
    """See `Run.evaluate`."""
    config, protocol, say = run.config, protocol or Protocol(), echo or (lambda line: None)
    names = class_names(config)
    top = _checked_top(top, len(names))
    chosen = choose(run, config, data, split, say)
    images, known = chosen.images, chosen.class_names
    labels = match(names, known, images.labels, run=str(run.path), data=chosen.data)
    _say_what_was_seen(chosen, run, say)
    answers = _answers(run, config, images, labels, protocol, batch_size, say)
    found = {
        "data": chosen.data,
        "split": chosen.split,
        "images": images.size,
        "trained_on": chosen.trained_on,
        "protocol": plain(protocol),
        **answers.losses,
        "error": answers.error(),
    }
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
        found["confusion"] = measures.confusion(labels, answers.predicted, len(names)).tolist()
    return found


def _say_what_was_seen(chosen: Chosen, run: Run, say: Callable[[str], None]) -> None:
    if chosen.trained_on:
        say(
            f"{chosen.trained_on:,} of the {chosen.images.size:,} images are among those that the "
            "run was trained on, where it does better than on others."
        )
    elif chosen.trained_on is None:
        say(
            f"How many of the images the run was trained on is not known: {run.path} has no "
            f"{sides.FILE}, as it was made by an older version."
        )


def _checked_top(top: int | None, classes: int) -> int | None:
    if top is None:
        return TOP if classes > TOP else None
    if not 0 < top < classes:
        raise ArgumentError(
            f"top must be at least 1 and less than the run's {classes} classes. Received: {top}."
        )
    return top


def _answers(
    run: Run,
    config: Mapping[str, Any],
    split: Any,
    labels: np.ndarray,
    protocol: Protocol,
    batch_size: int,
    say: Callable[[str], None],
) -> Answers:
    """What the network says of a split's images, seen as the protocol wants it."""
    scores, is_logits = scores_of(run.model())
    if protocol == Protocol():
        recipe, from_logits = _with_known_loss(config, say), is_logits
        batches = outputs(scores, split, preparation(config), batch_size)
    else:
        # Probabilities are averaged: of them, only the plain cross-entropy has a meaning.
        recipe, from_logits = Recipe(), False
        batches = protocols.probabilities(
            scores,
            split,
            protocol,
            is_logits=is_logits,
            prepare=preprocess_with(config["preprocessing"]),
            size=tuple(config["input_shape"][:2]),
            batch_size=batch_size,
        )
    judges = {
        name: _on_arrays(make_loss(one, config["classes"], from_logits=from_logits))
        for name, one in (("loss", recipe), ("cross_entropy", Recipe()))
    }
    with readable_errors(split):
        return measures.judged(batches, labels, judges)


def _with_known_loss(config: Mapping[str, Any], say: Callable[[str], None]) -> Recipe:
    """The run's recipe; a loss that no installed package has is cross-entropy, and that is said.

    What a run names is never imported: its files may come from a stranger.
    """
    recipe, architecture = recipe_from(config["recipe"]), config["architecture"]
    if not isinstance(recipe.loss, str):
        return recipe
    found = trusted.known(recipe.loss, architecture["name"] if architecture else None)
    if found is None:
        say(f"The loss is cross-entropy: the run's own, {recipe.loss}, is not imported.")
        return replace(recipe, loss=None, label_smoothing=0.0)
    return replace(recipe, loss=found)


def _on_arrays(loss: Callable[[Any, Any], Any]) -> measures.Loss:
    return lambda labels, scores: loss(tf.constant(labels), tf.constant(scores))
