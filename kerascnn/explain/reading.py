"""The images of a data set: once through in batches, and some of them again by their numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from kerascnn.data import Split, readable_errors
from kerascnn.errors import ArgumentError

AT_ONCE = 256  # images of an array that are hashed together

EXPECTED = (
    "data must be images [n, height, width, channels], a kerascnn.data Split, or an iterable of "
    "batches of images that can be gone through again, such as a list or an unshuffled "
    "tf.data.Dataset"
)


class Images(Protocol):
    """Images with numbers from 0 up, in an order that is always the same."""

    @property
    def size(self) -> int | None:
        """How many; None: it isn't known before they are read."""

    def batches(self, batch_size: int, start: int = 0) -> Iterator[np.ndarray]:
        """All images from number `start` on: `[batch, height, width, channels]`."""

    def chosen(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """Those of these numbers, which rise: `[height, width, channels]` each."""

    def digest(self) -> bytes:
        """What tells this data set from others, as far as it can be said without reading files."""


def images_of(data: Any) -> Images:
    """What `top_patches` goes through.

    Args:
        data: an array or tensor, a `kerascnn.data.Split`, or an iterable of batches.

    Raises:
        ArgumentError: it is none of them.
    """
    if isinstance(data, Split):
        return _SplitImages(data)
    if hasattr(data, "__array__"):
        array = np.asarray(data)  # a memory-mapped one stays on the disk
        if array.ndim != 4:
            raise ArgumentError(f"{EXPECTED}. Received: an array of shape {array.shape}.")
        return _ArrayImages(array)
    if not isinstance(data, Iterable):
        raise ArgumentError(f"{EXPECTED}. Received: {type(data).__name__}.")
    if isinstance(data, Iterator):
        raise ArgumentError(
            f"{EXPECTED}. Received: {type(data).__name__}, which gives its batches only once; "
            "the strongest images are read a second time."
        )
    return _BatchImages(data)


@dataclass(frozen=True)
class _ArrayImages:
    images: np.ndarray

    @property
    def size(self) -> int:
        return len(self.images)

    def batches(self, batch_size: int, start: int = 0) -> Iterator[np.ndarray]:
        for at in range(start, len(self.images), batch_size):
            yield self.images[at : at + batch_size]

    def chosen(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        return (self.images[number] for number in numbers)

    def digest(self) -> bytes:
        found = hashlib.sha256(f"{self.images.dtype} {self.images.shape}".encode())
        for batch in self.batches(AT_ONCE):
            found.update(batch.tobytes())
        return found.digest()


@dataclass(frozen=True)
class _SplitImages:
    split: Split

    @property
    def size(self) -> int:
        return self.split.size

    def batches(self, batch_size: int, start: int = 0) -> Iterator[np.ndarray]:
        step, seen = divmod(start, batch_size)
        with readable_errors(self.split):
            for images, *_ in self.split.batches(batch_size, first_step=step):
                if len(images) > seen:
                    yield images.numpy()[seen:]
                seen = 0

    def chosen(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        return (self.split.example(number)[0] for number in numbers)

    def digest(self) -> bytes:
        found = hashlib.sha256(f"{self.split.size} {self.split.image_shape}".encode())
        self.split.targets.digest(found.update)
        found.update(self.split.ids.tobytes())
        return found.digest()


@dataclass(frozen=True)
class _BatchImages:
    """Batches of any size, alone or in front of their labels."""

    data: Iterable[Any]
    size: None = None

    def batches(self, batch_size: int, start: int = 0) -> Iterator[np.ndarray]:
        seen = 0
        for batch in self.data:
            images = np.asarray(batch[0] if isinstance(batch, (tuple, list)) else batch)
            if images.ndim != 4:
                raise ArgumentError(f"{EXPECTED}. Received: a batch of shape {images.shape}.")
            seen += len(images)
            if seen > start:
                yield images[max(0, len(images) - (seen - start)) :]

    def chosen(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        wanted, first = list(reversed(numbers)), 0
        for images in self.batches(0):
            while wanted and wanted[-1] < first + len(images):
                yield images[wanted.pop() - first]
            first += len(images)
            if not wanted:
                return
        raise ArgumentError(
            f"{EXPECTED}. Received: {first:,} images when they were read again, and number "
            f"{wanted[-1]:,} before."
        )

    def digest(self) -> bytes:
        return b"batches"  # what is in them would take a pass; their first is looked at elsewhere
