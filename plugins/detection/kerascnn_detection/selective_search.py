"""Selective search: windows that may show an object, from the image alone (Uijlings et al., 2013).

A segmentation splits the image into small regions; the two neighbours that are most alike are
merged, again and again, until one region is left. Each region that there ever was is a window.
R-CNN, SPPNet and Fast R-CNN look at these windows; Faster R-CNN proposes its own.

The search is OpenCV's, of its contrib build: `pip install "kerascnn-detection[search]"`. Its modes
are the authors': "fast", of two colour spaces and two ways to compare, "quality", of five and four,
and "single", one segmentation of one colour space.

OpenCV finds the same windows in the same pixels, but ranks them with the C library's random
numbers, which all threads share. Here windows are ranked as the authors rank regions (section 4.3),
by a random number times their place in the hierarchy, whole objects before their parts; the place
is that in the order of areas, as a region is never smaller than what it was merged of. The numbers
are the same for each image. So the windows are a pure function of the pixels and the settings. They
are found once, and kept in memory and in kerascnn's cache.

J. Uijlings, K. van de Sande, T. Gevers, A. Smeulders, "Selective Search for Object Recognition",
IJCV 2013.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import itertools
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerascnn import Param, Range, blocks, cache, processors
from kerascnn.data import ABSENT
from kerascnn.errors import ArgumentError
from kerascnn.files import open_regular

MODES = ("fast", "quality", "single")
LEAST_SIDE = 20.0  # pixels of a window's sides: R-CNN, of images of about 500×375
MOST = 2000  # windows of an image: R-CNN, section 2.2

KEPT = 4096  # images whose windows are kept in memory
STORED = 100_000  # images whose windows are kept on the disk; the oldest go first
TIDIED = 1000  # after so many new files it is looked whether there are too many
LARGEST = 2**24  # bytes of one file that are read


@dataclass(frozen=True, kw_only=True)
class Search:
    """How windows are searched.

    Attributes:
        mode: one of `MODES`.
        least_side: windows that are less wide or high are left out, in pixels. The authors' 20
            are of images of 500×375, and too many for small ones.
        most: windows of an image, the best ranked.

    Raises:
        ArgumentError: the mode is unknown.
    """

    mode: str = "fast"
    least_side: float = LEAST_SIDE
    most: int = MOST

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ArgumentError(f"mode must be one of {', '.join(MODES)}. Received: {self.mode!r}.")


def windows(image: np.ndarray, search: Search = Search()) -> np.ndarray:
    """The windows of an image, the best ranked first.

    Args:
        image: uint8 `[height, width, channels]`, of which the first three channels are looked at,
            red, green and blue; of fewer the first, as gray.
        search: how.

    Returns:
        float32 `[n, 4]`: x1, y1, x2, y2 in pixels, as `kerascnn_detection.boxes` has them; n is at
        most `search.most`, and may be 0.

    Raises:
        ArgumentError: OpenCV's contrib build isn't installed, or this is no such image.
    """
    found = _known(_checked(image), search.mode)
    large = np.all(found[:, 2:] - found[:, :2] >= search.least_side, axis=1)
    return found[large][: search.most].astype("float32")


def require_search() -> Any:
    """OpenCV.

    Raises:
        ArgumentError: its contrib build isn't installed.
    """
    try:
        import cv2
        from cv2.ximgproc import segmentation  # noqa: F401 (what the plain build lacks)
    except ImportError as error:
        raise ArgumentError(
            "Selective search needs OpenCV's contrib build. Received: an environment without it. "
            'Install it with: pip install "kerascnn-detection[search]".'
        ) from error
    return cv2


def _checked(image: np.ndarray) -> np.ndarray:
    """The image in three channels.

    Raises:
        ArgumentError: it is none.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or not image.size:
        raise ArgumentError(
            "Selective search reads images uint8 [height, width, channels]. "
            f"Received: {image.dtype} {list(image.shape)}."
        )
    colours = image[..., : 3 if image.shape[2] > 2 else 1]
    return np.ascontiguousarray(np.broadcast_to(colours, (*image.shape[:2], 3)))


