"""From images to a network's answers, as evaluation and prediction both need them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.card import Preprocessing
from kerascnn.data import Split
from kerascnn.data.augmentation import central
from kerascnn.preprocessing import float_of_pixels, preprocess
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


def preparation(sight: Sight) -> Callable[[Any], Any]:
    """From a batch of the canvas to the network's input: its middle, preprocessed."""
    cut, prepare = middle(sight), preprocessed(sight.preprocessing)
    return lambda images: prepare(cut(images))


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
