"""`VGG16` where code for keras.applications looks for it; the network is in `vgg`."""

from __future__ import annotations

from kerascnn.applications.published import TORCH, decode_predictions, preprocess_for
from kerascnn.applications.vgg import VGG16

preprocess_input = preprocess_for(TORCH)

__all__ = ["VGG16", "decode_predictions", "preprocess_input"]
