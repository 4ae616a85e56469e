"""A JSON file of COCO's annotations: gone through once, and the mask of an image from it.

Of an annotation only its box, its class, its area and its place in the file are kept, and a mask is
made of the file when it is needed.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from kerascnn.data import objects, polygons, run_lengths
from kerascnn.data.json_stream import Element, elements, parse
from kerascnn.data.names import Names
from kerascnn.data.sentinels import VOID
from kerascnn.errors import DataError
from kerascnn.files import open_regular, shortened
from kerascnn.words import printable

LARGEST = 4 * 2**30  # bytes of a JSON file; COCO's own largest has 470 million
MOST = 20_000_000  # annotations, and images
MOST_CLASSES = 250  # a mask has room for as many
LARGEST_SIDE = 2**20
LARGEST_COORDINATE = 1e6
MOST_WRONG = 10_000  # annotations that are told, where all are
MOST_PAINTED = 2**33  # pixels around all objects of an image, which take a minute or two
NOWHERE = -1  # of an id that nothing has


@dataclass(frozen=True, eq=False)
class Instances:
    """What a JSON file says: images in the order of the file, and their annotations.

    Attributes:
        path: of the file.
        categories: id → name, in the order of the ids.
        ids: int64 `[n]`, of the images.
        names: `[n]`, what the images' files are called.
        sizes: int32 `[n, 2]`, `(height, width)` of the images.
        starts: int64 `[n + 1]`, the first annotation of each image, and m.
        labels: int32 `[m]`, the class of each, from 0.
        boxes: float32 `[m, 4]`, x1, y1, x2, y2.
        areas: float32 `[m]`, of the objects, in pixels; where the file has none, of their boxes.
        crowd: bool `[m]`.
        place: int64 `[m]`, where it begins in the file.
        length: int64 `[m]`, in bytes.
        wrong: position of an image → what is wrong with it and with its annotations, a phrase each;
            those are not among the m.
        astray: what is wrong with annotations that belong to no image, and with images.
    """

    path: str
    categories: Mapping[int, str]
    ids: np.ndarray
    names: Names
    sizes: np.ndarray
    starts: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    place: np.ndarray
    length: np.ndarray
    wrong: Mapping[int, Sequence[str]]
    astray: tuple[str, ...]

    def called(self, position: int) -> str:
        """How messages call an image."""
        return f"{self.path}, the image {printable(os.fsdecode(self.names[position]))}"

    def said(self, position: int) -> str:
        """What is wrong with its annotations, as a message; "": nothing that is known."""
        reasons = self.wrong.get(position)
        return f"{self.called(position)}: {objects.all_wrong(reasons)}." if reasons else ""


def read_instances(path: str, home: str, *, forbearing: bool = False) -> Instances:
    """Go through a JSON file.

    Args:
        path: the file.
        home: a folder that it must lie in when all links are followed.
        forbearing: tell what is wrong with annotations in the answer, instead of raising.

    Raises:
        DataError: it can't be read, or something in it is wrong; the message names the file, and
            the place in it.
    """
    try:
        with open_regular(path, inside=Path(home)) as file:
            if (size := os.fstat(file.fileno()).st_size) > LARGEST:
                raise ValueError(
                    f"it has {size:,} bytes, more than the {LARGEST:,} that are read; divide it"
                )
            return _gone_through(path, elements(file), _File(forbearing))
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise DataError(f"{path} can't be read as annotations of COCO: {reason}.") from None


def _gone_through(path: str, found: Iterator[Element], file: _File) -> Instances:
    readers: dict[str, Callable[[Mapping[str, Any], Element], None]] = {
        "categories": file.category,
        "images": file.image,
        "annotations": file.annotation,
    }
    for element in found:
        if (read := readers.get(element.key)) is None:
            continue
        if len(file.numbers) > MOST or len(file.boxes) > 4 * MOST:
            raise ValueError(f"there are more than {MOST:,} images, or annotations")
        value = None
        try:
            value = element.parsed()
            if not isinstance(value, dict):
                raise ValueError(f"expected an object. Received: {shortened(value)}")
            read(value, element)
        except ValueError as error:
            place = f"{element.key}, at byte {element.start:,}"
            if element.key == "categories":
                raise ValueError(f"{place}: {error}") from None
            if element.key == "annotations":
                place = f"the annotation at byte {element.start:,}"
            image = value.get("image_id") if isinstance(value, dict) else None
            file.refuse(image, f"{place}: {error}")
    return file.complete(path)


class _File:
    """What was found so far: numbers in few bytes each, as there may be millions."""

    def __init__(self, forbearing: bool) -> None:
        self.forbearing = forbearing
        self.wrong: list[tuple[Any, str]] = []  # of an annotation: the image's id, what is wrong
        self.categories: dict[int, str] = {}  # id → name
        self.numbers: dict[int, int] = {}  # of an image: id → position
        self.names, self.lengths = bytearray(), array("I")
        self.sizes = array("i")
        self.rows = array("q")  # of annotations: image, category, crowd, place, length
        self.boxes, self.areas = array("f"), array("f")

    def category(self, found: Mapping[str, Any], element: Element) -> None:
        name, number = found.get("name"), _whole(found, "id")
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ValueError(f"name must be a text. Received: {shortened(name)}")
        if number in self.categories or name in self.categories.values():
            raise ValueError(f"the category {number}, {shortened(name)}, is there twice")
        if len(self.categories) == MOST_CLASSES:
            raise ValueError(f"there are more than {MOST_CLASSES} categories")
        self.categories[number] = name

    def image(self, found: Mapping[str, Any], element: Element) -> None:
        number, name = _whole(found, "id"), _file_name(found)
        size = _whole(found, "height"), _whole(found, "width")
        if not all(0 < side <= LARGEST_SIDE for side in size):
            raise ValueError(f"height and width must be sizes in pixels. Received: {size}")
        if number in self.numbers:
            raise ValueError(f"the image {number} is there twice")
        self.numbers[number] = len(self.numbers)
        self.names += name
        self.lengths.append(len(name))
        self.sizes.extend(size)

    def annotation(self, found: Mapping[str, Any], element: Element) -> None:
        box = found.get("bbox")
        numbers = _numbers(box)
        if numbers is None or len(numbers) != 4 or min(numbers[2:]) < 0:
            raise ValueError(
                f"bbox must be [x, y, width, height], in pixels. Received: {shortened(box)}"
            )
        image, category = _whole(found, "image_id"), _whole(found, "category_id")
        crowd = "iscrowd" in found and _whole(found, "iscrowd") > 0
        x, y, width, height = numbers
        self.rows.extend((image, category, crowd, element.start, len(element.text)))
        self.boxes.extend((x, y, x + width, y + height))
        (area,) = _numbers([found.get("area")], LARGEST_COORDINATE**2) or (width * height,)
        self.areas.append(area)

    def refuse(self, image: Any, reason: str) -> None:
        """An image or annotation can't be used: that is raised, or kept for the image.

        Args:
            image: its id, as the annotation has it, if that is one.
            reason: what is wrong, and where.

        Raises:
            ValueError: `forbearing` is off, or there are too many of them.
        """
        if not self.forbearing:
            raise ValueError(f"{reason}. {objects.REPAIR}")
        if len(self.wrong) == MOST_WRONG:
            first = self.wrong[0][1]
            raise ValueError(f"more than {MOST_WRONG:,} annotations are wrong, such as: {first}")
        self.wrong.append((image, reason))

    def complete(self, path: str) -> Instances:
        """The annotations in the order of their images, which may come after them in a file."""
        categories = dict(sorted(self.categories.items()))
        if not (categories and self.numbers):
            what = "images" if categories else "categories"
            raise ValueError(
                f"it has no {what}; expected lists of images, annotations and categories"
            )
        rows = np.array(self.rows, "int64").reshape(-1, 5)
        image = _looked_up(rows[:, 0], list(self.numbers))
        labels = _looked_up(rows[:, 1], list(categories))
        for found, column, what in ((image, 0, "image"), (labels, 1, "category")):
            for row in np.flatnonzero(found == NOWHERE).tolist():
                said = f"the annotation at byte {rows[row, 3]:,} is of the {what}"
                self.refuse(int(rows[row, 0]), f"{said} {rows[row, column]}, which isn't there")
        good = np.flatnonzero((image != NOWHERE) & (labels != NOWHERE))
        order = good[np.argsort(image[good], kind="stable")]
        starts = np.searchsorted(image[order], np.arange(len(self.numbers) + 1))
        names = Names.packed(np.frombuffer(self.names, "uint8"), np.array(self.lengths, "uint32"))
        self._refuse_second(names)
        wrong, astray = self._by_image()
        return Instances(
            path=path,
            categories=categories,
            ids=np.array(list(self.numbers), "int64"),
            names=names,
            sizes=np.array(self.sizes, "int32").reshape(-1, 2),
            starts=starts.astype("int64"),
            labels=labels[order].astype("int32"),
            boxes=np.array(self.boxes, "float32").reshape(-1, 4)[order],
            areas=np.array(self.areas, "float32")[order],
            crowd=rows[order, 2] > 0,
            place=rows[order, 3],
            length=rows[order, 4],
            wrong=wrong,
            astray=tuple(f"{path}: {reason}." for reason in astray),
        )

    def _refuse_second(self, names: Names) -> None:
        """Of two images with one file the second is wrong: each has a part of the objects."""
        hashes, numbers = names.hashes(), list(self.numbers)
        _, first, which = np.unique(hashes, return_index=True, return_inverse=True)
        for position in np.flatnonzero(first[which] != np.arange(len(hashes))).tolist():
            image, before = numbers[position], numbers[first[which[position]]]
            name = shortened(os.fsdecode(names[position]))
            self.refuse(image, f"the images {before} and {image} are both {name}")

    def _by_image(self) -> tuple[dict[int, list[str]], list[str]]:
        """What is wrong with each image and its annotations, and with those that belong to none."""
        wrong: dict[int, list[str]] = {}
        astray = []
        for image, reason in self.wrong:
            position = self.numbers.get(image) if type(image) is int else None
            if position is None:
                astray.append(reason)
            else:
                wrong.setdefault(position, []).append(reason)
        return wrong, astray


def _looked_up(ids: np.ndarray, known: list[int]) -> np.ndarray:
    """The places of ids in a list of all; `NOWHERE`: they aren't there."""
    every = np.array(known, "int64")
    order = np.argsort(every)
    place = np.searchsorted(every[order], ids)
    found = order[np.minimum(place, len(every) - 1)]
    return np.where(every[found] == ids, found, NOWHERE)


