"""From images and files to a network's answers: any number, in the memory of a few batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.card import Preprocessing
from kerascnn.data import ArraySplit, Split
from kerascnn.data.augmentation import central, central_targets
from kerascnn.data.files import Found
from kerascnn.data.reading import read_files
from kerascnn.data.targets import Targets
from kerascnn.errors import ArgumentError, RunError
from kerascnn.preprocessing import float_of_pixels, preprocess
from kerascnn.tasks.prediction import BATCH, Prediction
from kerascnn.tasks.sight import Sight

# So many images are done before a graph would be ready: ResNet-50 takes 1 s for one, its graph 3.
FEW = 8


def preprocessed(preprocessing: Preprocessing) -> Callable[[Any], Any]:
    """`preprocess` as a function on batches of pixels, in Keras's type for them."""
    dtype = float_of_pixels()
    return lambda images: tf.cast(preprocess(images, preprocessing), dtype)


def middle(sight: Sight) -> Callable[[Any], Any]:
    """From a batch of the canvas to what the network sees of it, in pixels: its middle.

    Images that are cropped already, as training images are, stay whole.
    """
    size = sight.input_shape[:2]

    def cut(images: Any) -> Any:
        whole = tuple(images.shape[1:3]) == size
        return images if whole else central(images, sight.recipe.augmentation, size)

    return cut


def middle_of_targets(kind: type[Targets], sight: Sight) -> Callable[[Any, Any], Any]:
    """From a batch of images and their targets to the targets of what `middle` leaves of them."""
    size = sight.input_shape[:2]

    def cut(images: Any, targets: Any) -> Any:
        canvas = tuple(images.shape[1:3])
        if canvas == size:
            return targets
        return central_targets(kind, targets, sight.recipe.augmentation, canvas, size)

    return cut


def preparation(sight: Sight) -> Callable[[Any], Any]:
    """From a batch of the canvas to the network's input: its middle, preprocessed."""
    cut, prepare = middle(sight), preprocessed(sight.preprocessing)
    return lambda images: prepare(cut(images))


def forward(
    model: keras.Model, prepare: Callable[[Any], Any], spec: tf.TensorSpec | None
) -> Callable[[Any], np.ndarray]:
    """From a batch of images to the model's first output, `[batch, ...]`.

    Args:
        model: with one output, or several of which the first one counts.
        prepare: from images to the model's input.
        spec: of a batch of any number of images, for which one graph is made; None: no graph.
    """

    def first(images: Any) -> Any:
        outputs = model(prepare(images), training=False)
        return outputs[0] if isinstance(outputs, (list, tuple)) else outputs

    if spec is not None:
        first = tf.function(first, input_signature=[spec], autograph=False)
    return lambda images: first(images).numpy()


def outputs(
    model: keras.Model, split: Split, prepare: Callable[[Any], Any], batch_size: int
) -> Iterator[np.ndarray]:
    """The model's first output, `[batch, ...]` for one batch of a split after the other."""
    batches = split.batches(batch_size)
    network = forward(model, prepare, batches.element_spec[0] if split.size > FEW else None)
    for images, _ in batches:
        yield network(images)


def require_numbers(answers: np.ndarray) -> None:
    """Refuse answers `[batch, ...]` of which one is not a number.

    Every comparison with such a score is false, so it would count as the highest one.

    Raises:
        RunError: there is one.
    """
    bad = int(np.isnan(answers).any(axis=tuple(range(1, answers.ndim))).sum())
    if bad:
        raise RunError(
            f"The model answers {bad} of {len(answers)} images with scores that are not numbers "
            "(NaN), so its answers mean nothing: its weights are damaged, or training diverged."
        )


def predicted(
    model: keras.Model, sight: Sight, images: np.ndarray, *, batch_size: int
) -> np.ndarray:
    """The model's first output for an array of images of one of the sizes that it is used to.

    Args:
        model: a run's.
        sight: how it sees images.
        images: pixels in [0, 255], `[batch, height, width, channels]`, of its input or its canvas.
        batch_size: images in one step.

    Raises:
        ArgumentError: the array has another shape.
    """
    accepted = dict.fromkeys((sight.input_shape, sight.canvas))
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] not in accepted:
        shapes = " or ".join(f"[batch, {', '.join(map(str, shape))}]" for shape in accepted)
        raise ArgumentError(f"images must be {shapes}. Received: {images.shape}.")
    if not len(images):
        return np.zeros((0, *model.outputs[0].shape[1:]), "float32")
    split = ArraySplit(images, np.zeros(len(images)))
    return np.concatenate([*outputs(model, split, preparation(sight), batch_size)])


def predicted_files(
    model: keras.Model, sight: Sight, files: Iterable[Found], *, batch_size: int = BATCH
) -> Iterator[Prediction]:
    """The model's first output for one file after the other, in their order.

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
        found = network(np.stack(pixels)) if pixels else np.zeros((0, 0), "float32")
        require_numbers(found)
        answers = iter(found)
        for file in batch:
            own = None if file.pixels is None else next(answers)
            yield Prediction(file.path, own, file.changes, file.error)
