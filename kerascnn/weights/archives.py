"""Zip archives of strangers: no member unfolds to more than its archive can honestly hold.

Deflate shrinks zeros a thousandfold, and a header may claim any size. So sizes are limited before
anything is read: each alone, and all together by the size of the archive.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from kerascnn.errors import WeightsError

UNFOLDING = 20
"""How much larger than the file its content may be. Trained weights hardly shrink at all."""
FLOOR = 1 << 28
"""Bytes that any file may unfold to, however small it is: weights of zeros, say."""
CEILING = 1 << 36
"""Bytes that no file unfolds to."""
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}


def limit(path: Path) -> int:
    """Bytes that a file's content may take in memory."""
    return min(max(UNFOLDING * path.stat().st_size, FLOOR), CEILING)


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open an archive whose members can be read safely with `read_member`.

    Raises:
        WeightsError: its members are encrypted, packed in another way, or too large.
        zipfile.BadZipFile: it is none.
    """
    archive = zipfile.ZipFile(path)
    total = 0
    for member in archive.infolist():
        total += member.file_size
        if member.flag_bits & 1 or member.compress_type not in _METHODS:
            archive.close()
            raise WeightsError(
                f"{path}: its member {member.filename[:100]!r} is encrypted, or packed in another "
                "way than zip files of weights are (stored or deflated)."
            )
    if total > limit(path):
        archive.close()
        raise WeightsError(
            f"{path} would unfold to {total:,} bytes, {total // max(path.stat().st_size, 1)} times "
            f"its size. At most {limit(path):,} are read: {UNFOLDING} times the file. "
            "If you trust it, pack it again without compression."
        )
    return archive


def read_member(archive: zipfile.ZipFile, name: str, most: int | None = None) -> bytes:
    """A member's bytes; unpacked in steps, so that it ends where its header says.

    Raises:
        WeightsError: it has more than `most` bytes.
        KeyError, zipfile.BadZipFile, EOFError: it is missing or damaged.
    """
    member = archive.getinfo(name)
    if most is not None and member.file_size > most:
        raise WeightsError(
            f"{archive.filename}: its member {name[:100]!r} has {member.file_size:,} bytes; at "
            f"most {most:,} are read."
        )
    content = bytearray()
    with archive.open(member) as file:
        while block := file.read(1 << 20):
            content += block
    return bytes(content)


def read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array in NumPy's format, of exactly the size that its header declares.

    Raises:
        WeightsError: its elements are no numbers, or the size is another.
        ValueError: the header is damaged.
    """
    from numpy.lib import format as npy

    size = archive.getinfo(name).file_size
    with archive.open(name) as file:
        shape, order, dtype = _header(file, npy)
        declared = math.prod(shape) * dtype.itemsize
        found = size - file.tell()
        if dtype.kind not in "fiub" or declared != found:
            raise WeightsError(
                f"{archive.filename}: {name[:100]!r} must be an array of numbers that fills its "
                f"{found:,} bytes. Received: shape {shape}, {dtype}, {declared:,} bytes."
            )
        content = bytearray()
        while block := file.read(1 << 20):
            content += block
    array = np.frombuffer(content, dtype)
    return array.reshape(shape[::-1]).T if order else array.reshape(shape)


def _header(file: IO[bytes], npy: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"an array in the unknown version {version} of NumPy's format")
    shape, order, dtype = read(file)
    if len(shape) > 8 or min(shape, default=0) < 0:
        raise ValueError(f"an array of the impossible shape {shape}")
    return shape, order, dtype
