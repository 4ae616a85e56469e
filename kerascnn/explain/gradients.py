"""Back to the pixels: deconvnet, guided back-propagation, and the plain gradient."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.explain.graph import Replay, Rule
from kerascnn.explain.targets import Target, by_layer, parse, units

Explain = Callable[[Replay, tf.Tensor, str | None, Sequence[Target]], np.ndarray]
"""From a replay, images as a tensor, a layer (None: the scores) and the targets in it, one for each
image, to an array `[batch, ...]`."""

# Of the images whose maps are kept at a time for the way back: 32 small ones, or 10 of 224×224,
# for which VGG-16 takes 1 GB.
PIXELS = 2**19
IMAGES = 32


def deconvnet(model: keras.Model, images: Any, target: Any) -> np.ndarray:
    """What in each image has led to the target: back through the network, down to pixels.

    Max pooling is undone through the switches of that image, the places where its maxima were;
    ReLU is applied on the way back as it is on the way there; convolutions are undone by their
    filters transposed (Zeiler and Fergus, 2014, section 2.1). A map's unit starts with its value,
    all others with zero; a class starts with one. LRN is an identity on the way back, as in the
    paper; biases play no role.

    Args:
        model: functional, or a built Sequential; its activations are ReLU on the way to the target.
        images: as the network takes them, `[batch, height, width, channels]`.
        target: a class index of the main output; `(layer, channel)` or `(layer, channel, unit)`
            with an endpoint's or a layer's name and the unit "max" (the default: the strongest of
            the map), "all", or `(row, column)`. Or a list of one for each image.

    Returns:
        `[batch, height, width, channels]`, float32, in the unit of the target per unit of pixels.

    Raises:
        ArgumentError: an activation isn't ReLU; images or target don't fit the model.
    """
    return _projected(model, images, target, "deconvnet")


def guided_backprop(model: keras.Model, images: Any, target: Any) -> np.ndarray:
    """What in each image has led to the target, through the units that fired for it alone.

    As `deconvnet`, but a ReLU hands back only what is positive and where it was positive itself
    (Springenberg et al., 2014, "Striving for simplicity", section 4). LRN hands back its
    gradient.

    It shows an image's edges more than what speaks for a class: other weights in the upper layers
    change it little (Adebayo et al., 2018, "Sanity checks for saliency maps", figure 2).

    Args, returns and raises: as `deconvnet`.
    """
    return _projected(model, images, target, "guided")


def saliency(model: keras.Model, images: Any, target: Any, *, signed: bool = False) -> np.ndarray:
    """How much the target changes with each pixel: its gradient.

    Args:
        model: functional, or a built Sequential, with any activations.
        images: as the network takes them, `[batch, height, width, channels]`.
        target: as in `deconvnet`. Of a class the score before the softmax is derived, of "all"
            units of a map their sum.
        signed: the gradient itself. Default: its largest absolute value over the channels
            (Simonyan et al., 2013, section 3.1).

    Returns:
        `[batch, height, width]`; with `signed` `[batch, height, width, channels]`; float32.

    Raises:
        ArgumentError: images or target don't fit the model.
    """

    def back(
        replay: Replay, pixels: tf.Tensor, layer: str | None, targets: Sequence[Target]
    ) -> np.ndarray:
        return gradient(replay, pixels, layer, functools.partial(units, targets))

    found = for_each_layer(model, images, target, back)
    return found if signed else np.abs(found).max(axis=-1)


def _projected(model: keras.Model, images: Any, target: Any, rule: Rule) -> np.ndarray:
    def back(
        replay: Replay, pixels: tf.Tensor, layer: str | None, targets: Sequence[Target]
    ) -> np.ndarray:
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            (maps,) = replay.play(pixels, [layer], rule)
        start = units(targets, maps.numpy())
        return tape.gradient(maps, pixels, start if layer is None else start * maps).numpy()

    return for_each_layer(model, images, target, back)


def gradient(
    replay: Replay,
    pixels: tf.Tensor,
    layer: str | None,
    choose: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """The gradient of the sum of chosen units, `[batch, height, width, channels]`.

    Args:
        replay, pixels, layer: as `for_each_layer` gives them.
        choose: from the layer's output to ones and zeros of its shape.
    """
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        (maps,) = replay.play(pixels, [layer])
    return tape.gradient(maps, pixels, choose(maps.numpy())).numpy()


def for_each_layer(model: keras.Model, images: Any, target: Any, explain: Explain) -> np.ndarray:
    """What `explain` gives, where images may have targets in different layers.

    Args:
        model, images, target: as a user gives them.
        explain: for images whose targets are in one layer.

    Returns:
        The arrays in the order of the images.
    """
    replay = Replay(model)
    pixels = replay.images(images)
    targets = parse(target, len(pixels))
    size = at_once(pixels)
    found: list[Any] = [None] * len(targets)
    for name, places in by_layer(targets):
        layer = None if name is None else replay.layer(name)
        for index in np.split(places, range(size, len(places), size)):
            chosen = [targets[place] for place in index]
            for place, each in zip(index, explain(replay, tf.gather(pixels, index), layer, chosen)):
                found[place] = each
    return np.stack(found)


def at_once(images: Any) -> int:
    """How many of these images, `[batch, height, width, channels]`, are explained at a time."""
    height, width = images.shape[1:3]
    return max(1, min(IMAGES, PIXELS // (height * width)))
