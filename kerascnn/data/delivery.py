"""`deliver`: from examples as they are stored to a split in the network's size."""

from __future__ import annotations

import numpy as np

from kerascnn.data.examples import Arrays, Examples
from kerascnn.data.fitting import Shape, fit
from kerascnn.data.jpeg_split import JpegSplit
from kerascnn.data.splits import ArraySplit, EncodedSplit, ReadSplit, Split
from kerascnn.data.threads import threads

# Arrays that take more room than this in the network's size are adapted image by image, each time.
ADAPT_LIMIT = 2**30
AT_ONCE = 256  # images that one thread adapts in a row


def deliver(
    examples: Examples, shape: Shape, *, fast: bool = False
) -> tuple[Split, tuple[str, ...]]:
    """Examples in the network's size, and a note for each conversion of arrays.

    Arrays are adapted once and kept, or at each use if they would take too much memory; encoded
    images are read and adapted at each use.

    Args:
        examples: of a source.
        shape: `(height, width, channels)` to deliver.
        fast: let `kerascnn.data.jpeg` read plain JPEG files.
    """
    if isinstance(examples, Arrays):
        return _of_arrays(examples, shape)
    return (JpegSplit if fast and not examples.made else EncodedSplit)(examples, shape), ()


def _of_arrays(arrays: Arrays, shape: Shape) -> tuple[Split, tuple[str, ...]]:
    images, targets = arrays.images, arrays.targets
    if arrays.shape == shape:
        return ArraySplit(images, targets, names=arrays.names), ()
    first, changes = fit(images[:1], shape)
    size = "×".join(map(str, arrays.shape))
    notes = tuple(f"{size} images are {change}." for change in changes)

    def original(position: int) -> np.ndarray:
        return images[position]

    def fitted(position: int) -> np.ndarray:
        return fit(images[position : position + 1], shape)[0][0]

    if len(images) * first.nbytes > ADAPT_LIMIT:
        return ReadSplit(fitted, targets, shape, original, arrays.names), notes
    adapted = np.empty((len(images), *shape), "uint8")

    def fill(start: int) -> None:
        part = slice(start, start + AT_ONCE)
        adapted[part] = fit(images[part], shape)[0]

    list(threads().map(fill, range(0, len(adapted), AT_ONCE)))
    return ArraySplit(adapted, targets, original, arrays.names), notes
