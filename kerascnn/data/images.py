"""Image files to pixels, and pixels to the network's size and channels.

Pillow reads the files, not TensorFlow: `tf.io.decode_*` ignores the EXIF orientation, drops the
alpha channel so that hidden colours show, and refuses TIFF and many BMP files. Pillow decodes and
resizes outside of Python's lock, so that threads use all cores. The same code adapts arrays, so an
image is the same from a file and from an archive.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from kerascnn.errors import DataError

Shape = tuple[int, int, int]

# A target that is larger by at most this many pixels on each axis, both sides together, is reached
# by padding, as the paper takes MNIST's 28×28 to 32×32; every other size by resizing.
PAD_LIMIT = 8

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
)

_HIGH_BYTE = 257  # 65535 / 255: from 16 bits to 8


def is_image(name: str) -> bool:
    """Whether a file's name says that it is an image."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


@functools.cache
def workers() -> ThreadPoolExecutor:
    """The threads that read images, one for each core; made at the first use."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="kerascnn-images")


def read(
    path: str | os.PathLike[str], shape: Shape, content: bytes | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """An image file as the network takes it, and what was changed on the way.

    Args:
        path: an image file; of an animation the first frame is read.
        shape: `(height, width, channels)` wanted, see `fit`.
        content: the file's bytes, if they are at hand; then `path` only names them in errors.

    Returns:
        uint8 `[height, width, channels]`, and a phrase for each conversion.

    Raises:
        DataError: the file can't be read; the message names it.
    """
    image, changes = decode(path, 2 * max(shape[:2]), content)
    if _grows_or_shrinks((image.height, image.width), shape):
        # Before it becomes an array: copying the whole image would take as long as decoding it.
        image = _cover(image, shape)
        changes += (f"resized to {shape[0]}×{shape[1]}",)
    pixels, more = fit(_array(image)[None], shape)
    return pixels[0], changes + more


def original(path: str | os.PathLike[str], content: bytes | None = None) -> np.ndarray:
    """An image file's own pixels, uint8 `[height, width, 1 or 3]`; arguments and errors as `read`.

    Upright, and neither scaled nor cropped.
    """
    return _array(decode(path, None, content)[0])


def decode(
    path: str | os.PathLike[str], enough: int | None = None, content: bytes | None = None
) -> tuple[Image.Image, tuple[str, ...]]:
    """A file as an upright image of mode "L" or "RGB", and what was changed.

    Args:
        path: an image file.
        enough: a side in pixels; a JPEG that is more than twice as large is decoded at a half, a
            quarter or an eighth of its size, which is several times faster.
        content: see `read`.

    Raises:
        DataError: the file can't be read; the message names it.
    """
    with _opened(path, content) as image:
        if enough:
            image.draft(None, (enough, enough))
        image.load()
        return _plain(image)


@contextmanager
def _opened(path: str | os.PathLike[str], content: bytes | None = None) -> Iterator[Image.Image]:
    """A file to decode in the block, whose errors become a DataError that names it."""
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as image:
            yield image
    except UnidentifiedImageError as error:  # its own message names an object in memory
        raise unreadable(path, ValueError(_unknown(path, content))) from error
    except Exception as error:  # decoders of damaged files raise anything, SyntaxError included
        raise unreadable(path, error) from error


def _unknown(path: str | os.PathLike[str], content: bytes | None) -> str:
    """Why a file is of no format that Pillow knows."""
    empty = not (os.path.getsize(path) if content is None else content)
    return "the file is empty" if empty else "its content is of no known image format"


def unreadable(path: str | os.PathLike[str], error: Exception) -> DataError:
    """What to raise for an image that can't be read because of `error`."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{os.fspath(path)} can't be read as an image: {reason}")


@dataclass(frozen=True)
class Inspection:
    """An image as it is stored.

    Attributes:
        height, width: as people see it, upright.
        mode: Pillow's, such as "RGB", "CMYK" or "P"; "RGBA" has an alpha channel.
        format: of the file, such as "JPEG"; "array" in memory.
        changes: what reading it changes, a phrase each.
        digest: of its size and pixels, after those changes.
    """

    height: int
    width: int
    mode: str
    format: str
    changes: tuple[str, ...]
    digest: bytes


def inspect(path: str | os.PathLike[str], content: bytes | None = None) -> Inspection:
    """Decode a whole file; `content` as in `read`.

    Raises:
        DataError: the file can't be read; the message names it.
    """
    with _opened(path, content) as image:
        mode, kind = image.mode, image.format or ""
        image.load()
        plain, changes = _plain(image)
        pixels = _array(plain)
    return Inspection(plain.height, plain.width, mode, kind, changes, digest(pixels))


def digest(pixels: np.ndarray) -> bytes:
    """Of an image, uint8 `[height, width, channels]`: the same for the same pixels.

    Grey images have the same digest with one channel and with three.
    """
    if pixels.shape[2] == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    head = repr(pixels.shape).encode()
    return hashlib.blake2b(pixels.tobytes(), digest_size=16, key=head).digest()


