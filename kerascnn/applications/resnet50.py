"""`ResNet50` where code for keras.applications looks for it; the network is in `resnet`."""

from __future__ import annotations

from kerascnn.applications.published import CAFFE, decode_predictions, preprocess_for
from kerascnn.applications.resnet import ResNet50

preprocess_input = preprocess_for(CAFFE)

__all__ = ["ResNet50", "decode_predictions", "preprocess_input"]
