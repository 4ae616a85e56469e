"""A table of objects in boxes, a row for each: of `csv:FILE`.

    file,x1,y1,x2,y2,label
    photos/1.jpg,10,12,80,64,cat
    photos/1.jpg,0,5,20,40,dog
    photos/2.jpg,,,,,

Corners are edges in pixels: a box around a whole image is 0, 0, width, height. An image without
objects has one row with an empty box. Instead of `file` the column may be called `path`, `filename`
or `image`; `class` instead of `label`; and `xmin`, `ymin`, `xmax`, `ymax` instead of the corners.
There may be a column `split`; others are passed over. The classes are in alphabetical order, or by
value if all are whole numbers, or those that are named: `csv:FILE?classes=cat,dog`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kerascnn.data import objects
from kerascnn.data.boxes import Boxes
from kerascnn.data.encoded import contents
from kerascnn.data.examples import Contents, Encoded, Files, Options
from kerascnn.data.labels import Labels
from kerascnn.data.names import Names
from kerascnn.data.split_names import SPLITS
from kerascnn.data.table import ordered
from kerascnn.data.table_rows import rows, split_of
from kerascnn.errors import DataError
from kerascnn.files import shortened

FILE, LABEL = ("file", "path", "filename", "image"), ("label", "class")
CORNERS = ("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax")
LARGEST = 1e6  # a coordinate
_NUMBER = re.compile(r"[+-]?\d{1,9}(\.\d{0,20})?")


@dataclass(frozen=True)
class Columns:
    """What a table calls the image, the class and the corners."""

    file: str
    label: str
    corners: Sequence[str]


@dataclass
class Image:
    """What a table says of an image.

    Attributes:
        split: that it belongs to.
        lines: of its objects, in the table.
        boxes: x1, y1, x2, y2 of each.
        labels: the name of each one's class.
        empty: the line that says that there is no object.
        wrong: line → what is wrong in it.
    """

    split: str
    lines: list[int] = field(default_factory=list)
    boxes: list[Sequence[float]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    empty: int | None = None
    wrong: dict[int, str] = field(default_factory=dict)


def has_boxes(names: Sequence[str]) -> bool:
    """Whether the columns of a header are those of a table of boxes."""
    return any(set(corners) <= set(names) for corners in CORNERS)


def columns(file: str, names: Sequence[str]) -> Columns:
    """Which of the columns of a header are read.

    Raises:
        DataError: one is missing.
    """
    corners = next((one for one in CORNERS if set(one) <= set(names)), None)
    image = next((one for one in FILE if one in names), None)
    label = next((one for one in LABEL if one in names), None)
    if not (corners and image and label):
        raise DataError(
            f"{file}, line 1: expected the columns of a table of boxes, file, x1, y1, x2, y2 and "
            f"label, and perhaps split. Received: {', '.join(names)[:200] or 'nothing'}."
        )
    return Columns(image, label, corners)


def read(file: str, root: str, options: Options, classes: tuple[str, ...] = ()) -> Contents:
    """The images of a table of boxes, or the labels of those whose objects are all of one class.

    Args:
        file: the table.
        root: the folder that its paths start from.
        options: see `Options`.
        classes: that there are; none: those that the table names.

    Raises:
        DataError: the table can't be read, or a line of it is wrong: the message names it; or see
            `kerascnn.data.encoded.contents`.
    """
    faults = objects.Faults(forbearing=options.forbearing)
    named: dict[str, int] = {}
    images = _images(file, named, faults)
    if not images:
        raise DataError(f"{file} has no line below its header.")
    classes = classes or tuple(ordered(named)[0])
    if not classes:
        raise DataError(f"{file} has no object; name the classes as in csv:FILE?classes=cat,dog.")
    splits: dict[str, Encoded] = {}
    notes: list[str] = []
    wrong = faults.found
    for split in SPLITS:
        part = {path: image for path, image in images.items() if image.split == split}
        if not part:
            continue
        sizes = np.array([_bytes(file, root, path, part[path], options) for path in part], "int64")
        files = Files(root, Names.of(part), sizes, Labels(sizes * 0), (0, 0, 0), options.reading)
        boxes = _boxes(file, files, list(part.values()), classes, options)
        splits[split], said, astray = objects.with_targets(files, boxes, split, options)
        notes += said
        wrong += astray
    return contents(file, classes, splits, options, notes=notes, wrong=wrong, every_class=False)


def _images(file: str, named: dict[str, int], faults: objects.Faults) -> dict[bytes, Image]:
    """Path → what the table says of it, in the order of the first rows.

    Args:
        file: the table.
        named: is filled with the classes, and a number for each in the order of their first rows.
        faults: see there.

    Raises:
        DataError: see `read`; of an image that is listed twice `faults` decides.
    """
    found: dict[bytes, Image] = {}
    held: list[Columns] = []
    for line, row in rows(file, lambda names: held.append(columns(file, names))):
        column = held[0]
        if not row[column.file]:
            raise DataError(f"{file}, line {line}: the {column.file} is empty.")
        path = os.fsencode(os.path.normpath(row[column.file]))
        split = split_of(file, line, row)
        image = found.setdefault(path, Image(split))
        texts = [row[name] for name in column.corners]
        again = f"{file}, line {line}: {shortened(row[column.file])} is there a second time"
        if image.split != split:
            faults.add(f"{again}, for {split}.")
        elif image.empty is not None or (image.lines and not any(texts)):
            faults.add(f"{again}, with and without an object.")
        elif not any(texts):
            image.empty = line
        else:
            _add(image, line, texts, row[column.label])
            if row[column.label]:
                named.setdefault(row[column.label], len(named))
    return found


def _add(image: Image, line: int, texts: Sequence[str], label: str) -> None:
    """One more object of an image, or what is wrong with it."""
    numbers = [float(text) for text in texts if _NUMBER.fullmatch(text)]
    if len(numbers) < len(texts) or max(map(abs, numbers)) > LARGEST:
        image.wrong[line] = (
            f"expected the box's corners in pixels. Received: {shortened(', '.join(texts))}"
        )
    elif not label:
        image.wrong[line] = "the label is empty"
    else:
        image.lines.append(line)
        image.boxes.append(numbers)
        image.labels.append(label)


def _bytes(file: str, root: str, path: bytes, image: Image, options: Options) -> int:
    """The size of an image's file; -1: it isn't there, and reading it will say so.

    Raises:
        DataError: it isn't there.
    """
    place = os.path.join(os.fsencode(root), path)
    if os.path.isfile(place):
        return os.stat(place).st_size
    if options.forbearing:
        return -1
    line = min([*image.lines, *image.wrong, *([image.empty] if image.empty else [])])
    raise DataError(
        f"{file}, line {line}: there is no file {os.fsdecode(place)[:500]}. {objects.REPAIR}"
    )


def _boxes(
    file: str, files: Files, images: Sequence[Image], classes: Sequence[str], options: Options
) -> Boxes:
    """The boxes of images.

    Raises:
        DataError: one is wrong, or an image can't be read; unless the options are forbearing.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    sizes = objects.sizes(files, options)
    found, reasons = [], []
    for position, (image, size) in enumerate(zip(images, sizes)):
        boxes = np.zeros((len(image.lines), 6), "float32")
        boxes[:, :4] = np.array(image.boxes, "float64").reshape(-1, 4)
        wrong = dict(image.wrong)
        for row, label in enumerate(image.labels):
            if label in numbers:
                boxes[row, 4] = numbers[label]
            else:
                expected = ", ".join(classes)[:500]
                wrong[image.lines[row]] = (
                    f"expected one of the classes {expected}. Received: {shortened(label)}"
                )
        for row, fault in objects.faults(boxes[:, :4], size).items() if size != (0, 0) else ():
            received = ", ".join(f"{one:g}" for one in image.boxes[row])
            wrong.setdefault(image.lines[row], f"{fault}. Received: {received}")
        reason = ""
        if wrong:
            said = objects.all_wrong([f"line {line}: {wrong[line]}" for line in sorted(wrong)])
            reason = f"{file}, {files.name(position)}: {said}."
            if not options.forbearing:
                raise DataError(f"{reason} {objects.REPAIR}")
        found.append(boxes[:0] if wrong else boxes)
        reasons.append(os.fsencode(reason))
    names = Names.of(os.fsencode(f"{file}[{files.name(n)}]") for n in range(len(images)))
    return Boxes.of(found, sizes, names, Names.of(reasons) if any(reasons) else None)
