"""Weights from elsewhere: files, torchvision, timm, keras.applications.

    report = kerascnn.weights.load(model, "resnet50.safetensors")

`load` fits a file, a mapping or another model to a model, or refuses and changes nothing.
`SOURCES` is the table of what `weights="imagenet"` can fetch; `preprocessing` says what these
weights expect of their input, and `decode_predictions` names the classes of their output.
"""

from __future__ import annotations

from kerascnn.weights.imagenet import decode_predictions
from kerascnn.weights.loading import Report, load
from kerascnn.weights.sources import SOURCES, Source, preprocessing

__all__ = ["SOURCES", "Report", "Source", "decode_predictions", "load", "preprocessing"]
