"""The formats that a model can be written in, and what their files can compute in."""

from __future__ import annotations

from collections.abc import Mapping

from kerascnn.errors import ArgumentError
from kerascnn.recipes import recipe
from kerascnn.recipes.recipe import PRECISIONS

SUFFIXES: Mapping[str, str] = {
    "savedmodel": "",
    "onnx": ".onnx",
    "litert": ".tflite",
    "keras": ".keras",
    "weights": ".weights.h5",
}
"""The formats, and what their files' names end in; a SavedModel is a directory."""

SERVED = ("savedmodel", "onnx", "litert")
"""The formats whose files answer as the task says; the others hold the network as it is."""


COMPUTES: Mapping[str, tuple[str, ...]] = {
    "savedmodel": PRECISIONS,
    "onnx": ("float32", "mixed_float16"),
    "litert": ("float32",),
    "keras": PRECISIONS,
    "weights": (),
}
"""What a format's files can compute in: ONNX Runtime has no convolution in bfloat16, LiteRT none in
16 bits. Weights are the same whatever a network computes in."""


QUANTIZED = ("onnx", "litert")
"""The formats that can be in int8."""


def check_quantized(format: str) -> None:
    """Refuse int8 for a format that has none.

    Raises:
        ArgumentError: says which have.
    """
    if format not in QUANTIZED:
        raise ArgumentError(
            f"int8 is for {' and '.join(QUANTIZED)} files; OpenVINO runs the first ones, too. "
            f"Received: format {format}."
        )


def check_precision(format: str, precision: str) -> None:
    """Refuse a precision that a format's files can't compute in.

    Raises:
        ArgumentError: says which ones can.
    """
    recipe.check_precision(precision, recipe.ASKED_PRECISIONS)
    if not (known := COMPUTES[format]):
        raise ArgumentError(
            "Weights are the same whatever a network computes in; choose another format. "
            f"Received: precision {precision}."
        )
    if precision not in (*known, recipe.AUTO):
        able = ", ".join(name for name, can in COMPUTES.items() if precision in can)
        raise ArgumentError(
            f"{format} files compute in {' or '.join(known)}: their runtime has no convolution in "
            f"other types. Formats that can hold {precision}: {able}. To make {format} quicker, "
            "see --quantize. "
            f"Received: precision {precision}."
        )
