"""What a network says about images, and the way of images into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data import ArraySplit, Split
from kerascnn.data.augmentation import central
from kerascnn.errors import ArgumentError
from kerascnn.preprocessing import float_of_pixels, preprocess
from kerascnn.runs.config import preprocessing_from, recipe_from
from kerascnn.runs.run import Run

# So many images are done before a graph would be ready: ResNet-50 takes 1 s for one, its graph 3.
FEW = 8


def forward(
    model: keras.Model, prepare: Callable[[Any], Any], spec: tf.TensorSpec | None
) -> Callable[[Any], np.ndarray]:
    """From a batch of images to the model's first output, `[batch, classes]`.

    Args:
        model: with one output, or several of which the first one counts.
        prepare: from images to the model's input.
        spec: of a batch of any number of images, for which one graph is made; None: no graph.
    """

    def first(images: Any) -> Any:
        outputs = model(prepare(images), training=False)
        return outputs[0] if isinstance(outputs, (list, tuple)) else outputs

    if spec is not None:
        first = tf.function(first, input_signature=[spec])
    return lambda images: first(images).numpy()


def outputs(
    model: keras.Model, split: Split, prepare: Callable[[Any], Any], batch_size: int
) -> Iterator[np.ndarray]:
    """The model's first output, `[batch, classes]` for one batch of a split after the other."""
    batches = split.batches(batch_size)
    network = forward(model, prepare, batches.element_spec[0] if split.size > FEW else None)
    for images, _ in batches:
        yield network(images)


def predict_run(run: Run, images: np.ndarray, *, batch_size: int) -> np.ndarray:
    """See `Run.predict`."""
    config = run.config
    accepted = dict.fromkeys((tuple(config["input_shape"]), canvas_shape(config)))
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] not in accepted:
        shapes = " or ".join(f"[batch, {', '.join(map(str, shape))}]" for shape in accepted)
        raise ArgumentError(f"images must be {shapes}. Received: {images.shape}.")
    if not len(images):
        return np.zeros((0, config["classes"]), "float32")
    split = ArraySplit(images, np.zeros(len(images)))
    return np.concatenate([*outputs(run.model(), split, preparation(config), batch_size)])


def preprocess_with(stored: Mapping[str, Any]) -> Callable[[Any], Any]:
    """The preprocessing that a run's config describes, as a function on batches of pixels."""
    preprocessing = preprocessing_from(stored)
    dtype = float_of_pixels()
    return lambda images: tf.cast(preprocess(images, preprocessing), dtype)


def preparation(config: Mapping[str, Any]) -> Callable[[Any], Any]:
    """From a batch of the canvas to the network's input: its middle, preprocessed.

    Images that are cropped already, as training images are, stay whole.

    Args:
        config: a run's.
    """
    size = tuple(config["input_shape"][:2])
    augmentation = recipe_from(config["recipe"]).augmentation
    prepare = preprocess_with(config["preprocessing"])

    def ready(images: Any) -> Any:
        whole = tuple(images.shape[1:3]) == size
        return prepare(images if whole else central(images, augmentation, size))

    return ready


def canvas_shape(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """`(height, width, channels)` of the images that a run's training was given."""
    height, width, channels = config["data"].get("image_shape", config["input_shape"])
    return height, width, channels
