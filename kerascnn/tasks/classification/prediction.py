"""What a trained run sees in image files: any number of them, in the memory of a few batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data import ArraySplit
from kerascnn.data.files import Found
from kerascnn.data.reading import read_files
from kerascnn.errors import ArgumentError
from kerascnn.tasks.classification.measures import require_numbers
from kerascnn.tasks.forward import FEW, forward, outputs, preparation
from kerascnn.tasks.sight import Sight

BATCH = 32


@dataclass(frozen=True)
class Prediction:
    """What the network sees in a file.

    Attributes:
        path: the file.
        probabilities: of the classes, `[classes]`; empty if the file can't be read.
        changes: what was changed to fit the network, a phrase each.
        error: why the file can't be read; "": it can.
    """

    path: str
    probabilities: np.ndarray
    changes: tuple[str, ...] = ()
    error: str = ""


def predict(model: keras.Model, sight: Sight, images: np.ndarray, *, batch_size: int) -> np.ndarray:
    """Class probabilities `[batch, classes]` of an array; see `kerascnn.Run.predict`.

    Raises:
        ArgumentError: the array has another shape.
    """
    accepted = dict.fromkeys((sight.input_shape, sight.canvas))
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] not in accepted:
        shapes = " or ".join(f"[batch, {', '.join(map(str, shape))}]" for shape in accepted)
        raise ArgumentError(f"images must be {shapes}. Received: {images.shape}.")
    if not len(images):
        return np.zeros((0, sight.classes), "float32")
    split = ArraySplit(images, np.zeros(len(images)))
    return np.concatenate([*outputs(model, split, preparation(sight), batch_size)])


def predict_files(
    model: keras.Model, sight: Sight, files: Iterable[Found], *, batch_size: int = BATCH
) -> Iterator[Prediction]:
    """Predict one file after the other, in their order.

    Args:
        model: a run's.
        sight: how it sees images.
        files: as `kerascnn.data.files.Files` finds them; no more are taken than will be read soon.
        batch_size: images in one step.

    Raises:
        RunError: the model's answers are not numbers.
    """
    shape, prepare = sight.canvas, preparation(sight)
    network: Callable[[Any], np.ndarray] | None = None
    for batch in read_files(files, shape, batch_size=batch_size, reading=sight.reading):
        pixels = [file.pixels for file in batch if file.pixels is not None]
        if network is None:
            many = len(batch) == batch_size or len(pixels) > FEW
            spec = tf.TensorSpec((None, *shape), tf.uint8)
            network = forward(model, prepare, spec if many else None)
        scores = network(np.stack(pixels)) if pixels else np.zeros((0, 0), "float32")
        require_numbers(scores)
        answers = iter(scores)
        for file in batch:
            own = scores[:0] if file.pixels is None else next(answers)
            yield Prediction(file.path, own, file.changes, file.error)
