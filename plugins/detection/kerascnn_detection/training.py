"""The graph that a training step of a two-stage network runs (Fast R-CNN, section 2.3).

A head isn't trained on the proposals that it is tested on, but on a few of them, a quarter of which
show objects, and on the objects themselves. So the graph is cut where regions are pooled, and a
layer is put there that chooses them: `Sample`. All other layers, and the variables, are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import keras
from keras import ops

from kerascnn import blocks
from kerascnn.errors import ArgumentError
from kerascnn_detection import lessons
from kerascnn_detection.lessons import Lesson
from kerascnn_detection.sampling import draws
from kerascnn_detection.stages import COLUMNS, Detections, finder_of


@keras.saving.register_keras_serializable("kerascnn_detection")
class Sample(keras.layers.Layer):
    """The proposals, and objects, that a head learns from; see `kerascnn_detection.lessons.drawn`.

    Input: proposals, float32 `[batch, n, 6]`; a batch of `kerascnn.data.Boxes`, float32
    `[batch, most, 6]`; and int32 `[batch, 3]`, the run's seed, the epoch and the image's number.
    Output: float32 `[batch, count, 6]`.

    Args:
        lesson: which, and how many.
    """

    def __init__(self, *, lesson: Lesson, **kwargs: Any) -> None:
        super().__init__(autocast=False, **{**kwargs, "dtype": "float32"})
        self.lesson = lesson

    def call(self, inputs: Any) -> Any:
        """Draw them."""
        rows, targets, numbers = inputs
        objects = lessons.learned(targets)
        candidates = ops.shape(rows)[1] + ops.shape(targets)[1]
        return lessons.drawn(objects, rows, draws(numbers, candidates), self.lesson)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, count, 6]`."""
        return (input_shape[0][0], self.lesson.count, COLUMNS)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "lesson": asdict(self.lesson)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Sample:
        """See `get_config`."""
        return cls(**{**config, "lesson": Lesson.from_config(config["lesson"])})


def taught(scores: keras.Model) -> keras.Model:
    """What a training step runs, of the same layers and variables.

    Inputs: images; targets, a batch of `kerascnn.data.Boxes`, float32 `[batch, most, 6]`; draws,
    int32 `[batch, 3]`: the run's seed, the epoch and the image's number. Outputs: those of `scores`
    in their order, of the proposals that were drawn; then the draws. The first, which is the
    answer of `scores`, are these proposals, too: nothing is suppressed for an answer that nobody
    reads.

    Args:
        scores: a two-stage network; outputs: its answer, the inputs of its `Detections`, and those
            of its `Proposals`, if it has any, but for the image.

    Raises:
        ArgumentError: its answer isn't that of a `Detections`, or nothing pools regions.
    """
    finder = finder_of(scores, Detections)
    (image,), rows = scores.inputs, finder.input[2]
    targets = keras.Input((None, COLUMNS), name="targets")
    numbers = keras.Input((3,), dtype="int32", name="draws")
    drawn = Sample(lesson=finder.lesson, name="sample")([rows, targets, numbers])
    maps = _maps(scores, finder)
    head = blocks.repeat(finder.input[:2], [*maps, rows], [*maps, drawn])
    outputs = [drawn, *head, drawn, *scores.outputs[4:], numbers]
    return keras.Model([image, targets, numbers], outputs, name=scores.name)


def _maps(scores: keras.Model, finder: Detections) -> list[Any]:
    """What is read beside the rows by the layers that pool regions.

    Raises:
        ArgumentError: there are no such layers.
    """
    rows = finder.input[2]
    found: dict[int, Any] = {}
    for layer in scores.layers:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        if layer is not finder and any(x is rows for x in inputs):
            found |= {id(x): x for x in inputs if x is not rows}
    if not found:
        raise ArgumentError(
            "A two-stage network pools a region of its maps for each proposal. "
            f"Received: {scores.name}, in which nothing reads both."
        )
    return list(found.values())
