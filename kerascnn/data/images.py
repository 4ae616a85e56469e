"""Image files to pixels.

Pillow reads the files, not TensorFlow: `tf.io.decode_*` ignores the EXIF orientation, drops the
alpha channel so that hidden colours show, and refuses TIFF and many BMP files. Pillow decodes and
resizes outside of Python's lock, so that threads use all cores.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, features

from kerascnn.data.fitting import Shape, array_of, cover, eight_bits, fit, grows_or_shrinks
from kerascnn.errors import DataError

_KINDS = {
    "JPEG": ".jpg .jpeg .jpe .jfif .pjpeg .mpo",
    "PNG": ".png .apng",
    "BMP": ".bmp .dib",
    "GIF": ".gif",
    "WEBP": ".webp",
    "TIFF": ".tif .tiff",
    "PPM": ".ppm .pgm .pbm .pnm",
    "AVIF": ".avif",
    "JPEG2000": ".jp2 .j2k .jpx .jpf",
    "TGA": ".tga",
}
_CODECS = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}  # that Pillow may lack
SUFFIXES = frozenset(
    suffix
    for kind, suffixes in _KINDS.items()
    if kind not in _CODECS or features.check(_CODECS[kind])
    for suffix in suffixes.split()
)
# The content tells the format, but only of these: Pillow's others start programs (EPS), or take
# anything for theirs, as TGA does, which has no mark to be known by.
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
_SEVERAL = frozenset(("PNG", "GIF", "WEBP", "TIFF", "AVIF"))  # formats that may hold more images

TURNED = frozenset(range(2, 9))  # values of the EXIF orientation; others are none
LYING = frozenset(range(5, 9))  # of these: what is stored as a row is a column
_WIDE = 65535  # the largest number of 16 bits
_HARDLY = 2**14  # 16-bit images that stay below hold fewer bits: a quarter of the range
_REDUCED = "reduced from 16 bits to 8"
_DARK = f", and nearly black: no value is above {_HARDLY - 1}"
LARGEST_SIDE = 2**14  # in pixels, of what is written
_MOST_BYTES = 8  # of a pixel in a file: four channels of 16 bits
_MOST_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 2**62)  # above, Pillow refuses an image, too


@dataclass(frozen=True)
class Reading:
    """How the user wants files to be read.

    Attributes:
        range: the values that become black and white in files with more than 8 bits; None: those
            of 16 bits, 0 and 65535.
        pixels: the most pixels that an image may have. A small file can be unpacked to gigabytes.
    """

    range: tuple[float, float] | None = None
    pixels: int = _MOST_PIXELS


AS_THEY_ARE = Reading()


def ending_of(kind: str) -> str:
    """The usual ending of files of a format, such as ".jpg" of "JPEG"."""
    return _KINDS.get(kind, ".png").split()[0]


def is_image(name: str) -> bool:
    """Whether a file's name says that it is an image."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def read(
    path: str | os.PathLike[str],
    shape: Shape,
    content: bytes | None = None,
    reading: Reading = AS_THEY_ARE,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """An image file as the network takes it, and what was changed on the way.

    Args:
        path: an image file; of an animation the first frame is read.
        shape: `(height, width, channels)` wanted, see `fit`.
        content: the file's bytes, if they are at hand; then `path` only names them in errors.
        reading: see `Reading`.

    Returns:
        uint8 `[height, width, channels]`, and a phrase for each conversion.

    Raises:
        DataError: the file can't be read; the message names it.
    """
    image, changes = decode(path, 2 * max(shape[:2]), content, reading)
    if grows_or_shrinks((image.height, image.width), shape):
        # Before it becomes an array: copying the whole image would take as long as decoding it.
        image = cover(image, shape)
        changes += (f"resized to {shape[0]}×{shape[1]}",)
    pixels, more = fit(array_of(image)[None], shape)
    return pixels[0], changes + more


