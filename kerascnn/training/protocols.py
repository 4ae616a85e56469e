"""Evaluation protocols: which views of an image a network is shown, and how its answers are joined.

"The network makes a prediction by extracting five 224 × 224 patches (the four corner patches and
the center patch) as well as their horizontal reflections, and averaging the predictions made by
the network's softmax layer on the ten patches" (AlexNet, 4.1). Dense evaluation is VGG's (3.2):
the classifier slides over the whole image, its scores are averaged over places, and the softmax of
the image and of its mirror image are averaged. Several scales are averaged likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data import Split
from kerascnn.errors import ArgumentError
from kerascnn.features import convolutionalize
from kerascnn.training.recipes import Protocol

TOP = 5  # classes; top-5 errors are reported where there are more than five


def views(images: Any, protocol: Protocol, size: tuple[int, int]) -> list[Any]:
    """The images that the network is shown, each `[batch, height, width, channels]`.

    Args:
        images: `[batch, height, width, channels]`, at least as large as `size`.
        protocol: what to show; its `resize` has been done.
        size: `(height, width)` of the network's input.
    """
    height, width = size
    down, right = images.shape[1] - height, images.shape[2] - width
    places = {
        "single": [(down // 2, right // 2)],
        "10-crop": [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)],
    }
    if protocol.views == "dense":
        found = [images]
    else:
        found = [
            images[:, top : top + height, left : left + width]
            for top, left in places[protocol.views]
        ]
    if protocol.flip or protocol.views == "10-crop":
        found += [view[:, :, ::-1] for view in found]
    return found


def predict(
    model: keras.Model,
    splits: Sequence[Split],
    protocol: Protocol,
    *,
    is_logits: bool,
    prepare: Callable[[Any], Any],
    size: tuple[int, int],
    batch_size: int,
) -> np.ndarray:
    """Class probabilities `[n, classes]`, averaged over views and scales.

    Args:
        model: its first output is what counts: logits, or probabilities.
        splits: the same images at each of the protocol's scales.
        protocol: the views.
        is_logits: what the model returns.
        prepare: from pixels to the network's input.
        size: `(height, width)` of the network's input.
        batch_size: images in one step, of which each has several views.

    Raises:
        ArgumentError: the network can't slide, or crops would all be the same.
    """
    main = keras.Model(model.inputs, model.outputs[0], name=model.name)
    dense = protocol.views == "dense"
    if dense:
        main = convolutionalize(main)

    @tf.function(reduce_retracing=True)
    def probabilities(images: Any) -> Any:
        scores = main(prepare(images), training=False)
        if dense:
            scores = tf.reduce_mean(scores, axis=(1, 2))
        return tf.nn.softmax(scores) if is_logits else scores

    total: Any = 0
    for split in splits:
        if protocol.views == "10-crop" and tuple(split.image_shape[:2]) == tuple(size):
            raise ArgumentError(
                "10-crop needs images that are larger than the network's input of "
                f"{size[0]}×{size[1]}, for example --resize {round(size[0] * 256 / 224)}. "
                "Received: images of that size."
            )
        parts = []
        for images, _ in split.batches(batch_size):
            shown = views(images, protocol, size)
            parts.append(sum(probabilities(view) for view in shown).numpy() / len(shown))
        total = total + np.concatenate(parts)
    return total / len(splits)


def rank(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Classes in front of each image's own, `[n]`: 0 is a correct top-1 prediction.

    Of equal scores the first class is in front, as `argmax` has it.
    """
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    return ((scores > own) | ((scores == own) & earlier)).sum(1)
