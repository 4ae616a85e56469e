"""The fast way for JPEG files: decoded and shrunk by TensorFlow, in parallel outside of Python.

`kerascnn.data.images` reads everything, and what it makes of a file is the rule. Plain JPEG files,
which photographs nearly always are, can be had for about two thirds of its time: libjpeg decodes
at 1/2, 1/4 or 1/8 of the size if that is still large enough, and the rest is shrunk by averaging
over areas. The decoded pixels are the same (both use libjpeg-turbo's exact transform); shrinking
differs a little from Pillow's bilinear filter: see `tests/data/test_jpeg.py` for how much.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from PIL import ExifTags, Image

from kerascnn.data.fitting import Shape
from kerascnn.data.images import TURNED

RATIOS = (1, 2, 4, 8)  # by which libjpeg shrinks while decoding
MARGIN = 0.75  # the largest share of the decoded size that is wanted

# Start of frame: baseline, extended and progressive with Huffman codes.
_FRAMES = frozenset((0xC0, 0xC1, 0xC2))
_OTHER_FRAMES = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _APP1, _END, _INTERVAL = 0xDA, 0xE1, 0xD9, 0xDD
# In the coded data of a scan 0xFF is followed by 0, or by the number of a restart where there are
# some; anything else is the next segment.
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_MARKER_BUT_RESTART = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_MOST_PIXELS = 2**26  # larger ones are left to Pillow, which refuses bombs


class Header(NamedTuple):
    """A plain JPEG file: 8 bits, grey or colour, upright, whole."""

    height: int
    width: int
    channels: int


class Plan(NamedTuple):
    """How a file is read: decoded at 1/ratio, of which a window is shrunk to the wanted size."""

    ratio: int
    top: int
    left: int
    height: int
    width: int


NONE = Plan(0, 0, 0, 0, 0)  # where there is no plan


def plan(content: bytes, shape: Shape, most: int = _MOST_PIXELS) -> Plan | None:
    """The way from a file's bytes to `(height, width, channels)`; None: it is one for Pillow.

    Files of more than `most` pixels, which may not be read at all, are left to Pillow.
    """
    if (header := plain(content)) is None or header.height * header.width > most:
        return None
    height, width, channels = shape
    if channels not in (1, 3) or header.channels > channels:
        return None
    scale = max(height / header.height, width / header.width)
    if scale > 1:
        return None  # to be padded or enlarged
    # Never smaller than wanted, so that nothing is enlarged afterwards; and with a margin, as the
    # window lies on whole pixels, of which one must not be as large as one of the result.
    ratio = max(r for r in RATIOS if r == 1 or scale * r <= MARGIN)
    rows, columns = -(-header.height // ratio), -(-header.width // ratio)
    scale = max(height / rows, width / columns)
    window = min(rows, round(height / scale)), min(columns, round(width / scale))
    return Plan(ratio, (rows - window[0]) // 2, (columns - window[1]) // 2, *window)


def plain(content: bytes) -> Header | None:
    """What a file's header says; None: it is no JPEG file, or not a plain one.

    Pillow reads much of what is damaged, and says why if it doesn't. TensorFlow's decoder refuses
    a file for a stray marker in a scan, without a name, and the pipeline ends. Therefore the
    segments must follow each other up to the end of the image.
    """
    if content[:2] != b"\xff\xd8":
        return None
    header = None
    for marker, segment in _segments(content):
        if marker == _APP1 and _turned(segment):
            return None
        if marker in _OTHER_FRAMES:
            return None
        if marker in _FRAMES:
            if len(segment) < 6:
                return None
            bits, height, width, channels = struct.unpack_from(">BHHB", segment)
            if bits != 8 or channels not in (1, 3) or not 0 < height * width <= _MOST_PIXELS:
                return None
            if header:
                return None
            header = Header(height, width, channels)
        if marker == _END:
            return header
    return None  # cut off


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment, up to the end of the image or to what is none."""
    at, next_marker = 2, _MARKER
    while at + 2 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == _END:
            yield marker, b""
            return
        if marker < 0xC0 or 0xD0 <= marker <= 0xD8:  # no segment may begin so
            return
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        segment = content[at + 4 : at + 2 + length]
        if length != len(segment) + 2:
            return
        yield marker, segment
        at += 2 + length
        if marker == _INTERVAL:
            next_marker = _MARKER_BUT_RESTART if any(segment) else _MARKER
        if marker == _SCAN:
            if not (found := next_marker.search(content, at)):
                return
            at = found.start()


def _turned(segment: bytes) -> bool:
    """Whether EXIF or XMP may say that the image is to be turned."""
    if not segment.startswith(b"Exif\0\0"):
        return b"tiff:Orientation" in segment
    try:
        exif = Image.Exif()
        exif.load(segment)
        return exif.get(ExifTags.Base.Orientation, 1) in TURNED
    except Exception:  # damaged metadata: Pillow's way decides
        return True


def decode(content: Any, way: Any, shape: Shape, part: tuple[Any, Any, int, int]) -> Any:
    """A TensorFlow graph from a file's bytes to a part of the image.

    Args:
        content: the file, a string.
        way: its plan, int32 `[5]`.
        shape: `(height, width, channels)` that the plan was made for.
        part: top, left, height and width within that.

    Returns:
        uint8 `[height, width, channels]` of the part. It is cut out of the file at whole pixels.
    """
    import tensorflow as tf

    starts, sizes = tf.cast(way[1:3], tf.float32), tf.cast(way[3:], tf.float32)
    scale = sizes / tf.constant(shape[:2], tf.float32)  # pixels of the file in one of the image
    first = starts + scale * tf.cast(tf.stack(part[:2]), tf.float32)
    last = first + scale * tf.constant(part[2:], tf.float32)
    # Up to whole pixels; halves always in the same direction, so that no side becomes too short.
    corners = tf.cast(tf.floor(tf.stack([first, last]) + 0.5), tf.int32)
    window = tf.concat([corners[0], corners[1] - corners[0]], axis=0)

    def at(ratio: int) -> Any:
        return tf.image.decode_and_crop_jpeg(
            content, window, channels=shape[2], ratio=ratio, dct_method="INTEGER_ACCURATE"
        )

    branch = tf.argmax(tf.equal(way[0], RATIOS), output_type=tf.int32)
    image = tf.switch_case(branch, [lambda ratio=ratio: at(ratio) for ratio in RATIOS])
    shrunk = tf.raw_ops.ResizeArea(images=image[None], size=part[2:])[0]
    return tf.ensure_shape(tf.cast(shrunk + 0.5, tf.uint8), (*part[2:], shape[2]))
