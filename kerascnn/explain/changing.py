"""How features change when the image is moved, scaled or turned (Zeiler and Fergus, 2014, 4.1).

Figure 5 of the paper: the Euclidean distance between the features of an image and those of the same
image changed, in a layer near the input and in one near the output, and the probability of its
class. What the paper saw: small changes have a dramatic effect on the first layer and less on the
last, where the distance is about linear in translation and scale; the class is stable under both,
and not under rotation, unless the object looks the same when it is turned.

The paper doesn't say what comes in from outside of the image. Here it is the nearest pixel, or one
value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data.randaugment import Border, transformed
from kerascnn.errors import ArgumentError
from kerascnn.explain.arguments import require_whole
from kerascnn.explain.graph import Replay

SIDE, FARTHEST, TRANSLATIONS = 224, 60, 21  # figure 5: from -60 to 60 of 224 rows
SCALES = tuple(round(1 + 0.1 * step, 1) for step in range(9))  # figure 5: from 1 to 1.8
ROTATIONS = range(0, 361, 15)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """What one kind of change does, step by step.

    Attributes:
        steps: the amounts.
        distances: layer → float32 `[steps, images]`, Euclidean, between all features of the image
            and all of the changed image.
        probabilities: float32 `[steps, images]`, of the class that was predicted for the original.
    """

    steps: tuple[float, ...]
    distances: dict[str, np.ndarray]
    probabilities: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """The same in lists."""
        return {
            "steps": list(self.steps),
            "distances": {name: values.tolist() for name, values in self.distances.items()},
            "probabilities": self.probabilities.tolist(),
        }


@dataclass(frozen=True, kw_only=True)
class Invariance:
    """What three kinds of change do to the features of some images.

    Attributes:
        translation: steps in pixels, down.
        scaling: steps as factors; above 1 the image is enlarged.
        rotation: steps in degrees, counterclockwise.
        classes: int64 `[images]`, predicted for the originals.
        border: what came in from outside.
    """

    translation: Curves
    scaling: Curves
    rotation: Curves
    classes: np.ndarray
    border: Border

    def to_dict(self) -> dict[str, Any]:
        """The curves in lists, `[steps][images]`."""
        curves = {
            "translation": self.translation,
            "scaling": self.scaling,
            "rotation": self.rotation,
        }
        return {"border": self.border} | {kind: each.to_dict() for kind, each in curves.items()}


def invariance(
    model: keras.Model,
    images: Any,
    layers: str | Sequence[str],
    *,
    translations: Sequence[float] | None = None,
    scales: Sequence[float] = SCALES,
    rotations: Sequence[float] = ROTATIONS,
    border: Border = "edge",
    batch_size: int = 32,
) -> Invariance:
    """How far the features of images move when the images are moved, scaled or turned.

    Zeiler and Fergus, 2014, section 4 and figure 5, where the probability is that of the true
    class. Images are resampled by `changed`.

    Args:
        model: a functional classifier; its main output is the first one.
        images: `[images, height, width, channels]` as the network takes them.
        layers: endpoints such as "C1", or names of layers.
        translations: vertical, in pixels, positive: down. Default: as in the paper up to 60 of 224
            rows both ways, in 21 steps of whole pixels (fewer in a small image).
        scales: factors above 0; above 1 the image is enlarged.
        rotations: in degrees, counterclockwise.
        border: what comes in from outside: "edge", the nearest pixel; or a value, such as 0, which
            is the mean colour where preprocessing subtracts it.
        batch_size: images at a time. Memory holds the features of twice as many.

    Raises:
        ArgumentError: a layer is unknown, the images don't fit the network, a step is not finite or
            a scale not positive, the border is something else, or the batch size below 1.
    """
    replay = Replay(model)
    images = replay.images(images).numpy()
    names = [layers] if isinstance(layers, str) else list(dict.fromkeys(layers))
    if translations is None:
        translations = _translations(images.shape[1])
    kinds = {
        "down": _finite("translations", translations),
        "scale": _finite("scales", scales),
        "degrees": _finite("rotations", rotations),
    }
    if min(kinds["scale"], default=1.0) <= 0:
        raise ArgumentError(f"scales must be above 0. Received: {list(scales)}.")
    _require_border(border)
    require_whole("batch_size", batch_size, 1)
    count, height, width = images.shape[:3]
    curves = {kind: _empty(steps, names, count) for kind, steps in kinds.items()}
    classes = np.zeros(count, "int64")
    look = _look(replay, [replay.layer(name) for name in names], images[:1], border)
    for start in range(0, count, batch_size):
        part = slice(start, start + batch_size)
        batch = tf.constant(images[part])
        # Through the same graph as the changed images, so that no change is a distance of 0.
        originals, probabilities = look(batch, _matrix(height, width))
        classes[part] = guesses = np.argmax(probabilities, axis=-1)
        for kind, curve in curves.items():
            for row, step in enumerate(curve.steps):
                features, probabilities = look(batch, _matrix(height, width, **{kind: step}))
                for name, one, other in zip(names, features, originals):
                    curve.distances[name][row, part] = _distance(one, other)
                curve.probabilities[row, part] = probabilities.numpy()[range(len(batch)), guesses]
    translation, scaling, rotation = curves.values()
    return Invariance(
        translation=translation, scaling=scaling, rotation=rotation, classes=classes, border=border
    )


def _look(
    replay: Replay, layers: Sequence[str], image: np.ndarray, border: Border
) -> Callable[[tf.Tensor, tf.Tensor], tuple[list[tf.Tensor], tf.Tensor]]:
    """From images and a matrix to the layers' features and the probabilities, as one graph."""
    places = [*layers, None]
    *_, scores = replay.play(tf.constant(image), places)  # makes copies of layers, if it needs any
    if len(scores.shape) != 2:
        raise ArgumentError(
            f"{replay.name}: its main output must be [batch, classes], so that a class stays or "
            "changes when the image is moved. Received: "
            f"{list(scores.shape)}; a network without its classifier can be built with "
            "include_top=True."
        )

    @tf.function(autograph=False, reduce_retracing=True)
    def look(batch: tf.Tensor, matrix: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        *features, scores = replay.play(transformed(batch, matrix, border=border), places)
        found = replay.probabilities(scores)
        if found.shape[-1] == 1:  # a single sigmoid tells two classes apart
            found = tf.concat([1 - found, found], axis=-1)
        return features, found

    return look


def changed(
    images: Any,
    *,
    down: float = 0.0,
    scale: float = 1.0,
    degrees: float = 0.0,
    border: Border = "edge",
) -> np.ndarray:
    """Images moved down, and scaled and turned around their middle, by bilinear interpolation.

    Whole pixels of translation copy: so no rounding is in what they do to features.

    Args:
        images: `[batch, height, width, channels]`.
        down: pixels.
        scale: above 1: enlarged.
        degrees: counterclockwise.
        border: what comes in from outside: "edge", the nearest pixel, or a value.
    """
    images = np.asarray(images, "float32")
    height, width = images.shape[1:3]
    matrix = _matrix(height, width, down=down, scale=scale, degrees=degrees)
    return np.asarray(transformed(tf.constant(images), matrix, border=border))


def _matrix(
    height: int, width: int, *, down: float = 0.0, scale: float = 1.0, degrees: float = 0.0
) -> tf.Tensor:
    """From a pixel (x, y, 1) of the result to one of the image, `[1, 2, 3]`: the way back."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    back = turn / scale
    origin = middle - back @ (middle + np.array([0.0, down]))
    return tf.constant(np.column_stack([back, origin])[None], tf.float32)


def _translations(height: int) -> list[int]:
    """The paper's, in proportion to the image."""
    farthest = FARTHEST * height / SIDE
    return sorted({round(step) for step in np.linspace(-farthest, farthest, TRANSLATIONS)})


def _finite(name: str, steps: Sequence[float]) -> tuple[float, ...]:
    values = np.asarray(steps)
    if values.ndim != 1 or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise ArgumentError(f"{name} must be finite numbers in a row. Received: {steps!r}.")
    return tuple(values.tolist())


def _require_border(border: Border) -> None:
    number = isinstance(border, (int, float)) and math.isfinite(border)
    if border != "edge" and not number:
        raise ArgumentError(f'border must be "edge" or a number. Received: {border!r}.')


def _empty(steps: tuple[float, ...], names: Sequence[str], count: int) -> Curves:
    shape = len(steps), count
    distances = {name: np.zeros(shape, "float32") for name in names}
    return Curves(steps=steps, distances=distances, probabilities=np.zeros(shape, "float32"))


def _distance(one: tf.Tensor, other: tf.Tensor) -> np.ndarray:
    """Euclidean, `[images]`."""
    apart = tf.reshape(one - other, [one.shape[0], -1])
    return tf.norm(apart, axis=1).numpy()
