"""Gradients averaged: over noisy copies of an image, and on the way to it from a baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.errors import ArgumentError
from kerascnn.explain.arguments import require_whole
from kerascnn.explain.gradients import for_each_layer, gradient
from kerascnn.explain.graph import Replay
from kerascnn.explain.targets import Target
from kerascnn.explain.variants import baseline_of, chosen_units, pairs


def smooth_grad(
    model: keras.Model,
    images: Any,
    target: Any,
    *,
    noise: float = 0.15,
    samples: int = 25,
    seed: int = 0,
    signed: bool = False,
) -> np.ndarray:
    """How much the target changes with each pixel, on average over noisy copies of the image.

    A gradient fluctuates from one image to the next that looks the same; its mean over images
    nearby shows what is common to them (Smilkov et al., 2017, "SmoothGrad", section 2.2). The noise
    is the same for all images of a batch, so that an image's map doesn't depend on the others.

    Args:
        model: functional, or a built Sequential, with any activations.
        images: as the network takes them, `[batch, height, width, channels]`.
        target: as in `deconvnet`. The strongest unit of a map is that of the image itself.
        noise: the standard deviation of the Gaussian noise, as a share of each image's range, the
            difference between its largest and its smallest value.
        samples: noisy copies of each image.
        seed: of the noise; one seed gives one result.
        signed: the mean gradient itself. Default: its largest absolute value over the channels.

    Returns:
        `[batch, height, width]`; with `signed` `[batch, height, width, channels]`; float32.

    Raises:
        ArgumentError: images or target don't fit the model, `noise` or `seed` is negative, or
            `samples` is less than 1.
    """
    if not (isinstance(noise, (int, float, np.number)) and 0 <= noise < np.inf):
        raise ArgumentError(f"noise must be a number, at least 0. Received: {noise!r}.")
    require_whole("samples", samples, 1)
    require_whole("seed", seed, 0)

    def average(
        replay: Replay, pixels: tf.Tensor, layer: str | None, targets: Sequence[Target]
    ) -> np.ndarray:
        originals = pixels.numpy()
        deviations = noise * np.ptp(originals, axis=(1, 2, 3), keepdims=True)

        def noisy(image: np.ndarray, sample: np.ndarray) -> np.ndarray:
            drawn = [_normal(originals.shape[1:], seed, number) for number in sample]
            return originals[image] + deviations[image] * np.stack(drawn)

        shares = np.full(samples, 1 / samples)
        return _mean_gradient(replay, pixels, layer, targets, noisy, shares)

    found = for_each_layer(model, images, target, average)
    return found if signed else np.abs(found).max(axis=-1)


def integrated_gradients(
    model: keras.Model, images: Any, target: Any, *, baseline: Any = 0.0, steps: int = 32
) -> np.ndarray:
    """What each pixel adds to the target on the straight way from a baseline to the image.

    The gradient is integrated along that way and multiplied by the difference of image and
    baseline (Sundararajan et al., 2017, "Axiomatic attribution for deep networks", section 3). The
    attributions of an image add up to the target's value less its value for the baseline, up to
    what the sum over `steps` points of Gauss and Legendre leaves over (proposition 1).

    Args:
        model: functional, or a built Sequential, with any activations.
        images: as the network takes them, `[batch, height, width, channels]`.
        target: as in `deconvnet`. The strongest unit of a map is that of the image itself.
        baseline: the image that stands for nothing, as the network takes it: a number, one for each
            channel, or `[height, width, channels]`.
        steps: points on the way; they are played in batches of bounded size.

    Returns:
        `[batch, height, width, channels]`, float32, in the unit of the target.

    Raises:
        ArgumentError: images, target or baseline don't fit the model, or `steps` is less than 1.
    """
    require_whole("steps", steps, 1)
    points, weights = np.polynomial.legendre.leggauss(steps)  # of the interval from -1 to 1
    shares = ((points + 1) / 2).astype("float32")

    def integrate(
        replay: Replay, pixels: tf.Tensor, layer: str | None, targets: Sequence[Target]
    ) -> np.ndarray:
        originals = pixels.numpy()
        nothing = baseline_of(baseline, originals)
        differences = originals - nothing

        def between(image: np.ndarray, step: np.ndarray) -> np.ndarray:
            return nothing + shares[step, None, None, None] * differences[image]

        mean = _mean_gradient(replay, pixels, layer, targets, between, weights / 2)
        return mean * differences

    return for_each_layer(model, images, target, integrate)


def _mean_gradient(
    replay: Replay,
    pixels: tf.Tensor,
    layer: str | None,
    targets: Sequence[Target],
    variant: Callable[[np.ndarray, np.ndarray], np.ndarray],
    weights: np.ndarray,
) -> np.ndarray:
    """The weighted sum of gradients over the variants of each image, like `pixels`.

    Args:
        replay, pixels, layer, targets: as `for_each_layer` gives them.
        variant: from numbers of images and numbers of variants to images.
        weights: of each variant.
    """
    chosen = chosen_units(replay, pixels, layer, targets)
    sums = np.zeros(pixels.shape, "float64")
    for image, number in pairs(sums, len(weights)):
        there = tf.constant(variant(image, number), "float32")
        found = gradient(replay, there, layer, _always(chosen[image]))
        np.add.at(sums, image, weights[number, None, None, None] * found)
    return sums.astype("float32")


def _always(units: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda maps: units


def _normal(shape: tuple[int, ...], seed: int, number: int) -> np.ndarray:
    return np.random.default_rng([seed, number]).standard_normal(shape, "float32")
