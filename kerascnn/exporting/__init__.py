"""A model as a file for another runtime: SavedModel, ONNX, LiteRT, Keras, or its weights alone.

Each file is run in its own runtime before it gets its name, and refused if it answers otherwise
than the model: on images that make the network say something, and by logits, as a softmax of 0
and 1 would hide any difference.
"""

from __future__ import annotations

from kerascnn.exporting.exported import Exported, difference, export
from kerascnn.exporting.formats import (
    COMPUTES,
    QUANTIZED,
    SERVED,
    SUFFIXES,
    check_precision,
    check_quantized,
)
from kerascnn.exporting.inputs import with_preprocessing

__all__ = [
    "COMPUTES",
    "QUANTIZED",
    "SERVED",
    "SUFFIXES",
    "Exported",
    "check_precision",
    "check_quantized",
    "difference",
    "export",
    "with_preprocessing",
]
