"""`yolo:PATH`: images, and a text file of boxes for each, as darknet and Ultralytics have them.

    data.yaml                    names of the classes, and perhaps where the splits are
    images/train/001.jpg         labels/train/001.txt
    images/val/002.jpg           labels/val/002.txt

A line is an object: its class, from 0, then the middle, width and height of its box as shares of
the image's width and height, such as `0 0.5 0.5 0.2 0.4`; or a polygon, around which the box is. An
image without a text file, or with an empty one, has no object.

The text of an image lies where the last folder `images` of its path is `labels`, or beside it where
there is no such folder. `train`, `val` and `test` of `data.yaml` name folders, or texts with a path
a line. Without them the folders are known by their names: `images/train`, `train/images` or
`train`; without these all images are for training. The classes are the `names` of `data.yaml`, else
the lines of `classes.txt` or `obj.names`, or named behind the path: `yolo:PATH?classes=cat,dog`.

Paths lead nowhere but below PATH: `../` at the start of one, and `path` where it is somewhere else,
are passed over, as those who wrote the file had the data elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerascnn.data import objects, plain_yaml
from kerascnn.data.arguments import named_classes, parsed
from kerascnn.data.boxes import Boxes
from kerascnn.data.encoded import contents
from kerascnn.data.examples import Contents, DataSource, Encoded, Files, Options
from kerascnn.data.index import scan
from kerascnn.data.labels import Labels
from kerascnn.data.names import Names
from kerascnn.data.split_names import SPLIT_WORDS
from kerascnn.errors import DataError
from kerascnn.files import read_text, shortened
from kerascnn.words import printable

IMAGES, TEXTS = "images", "labels"
DATA = ("data.yaml", "data.yml", "dataset.yaml")
CLASSES = ("classes.txt", "obj.names", f"{TEXTS}/classes.txt", "data/obj.names")
KEYS = {"train": "train", "val": "validation", "test": "test"}

LARGEST = 2**20  # bytes of an image's text
LARGEST_DATA = 2**18  # of data.yaml, and of a list of classes
LARGEST_LIST = 2**27  # of a list of images
MOST_CLASSES = 10_000
_NUMBER = re.compile(r"[+-]?(\d{1,20}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?")


class Told(NamedTuple):
    """What the files beside the images say.

    Attributes:
        classes: their names, in the order of their numbers.
        source: where they are named, for messages.
        splits: split → folders or lists of images below the root; nothing: it isn't said.
    """

    classes: tuple[str, ...]
    source: str
    splits: Mapping[str, Sequence[str]]


def annotation(text: str, said: Told, size: tuple[int, int]) -> np.ndarray:
    """The boxes of an image's text.

    Args:
        text: a line for each object; see the module's description.
        said: the classes.
        size: `(height, width)` of the image.

    Returns:
        float32 `[k, 6]`: x1, y1, x2, y2, the class, and 0: none is difficult.

    Raises:
        ValueError: what is wrong, with all lines that are.
    """
    rows, lines, wrong = [], [], {}
    for number, line in enumerate(text.splitlines(), 1):
        if not (words := line.split()):
            continue
        try:
            rows.append(_row(words, said))
            lines.append(number)
        except ValueError as error:
            wrong[number] = str(error)
    scale = np.array([size[1], size[0]] * 2)
    boxes = np.zeros((len(rows), 6), "float32")
    boxes[:, :5] = np.array(rows, "float64").reshape(-1, 5)
    boxes[:, :4] *= scale
    for row, fault in objects.faults(boxes[:, :4], size).items():
        wrong[lines[row]] = f"{fault}. Received: {shortened(text.splitlines()[lines[row] - 1])}"
    if wrong:
        raise ValueError(objects.all_wrong([f"line {n}: {wrong[n]}" for n in sorted(wrong)]))
    return boxes


def _row(words: Sequence[str], said: Told) -> tuple[float, ...]:
    """x1, y1, x2, y2 as shares, and the class.

    Raises:
        ValueError: what is wrong.
    """
    received = f"Received: {shortened(' '.join(words[:20]))}"
    polygon = len(words) >= 7 and len(words) % 2
    if not (len(words) == 5 or polygon) or not all(map(_NUMBER.fullmatch, words)):
        raise ValueError(
            f"expected the class, the box's middle, width and height, all numbers. {received}"
        )
    label, *numbers = map(float, words)
    if label not in range(len(said.classes)):
        raise ValueError(
            f"expected a class from 0 to {len(said.classes) - 1}, which {said.source} names. "
            f"Received: {words[0]}"
        )
    if max(map(abs, numbers)) > 2:
        raise ValueError(
            f"expected shares of the image's width and height, from 0 to 1. {received}"
        )
    if polygon:
        across, down = numbers[::2], numbers[1::2]
        return min(across), min(down), max(across), max(down), label
    x, y, width, height = numbers
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2, label


def told(root: str, classes: tuple[str, ...] = ()) -> Told:
    """What `data.yaml` and the lists of classes say.

    Args:
        root: the folder.
        classes: that the user names; none: they are looked for.

    Raises:
        DataError: a file can't be read or used; or nothing names the classes.
    """
    found: dict[str, plain_yaml.Value] = {}
    splits: dict[str, list[str]] = {}
    source = "?classes=" if classes else ""
    path = next(filter(os.path.lexists, (os.path.join(root, name) for name in DATA)), None)
    if path:
        text = read_text(path, error=DataError, limit=LARGEST_DATA, inside=Path(root))
        try:
            found = plain_yaml.read(text, ("path", "names", *KEYS))
            splits = _splits(root, found)
            if not classes and (classes := _names(found.get("names", []))):
                source = path
        except ValueError as error:
            raise DataError(f"{path}: {error}.") from None
    for name in () if classes else CLASSES:
        if os.path.lexists(path := os.path.join(root, name)):
            text = read_text(path, error=DataError, limit=LARGEST_DATA, inside=Path(root))
            lines = [line.strip() for line in text.splitlines()]
            try:
                classes, source = _names([line for line in lines if line]), path
            except ValueError as error:
                raise DataError(f"{path}: {error}.") from None
            break
    if not classes:
        raise DataError(
            f"{root}: nothing names the classes. Expected names in data.yaml, or classes.txt with "
            f"one a line; or name them: yolo:{root}?classes=NAME,NAME."
        )
    return Told(classes, source, splits)


def _names(found: plain_yaml.Value) -> tuple[str, ...]:
    if isinstance(found, dict):
        order = sorted(found, key=lambda number: int(number) if number.isdecimal() else -1)
        if order != [str(number) for number in range(len(order))]:
            raise ValueError(f"names must be numbered from 0. Received: {shortened(list(found))}")
        found = [found[number] for number in order]
    names = tuple(found) if isinstance(found, list) else ("",) * bool(found)
    legal = all(name and name.isprintable() and len(name) < 1000 for name in names)
    if not legal or len(set(names)) < len(names) or len(names) > MOST_CLASSES:
        raise ValueError(f"expected names of classes, each once. Received: {shortened(found)}")
    return names


def _splits(root: str, found: Mapping[str, plain_yaml.Value]) -> dict[str, list[str]]:
    """Split → the folders or lists below the root that `data.yaml` names.

    Raises:
        ValueError: one isn't there, or isn't below the root.
    """
    start = str(found.get("path", "")).strip()
    if start and not (os.path.isdir(os.path.join(root, _below(start, anywhere=True)))):
        start = ""
    splits = {}
    for key, split in KEYS.items():
        value = found.get(key, "")
        if isinstance(value, dict):
            raise ValueError(f"{key} must be a folder, or a list of them. Received: {value}")
        places = []
        for entry in filter(None, [value] if isinstance(value, str) else value):
            own = _below(entry)
            tried = [os.path.join(_below(start, anywhere=True), own), own]
            place = next((p for p in tried if os.path.exists(os.path.join(root, p))), None)
            if place is not None:
                places.append(place)
            elif split != "test":  # which is often named where there is none
                raise ValueError(f"there is no {os.path.join(root, own)}, which {key} names")
        if places:
            splits[split] = places
    return splits


def _below(path: str, *, anywhere: bool = False) -> str:
    """A path below the root, without what leads out of it at its start.

    Raises:
        ValueError: it leads elsewhere.
    """
    parts = [part for part in re.split(r"[/\\]", path) if part not in ("", ".")]
    while parts and parts[0] == "..":
        del parts[0]
    absolute = path.startswith(("/", "\\")) or ":" in path.split("/")[0]
    if anywhere and (absolute or ".." in parts):
        return ""
    if absolute or ".." in parts or "\0" in path:
        raise ValueError(
            f"expected a path below the folder of this file. Received: {shortened(path)}"
        )
    return os.path.join(*parts) if parts else ""


def _found_splits(root: str) -> dict[str, list[str]]:
    """The same by the names of folders; all that there is: for training."""
    for inner, outer in (("", IMAGES), (IMAGES, ""), ("", "")):
        home = os.path.join(root, outer)
        splits: dict[str, list[str]] = {}
        for name in sorted(os.listdir(home)) if os.path.isdir(home) else ():
            split = SPLIT_WORDS.get(re.split(r"[^a-z]", name.lower())[0])
            if split and os.path.isdir(os.path.join(home, name, inner)):
                splits.setdefault(split, []).append(os.path.join(outer, name, inner).rstrip("/"))
        if splits:
            return splits
    return {"train": [IMAGES if os.path.isdir(os.path.join(root, IMAGES)) else ""]}


def text_of(image: bytes) -> bytes:
    """The path of the text with an image's boxes, below the same root."""
    *folders, name = os.path.splitext(image)[0].split(b"/")
    if IMAGES.encode() in folders:
        last = len(folders) - 1 - folders[::-1].index(IMAGES.encode())
        folders[last] = TEXTS.encode()
    return b"/".join([*folders, name + b".txt"])


