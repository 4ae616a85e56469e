"""`check`: read everything in a source once, and say what is wrong or remarkable in it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from kerascnn.data import images
from kerascnn.data.examples import Arrays, Examples, Options
from kerascnn.data.images import Inspection
from kerascnn.data.labels import Labels
from kerascnn.data.loading import best_target, read_source
from kerascnn.data.split_names import SPLITS
from kerascnn.data.threads import threads
from kerascnn.errors import DataError

CHUNK = 1024  # images handed to the threads at a time: a million futures would fill the memory


@dataclass(frozen=True)
class Example:
    """Where an image is.

    Attributes:
        split: "train", "validation" or "test".
        label: name of its class; of a mask or of boxes a digest.
        place: its file below the source's folder, or in an array such as "train[12]".
    """

    split: str
    label: str
    place: str


@dataclass(frozen=True)
class Found:
    """An image and its target, as they are stored.

    Attributes:
        image: what the file holds; None: it can't be read.
        target: of the image; None: it can't be read, or doesn't fit the image.
        errors: why something can't be read or doesn't fit, with the file's name.
    """

    image: Inspection | None
    target: np.ndarray | None
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What is in a source.

    Attributes:
        source: as the user typed it.
        licence: as far as known.
        target: what the images are labelled with: "label", "mask", "boxes".
        unit: what of it is counted: "images", "pixels", "objects"; "": nothing.
        images: how many were read, the corrupt ones included.
        counts: split → class → images, or pixels of masks, or objects in boxes. Only the source's
            own splits; nothing of a kind that counts nothing.
        images_with: split → class → images that have it; of labels the same as `counts`.
        nowhere: split → pixels of no class, or images without an object; of labels nothing.
        spread: what is known of all targets, such as "objects in an image" → least, median, most.
        sizes: "height×width" → images, the most common first.
        modes: Pillow's mode → images; for arrays "L", "RGB" or "n channels".
        formats: "JPEG", "PNG" ... or "array" → images.
        changes: what reading changes, such as "converted from CMYK to RGB" → images.
        corrupt: "file: reason" for each image, mask or annotation that can't be read, and for each
            target that doesn't fit its image or has classes that there aren't.
        left_out: "file: reason" for each file that is no image.
        duplicates: groups of examples whose pixels are the same.
        hints: what the source has to say, and what is to be feared of the images as a whole.
    """

    source: str
    licence: str
    target: str
    unit: str
    images: int
    counts: dict[str, dict[str, int]]
    images_with: dict[str, dict[str, int]]
    nowhere: dict[str, int]
    spread: dict[str, tuple[float, float, float]]
    sizes: dict[str, int]
    modes: dict[str, int]
    formats: dict[str, int]
    changes: dict[str, int]
    corrupt: list[str]
    left_out: list[str]
    duplicates: list[list[Example]]
    hints: list[str]

    def empty_classes(self) -> list[str]:
        """The classes that no training image has.

        With labels no training is possible then. None of a source without training images, which
        is for evaluation.
        """
        return [name for name, count in self.counts.get("train", {}).items() if not count]

    @property
    def usable(self) -> bool:
        """Whether a network can be trained or tested on all of it."""
        return not (self.corrupt or (self.unit == Labels.unit and self.empty_classes()))

    def across_splits(self) -> list[list[Example]]:
        """The duplicates that are in more than one split: the test knows training images."""
        return [group for group in self.duplicates if len({e.split for e in group}) > 1]

    def contradictory(self) -> list[list[Example]]:
        """The duplicates that are labelled in more than one way."""
        return [group for group in self.duplicates if len({e.label for e in group}) > 1]


