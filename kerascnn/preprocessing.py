"""From pixels in 0..255 to what a network was trained with: scale, mean, std, channel order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerascnn.card import Preprocessing
from kerascnn.errors import ArgumentError


def preprocess(images: Any, preprocessing: Preprocessing) -> Any:
    """`(images * scale - mean) / std`, channel by channel, in the network's order of channels.

    Args:
        images: RGB, or any other number of channels, `[..., height, width, channels]`, in 0..255,
            of any dtype.
        preprocessing: an architecture's, `architecture.card.preprocessing`. Three values of mean
            or std on another number of channels than three are replaced by their average, and
            only three channels are reordered for "BGR".

    Returns:
        float32 of the same shape.

    Raises:
        ArgumentError: mean or std has neither one value, nor three, nor one for each channel.
    """
    images = ops.cast(ops.convert_to_tensor(images), "float32")
    channels = images.shape[-1]
    std = _per_channel("std", preprocessing.std, channels)
    mean = _per_channel("mean", preprocessing.mean, channels)
    if preprocessing.order == "BGR" and channels == 3:
        images = ops.flip(images, axis=-1)
    # One multiplication and one subtraction for each pixel.
    factor = (preprocessing.scale / std).astype("float32")
    return images * factor - (mean / std).astype("float32")


def float_of_pixels() -> str:
    """float32, or float64 where Keras is told to compute in that: pixels don't fit into less."""
    return "float64" if keras.config.floatx() == "float64" else "float32"


def _per_channel(name: str, values: Sequence[float], channels: int) -> np.ndarray:
    if len(values) in (1, channels):
        return np.asarray(values, "float64")
    if len(values) == 3:
        return np.asarray([np.mean(values)])
    raise ArgumentError(
        f"{name} must have 1, 3 or {channels} values for images of {channels} channels. "
        f"Received: {tuple(values)}."
    )


@keras.saving.register_keras_serializable("kerascnn")
class PreprocessingLayer(keras.layers.Layer):
    """`preprocess` as a layer, so that a saved model takes pixels in 0..255.

    Args:
        scale, mean, std, order: see `kerascnn.Preprocessing`.

    Any dtype `[batch, height, width, channels]` → float32 of the same shape.
    """

    def __init__(
        self,
        scale: float = 1 / 255,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        order: str = "RGB",
        **kwargs: Any,
    ) -> None:
        # Pixels have 8 bits, the half-precision types fewer; layers that follow cast as they like.
        super().__init__(**{"dtype": "float32", "trainable": False, **kwargs})
        self.preprocessing = Preprocessing(
            scale=scale, mean=tuple(mean), std=tuple(std), order=order
        )

    def call(self, inputs: Any) -> Any:
        """Preprocess `[batch, height, width, channels]`."""
        return preprocess(inputs, self.preprocessing)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The input's."""
        return input_shape

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """float32 whatever the input's dtype, uint8 included."""
        return keras.KerasTensor(inputs.shape, "float32")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        known = self.preprocessing
        own = {k: getattr(known, k) for k in ("scale", "mean", "std", "order")}
        return {**super().get_config(), **own}
