"""`check`: read everything in a source once, and say what is wrong or remarkable in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascnn.data import images
from kerascnn.data.examples import Arrays, Examples, Options
from kerascnn.data.images import Inspection
from kerascnn.data.loading import read_source
from kerascnn.data.split_names import SPLITS
from kerascnn.data.threads import threads
from kerascnn.errors import DataError

CHUNK = 1024  # images handed to the threads at a time: a million futures would fill the memory


@dataclass(frozen=True)
class Example:
    """Where an image is.

    Attributes:
        split: "train", "validation" or "test".
        label: name of its class.
        place: its file below the source's folder, or in an array such as "train[12]".
    """

    split: str
    label: str
    place: str


@dataclass(frozen=True)
class Report:
    """What is in a source.

    Attributes:
        source: as the user typed it.
        licence: as far as known.
        images: how many were read, the corrupt ones included.
        counts: split → class → images. Only the source's own splits.
        sizes: "height×width" → images, the most common first.
        modes: Pillow's mode → images; for arrays "L", "RGB" or "n channels".
        formats: "JPEG", "PNG" ... or "array" → images.
        changes: what reading changes, such as "converted from CMYK to RGB" → images.
        corrupt: "file: reason" for each image that can't be read.
        left_out: "file: reason" for each file that is no image.
        duplicates: groups of examples whose pixels are the same.
        hints: what the source has to say, and what is to be feared of the images as a whole.
    """

    source: str
    licence: str
    images: int
    counts: dict[str, dict[str, int]]
    sizes: dict[str, int]
    modes: dict[str, int]
    formats: dict[str, int]
    changes: dict[str, int]
    corrupt: list[str]
    left_out: list[str]
    duplicates: list[list[Example]]
    hints: list[str]

    def empty_classes(self) -> list[str]:
        """The classes without a training image, which no training is possible with.

        None of a source without training images, which is for evaluation.
        """
        return [name for name, count in self.counts.get("train", {}).items() if not count]

    def across_splits(self) -> list[list[Example]]:
        """The duplicates that are in more than one split: the test knows training images."""
        return [group for group in self.duplicates if len({e.split for e in group}) > 1]

    def contradictory(self) -> list[list[Example]]:
        """The duplicates that belong to more than one class."""
        return [group for group in self.duplicates if len({e.label for e in group}) > 1]


def check(source: str, *, progress: Callable[[int, int], None] | None = None) -> Report:
    """Read everything in a source once, in parallel.

    Args:
        source: as in `kerascnn.data.load`.
        progress: is called now and then with the number of images read and to read.

    Raises:
        DataError: the source as a whole can't be used; a corrupt image is no error here.
        UnknownNameError, DuplicateNameError, BrokenPluginError: see `kerascnn.registry.load`.
    """
    contents = read_source(source, Options(unread=True))
    parts = {name: contents.splits[name] for name in SPLITS if name in contents.splits}
    total = sum(len(examples.labels) for examples in parts.values())
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    corrupt: list[str] = []
    digests = np.zeros((total, 2), "uint64")  # 16 bytes each: a dictionary would take 300
    readable = np.ones(total, bool)
    place, most = -1, 0
    for examples in parts.values():
        for found in _inspected(examples):
            place += 1
            if progress and ((place + 1) % 64 == 0 or place + 1 == total):
                progress(place + 1, total)
            if isinstance(found, str):
                corrupt.append(found)
                readable[place] = False
                continue
            digests[place] = np.frombuffer(found.digest, "uint64")
            most = max(most, found.peak or 0)
            seen["sizes"][f"{found.height}×{found.width}"] += 1
            seen["modes"][found.mode] += 1
            seen["formats"][found.format] += 1
            seen["changes"].update(found.changes)

    first = dict(zip(parts, np.cumsum([0, *(len(part.labels) for part in parts.values())])))

    def example(place: int) -> Example:
        split = [name for name in parts if first[name] <= place][-1]
        part, position = parts[split], place - int(first[split])
        label = contents.class_names[part.labels[position]]
        if isinstance(part, Arrays):
            return Example(split, label, f"{split}[{position}]")
        return Example(split, label, part.name(position))

    def commonest(name: str) -> dict[str, int]:
        return dict(seen[name].most_common())

    return Report(
        source=source,
        licence=contents.licence,
        images=total,
        counts={
            name: _per_class(part.labels, contents.class_names) for name, part in parts.items()
        },
        sizes=commonest("sizes"),
        modes=commonest("modes"),
        formats=commonest("formats"),
        changes=commonest("changes"),
        corrupt=corrupt,
        left_out=list(contents.left_out),
        duplicates=[list(map(example, same)) for same in _same(digests, readable)],
        hints=[*contents.notes, *filter(None, [images.range_hint(most)])],
    )


def _same(digests: np.ndarray, readable: np.ndarray) -> list[list[int]]:
    """Places of the readable images whose digests are the same, in the order of the first."""
    places = np.flatnonzero(readable)
    order = places[np.lexsort(digests[places].T)]
    begins = np.ones(len(order), bool)
    begins[1:] = (digests[order[1:]] != digests[order[:-1]]).any(axis=1)
    groups = np.split(order, np.flatnonzero(begins)[1:])
    return sorted(sorted(group.tolist()) for group in groups if len(group) > 1)


def _inspected(examples: Examples) -> Iterator[Inspection | str]:
    """Each example as it is stored, or why it can't be read."""

    def inspect(position: int) -> Inspection | str:
        if isinstance(examples, Arrays):
            return _inspect_array(examples.images[position])
        try:
            content = examples.content(position)
            return images.inspect(examples.place(position), content, examples.reading)
        except DataError as error:
            return str(error)

    total = len(examples.labels)
    for start in range(0, total, CHUNK):
        yield from threads().map(inspect, range(start, min(start + CHUNK, total)))


def _inspect_array(pixels: np.ndarray) -> Inspection:
    height, width, channels = pixels.shape
    mode = {1: "L", 3: "RGB"}.get(channels, f"{channels} channels")
    return Inspection(height, width, mode, "array", (), images.digest(pixels))


def _per_class(labels: Any, class_names: tuple[str, ...]) -> dict[str, int]:
    counts = np.bincount(labels, minlength=len(class_names)).tolist()
    return dict(zip(class_names, counts))