def _file_name(found: Mapping[str, Any]) -> bytes:
    name = found.get("file_name")
    legal = isinstance(name, str) and 0 < len(name) < 1000 and name.isprintable()
    parts = re.split(r"[/\\]", str(name))
    if not legal or not parts[0] or ".." in parts or ":" in parts[0]:
        raise ValueError(
            "file_name must be that of an image below the images' folder. "
            f"Received: {shortened(name)}"
        )
    return os.fsencode(os.path.normpath(str(name)))


def _whole(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise ValueError(f"{name} must be a whole number. Received: {shortened(value)}")
    return value


def _numbers(value: Any, most: float = LARGEST_COORDINATE) -> list[float] | None:
    """A list of numbers of a size that pixels have; None: it is none."""
    if not isinstance(value, list) or not all(type(one) in (int, float) for one in value):
        return None
    return value if all(abs(one) <= most for one in value) else None


Piece = tuple[tuple[slice, slice], np.ndarray]
"""Rows and columns of an image, and which of their pixels are an object's: bool of that size."""


def pieces_of(segmentation: Any, size: tuple[int, int]) -> Iterator[Piece]:
    """The pixels of an object, piece by piece: an image may have thousands of small ones.

    Args:
        segmentation: as annotations have it: polygons, or a run-length code.
        size: `(height, width)` of the image.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(segmentation, list):
        for polygon in segmentation:
            numbers = _numbers(polygon)
            if numbers is None or len(numbers) < 6 or len(numbers) % 2:
                raise ValueError(
                    "a polygon must be [x1, y1, x2, y2, x3, y3 ...], in pixels. "
                    f"Received: {shortened(polygon)}"
                )
            yield polygons.part(np.array(numbers, "float64").reshape(-1, 2), *size)
        return
    if not isinstance(segmentation, dict) or segmentation.get("size") != list(size):
        received = segmentation.get("size") if isinstance(segmentation, dict) else segmentation
        raise ValueError(
            "segmentation must be polygons, or a run-length code of the image's size, "
            f"{list(size)}. Received: {shortened(received)}"
        )
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        counts = run_lengths.counts_of(counts)
    elif not isinstance(counts, list) or not all(type(n) is int and n < 2**62 for n in counts):
        raise ValueError(f"counts must be whole numbers, or a text. Received: {shortened(counts)}")
    yield (slice(None), slice(None)), run_lengths.decoded(counts, *size)


def mask(instances: Instances, position: int, home: str, pixels: int) -> np.ndarray:
    """The mask of an image, uint8 `[height, width]`: see `kerascnn.data.coco`.

    Args:
        instances: of the file.
        position: of the image in it.
        home: see `read_instances`.
        pixels: the most that an image may have.

    Raises:
        DataError: an annotation is wrong, or the file has changed; the message names it.
    """
    if said := instances.said(position):
        raise DataError(said)
    height, width = instances.sizes[position].tolist()
    own = np.arange(instances.starts[position], instances.starts[position + 1])
    place = instances.called(position)
    if height * width > pixels:
        raise DataError(
            f"{place}: it has {height}×{width} pixels, more than {pixels:,}; allow more with "
            "?max_pixels=N behind the source."
        )
    found = np.zeros((height, width), "uint8")
    corners = instances.boxes[own]
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    order = np.lexsort((-areas, ~instances.crowd[own]))  # crowds first, then the largest
    if not len(order):
        return found
    left = MOST_PAINTED
    try:
        with open_regular(instances.path, inside=Path(home)) as file:
            for one in own[order].tolist():
                number = VOID if instances.crowd[one] else 1 + instances.labels[one]
                for part, inside in _outline(file, instances, one, (height, width)):
                    found[part][inside] = number
                    if (left := left - inside.size) < 0:
                        raise ValueError(
                            f"its objects, one after the other, have more than {MOST_PAINTED:,} "
                            "pixels"
                        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise DataError(f"{place}: {reason}.") from None
    return found


def _outline(
    file: IO[bytes], instances: Instances, annotation: int, size: tuple[int, int]
) -> Iterator[Piece]:
    """The pixels of one annotation's object; see `pieces_of`.

    Raises:
        ValueError: the file has changed, or the outline is wrong; the message has the place.
    """
    start = int(instances.place[annotation])
    file.seek(start)
    try:
        value = parse(file.read(int(instances.length[annotation])))
        yield from pieces_of(value.get("segmentation"), size)
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"the annotation at byte {start:,}: {error}") from None
