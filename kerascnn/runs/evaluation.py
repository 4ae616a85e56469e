"""How well a trained run does on any data whose classes it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import keras

from kerascnn.recipes import trusted
from kerascnn.recipes.recipe import Protocol, Recipe
from kerascnn.runs.choosing import Chosen
from kerascnn.runs.config import RunConfig, plain
from kerascnn.tasks.task import LOSS, Task


def evaluate(
    task: Task,
    model: keras.Model,
    config: RunConfig,
    chosen: Chosen,
    *,
    options: Mapping[str, Any],
    batch_size: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """What a trained model is worth on some images; see `kerascnn.Run.evaluate`.

    Args:
        task: the run's.
        model: as it is saved.
        config: that it was trained with.
        chosen: the images.
        options: what the task is asked for.
        batch_size: images in one step.
        say: is called with each note.

    Raises:
        RunError, ArgumentError, DataError: see `Task.evaluate`.
    """
    found = task.evaluate(
        model,
        config,
        chosen.images,
        recipe=_with_known_loss(config, say),
        options=options,
        batch_size=batch_size,
        say=say,
    )
    return {
        "data": chosen.data,
        "split": chosen.split,
        "images": chosen.images.size,
        "trained_on": chosen.trained_on,
        "protocol": plain(options.get("protocol", Protocol())),
        **found,
    }


def figures(task: Task, found: Mapping[str, Any]) -> dict[str, Any]:
    """Of what `evaluate` gives, the loss and the task's measures."""
    return {name: found[name] for name in (LOSS, *(one.name for one in task.measures))}


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
