"""TensorFlow's record files: where each record begins, and compressed ones unpacked.

The framing of a record (https://www.tensorflow.org/tutorials/load_data/tfrecord) is its length as
uint64, a checksum of that, the data, and a checksum of the data. A file has no table of contents.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from kerascnn.errors import DataError

HEADER, FOOTER = 12, 4  # bytes before and behind the data of a record
MOST_RATIO = 100  # of an unpacked file's size to the packed one's; images hardly shrink


def frames(path: str, name: str) -> np.ndarray:
    """Where each record begins, int64 `[n]`: what they declare is compared with the file's size.

    Args:
        path: the file.
        name: how messages call it.

    Raises:
        DataError: a record goes beyond the end of the file.
    """
    size = os.path.getsize(path)
    offsets: list[int] = []
    at = 0
    with open(path, "rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(HEADER)
            if len(head) < HEADER:
                raise _damaged(
                    file, name, offsets, f"its header is cut off after {len(head)} bytes"
                )
            (length,) = struct.unpack("<Q", head[:8])
            room = size - at - HEADER - FOOTER
            if length > room:
                says = f"it says {length:,} bytes, and the file has room for {max(0, room):,}"
                raise _damaged(file, name, offsets, says)
            offsets.append(at)
            at += HEADER + length + FOOTER
    return np.array(offsets, "int64")


def _damaged(file: IO[bytes], name: str, offsets: Sequence[int], why: str) -> DataError:
    """That the record behind these is damaged; or one of them, whose wrong length has led there."""
    for number, offset in enumerate(offsets):
        file.seek(offset)
        if not _checked(file.read(HEADER)):
            return DataError(
                f"{name} is damaged at record {number}: its length has another checksum"
            )
    return DataError(f"{name} is damaged at record {len(offsets)}: {why}.")


def data_at(file: IO[bytes], offset: int) -> bytes:
    """The data of the record that begins there.

    Raises:
        ValueError: it goes beyond the end of the file.
    """
    file.seek(offset)
    (length,) = struct.unpack("<Q", file.read(HEADER)[:8])
    if length > os.fstat(file.fileno()).st_size:
        raise ValueError("the record goes beyond the end of the file")
    return file.read(length)


def _checked(header: bytes) -> bool:
    """Whether a record's length has the checksum behind it: a masked CRC-32C, here bit by bit."""
    value = 0xFFFFFFFF
    for byte in header[:8]:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    masked = ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return header[8:HEADER] == struct.pack("<I", masked)


def decompressor(path: str) -> Any:
    """A decompressor for what the file begins like: gzip's or zlib's; None: neither."""
    with open(path, "rb") as file:
        head = file.read(2)
    if head == b"\x1f\x8b":
        return zlib.decompressobj(wbits=31)
    if len(head) == 2 and head[0] == 0x78 and int.from_bytes(head, "big") % 31 == 0:
        return zlib.decompressobj()
    return None


def unpacked(path: str, target: Path, decompressor: Any) -> str:
    """A compressed file unpacked into the cache, as its records must be reached one by one.

    Raises:
        DataError: it is damaged, there is no room, or it becomes far larger than images do.
    """
    most = os.path.getsize(path) * MOST_RATIO + 2**20
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "rb") as packed, open(temporary, "wb") as file:
            while chunk := packed.read(2**20):
                while chunk:
                    file.write(decompressor.decompress(chunk, 2**24))
                    chunk = decompressor.unconsumed_tail
                    if file.tell() > most:
                        raise ValueError(f"it unpacks to more than {MOST_RATIO} times its size")
                    if decompressor.eof and (chunk := decompressor.unused_data):
                        decompressor = zlib.decompressobj(wbits=31)  # gzip files may follow another
            if not decompressor.eof:
                raise ValueError("it is cut off")
        os.replace(temporary, target)
    except (OSError, ValueError, zlib.error) as error:
        raise DataError(f"{path} can't be unpacked into {target.parent}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return str(target)
