"""`VGG19` where code for keras.applications looks for it; the network is in `vgg`."""

from __future__ import annotations

from kerascnn.applications.published import TORCH, decode_predictions, preprocess_for
from kerascnn.applications.vgg import VGG19

preprocess_input = preprocess_for(TORCH)

__all__ = ["VGG19", "decode_predictions", "preprocess_input"]
