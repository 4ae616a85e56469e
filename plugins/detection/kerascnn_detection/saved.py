"""All layers that a saved model may name: importing this tells Keras of them."""

from __future__ import annotations

from kerascnn_detection import faster_rcnn as faster_rcnn
from kerascnn_detection import one_stage, pyramid, regions, stages, training

__all__ = ["one_stage", "pyramid", "regions", "stages", "training"]
