"""Weights from elsewhere: files, torchvision, timm, keras.applications.

    report = kerascnn.weights.load(model, "resnet50.safetensors")

`load` fits a file, a mapping or another model to a model, or refuses and changes nothing.
What `weights="imagenet"` can fetch stands in each family's file: `kerascnn.get(NAME).weights`.
`decode_predictions` names the classes of ImageNet.
"""

from __future__ import annotations

from kerascnn.weights.imagenet import decode_predictions
from kerascnn.weights.loading import load
from kerascnn.weights.report import Report

__all__ = ["Report", "decode_predictions", "load"]
