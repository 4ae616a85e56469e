"""All layers that a saved model may name: importing this tells Keras of them."""

from __future__ import annotations

from kerascnn_detection import (
    faster_rcnn,
    one_stage,
    pyramid,
    regions,
    selective_search,
    sppnet,
    stages,
    training,
    warping,
)

__all__ = [
    "faster_rcnn",
    "one_stage",
    "pyramid",
    "regions",
    "selective_search",
    "sppnet",
    "stages",
    "training",
    "warping",
]