def _listed(root: str, place: str, faults: objects.Faults) -> list[bytes]:
    """The images that a text lists, a path a line, from the root or from its own folder.

    Raises:
        DataError: it can't be read; or a line is wrong, and `faults` raises.
    """
    path = os.path.join(root, place)
    text = read_text(path, error=DataError, limit=LARGEST_LIST, inside=Path(root))
    found: dict[bytes, None] = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line:
            continue
        try:
            own = _below(line)
        except ValueError as error:
            faults.add(f"{path}, line {number}: {error}.")
            continue
        beside = os.path.join(os.path.dirname(place), own)
        image = os.fsencode(beside if os.path.exists(os.path.join(root, beside)) else own)
        if image in found:
            faults.add(f"{path}, line {number}: {shortened(line)} is there a second time.")
        elif not os.path.isfile(os.path.join(os.fsencode(root), image)):
            faults.add(f"{path}, line {number}: there is no image {shortened(line)}.")
        else:
            found[image] = None
    return list(found)


def _images(root: str, places: Iterable[str], faults: objects.Faults) -> list[bytes]:
    """The images of a split, as paths below the root.

    Raises:
        DataError: there is none; or see `_listed` and `_orphans`.
    """
    found: dict[bytes, str] = {}
    for place in places:
        if is_list := os.path.isfile(os.path.join(root, place)):
            images = _listed(root, place, faults)
        else:
            images = list(scan(root, [place]).names)
        for image in images:
            if image in found:
                faults.add(
                    f"{root}: {printable(os.fsdecode(image))} is in {found[image]}, and a second "
                    f"time in {place}."
                )
            found.setdefault(image, place)
        if not is_list:
            for text in _orphans(root, place, images):
                faults.add(
                    f"{os.path.join(root, text)}: there is no image of its name in "
                    f"{os.path.join(root, place)}. Add it, or take the text away."
                )
    if not found:
        raise DataError(
            f"There is no image in {' or '.join(os.path.join(root, p) for p in places)}."
        )
    return list(found)