def _plain(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    changes: list[str] = []
    image = _upright(image, changes)
    if image.mode.startswith("I;16") or image.mode == "I":
        return _eight_bits(image), (*changes, "reduced from 16 bits to 8")
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        image = _on_white(image.convert("RGBA"), changes)
    elif image.mode not in ("1", "P", mode):
        changes.append(f"converted from {image.mode} to {mode}")
    return image if image.mode == mode else image.convert(mode), tuple(changes)


def _upright(image: Image.Image, changes: list[str]) -> Image.Image:
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image
        turned = ImageOps.exif_transpose(image)
    except Exception:  # damaged metadata doesn't make the pixels unreadable
        return image
    changes.append("turned upright as the EXIF orientation says")
    return turned


def _eight_bits(image: Image.Image) -> Image.Image:
    wide = np.asarray(image).astype("int64")
    if wide.min() < 0 or wide.max() > 65535:
        raise ValueError("its pixels are 32-bit integers of unknown range")
    return Image.fromarray(((wide + _HIGH_BYTE // 2) // _HIGH_BYTE).astype("uint8"))


def _on_white(image: Image.Image, changes: list[str]) -> Image.Image:
    if image.getchannel("A").getextrema()[0] == 255:
        return image
    changes.append("transparent, laid on white")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def fit(images: np.ndarray, shape: Shape) -> tuple[np.ndarray, tuple[str, ...]]:
    """Images of another size or number of channels, as the network takes them.

    A target larger by at most `PAD_LIMIT` pixels on each axis is reached with zeros around the
    image. Otherwise the image is scaled to cover the target, keeping its aspect ratio (bilinear,
    antialiased), and the middle is taken. One channel is repeated; three become their luminance
    (ITU-R 601).

    Args:
        images: uint8 `[n, height, width, channels]`.
        shape: `(height, width, channels)` wanted.

    Returns:
        uint8 `[n, *shape]`, and a phrase for each conversion.

    Raises:
        DataError: no rule leads from these channels to those.
    """
    height, width, target = shape
    channels = images.shape[3]
    if channels not in (1, target) and (channels, target) != (3, 1):
        raise DataError(
            f"Images with {channels} channels can't be converted to {target}: one channel is "
            "repeated, three become one, everything else is left to you. Expected images "
            f"[n, height, width, channels]. Received: {list(images.shape)}."
        )
    changes: list[str] = []
    if _grows_or_shrinks(images.shape[1:3], shape):
        images = np.stack([_cover_array(image, shape) for image in images])
        changes.append(f"resized to {height}×{width}")
    elif images.shape[1:3] != shape[:2]:
        images = _padded(images, height, width)
        changes.append(f"padded with zeros to {height}×{width}")
    if channels == 3 and target == 1:
        images = _luminance(images)
        changes.append("converted from colour to grey")
    elif channels == 1 and target != 1:
        images = np.repeat(images, target, axis=3)
        changes.append(f"grey repeated to {target} channels")
    return images, tuple(changes)


def uncut(image: np.ndarray, shape: Shape) -> np.ndarray:
    """One image as `fit` makes it, but whole: what would be cut off the longer side stays.

    With a square target that is the image with its shorter side scaled to the target's.

    Args:
        image: uint8 `[height, width, channels]`.
        shape: `(height, width, channels)` to cover.

    Returns:
        uint8, at least as high and wide as `shape` says, and as one of them exactly.

    Raises:
        DataError: see `fit`.
    """
    if _grows_or_shrinks(image.shape[:2], shape):
        scale = max(wanted / side for side, wanted in zip(image.shape, shape[:2]))
        height, width = (
            max(wanted, round(scale * side)) for side, wanted in zip(image.shape, shape[:2])
        )
        image = _cover_array(image, (height, width, shape[2]))
        shape = (height, width, shape[2])
    return fit(image[None], shape)[0][0]


def _luminance(images: np.ndarray) -> np.ndarray:
    """Pillow's integer arithmetic, so that arrays and files agree."""
    weighted = images @ np.array([19595, 38470, 7471], "uint32")
    return ((weighted + 0x8000) >> 16).astype("uint8")[..., None]


def _grows_or_shrinks(size: tuple[int, ...], shape: Shape) -> bool:
    """Whether padding doesn't do."""
    return not all(0 <= wanted - side <= PAD_LIMIT for side, wanted in zip(size, shape))


def _padded(images: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = height - images.shape[1], width - images.shape[2]
    around = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
    return np.pad(images, ((0, 0), *around, (0, 0)))


def _cover(image: Image.Image, shape: Shape) -> Image.Image:
    """Scaled to cover the target; the middle of it."""
    height, width, _ = shape
    scale = max(height / image.height, width / image.width)
    # Not beyond the image, which rounding would allow and Pillow refuses.
    wide, high = min(image.width, width / scale), min(image.height, height / scale)
    left, top = (image.width - wide) / 2, (image.height - high) / 2
    box = (left, top, min(image.width, left + wide), min(image.height, top + high))
    return image.resize((width, height), Image.Resampling.BILINEAR, box, reducing_gap=2.0)


def _cover_array(image: np.ndarray, shape: Shape) -> np.ndarray:
    """The same for an array, `[height, width, channels]`; each channel is scaled by itself."""
    if image.shape[2] == 3:
        return _array(_cover(Image.fromarray(image), shape))
    planes = np.moveaxis(image, 2, 0)
    scaled = [_array(_cover(Image.fromarray(plane), shape)) for plane in planes]
    return np.concatenate(scaled, axis=2)


def _array(image: Image.Image) -> np.ndarray:
    """uint8 `[height, width, 1 or 3]`."""
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., None]
