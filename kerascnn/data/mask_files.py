"""Files of masks: a class for each pixel, as an image of a format that loses nothing.

The pixels are read as they are stored: the numbers of a palette, grey values, or colours. Nothing
is scaled, reduced or turned.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from kerascnn.data import images
from kerascnn.data.images import AS_THEY_ARE, Reading
from kerascnn.errors import DataError
from kerascnn.files import require_inside

FORMATS = ("PNG", "BMP", "DIB", "TIFF", "GIF", "WEBP", "JPEG")  # the last two: to say what's wrong
BLURRING = ("JPEG", "WEBP")
NUMBERS = ("P", "L", "1", "I", "I;16", "I;16B", "I;16L")
COLOURS = ("RGB", "RGBA")


def read_mask(
    path: str | os.PathLike[str],
    *,
    inside: str | os.PathLike[str],
    reading: Reading = AS_THEY_ARE,
    colours: bool = False,
) -> np.ndarray:
    """A mask as it is stored.

    Args:
        path: the file.
        inside: a folder that it must lie in when all links are followed.
        reading: how large it may be.
        colours: look up those of a palette, and make colours of grey values.

    Returns:
        uint8 `[height, width]`, the numbers of a palette or grey values; of a file of colours, and
        with `colours`, uint8 `[height, width, 3]`.

    Raises:
        DataError: it can't be read, is of a format that blurs, or has numbers above 255; the
            message names it.
    """
    require_inside(Path(path), Path(inside), error=DataError)
    return decoded_mask(path, None, reading=reading, colours=colours)


def decoded_mask(
    path: str | os.PathLike[str],
    content: bytes | None,
    *,
    reading: Reading = AS_THEY_ARE,
    colours: bool = False,
) -> np.ndarray:
    """The same of a file's bytes; then `path` only names them in errors. See `read_mask`."""
    stored = None
    with images.opened(path, content, reading, FORMATS) as image:
        kind, mode = image.format or "", image.mode
        if kind not in BLURRING and mode in (*NUMBERS, *COLOURS):
            image.load()
            stored = np.asarray(image.convert("RGB") if colours or mode in COLOURS else image)
    if kind in BLURRING:
        raise DataError(
            f"{os.fspath(path)}: a mask must be of a format that keeps each pixel, such as PNG: "
            f"{kind} blurs the borders of classes. Take the file that it was made of."
        )
    if stored is None:
        raise DataError(
            f"{os.fspath(path)}: a mask must have a palette, grey values or colours of 8 bits. "
            f"Received: {kind} of mode {mode}."
        )
    if stored.min(initial=0) < 0 or stored.max(initial=0) > 255:
        raise DataError(
            f"{os.fspath(path)}: a mask's pixels must be 0 to 255. Received: values from "
            f"{stored.min()} to {stored.max()}."
        )
    return stored.astype("uint8")