def _bytes(root: str, image: bytes) -> int:
    try:
        return os.stat(os.path.join(os.fsencode(root), image)).st_size
    except OSError:  # a link to nowhere: reading it will say so
        return -1


def _orphans(root: str, place: str, images: Iterable[bytes]) -> list[str]:
    """The texts of a folder that have no image; of a folder that has both nothing is known."""
    folder = os.fsdecode(os.path.dirname(text_of(os.fsencode(os.path.join(place, "x")))))
    if folder == place:
        return []
    texts = [text for text in scan(root, [folder]).strays if text.endswith(b".txt")]
    known = set(map(text_of, images))
    others = sorted(text for text in texts if text not in known)
    return [
        printable(os.fsdecode(text)) for text in others if os.path.basename(text) != b"classes.txt"
    ]


def _boxes(files: Files, said: Told, options: Options) -> Boxes:
    """The boxes of images, whose sizes are read for that.

    Raises:
        DataError: an image or text can't be read, or a line is wrong; unless the options are
            forbearing. Or no image has a text.
    """
    home = os.fsencode(files.root)
    texts = [os.path.join(home, text_of(path)) for path in files.paths]
    there = [os.path.lexists(text) for text in texts]
    if not any(there):
        raise DataError(
            f"{files.root}: no image has a text with its boxes. Expected such as "
            f"{printable(os.fsdecode(texts[0]))} for {files.name(0)}."
        )
    sizes = objects.sizes(files, options)
    rows, reasons = [], []
    for path, is_there, size in zip(texts, there, sizes):
        boxes, reason = np.zeros((0, 6), "float32"), ""
        try:
            if is_there and size != (0, 0):
                boxes = _read_annotation(path, said, size, files.root)
        except DataError as error:
            if not options.forbearing:
                raise DataError(f"{error} {objects.REPAIR}") from None
            reason = str(error)
        rows.append(boxes)
        reasons.append(os.fsencode(reason))
    return Boxes.of(rows, sizes, Names.of(texts), Names.of(reasons) if any(reasons) else None)


