"""Image files as pixels of the size that a network takes: any number, in the memory of a few."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from kerascnn.data import images
from kerascnn.data.files import Found
from kerascnn.data.fitting import Shape
from kerascnn.data.images import AS_THEY_ARE, Reading
from kerascnn.data.threads import threads
from kerascnn.errors import DataError

AHEAD = 2  # batches that are read while one is looked at


@dataclass(frozen=True)
class Photo:
    """A file that was read.

    Attributes:
        path: the file.
        pixels: uint8 `[height, width, channels]`; None: it can't be read.
        changes: what was changed to fit the network, a phrase each.
        error: why the file can't be read; "": it can.
    """

    path: str
    pixels: np.ndarray | None
    changes: tuple[str, ...] = ()
    error: str = ""


def read_files(
    files: Iterable[Found], shape: Shape, *, batch_size: int, reading: Reading = AS_THEY_ARE
) -> Iterator[list[Photo]]:
    """Files in their order, read in threads, some batches ahead of the one that is looked at.

    Args:
        files: as `kerascnn.data.files.Files` finds them; no more are taken than will be read soon.
        shape: `(height, width, channels)` wanted.
        batch_size: files in one list.
        reading: how the user wants them to be read.
    """

    def read(path: str, content: bytes | None) -> tuple[np.ndarray, tuple[str, ...]]:
        return images.read(path, shape, content, reading)

    return _ahead(files, read, batch_size)


def read_whole(
    files: Iterable[Found], channels: int, *, reading: Reading = AS_THEY_ARE
) -> Iterator[Photo]:
    """Files in their order, each in its own size, upright; two are read ahead.

    Args:
        files: as `kerascnn.data.files.Files` finds them; no more are taken than will be read soon.
        channels: 1 or 3 wanted; what was changed to get them is said.
        reading: how the user wants them to be read.
    """

    def read(path: str, content: bytes | None) -> tuple[np.ndarray, tuple[str, ...]]:
        return images.whole(path, channels, reading, content)

    for (photo,) in _ahead(files, read, 1):
        yield photo


Read = Callable[[str, bytes | None], tuple[np.ndarray, tuple[str, ...]]]
"""From a path, and its content if at hand, to pixels, and what was changed; raises DataError."""


def _ahead(files: Iterable[Found], read: Read, batch_size: int) -> Iterator[list[Photo]]:
    """Lists of so many files, `AHEAD` of them waiting."""
    waiting: deque[Future[Photo]] = deque()
    coming = iter(files)
    try:
        while True:
            missing = (1 + AHEAD) * batch_size - len(waiting)
            for file in itertools.islice(coming, missing):
                waiting.append(threads().submit(_read, file, read))
            if not waiting:
                return
            count = min(batch_size, len(waiting))
            yield [waiting.popleft().result() for _ in range(count)]
    finally:
        for future in waiting:
            future.cancel()


def _read(file: Found, read: Read) -> Photo:
    try:
        if file.error:
            raise DataError(f"{file.path}: {file.error}")
        pixels, changes = read(file.path, file.content)
    except Exception as error:  # whatever one file does, the others are done
        known = error if isinstance(error, DataError) else images.unreadable(file.path, error)
        return Photo(file.path, None, (), str(known))
    return Photo(file.path, pixels, changes)