def _searched(image: np.ndarray, mode: str) -> np.ndarray:
    """All windows, ranked: int32 `[n, 4]`."""
    made = require_search().ximgproc.segmentation.createSelectiveSearchSegmentation()
    made.setBaseImage(image[..., ::-1])  # OpenCV's colours are blue, green, red
    switch = {
        "fast": made.switchToSelectiveSearchFast,
        "quality": made.switchToSelectiveSearchQuality,
        "single": made.switchToSingleStrategy,
    }
    switch[mode]()
    x, y, width, height = np.reshape(made.process(), (-1, 4)).astype("int32").T
    found = np.unique(np.stack([x, y, x + width, y + height], axis=1), axis=0)
    areas = (found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1])
    found = found[np.argsort(-areas, kind="stable")]
    places = np.arange(1, len(found) + 1) * np.random.default_rng(0).random(len(found))
    return found[np.argsort(places, kind="stable")]


# --- What was found once ---------------------------------------------------------------------

_kept: collections.OrderedDict[str, np.ndarray] = collections.OrderedDict()
_lock = threading.Lock()
_written = itertools.count(1)


def _known(image: np.ndarray, mode: str) -> np.ndarray:
    """What `_searched` gives, from memory, from the disk, or searched now."""
    height, width, _ = image.shape
    what = f"1 {require_search().__version__} {mode} {height} {width} "
    key = hashlib.sha256(what.encode() + image.tobytes()).hexdigest()
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    found = _read(_file(key), height, width)
    if found is None:
        found = _searched(image, mode)
        _write(_file(key), found)
    with _lock:
        _kept[key] = found
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found


def _directory() -> Path:
    return cache.directory() / "selective_search"


def _file(key: str) -> Path:
    return _directory() / key[:2] / key[2:]


def _read(path: Path, height: int, width: int) -> np.ndarray | None:
    """What is stored of an image of this size; None: nothing, or nothing that can be its windows.

    The whole image is always a window, so that a file that was cut to nothing is no answer.
    """
    try:
        with open_regular(path) as file:
            stored = file.read(LARGEST)
    except OSError:
        return None
    if not stored or len(stored) % 16 or len(stored) == LARGEST:
        return None
    found = np.frombuffer(stored, "<i4").reshape(-1, 4).astype("int32")
    x1, y1, x2, y2 = found.T
    legal = (x1 >= 0) & (x1 < x2) & (x2 <= width) & (y1 >= 0) & (y1 < y2) & (y2 <= height)
    return found if legal.all() else None


def _write(path: Path, found: np.ndarray) -> None:
    """Store it, if the disk lets us: it can be found again."""
    with contextlib.suppress(OSError):
        cache.write(path, found.astype("<i4").tobytes())
        if next(_written) % TIDIED == 0:
            _tidy()


def _tidy() -> None:
    """Remove the oldest files, if there are too many; another process may be doing the same."""
    files = []
    for folder in _directory().iterdir():
        for one in os.scandir(folder):
            with contextlib.suppress(OSError):
                files.append((one.stat(follow_symlinks=False).st_mtime, one.path))
    for _, path in sorted(files)[: max(0, len(files) - STORED)]:
        with contextlib.suppress(OSError):
            os.unlink(path)


