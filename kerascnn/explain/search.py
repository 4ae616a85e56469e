"""The search for what excites maps most: the maps of a layer, what they are shown, one pass."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.errors import ArgumentError
from kerascnn.explain.graph import Replay, flat_calls, flat_profile
from kerascnn.explain.reading import Images
from kerascnn.explain.strongest import Strongest
from kerascnn.receptive_fields import ReceptiveField

Report = Callable[[int, int | None], None]
"""Is told how many images were seen so far, and of how many; None: that isn't known."""

SAVE_EVERY = 30.0  # seconds


@dataclass(frozen=True)
class View:
    """From a batch of the data to the network's input, and to what a person sees of it."""

    preprocess: Callable[[Any], Any]
    pixels: Callable[[Any], Any] | None

    @classmethod
    def of(
        cls,
        first: np.ndarray,
        preprocess: Callable[[Any], Any] | None,
        pixels: Callable[[Any], Any] | None,
    ) -> View:
        """See above; what doesn't fit together is refused on the data's first image, a batch.

        Args:
            first: `[1, height, width, channels]`.
            preprocess, pixels: as `top_patches` takes them.

        Raises:
            ArgumentError: they give no images, or some of another size.
        """
        view = cls(preprocess or (lambda images: images), pixels)
        given = view.input(first).shape
        if len(given) != 4:
            raise ArgumentError(
                "preprocess must give images [batch, height, width, channels]. Received: "
                f"{tuple(given)} of {first.shape}."
            )
        if pixels is None:
            same = first.shape[1:3] == tuple(given[1:3])
            return cls(view.preprocess, (lambda images: images) if same else None)
        if view.seen(first).shape[:3] != tuple(given[:3]):
            raise ArgumentError(
                f"pixels must give images of the network's input's height and width, {given[1]}×"
                f"{given[2]}. Received: {view.seen(first).shape}."
            )
        return view

    def input(self, images: np.ndarray) -> tf.Tensor:
        """`[batch, height, width, channels]`, float32."""
        return tf.cast(tf.convert_to_tensor(self.preprocess(images)), tf.float32)

    def seen(self, images: np.ndarray) -> np.ndarray:
        """`[batch, height, width, any channels]`, of the input's size."""
        return np.asarray(self.pixels(images) if self.pixels else self.input(images))


@dataclass(frozen=True)
class Maps:
    """The maps of a layer for images of one size; a vector is maps of one unit.

    Attributes:
        name: the layer's own.
        sides: rows and columns; empty for a vector.
        count: of the maps.
        field: of a unit; None: the whole image.
        strongest: from images to the strongest activation of each map, its unit, row by row,
            `[batch, maps]` each, and whether all activations are finite.
    """

    name: str
    sides: tuple[int, ...]
    count: int
    field: ReceptiveField | None
    strongest: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]

    @property
    def units(self) -> int:
        """Of one map."""
        return math.prod(self.sides)

    def positions(self, unit: np.ndarray) -> np.ndarray:
        """Row and column of units, `[..., 2]`."""
        return np.stack(np.divmod(unit, self.sides[1] if self.sides else 1), axis=-1)

    @classmethod
    def of(cls, model: keras.Model, layer: str, image: tf.Tensor) -> Maps:
        """See above; `image` is the first of those to come, as the network takes it."""
        replay = Replay(model)
        name = replay.layer(layer)
        require_finite_weights(model)
        # Played once as it is: what a graph is made of must be there before.
        (maps,) = replay.play(replay.images(image), [name])
        if len(maps.shape) not in (2, 4):
            raise ArgumentError(
                f"{layer} must have maps [batch, rows, columns, channels] or a vector [batch, "
                f"channels]. Received: {list(maps.shape)}."
            )
        *sides, count = maps.shape[1:]
        measured = flat_profile(model, tuple(image.shape[1:]))

        def strongest(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            (maps,) = replay.play(pixels, [name])
            units = tf.reshape(maps, (-1, math.prod(sides), count))
            finite = tf.reduce_all(tf.math.is_finite(units))
            return tf.reduce_max(units, axis=1), tf.argmax(units, axis=1), finite

        spec = tf.TensorSpec((None, *image.shape[1:]), tf.float32)
        return cls(
            name=name,
            sides=tuple(sides),
            count=count,
            field=measured[name].receptive_field if sides else None,
            strongest=tf.function(strongest, input_signature=[spec]),
        )

    def require_finite(self, finite: tf.Tensor) -> None:
        """Refuse what can't be ordered."""
        if not finite:
            raise ArgumentError(
                f"{self.name} answers with values that are not finite numbers, so that none is the "
                "strongest. Expected a model whose training did not diverge."
            )


def require_finite_weights(model: keras.Model) -> None:
    """A network that has diverged answers with zeros behind a ReLU, as if no map ever fired."""
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(keras.ops.cast(weight, "float32"))).all():
            raise ArgumentError(
                f"{model.name}: the weights must be finite numbers; training has diverged. "
                f"Received: {weight.path} with others."
            )


def digest(model: keras.Model) -> bytes:
    """Of a network's calls and weights."""
    found = hashlib.sha256()
    for call in flat_calls(model):
        found.update(f"{type(call.operation).__name__}\n".encode())
    for weight in model.weights:
        value = keras.ops.convert_to_numpy(weight)
        found.update(f"{value.shape}".encode() + value.tobytes())
    return found.digest()


def search(
    maps: Maps,
    view: View,
    images: Images,
    strongest: Strongest,
    batch_size: int,
    told: Callable[[], None],
    keep: Callable[[], None] | None = None,
) -> None:
    """Go through the images that `strongest` has not seen yet.

    `told` is called after each batch, `keep` now and then.
    """
    kept, before = time.monotonic(), strongest.seen
    for batch in images.batches(batch_size, strongest.seen):
        values, unit, finite = maps.strongest(view.input(batch))
        maps.require_finite(finite)
        strongest.add(values.numpy(), unit.numpy())
        told()
        if keep and time.monotonic() - kept >= SAVE_EVERY:
            keep()
            kept = time.monotonic()
    if keep and strongest.seen > before:
        keep()
