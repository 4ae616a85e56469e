"""`preprocess_input` and `decode_predictions` as the modules of keras.applications have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kerascnn.card import Preprocessing
from kerascnn.errors import ArgumentError


def preprocess_for(preprocessing: Preprocessing) -> Callable[..., Any]:
    """The function `preprocess_input` for published weights that expect this preprocessing."""

    def preprocess_input(x: Any, data_format: str | None = None) -> Any:
        """Pixels as the module's published weights (`weights="imagenet"`) expect them.

        Args:
            x: RGB in 0..255, `[..., height, width, 3]`: an array, which stays as it is, a tensor,
                or a symbolic tensor.
            data_format: None or "channels_last".

        Returns:
            float32 of the same shape: an array of an array, else a tensor.

        Raises:
            ArgumentError: another data format.
        """
        from kerascnn.preprocessing import preprocess

        if data_format not in (None, "channels_last"):
            raise ArgumentError(
                f'data_format must be None or "channels_last". Received: {data_format!r}.'
            )
        found = preprocess(x, preprocessing)
        return np.asarray(found) if isinstance(x, np.ndarray) else found

    return preprocess_input


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """ImageNet's names of the likeliest classes; see `kerascnn.weights.decode_predictions`."""
    from kerascnn.weights import decode_predictions as decode

    return decode(preds, top)