# --- The layer -------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("kerascnn_detection")
class SelectiveSearch(keras.layers.Layer):
    """Selective search in the place of a region proposal network; see `windows`.

    Input: images `[batch, height, width, channels]`, as the network takes them.
    Each is brought to 0..255 by its own smallest and largest value, since preprocessing has moved
    them; one without contrast is black. Output: float32 `[batch, most, 6]`: x1, y1, x2, y2, the
    label 0 and the score 0, as the search gives none, the best ranked first; the label is `ABSENT`
    where there is none. No gradient goes through it.

    It runs on the CPU, in a thread for each image, and in TensorFlow alone: not under XLA, and in
    no exported file, for which `windows_as_input` makes a model that is given its windows.

    Args:
        mode, least_side, most: see `Search`.

    Raises:
        ArgumentError: OpenCV's contrib build isn't installed; under XLA, or on another backend of
            Keras.
    """

    in_python = (
        "Export the network with its windows as a second input: "
        "kerascnn_detection.selective_search.windows_as_input(model).export(PATH)."
    )
    """What to do instead of exporting it, see `kerascnn.exporting`."""

    def __init__(
        self,
        *,
        mode: str = "fast",
        least_side: float = LEAST_SIDE,
        most: int = MOST,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **{**kwargs, "dtype": "float32"})
        self.search = Search(mode=mode, least_side=least_side, most=most)

    def call(self, images: Any) -> Any:
        """Search each image."""
        if keras.backend.backend() != "tensorflow":
            raise self._cannot(f"Keras's {keras.backend.backend()} backend")
        import tensorflow as tf

        if _compiled():
            raise self._cannot("XLA")
        require_search()
        rows = tf.numpy_function(self._rows, [tf.stop_gradient(images)], tf.float32)
        return tf.ensure_shape(rows, (images.shape[0], self.search.most, 6))

    def _cannot(self, where: str) -> ArgumentError:
        return ArgumentError(
            f"{self.name}: selective search runs in TensorFlow on the CPU, not compiled. Give the "
            "network its windows instead: kerascnn_detection.selective_search.windows_as_input"
            f"(model) makes a model whose second input they are. Received: {where}."
        )

    def _rows(self, images: np.ndarray) -> np.ndarray:
        """`call` in NumPy."""
        with ThreadPoolExecutor(processors.available()) as threads:
            found = threads.map(lambda image: windows(_pixels(image), self.search), images)
            return rows_of(list(found), self.search.most)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, most, 6]`."""
        return (input_shape[0], self.search.most, 6)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), **asdict(self.search)}


def _pixels(image: np.ndarray) -> np.ndarray:
    """An image of any range as uint8, its smallest value 0 and its largest 255."""
    image = np.nan_to_num(image.astype("float32"), posinf=0, neginf=0)
    low, high = image.min(), image.max()
    if not high > low:
        return np.zeros(image.shape, "uint8")
    return np.rint((image - low) * (255 / (high - low))).astype("uint8")


def _compiled() -> bool:
    """Whether the graph that is being made will be compiled by XLA, which has no Python inside."""
    import tensorflow as tf

    graph = tf.compat.v1.get_default_graph() if not tf.executing_eagerly() else None
    while graph is not None:
        context = getattr(graph, "_get_control_flow_context", lambda: None)()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False


# --- In a network ----------------------------------------------------------------------------

ARGUMENTS = (
    Param(
        "search",
        "fast",
        ("fast", "single"),
        legal=MODES,
        help="How thoroughly selective search looks for windows.",
    ),
    Param(
        "least_side",
        LEAST_SIDE,
        legal=Range(0.0, 10_000.0),
        help="Windows are at least so wide and so high, in pixels; 20 is for images of 500×375.",
    ),
    Param(
        "windows",
        MOST,
        (64, 128, 256, 512, 1024, 2000),
        legal=Range(1, 100_000),
        help="Room for windows of an image, the best ranked; the network looks at all of it.",
    ),
)
"""What a network that is built on it declares."""


def search_in(image: Any, *, search: str, least_side: float, windows: int) -> Any:
    """Rows of windows `[batch, windows, 6]` of a network's input; see `ARGUMENTS`."""
    layer = SelectiveSearch(mode=search, least_side=least_side, most=windows, name="proposals")
    return blocks.apply(image, layer)


def windows_as_input(model: keras.Model) -> keras.Model:
    """The same network without the search, for what can't hold it: XLA, and files to export.

    Args:
        model: with one `SelectiveSearch` in its graph.

    Returns:
        A model of the same layers and weights whose inputs are the image and rows of windows,
        float32 `[batch, n, 6]` with n as in the search, such as `SelectiveSearch` or
        `rows_of(windows(...))` give.

    Raises:
        ArgumentError: there is no search in it.
    """
    found = [layer for layer in model.layers if isinstance(layer, SelectiveSearch)]
    if not found:
        raise ArgumentError(
            f"The model must have a SelectiveSearch, whose windows become an input. "
            f"Received: {model.name}, without one."
        )
    starts = [*model.inputs, found[0].output]
    names = [*(tensor.name for tensor in model.inputs), "windows"]
    inputs = [
        keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
        for tensor, name in zip(starts, names)
    ]
    outputs = blocks.repeat(model.outputs, starts, inputs)
    return keras.Model(inputs, outputs, name=f"{model.name}_on_windows")


def rows_of(found: Sequence[np.ndarray], most: int) -> np.ndarray:
    """Windows as the layer gives them, float32 `[images, most, 6]`.

    Args:
        found: of each image `[n, 4]`.
        most: rows of an image; what is more is left out.
    """
    rows = np.zeros((len(found), most, 6), "float32")
    rows[..., 4] = ABSENT
    for row, boxes in zip(rows, found):
        row[: len(boxes[:most]), :4] = boxes[:most]
        row[: len(boxes[:most]), 4] = 0
    return rows