def _read_annotation(path: bytes, said: Told, size: tuple[int, int], root: str) -> np.ndarray:
    """The boxes of an image's text.

    Raises:
        DataError: it can't be read, or is wrong; the message names it.
    """
    place = os.fsdecode(path)
    text = read_text(place, error=DataError, limit=LARGEST, inside=Path(root))
    try:
        return annotation(text, said, size)
    except ValueError as error:
        raise DataError(f"{printable(place)}: {error}.") from None


def _yolo(argument: str, options: Options) -> Contents:
    root, given = parsed(argument, "classes")
    if not os.path.isdir(root):
        raise DataError(f"There is no folder {root}.")
    said = told(root, named_classes(given["classes"]) if "classes" in given else ())
    faults = objects.Faults(forbearing=options.forbearing)
    splits: dict[str, Encoded] = {}
    notes: list[str] = []
    wrong = faults.found
    for split, places in (said.splits or _found_splits(root)).items():
        images = _images(root, places, faults)
        sizes = np.array([_bytes(root, image) for image in images], "int64")
        files = Files(
            root,
            Names.of(images),
            sizes,
            Labels(sizes * 0),
            (0, 0, 0),
            options.reading,
            closed=True,
        )
        boxes = _boxes(files, said, options)
        splits[split], said_of, astray = objects.with_targets(files, boxes, split, options)
        notes += said_of
        wrong += astray
    return contents(
        root, said.classes, splits, options, notes=notes, wrong=wrong, every_class=False
    )


YOLO = DataSource(
    read=_yolo,
    argument="PATH",
    targets=("boxes", "label"),
    licence="yours",
    help="Images and texts of boxes as of darknet and Ultralytics: boxes and labels.",
)
