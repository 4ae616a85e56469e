"""Writing a model in a format, and comparing the file with it before it gets its name."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kerascnn import likeness, quantizing
from kerascnn.card import Preprocessing
from kerascnn.errors import ArgumentError, ExportError
from kerascnn.exporting.formats import COMPUTES, SERVED, SUFFIXES, check_quantized
from kerascnn.exporting.inputs import of_one_image, with_preprocessing
from kerascnn.exporting.runners import RUNNERS, Outputs
from kerascnn.exporting.writers import QUANTIZERS, WRITERS
from kerascnn.likeness import NotCompared, bound, compared
from kerascnn.precision import precision_of, with_precision
from kerascnn.recipes.recipe import PRECISIONS
from kerascnn.tasks.comparison import Comparison

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Exported:
    """What `export` has written.

    Attributes:
        path: the file, or a SavedModel's directory.
        difference: see `difference`; None: the file wasn't compared.
        why_not: why it wasn't.
        precision: what the file computes in, also "int8"; "" of weights.
        kept: for "keras", the layers that Keras has no words for, as "name (what it needs)"; the
            file loads only where the packages are installed that they are from.
    """

    path: Path
    difference: float | None
    why_not: str = ""
    precision: str = ""
    kept: tuple[str, ...] = ()


def export(
    model: keras.Model,
    path: str | os.PathLike[str],
    format: str,
    *,
    preprocessing: Preprocessing | None = None,
    size: tuple[int, int] | None = None,
    comparison: Comparison | None = None,
    calibration: np.ndarray | None = None,
) -> Exported:
    """Write a model for inference, and compare the file with it.

    "keras" consists of Keras's own layers as far as that can be, and loads without kerascnn.
    A network that computes in what the format's runtime doesn't know, as one that was trained in
    bfloat16, is written in float32: see `COMPUTES`. "litert" takes one image at a time where there
    is a comparison: what chooses among places would need operations for any number of images that
    LiteRT hasn't.

    Args:
        model: a built functional model with one input; the batch size stays open.
        path: where to; the format's suffix is added where it is missing.
        format: one of `SUFFIXES`.
        preprocessing: put it in front of the network, so that the file takes pixels in 0..255.
        size: `(height, width)` of the images on which file and model are compared, where the model
            takes any.
        comparison: how, of the model's outputs; None: number by number.
        calibration: images as the file will be given them, `[n, height, width, channels]`: it is
            written in int8, for `QUANTIZED` formats, and compared on these. See
            `kerascnn.quantizing`.

    Raises:
        ArgumentError: there is no such format, preprocessing is asked for weights, or int8 for what
            can't be in it.
        ExportError: the path exists, a package is missing, there is no space, or the file gives
            other outputs than the model; then it isn't kept.
    """
    if format not in SUFFIXES:
        raise ArgumentError(f"format must be one of {', '.join(SUFFIXES)}. Received: {format!r}.")
    if format == "weights" and preprocessing is not None:
        raise ArgumentError("Weights alone can't contain preprocessing; choose another format.")
    suffix = SUFFIXES[format]
    path = Path(path)
    if not path.name.endswith(suffix):
        path = path.with_name(path.name + suffix)
    if path.exists():
        raise ExportError(f"{path} exists already. Remove it or choose another path.")
    able = COMPUTES[format] if calibration is None else ("float32",)
    if format in SERVED and precision_of(model) in set(PRECISIONS) - set(able):
        model = with_precision(model, "float32")
    if preprocessing is not None:
        model = with_preprocessing(model, preprocessing)
    if format in SERVED:
        _require_no_python(model, format)
    kept: tuple[str, ...] = ()
    written = model
    if format == "keras":
        from kerascnn.stock import in_stock_layers

        written, kept = in_stock_layers(model)
    if format == "litert" and comparison:
        written = of_one_image(model)
    if calibration is not None:
        check_quantized(format)
        _require_scores(comparison)
    path.parent.mkdir(parents=True, exist_ok=True)
    _require_space(path.parent, written)
    # Beside the target, so that the last step is a rename and never leaves half a file.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        unfinished = Path(folder) / f"model{suffix}"
        if calibration is None:
            WRITERS[format](written, unfinished)
        else:
            QUANTIZERS[format](written, unfinished, calibration)
        gap, why_not = _verified(model, unfinished, format, size, comparison, calibration)
        os.replace(unfinished, path)
    precision = precision_of(model) if COMPUTES[format] else ""
    if calibration is not None:
        precision = quantizing.INT8
    return Exported(path, gap, why_not, precision, kept)


def _require_scores(comparison: Comparison | None) -> None:
    """Refuse int8 for answers with places.

    Raises:
        ArgumentError: says what it is for.
    """
    if comparison:
        raise ArgumentError(
            "int8 is for networks that answer with scores of classes. Received: one that answers "
            f"with {comparison.what}, for whose places 8 bits are too coarse."
        )


def _require_no_python(model: keras.Model, format: str) -> None:
    """Refuse layers that compute in Python, which only this process has.

    A layer says so itself: `in_python`, what to do instead.

    Raises:
        ExportError: there is one.
    """
    from kerascnn.keras_internals import all_layers

    for layer in all_layers(model):
        if instead := getattr(layer, "in_python", ""):
            raise ExportError(
                f"{format} can't hold the layer {layer.name}, which computes in Python. {instead}"
            )


# Bytes that HDF5 needs to describe a variable, about.
_DESCRIPTION = 2048


def _require_space(folder: Path, model: keras.Model) -> None:
    """Refuse a disk without room for the weights: HDF5 doesn't survive one that becomes full.

    Raises:
        ExportError: it says how much there is, and how much it takes.
    """
    size = sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in model.weights)
    size += _DESCRIPTION * len(model.weights)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise ExportError(
            f"No space left on device: {folder} has {free:,} bytes, the model needs {size:,} or "
            "more. Free some space, or choose another place with --output."
        )


def _verified(
    model: keras.Model,
    path: Path,
    format: str,
    size: tuple[int, int] | None,
    comparison: Comparison | None,
    calibration: np.ndarray | None,
) -> tuple[float | None, str]:
    try:
        gap = difference(
            model, path, format, size=size, comparison=comparison, images=_some(calibration)
        )
    except NotCompared as reason:
        return None, str(reason)
    limit = bound(model) if calibration is None else quantizing.BOUND
    if gap > limit:
        raise ExportError(
            f"The file that was written as {format} gives other outputs than {model.name}: they "
            f"differ by {gap:.1e} of the range of its {compared(comparison)}, and {limit:.0e} is "
            "what rounding explains. It was not kept."
        )
    return gap, ""


def _some(images: np.ndarray | None) -> np.ndarray | None:
    """Few images from all over."""
    return images if images is None else images[:: -(-len(images) // 32)]


def difference(
    model: keras.Model,
    path: Path,
    format: str,
    *,
    size: tuple[int, int] | None = None,
    comparison: Comparison | None = None,
    images: np.ndarray | None = None,
) -> float:
    """The largest difference of the file's logits from the model's, relative to their range.

    Args:
        model: what was exported.
        path, format: the file, and what it is.
        size, images: see `kerascnn.likeness.difference`.
        comparison: see `export`; in place of logits it is what that says.

    Raises:
        NotCompared: they can't be compared; it says why.
    """

    def answer(images: np.ndarray) -> Outputs:
        try:
            return RUNNERS[format](model, path, images)
        except ImportError:
            raise NotCompared("its runtime isn't installed") from None

    return likeness.difference(model, answer, size=size, comparison=comparison, images=images)