def check(
    source: str,
    *,
    target: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Read everything in a source once, in parallel.

    Args:
        source: as in `kerascnn.data.load`.
        target: the same; None: the best that the source has.
        progress: is called now and then with the number of images read and to read.

    Raises:
        DataError: the source as a whole can't be used; a corrupt image is no error here.
        UnknownNameError, DuplicateNameError, BrokenPluginError: see `kerascnn.registry.load`.
    """
    target = target or best_target(source)
    contents = read_source(source, Options(target=target, unread=True))
    names = contents.class_names
    parts = {name: contents.splits[name] for name in SPLITS if name in contents.splits}
    total = sum(len(examples.labels) for examples in parts.values())
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    corrupt = list(contents.wrong)
    digests = np.zeros((total, 2), "uint64")  # 16 bytes each: a dictionary would take 300
    readable = np.ones(total, bool)
    targets = {name: examples.targets for name, examples in parts.items()}
    first_of, *others = targets.values()
    unit = first_of.unit
    tallies = {name: _Tally(len(names)) for name in parts}
    labels = np.zeros(total, "uint64")
    place, most = -1, 0
    for name, examples in parts.items():
        for found in _inspected(examples):
            place += 1
            if progress and ((place + 1) % 64 == 0 or place + 1 == total):
                progress(place + 1, total)
            corrupt += found.errors
            if found.target is not None:
                tallies[name].add(*targets[name].count(found.target, len(names)))
                labels[place] = _print_of(found.target)
            if (image := found.image) is None:
                readable[place] = False
                continue
            digests[place] = np.frombuffer(image.digest, "uint64")
            most = max(most, image.peak or 0)
            seen["sizes"][f"{image.height}×{image.width}"] += 1
            seen["modes"][image.mode] += 1
            seen["formats"][image.format] += 1
            seen["changes"].update(image.changes)

    first = dict(zip(parts, np.cumsum([0, *(len(part.labels) for part in parts.values())])))

    def example(place: int) -> Example:
        split = [name for name in parts if first[name] <= place][-1]
        part, position = parts[split], place - int(first[split])
        label = targets[split].named(position, names) or f"{labels[place]:016x}"
        if isinstance(part, Arrays):
            return Example(split, label, f"{split}[{position}]")
        return Example(split, label, part.name(position))

    def commonest(name: str) -> dict[str, int]:
        return dict(seen[name].most_common())

    def by_class(counts: np.ndarray) -> dict[str, int]:
        return dict(zip(names, counts.tolist())) if unit else {}

    return Report(
        source=source,
        licence=contents.licence,
        target=target,
        unit=unit,
        images=total,
        counts={name: by_class(tally.counts) for name, tally in tallies.items()},
        images_with={name: by_class(tally.images) for name, tally in tallies.items()},
        nowhere={name: tally.nowhere for name, tally in tallies.items()},
        spread=first_of.spread(others),
        sizes=commonest("sizes"),
        modes=commonest("modes"),
        formats=commonest("formats"),
        changes=commonest("changes"),
        corrupt=corrupt,
        left_out=list(contents.left_out),
        duplicates=[list(map(example, same)) for same in _same(digests, readable)],
        hints=[*contents.notes, *filter(None, [images.range_hint(most)])],
    )


class _Tally:
    """How often each class is there.

    Attributes:
        counts, images: see `counts` and `images_with` of `Report`, int64 `[classes]`.
        nowhere: see `Report`.
    """

    def __init__(self, classes: int) -> None:
        self.counts, self.images = np.zeros(classes, "int64"), np.zeros(classes, "int64")
        self.nowhere = 0

    def add(self, counts: np.ndarray, nowhere: int) -> None:
        """Those of an image, as `Targets.count` gives them."""
        self.counts += counts
        self.images += counts > 0
        self.nowhere += nowhere


def _print_of(target: np.ndarray) -> int:
    """8 bytes that tell one target from another."""
    head = repr(target.shape).encode()
    found = hashlib.blake2b(target.tobytes(), digest_size=8, key=head)
    return int.from_bytes(found.digest(), "big")


def _same(digests: np.ndarray, readable: np.ndarray) -> list[list[int]]:
    """Places of the readable images whose digests are the same, in the order of the first."""
    places = np.flatnonzero(readable)
    order = places[np.lexsort(digests[places].T)]
    begins = np.ones(len(order), bool)
    begins[1:] = (digests[order[1:]] != digests[order[:-1]]).any(axis=1)
    groups = np.split(order, np.flatnonzero(begins)[1:])
    return sorted(sorted(group.tolist()) for group in groups if len(group) > 1)


def _inspected(examples: Examples) -> Iterator[Found]:
    """Each example as it is stored, or why it can't be read."""
    targets = examples.targets

    def inspect(position: int) -> Found:
        image, target, errors = None, None, []
        try:
            image = _image(examples, position)
        except DataError as error:
            errors.append(str(error))
        try:  # a mask is only compared with an image that there is
            target = targets.checked(position) if image else targets.stored(position)
        except DataError as error:
            errors.append(str(error))
        return Found(image, target, tuple(errors))

    total = len(examples.labels)
    for start in range(0, total, CHUNK):
        yield from threads().map(inspect, range(start, min(start + CHUNK, total)))


def _image(examples: Examples, position: int) -> Inspection:
    if isinstance(examples, Arrays):
        return _inspect_array(examples.images[position])
    content = examples.content(position)
    return images.inspect(examples.place(position), content, examples.reading)


def _inspect_array(pixels: np.ndarray) -> Inspection:
    height, width, channels = pixels.shape
    mode = {1: "L", 3: "RGB"}.get(channels, f"{channels} channels")
    return Inspection(height, width, mode, "array", (), images.digest(pixels))
