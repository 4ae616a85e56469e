"""Whether two forms of a network answer alike: on images that make it say something, by logits.

A softmax of 0 and 1 would hide any difference. Exported files and networks of another precision are
measured so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascnn.errors import ArgumentError
from kerascnn.tasks.comparison import Comparison

if TYPE_CHECKING:
    import keras

BOUND, HALF_BOUND = 1e-3, 3e-2
"""The largest `difference` of a right file; the other where layers compute in half precision.

In float32 the runtimes differ from TensorFlow by about 1e-6 to 1e-4, and weights that are off by a
hundredth from the model's by 5e-3 and more.
"""


class NotCompared(Exception):  # noqa: N818
    """Why two forms of a network can't be compared."""


Answer = Callable[[np.ndarray], tuple[list[np.ndarray], bool]]
"""From images to the other form's outputs, and whether they are what comes before the softmax."""


def difference(
    model: keras.Model,
    answer: Answer,
    *,
    size: tuple[int, int] | None = None,
    comparison: Comparison | None = None,
    images: np.ndarray | None = None,
) -> float:
    """The largest difference of the other form's logits from the model's, relative to their range.

    Args:
        model: that is right.
        answer: the other form's.
        size: of the images, where the model takes any.
        comparison: how, of the model's outputs; None: number by number.
        images: that both are given; None: those of `telling_images`, of that size.

    Raises:
        NotCompared: neither says anything of the images.
    """
    if images is None:
        images = telling_images(model, size, comparison)
    theirs, are_scores = answer(images)
    if comparison:
        form = before_softmax(model)[0] if are_scores else model
        ours = listed(form(images, training=False))
        if not comparison.said(ours).any():
            raise NotCompared(
                f"the model gives no {comparison.what} for all images that were tried"
            )
        return comparison.gap(ours, theirs)
    scores, softmaxes = before_softmax(model)
    if are_scores:  # the other form's own logits are seen
        model, softmaxes = scores, [False] * len(softmaxes)
    ours = listed(model(images, training=False))
    if softmaxes[0] and not ((ours[0] > TINY).sum(-1) > 1).any():
        raise NotCompared("its softmax is 0 or 1 for all images that were tried")
    gaps = [
        # Runtimes may give a model's outputs in another order.
        min((_gap(x, y, softmax) for y in theirs if y.shape == x.shape), default=np.inf)
        for x, softmax in zip(ours, softmaxes)
    ]
    return float(np.max(gaps))


def compared(comparison: Comparison | None) -> str:
    """What of a model is compared, for messages."""
    return comparison.what if comparison else "logits"


def bound(model: keras.Model) -> float:
    """The largest `difference` that rounding explains."""
    from kerascnn.keras_internals import all_layers

    half = any("16" in getattr(layer, "compute_dtype", "") for layer in all_layers(model))
    return HALF_BOUND if half else BOUND


def _gap(ours: np.ndarray, theirs: np.ndarray, softmax: bool) -> float:
    """The largest difference in one output, of the range of each image's values."""
    ours, theirs = (x.reshape(len(x), -1).astype("float64") for x in (ours, theirs))
    if softmax:  # its logarithm is the logits, less what they have in common
        ours, theirs = (np.log(np.maximum(x, TINY)) for x in (ours, theirs))
    largest = np.abs(ours).max(1)
    scale = np.maximum(np.ptp(ours, axis=1), np.maximum(1e-4 * largest, TINY))
    gap = float(np.max(np.abs(ours - theirs).max(1) / scale))
    return gap if np.isfinite(gap) else np.inf


TINY = 1e-35  # below it float32 loses its digits
_AT_ONCE = 4  # images


def telling_images(
    model: keras.Model,
    size: tuple[int, int] | None = None,
    comparison: Comparison | None = None,
) -> np.ndarray:
    """Coloured patches with noise, at the contrasts at which the model's answers differ most.

    A softmax of logits that are all alike, or far apart, says little of them: here the range of
    the logits is the nearest to 20 that any contrast gives. With a comparison, the most is said.

    Returns:
        `[4, height, width, channels]`.
    """
    from kerascnn.preprocessing import PreprocessingLayer

    (given,) = model.inputs
    height, width = (side or other for side, other in zip(given.shape[1:3], size or (64, 64)))
    channels = given.shape[3] or 64
    rng = np.random.default_rng(0)
    side = -(-max(height, width) // 6)
    patches = rng.uniform(-1, 1, (_AT_ONCE, 6, 6, channels)).repeat(side, 1).repeat(side, 2)
    pattern = patches[:, :height, :width] + rng.normal(0, 0.3, (_AT_ONCE, height, width, channels))
    pattern = np.clip(pattern, -1, 1)
    if any(isinstance(layer, PreprocessingLayer) for layer in model.layers):
        candidates = [127.5 + 127.5 * contrast * pattern for contrast in (0.01, 0.1, 0.4, 1)]
    else:
        candidates = [contrast * pattern for contrast in (0.01, 0.1, 1, 10, 100)]
    stacks = [images.astype(_numpy_dtype(given.dtype)) for images in candidates]
    if comparison:
        said = [comparison.said(listed(model(images, training=False))) for images in stacks]
        best = np.argsort(-np.concatenate(said), kind="stable")[:_AT_ONCE]
        return np.concatenate(stacks)[best]
    scores, _ = before_softmax(model)
    ranges = np.concatenate([_ranges(scores, images) for images in stacks])
    best = np.argsort(np.abs(np.log(np.maximum(ranges, TINY) / 20)), kind="stable")[:_AT_ONCE]
    return np.concatenate(stacks)[best]


def _ranges(scores: keras.Model, images: np.ndarray) -> np.ndarray:
    """Of the first output's values, for each image."""
    values = listed(scores(images, training=False))[0].reshape(len(images), -1)
    found = np.ptp(values.astype("float64"), axis=1)
    return np.where(np.isfinite(found), found, np.inf)


def before_softmax(model: keras.Model) -> tuple[keras.Model, list[bool]]:
    """The model before its softmax, and of each output whether it is one over the last axis."""
    from kerascnn.heads import scores_of

    try:
        scores, are_logits = scores_of(model)
    except ArgumentError:  # other ends
        return model, [False] * len(model.outputs)
    return scores, [are_logits and a is not b for a, b in zip(scores.outputs, model.outputs)]


def _numpy_dtype(dtype: str) -> Any:
    import tensorflow as tf

    return tf.as_dtype(dtype).as_numpy_dtype


def listed(outputs: Any) -> list[np.ndarray]:
    """A model's outputs as arrays, in their order."""
    import keras

    return [np.asarray(keras.ops.convert_to_numpy(x)) for x in keras.tree.flatten(outputs)]
