"""int8 files for ONNX Runtime, OpenVINO and LiteRT, made by the runtimes' own tools.

Weights become whole numbers from -127 to 127, with a scale for each filter, and maps such of 8
bits, whose range is the one that images of the data give. In ONNX files the last softmax stays in
float32.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascnn.errors import ArgumentError, ExportError

if TYPE_CHECKING:
    from kerascnn.card import Preprocessing
    from kerascnn.data import Split
    from kerascnn.network import Network
    from kerascnn.runs.run import Run

INT8 = "int8"
IMAGES = 256
"""That ranges are found on: more change little."""

BOUND = 0.1
"""The largest `kerascnn.likeness.difference` of a right file on these images.

Of trained networks int8 differs by about 0.01. Weights that are off by 30% differ by 0.16, channels
in another order by 1.
"""

# What is worth it: all else is done in whole numbers where it lies between these, or has a padding
# of minus infinity, which has no range.
_OPERATIONS = (
    *("Conv", "MatMul", "Gemm", "Add", "Concat"),
    *("MaxPool", "AveragePool", "GlobalAveragePool"),
)
_SMALLEST_RANGE = 1e-4  # of a filter of zeros, whose scale would be 0
_AT_ONCE = 16


def calibration_images(
    split: Split, prepare: Callable[[Any], Any], count: int = IMAGES
) -> np.ndarray:
    """Images from all over a split, as a file will be given them: `[n, height, width, channels]`.

    Args:
        split: sorted by class or not.
        prepare: from a batch of its images to the file's input.
        count: how many at most.

    Raises:
        DataError: one can't be read.
    """
    from kerascnn.data import readable_errors

    index = np.unique(np.linspace(0, split.size - 1, min(count, split.size)).astype("int64"))
    part = split.take(index)
    with readable_errors(part):
        found = [np.asarray(prepare(images)) for images, _ in part.batches(_AT_ONCE)]
    return np.concatenate(found).astype("float32")


def of_run(
    run: Run, data: str | None, say: Callable[[str], None], *, pixels: bool = False
) -> np.ndarray:
    """Images as a run's network sees them.

    Args:
        run: its own training images are taken.
        data: another source, of which those for a test are, or all.
        say: is called with what the user should know.
        pixels: in 0..255, for a file with the preprocessing inside.

    Raises:
        DataError: there is no such image.
    """
    from kerascnn.runs.choosing import choose
    from kerascnn.tasks.forward import middle, preparation

    config, kind = run.config, run.task.targets.kind
    if data is None:  # that the run was trained on these need not be said
        chosen = choose(run.path, config, None, "train", lambda line: None, target=kind)
    else:
        chosen = choose(run.path, config, data, None, say, target=kind)
    return calibration_images(chosen.images, middle(config) if pixels else preparation(config))


def of_source(
    source: str, network: Network, preprocessing: Preprocessing, *, pixels: bool = False
) -> np.ndarray:
    """Images of a source as a network sees them that nobody has trained here.

    Args:
        source: as `kerascnn.data.load` takes it; all images of it count.
        network: its input's size is that of the images.
        preprocessing: from pixels to its input.
        pixels: see `of_run`.

    Raises:
        DataError, UnknownNameError: there is no such source, or it can't be read.
    """
    from kerascnn.data import load
    from kerascnn.tasks.forward import preprocessed
    from kerascnn.tasks.task import find

    height, width, channels = network.input_shape
    if height is None or width is None:
        raise ArgumentError(
            f"{network.name} takes images of any size, and ranges are found on those of one: say "
            "which with --input-shape."
        )
    dataset = load(
        source,
        target=find(network.task).targets.kind,
        input_shape=(height, width, channels),
        split="all",
        echo=None,
    )
    prepare = (lambda images: images) if pixels else preprocessed(preprocessing)
    return calibration_images(dataset.test, prepare)


def write_onnx(path: Path, images: np.ndarray) -> None:
    """Put an int8 network in the place of an ONNX file's, in ONNX's QDQ form.

    Args:
        path: of the file in float32.
        images: see `calibration_images`.

    Raises:
        ExportError: a package is missing.
    """
    try:
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError:
        raise ExportError('int8 needs onnxruntime: pip install "kerascnn[onnx]".') from None
    name = onnx.load(str(path)).graph.input[0].name

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = ({name: batch} for batch in _batches(images, _AT_ONCE))

        def get_next(self) -> Any:
            return next(self._batches, None)

    with tempfile.TemporaryDirectory(dir=path.parent) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of onnxruntime's own arithmetic
        prepared = Path(folder, "prepared.onnx")
        # Its symbolic shapes are for transformers; ONNX's own do.
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(path),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(_OPERATIONS),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options={"MinimumRealRange": _SMALLEST_RANGE},
        )


def _batches(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (images[start : start + size] for start in range(0, len(images), size))


def litert_options(images: np.ndarray) -> Mapping[str, Any]:
    """What TensorFlow's converter needs to write int8; the file's input and output stay float32."""
    import tensorflow as tf

    ops = tf.lite.OpsSet
    return {
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "representative_dataset": lambda: ([one] for one in _batches(images, 1)),
        "target_spec": {"supported_ops": [ops.TFLITE_BUILTINS_INT8, ops.TFLITE_BUILTINS]},
    }
