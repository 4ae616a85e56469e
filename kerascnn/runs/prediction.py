"""What a trained run sees in image files: any number of them, in the memory of a few batches."""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data import ArraySplit, images
from kerascnn.data.arguments import common
from kerascnn.data.fitting import Shape
from kerascnn.data.images import Reading
from kerascnn.data.threads import threads
from kerascnn.errors import ArgumentError, DataError
from kerascnn.runs.config import RunConfig
from kerascnn.runs.files import Found
from kerascnn.runs.forward import FEW, forward, outputs, preparation
from kerascnn.runs.measures import require_numbers

BATCH = 32
AHEAD = 2  # batches that are read while one is looked at


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


@dataclass(frozen=True)
class _Read:
    """A file that was read: its pixels in the network's size, unless there is an error."""

    path: str
    pixels: np.ndarray | None
    changes: tuple[str, ...]
    error: str


def predict(
    model: keras.Model, config: RunConfig, images: np.ndarray, *, batch_size: int
) -> np.ndarray:
    """Class probabilities `[batch, classes]` of an array; see `kerascnn.Run.predict`.

    Raises:
        ArgumentError: the array has another shape.
    """
    accepted = dict.fromkeys((config.input_shape, config.canvas))
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] not in accepted:
        shapes = " or ".join(f"[batch, {', '.join(map(str, shape))}]" for shape in accepted)
        raise ArgumentError(f"images must be {shapes}. Received: {images.shape}.")
    if not len(images):
        return np.zeros((0, config.classes), "float32")
    split = ArraySplit(images, np.zeros(len(images)))
    return np.concatenate([*outputs(model, split, preparation(config), batch_size)])


def predict_files(
    model: keras.Model, config: RunConfig, files: Iterable[Found], *, batch_size: int = BATCH
) -> Iterator[Prediction]:
    """Predict one file after the other, in their order.

    Args:
        model: a run's.
        config: that it was trained with.
        files: as `kerascnn.runs.files.Files` finds them; no more are taken than will be read soon.
        batch_size: images in one step.

    Raises:
        RunError: the model's answers are not numbers.
    """
    shape, prepare = config.canvas, preparation(config)
    network: Callable[[Any], np.ndarray] | None = None
    # As training read its files: 12 bits in 16 are nearly black without the range of the source.
    _, reading = common(config.data.source)
    read = functools.partial(_read, shape=shape, reading=reading)
    for batch in _batches(files, read, batch_size):
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


def _batches(
    files: Iterable[Found], read: Callable[[Found], _Read], batch_size: int
) -> Iterator[list[_Read]]:
    """Files in their order, read in threads, some batches ahead of the one that is looked at."""
    waiting: deque[Future[_Read]] = deque()
    coming = iter(files)
    try:
        while True:
            missing = (1 + AHEAD) * batch_size - len(waiting)
            for file in itertools.islice(coming, missing):
                waiting.append(threads().submit(read, file))
            if not waiting:
                return
            count = min(batch_size, len(waiting))
            yield [waiting.popleft().result() for _ in range(count)]
    finally:
        for future in waiting:
            future.cancel()


def _read(file: Found, *, shape: Shape, reading: Reading) -> _Read:
    try:
        if file.error:
            raise DataError(f"{file.path}: {file.error}")
        pixels, changes = images.read(file.path, shape, None, reading)
    except Exception as error:  # whatever one file does, the others are done
        known = error if isinstance(error, DataError) else images.unreadable(file.path, error)
        return _Read(file.path, None, (), str(known))
    return _Read(file.path, pixels, changes, "")
