"""Weights from elsewhere: files, torchvision, timm, keras.applications.

    report = kerascnn.weights.load(model, "resnet50.safetensors")

`load` fits a file, a mapping or another model to a model, or refuses and changes nothing.
`sources` is the table of what `weights="imagenet"` can fetch.
"""

from __future__ import annotations

from kerascnn.weights.loading import Report, load

__all__ = ["Report", "load"]