def whole(
    path: str | os.PathLike[str],
    channels: int,
    reading: Reading = AS_THEY_ARE,
    content: bytes | None = None,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """An image file in its own size with so many channels; otherwise as `read`."""
    image, changes = decode(path, None, content, reading)
    pixels, more = fit(array_of(image)[None], (image.height, image.width, channels))
    return pixels[0], changes + more


def original(
    path: str | os.PathLike[str], content: bytes | None = None, reading: Reading = AS_THEY_ARE
) -> np.ndarray:
    """An image file's own pixels, uint8 `[height, width, 1 or 3]`; arguments and errors as `read`.

    Upright, and neither scaled nor cropped.
    """
    return array_of(decode(path, None, content, reading)[0])


def decode(
    path: str | os.PathLike[str],
    enough: int | None = None,
    content: bytes | None = None,
    reading: Reading = AS_THEY_ARE,
) -> tuple[Image.Image, tuple[str, ...]]:
    """A file as an upright image of mode "L" or "RGB", and what was changed.

    Args:
        path: an image file.
        enough: a side in pixels; a JPEG that is more than twice as large is decoded at a half, a
            quarter or an eighth of its size, which is several times faster.
        content, reading: see `read`.

    Raises:
        DataError: the file can't be read; the message names it.
    """
    with opened(path, content, reading) as image:
        if enough:
            image.draft(None, (enough, enough))
        changes = _before(image, reading)
        image.load()
        plain, more = _plain(image, reading)
        return plain, (*changes, *more)


def size(
    path: str | os.PathLike[str], content: bytes | None = None, reading: Reading = AS_THEY_ARE
) -> tuple[int, int]:
    """An image's `(height, width)`, upright, from its file's header; arguments as `read`.

    Raises:
        DataError: the header can't be read; the message names the file.
    """
    with opened(path, content, reading) as image:
        lying = False
        with contextlib.suppress(Exception):  # damaged metadata: then it isn't turned either
            lying = image.getexif().get(ExifTags.Base.Orientation, 1) in LYING
        return (image.width, image.height) if lying else (image.height, image.width)


def peak(path: str | os.PathLike[str], content: bytes | None = None) -> int | None:
    """The largest value of an image of 16 bits; None: it has fewer or more. See `read`."""
    with opened(path, content, AS_THEY_ARE) as image:
        if not (image.mode.startswith("I;16") or _sixteen_bits(image)):
            return None
        image.load()
        return _peak(image)


def _peak(image: Image.Image) -> int:
    most = int(np.asarray(image).max())
    return most if image.mode.startswith("I") else (most + 1) * 256 - 1  # the low byte is gone


def range_hint(most: int | None) -> str | None:
    """What to tell the user about 16-bit images whose largest value is this, if anything."""
    if not most or most >= _HARDLY:
        return None
    bits = max(8, most.bit_length())
    return (
        f"The images have 16 bits, but no value above {most}, so they become nearly black. If they "
        f"hold {bits} bits, add ?range=0:{2**bits - 1} to the source; colour images must be scaled "
        "by another program before."
    )


def content_of(path: str | bytes | os.PathLike[Any], reading: Reading = AS_THEY_ARE) -> bytes:
    """What an image file holds.

    Raises:
        OSError: it can't be read, is no file but a pipe or a device, which has no end, or is larger
            than an image of so many pixels can be.
    """
    # A pipe would be waited for, were it not for the flag.
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if status.st_size > reading.pixels * _MOST_BYTES + 2**20:
            raise OSError(
                errno.EFBIG,
                f"it has {status.st_size:,} bytes, more than images of "
                f"{reading.pixels:,} pixels; allow more with ?max_pixels=N behind the source",
            )
        return file.read()


@contextlib.contextmanager
def opened(
    path: str | os.PathLike[str],
    content: bytes | None,
    reading: Reading,
    formats: tuple[str, ...] = _FORMATS,
) -> Iterator[Image.Image]:
    """A file to decode in the block, whose errors become a DataError that names it."""
    if formats is _FORMATS and os.path.splitext(path)[1].lower() == ".tga":
        formats = (*_FORMATS, "TGA")
    try:
        if content is None:
            content = content_of(path, reading)
        with Image.open(io.BytesIO(content), formats=formats) as image:
            if image.width * image.height > reading.pixels:
                raise Image.DecompressionBombError(
                    f"it has {image.width * image.height:,} pixels, of {reading.pixels:,} allowed."
                )
            yield image
    except Image.DecompressionBombError as error:
        more = "If that is right, allow more with ?max_pixels=N behind the source."
        raise unreadable(path, ValueError(f"{error} {more}")) from error
    except UnidentifiedImageError as error:  # its own message names an object in memory
        why = "its content is of no known image format" if content else "the file is empty"
        raise unreadable(path, ValueError(why)) from error
    except OSError as error:
        raise unreadable(path, ValueError(error.strerror or error)) from error
    except Exception as error:  # decoders of damaged files raise anything, SyntaxError included
        raise unreadable(path, error) from error


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
        peak: the largest value of an image of 16 bits; None of others.
    """

    height: int
    width: int
    mode: str
    format: str
    changes: tuple[str, ...]
    digest: bytes
    peak: int | None = None


def inspect(
    path: str | os.PathLike[str], content: bytes | None = None, reading: Reading = AS_THEY_ARE
) -> Inspection:
    """Decode a whole file; arguments as in `read`.

    Raises:
        DataError: the file can't be read; the message names it.
    """
    with opened(path, content, reading) as image:
        mode, kind = image.mode, image.format or ""
        before, wide = _before(image, reading), _sixteen_bits(image)
        image.load()
        most = _peak(image) if wide or mode.startswith("I;16") else None
        plain, changes = _plain(image, reading)
        pixels = array_of(plain)
    changes = (*before, *changes)
    return Inspection(plain.height, plain.width, mode, kind, changes, digest(pixels), most)


def digest(pixels: np.ndarray) -> bytes:
    """Of an image, uint8 `[height, width, channels]`: the same for the same pixels.

    Grey images have the same digest with one channel and with three.
    """
    if pixels.shape[2] == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    head = repr(pixels.shape).encode()
    return hashlib.blake2b(pixels.tobytes(), digest_size=16, key=head).digest()


def _before(image: Image.Image, reading: Reading) -> tuple[str, ...]:
    """What is changed by Pillow's decoding: asked for before, as nothing tells it afterwards."""
    changes: list[str] = []
    try:
        if image.format in _SEVERAL and getattr(image, "is_animated", False):
            changes.append("the first of several in its file")
    except Exception:  # a damaged second image
        image.seek(0)
    if _sixteen_bits(image):
        if reading.range:
            raise ValueError("the range of colour images with 16 bits can't be chosen")
        changes.append(_REDUCED)
    return tuple(changes)


def _sixteen_bits(image: Image.Image) -> bool:
    """Whether a file that is not loaded yet has several channels of 16 bits, which become 8."""
    return not image.mode.startswith("I") and any(
        ";16" in str(tile[3] if len(tile) > 3 else "") for tile in getattr(image, "tile", ())
    )


def _plain(image: Image.Image, reading: Reading) -> tuple[Image.Image, tuple[str, ...]]:
    changes: list[str] = []
    image = _upright(image, changes)
    if image.mode.startswith("I") or image.mode == "F":
        if reading.range:
            scaled = eight_bits(np.asarray(image), reading.range)
            low, high = reading.range
            return Image.fromarray(scaled), (*changes, f"scaled from {low:g}:{high:g} to 8 bits")
        reduced = _eight_bits(image)
        dark = np.asarray(image).max() < _HARDLY
        return reduced, (*changes, _REDUCED + (_DARK if dark else ""))
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        name = image.mode if "A" in image.mode.upper() else f"{image.mode} with transparency"
        image, transparent = _on_white(image.convert("RGBA"))
        converted = f"converted from {name} to {mode}"
        changes.append("transparent, laid on white" if transparent else converted)
    elif image.mode not in ("1", "P", mode):
        changes.append(f"converted from {image.mode} to {mode}")
    return image if image.mode == mode else image.convert(mode), tuple(changes)


def _upright(image: Image.Image, changes: list[str]) -> Image.Image:
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) not in TURNED:
            return image
        turned = ImageOps.exif_transpose(image)
    except Exception:  # damaged metadata doesn't make the pixels unreadable
        return image
    changes.append("turned upright as the EXIF orientation says")
    return turned


def _eight_bits(image: Image.Image) -> Image.Image:
    wide = np.asarray(image)
    if image.mode == "F" or wide.min() < 0 or wide.max() > _WIDE:
        kind = "floating-point numbers" if image.mode == "F" else "32-bit integers"
        raise ValueError(
            f"its pixels are {kind} of unknown range; add ?range=BLACK:WHITE to the source"
        )
    return Image.fromarray(eight_bits(wide, (0, _WIDE)))


def _on_white(image: Image.Image) -> tuple[Image.Image, bool]:
    """An RGBA image without what can't be seen of it, and whether that is anything."""
    if image.getchannel("A").getextrema()[0] == 255:
        return image, False
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image), True
