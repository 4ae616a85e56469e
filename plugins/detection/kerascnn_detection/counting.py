"""What a detector's training minimises and counts, whatever it is made of.

A network's last layer, its finder, makes boxes of numbers; these are what it learns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from kerascnn import Recipe
from kerascnn.errors import ArgumentError
from kerascnn.tasks import Objective
from kerascnn_detection import average_precision, one_stage, training, two_stage
from kerascnn_detection.one_stage import CellDetections
from kerascnn_detection.stages import Finder, Proposals, finder_of

OVERLAPS = {"ap50": 0.5, "ap75": 0.75}
"""Measure → the IoU from which a detection is right."""


def classes_of(finder: Finder) -> int:
    """How many a finder tells apart."""
    if isinstance(finder, CellDetections):
        return finder.classes()
    return finder.input[0].shape[-1] - 1  # but for the background


def scores_of(model: keras.Model) -> keras.Model:
    """The network with what losses are made of beside its answer.

    Returns:
        A model to the answer, the inputs of its finder, and those of its `Proposals`, if it has
        any, but for the image.

    Raises:
        ArgumentError: nothing in it makes boxes.
    """
    outputs = [model.outputs[0], *finder_of(model, Finder).input]
    for layer in model.layers:
        if isinstance(layer, Proposals):
            outputs += layer.input[:-1]
    return keras.Model(model.inputs[0], outputs, name=model.name)


def taught(scores: keras.Model) -> keras.Model:
    """The graph of a training step; see `kerascnn.tasks.Task.training`."""
    one_pass = isinstance(finder_of(scores, Finder), CellDetections)
    return scores if one_pass else training.taught(scores)


def counted(
    recipe: Recipe,
    *,
    scores: keras.Model,
    classes: int,
    class_weight: Sequence[float] | None = None,
) -> Objective:
    """See `kerascnn_detection.task.Detection.objective`.

    Raises:
        ArgumentError: the recipe asks for a loss of its own, for smoothed labels or for weights of
            classes.
    """
    refused = {
        "loss": recipe.loss is not None,
        "label_smoothing": recipe.label_smoothing > 0,
        "class_weight": class_weight is not None,
    }
    if asked := [name for name, there in refused.items() if there]:
        raise ArgumentError(
            "The loss of a network for detection is its paper's, without class weights or smoothed "
            f"labels. Received: {', '.join(asked)}. Leave it out of the recipe."
        )
    finder = finder_of(scores, Finder)
    parts: tuple[str, ...] = one_stage.PARTS
    if isinstance(finder, CellDetections):
        losses = one_stage.losses(finder)
    else:
        losses, parts = two_stage.losses(scores), two_stage.parts(scores)
    most = finder.most

    def judged(answers: np.ndarray) -> Mapping[str, float]:
        found, objects = np.split(answers, [most], axis=1)
        return {
            name: average_precision.mean(
                average_precision.voc(found, objects, classes, overlap=overlap)
            )
            for name, overlap in OVERLAPS.items()
        }

    return Objective(
        losses=losses,
        parts=parts,
        size=0,
        sums=lambda targets, outputs, real: ops.zeros((0,), "float64"),
        figures=lambda sums, images: {},
        answers=lambda targets, outputs: ops.concatenate([outputs[0], targets], axis=1),
        judged=judged,
    )
