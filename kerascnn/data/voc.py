"""`voc:PATH`: the folders of PASCAL VOC (Everingham et al. 2010), also with one's own pictures.

    voc:VOCdevkit/VOC2012        or its parent folder, if that holds one year alone

    JPEGImages/2007_000027.jpg
    SegmentationClass/2007_000027.png       a palette; the numbers are the classes, 0 is none
    Annotations/2007_000027.xml             boxes
    ImageSets/Segmentation/train.txt        which have a mask, one name a line; val.txt
    ImageSets/Main/train.txt                which have boxes, the same

`val` is the validation set. There is a test set if `test.txt` names images whose annotations are
there, as they are of VOC2007. Without `ImageSets`, as labelling programs write it, all images with
an answer are for training. Boxes are stored as the first and the last pixel, counted from 1;
here they are edges: x1 is xmin - 1, and x2 is xmax. An image's label is the class of its objects,
if they are all of one.

One's own classes, which many programs write in this form, are named behind the path, in the order
of the numbers of the palette: `voc:PATH?classes=scratch,dent`. Those that count pixels from 0 write
corners that are edges, which is to be said: `voc:PATH?first=0`.

What the files say of paths is not heeded: the folder's own files are read, and no others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from kerascnn.data import objects
from kerascnn.data.arguments import named_classes, parsed
from kerascnn.data.boxes import Boxes
from kerascnn.data.encoded import contents
from kerascnn.data.examples import Contents, DataSource, Encoded, Files, Options
from kerascnn.data.index import index
from kerascnn.data.labels import Labels
from kerascnn.data.mask_files import read_mask
from kerascnn.data.masks import Masks
from kerascnn.data.names import Names
from kerascnn.data.targets import Targets
from kerascnn.errors import DataError
from kerascnn.files import read_text, shortened
from kerascnn.words import printable

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
BACKGROUND = "background"

IMAGES, MASKS, ANNOTATIONS, SETS = "JPEGImages", "SegmentationClass", "Annotations", "ImageSets"
LISTS = {"train": ("train", "trainval"), "validation": ("val",), "test": ("test",)}
KINDS = {"label": "Main", "boxes": "Main", "mask": "Segmentation"}

LARGEST = 2**20  # bytes of an annotation; those of VOC2012 have 6,000 at most
DEEPEST = 16
MANY = 5000  # annotations that take longer than a moment to read
LARGEST_SIDE = 2**20


def annotation(
    text: str, classes: Sequence[str] = CLASSES, first: int = 1
) -> tuple[tuple[int, int], np.ndarray]:
    """Size and boxes of the image that an XML file is about.

    Args:
        text: the XML.
        classes: that objects may be of.
        first: the number of the first pixel: 1, or 0 where corners are edges.

    Returns:
        `(height, width)`, and float32 `[k, 6]`: x1, y1, x2, y2, the class, and 1 where it is
        difficult.

    Raises:
        ValueError: what is wrong, with all objects that are.
    """
    root = _tree(text)
    height, width = (_number(root, f"size/{name}") for name in ("height", "width"))
    for side in (height, width):
        if not (0 < side <= LARGEST_SIDE and side == int(side)):
            received = f"{width:g}×{height:g}"
            raise ValueError(f"size must be whole numbers of pixels. Received: {received}")
    size, found, wrong = (int(height), int(width)), root.findall("object"), {}
    boxes = np.zeros((len(found), 6), "float32")
    for row, one in enumerate(found):
        try:
            boxes[row] = _box(one, classes, first)
        except ValueError as error:
            wrong[row], boxes[row, :4] = str(error), (0, 0, 1, 1)
    for row, fault in objects.faults(boxes[:, :4], size).items():
        x1, y1, x2, y2 = (boxes[row, :4] + (first, first, 0, 0)).tolist()
        zero = first and min(x1, y1) == 0
        hint = "; if pixels are counted from 0, say so: voc:PATH?first=0" if zero else ""
        wrong[row] = f"{fault}. Received: {x1:g}, {y1:g}, {x2:g}, {y2:g}{hint}"
    if wrong:
        raise ValueError(
            objects.all_wrong([f"object {row + 1}: {wrong[row]}" for row in sorted(wrong)])
        )
    return size, boxes


def _box(found: ElementTree.Element, classes: Sequence[str], first: int) -> tuple[float, ...]:
    """x1, y1, x2, y2, the class and whether it is difficult, of an object.

    Raises:
        ValueError: what is wrong.
    """
    name = (found.findtext("name") or "").strip()
    if name not in classes:
        raise ValueError(
            f"expected an object of one of the classes {', '.join(classes)}. "
            f"Received: {shortened(name)}; name one's own as in voc:PATH?classes=NAME,NAME"
        )
    x1, y1, x2, y2 = (_number(found, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
    difficult = (found.findtext("difficult") or "").strip() not in ("", "0", "false", "False")
    return x1 - first, y1 - first, x2, y2, classes.index(name), difficult


class _Shallow(ElementTree.TreeBuilder):
    """Refuses what is nested deeper than any annotation."""

    depth = 0

    def start(self, tag: str, attributes: dict[str, str]) -> ElementTree.Element:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")
        return super().start(tag, attributes)

    def end(self, tag: str) -> ElementTree.Element:
        self.depth -= 1
        return super().end(tag)


def _tree(text: str) -> ElementTree.Element:
    # Entities are declared in a document type alone; without one nothing is expanded or fetched.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("a document type (<!DOCTYPE …>) is not allowed in it")
    try:
        parser = ElementTree.XMLParser(target=_Shallow())
        parser.feed(text)
        return parser.close()
    except ElementTree.ParseError as error:
        raise ValueError(f"it is no XML: {error}") from None


def _number(element: ElementTree.Element, path: str) -> float:
    text = (element.findtext(path) or "").strip()
    number = float(text) if re.fullmatch(r"-?\d{1,9}(\.\d{0,20})?", text) else None
    if number is None:
        raise ValueError(f"{path} must be a number. Received: {shortened(text)}")
    return number


def read_annotation(
    path: str, home: str, classes: Sequence[str] = CLASSES, first: int = 1
) -> tuple[tuple[int, int], np.ndarray]:
    """The same of a file in a year's folder.

    Raises:
        DataError: it can't be read, or is wrong; the message names it.
    """
    text = read_text(path, error=DataError, limit=LARGEST, inside=Path(home))
    try:
        return annotation(text, classes, first)
    except ValueError as error:
        raise DataError(f"{path}: {error}.") from None


def home_of(path: str) -> str:
    """The folder of a year, which holds the images: this one, or the one in it.

    Raises:
        DataError: there is none, or several.
    """
    if not os.path.isdir(path):
        raise DataError(f"There is no folder {path}.")
    if os.path.isdir(os.path.join(path, IMAGES)):
        return path
    inside = [os.path.join(path, name) for name in sorted(os.listdir(path))]
    found = [folder for folder in inside if os.path.isdir(os.path.join(folder, IMAGES))]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"{path} holds {', '.join(found)}. Expected one of them, as voc:{found[0]}."
        )
    raise DataError(
        f"{path} must be a folder of PASCAL VOC, such as VOC2012, with {IMAGES}, {ANNOTATIONS} or "
        f"{MASKS}, and {SETS} in it; it has no {IMAGES}."
    )


def listed(path: str, home: str, faults: objects.Faults) -> list[str]:
    """The names in a list of images; a number behind a name, as in cat_train.txt, is passed over.

    Raises:
        DataError: it can't be read; or a name is none, or there twice, and `faults` raises: the
            message has the line.
    """
    names = []
    seen = set()
    for number, line in enumerate(
        read_text(path, error=DataError, inside=Path(home)).split("\n"), 1
    ):
        name = re.sub(r"\s+(-1|0|1)$", "", line.strip())
        if not name:
            continue
        if name.startswith(".") or "/" in name or "\\" in name or not name.isprintable():
            faults.add(
                f"{path}, line {number}: expected the name of an image in {IMAGES}, without its "
                f"ending. Received: {shortened(name)}."
            )
        elif name in seen:
            faults.add(f"{path}, line {number}: {shortened(name)} is there a second time.")
        else:
            seen.add(name)
            names.append(name)
    return names


def _lists(home: str, target: str, faults: objects.Faults) -> dict[str, list[str]]:
    """Split → the names of its images.

    Labelling programs write no lists: then all images that have an answer are for training.

    Raises:
        DataError: there is no list, or there are no answers.
    """
    folder = os.path.join(home, SETS, KINDS[target])
    if not os.path.isdir(os.path.join(home, SETS)):
        answers, ending = os.path.split(_answer(home, target, ""))
        there = sorted(os.listdir(answers)) if os.path.isdir(answers) else []
        if names := [n.removesuffix(ending) for n in there if n.endswith(ending) and n != ending]:
            return {"train": names}
    found: dict[str, list[str]] = {}
    for split, files in LISTS.items():
        paths = [os.path.join(folder, f"{name}.txt") for name in files]
        path = next(filter(os.path.lexists, paths), None)
        if path is None:
            continue
        names = listed(path, home, faults)
        # VOC2012's test set has no answers: they are on the server that judges.
        if split == "test" and not all(
            os.path.lexists(_answer(home, target, n)) for n in names[:1]
        ):
            continue
        found[split] = names
    if "train" in found:  # trainval.txt has the images of val.txt, too
        held = set(found.get("validation", ()))
        found["train"] = [name for name in found["train"] if name not in held]
    if not any(found.values()):
        raise DataError(
            f"{os.path.join(folder, 'train.txt')} must list the images "
            f"{'with masks' if target == 'mask' else 'with boxes'}, one name a line; there is no "
            "such list, or nothing in it."
        )
    return found


def _answer(home: str, target: str, name: str) -> str:
    """The file of an image's mask or boxes."""
    if target == "mask":
        return os.path.join(home, MASKS, f"{name}.png")
    return os.path.join(home, ANNOTATIONS, f"{name}.xml")


def _masks(home: str, names: Sequence[str], classes: int, options: Options) -> Masks:
    paths = Names.of(os.fsencode(f"{MASKS}/{name}.png") for name in names)
    sizes = np.full(len(names), -1, "int64")
    places = [os.path.join(home, os.fsdecode(path)) for path in paths]
    for position, place in enumerate(places):
        try:
            sizes[position] = os.lstat(place).st_size
        except OSError:
            if not options.forbearing:  # then each is met when it is read
                raise _missing(place) from None

    def read(position: int) -> np.ndarray:
        place = places[position]
        if not os.path.lexists(place):
            raise _missing(place)
        found = read_mask(place, inside=home, reading=options.reading)
        if found.ndim > 2:
            raise DataError(
                f"{place}: a mask of VOC has a palette, whose numbers are the classes. Received: "
                "colours. Convert it, or take masks:PATH of kerascnn-segmentation."
            )
        return found

    return Masks(read=read, names=paths, sizes=sizes, classes=1 + classes, root=home)


def _missing(mask: str) -> DataError:
    return DataError(
        f"There is no mask {mask}, which {SETS}/{KINDS['mask']} lists. Add it, or take the name "
        "out of the list."
    )


def _boxes(
    home: str, names: Sequence[str], classes: Sequence[str], first: int, options: Options
) -> Boxes:
    paths = [_answer(home, "boxes", name) for name in names]
    sizes, rows, wrong = [], [], {}
    for position, path in enumerate(paths):
        try:
            size, boxes = read_annotation(path, home, classes, first)
        except DataError as error:
            if not options.forbearing:  # then it is met when the boxes are asked for
                raise DataError(f"{error} {objects.REPAIR}") from None
            size, boxes, wrong[position] = (0, 0), np.zeros((0, 6), "float32"), str(error)
        sizes.append(size)
        rows.append(boxes)
    reasons = (os.fsencode(wrong.get(position, "")) for position in range(len(paths)))
    called = Names.of(map(os.fsencode, paths))
    return Boxes.of(rows, sizes, called, Names.of(reasons) if wrong else None)


def _images(home: str) -> dict[str, list[tuple[bytes, int]]]:
    """Name without its ending → path below home, and size in bytes, of each file of that name."""
    found = index(home, [IMAGES])
    stem = re.compile(rb"\.[^./]*$")
    start = len(IMAGES) + 1
    files: dict[str, list[tuple[bytes, int]]] = {}
    for path, size in zip(found.names, found.sizes.tolist()):
        files.setdefault(os.fsdecode(stem.sub(b"", path[start:])), []).append((path, size))
    return files


def _image(
    home: str, files: dict[str, list[tuple[bytes, int]]], name: str, target: str, options: Options
) -> tuple[bytes, int]:
    """Path below home and size in bytes of the image that a list calls so; -1: it isn't there.

    Raises:
        DataError: it isn't there, or there are two of that name.
    """
    found = files.get(name, [])
    if len(found) > 1:
        two = " and ".join(printable(os.fsdecode(path)) for path, _ in found[:2])
        raise DataError(
            f"{home}: {two} have one name, so that it isn't plain which of them "
            f"{os.path.basename(_answer(home, target, name))} is for. Move one away."
        )
    if found:
        return found[0]
    if options.forbearing:  # then it is met when it is read
        return os.fsencode(f"{IMAGES}/{name}.jpg"), -1
    raise DataError(
        f"There is no image {name} in {os.path.join(home, IMAGES)}, which "
        f"{SETS}/{KINDS[target]} lists. Add it, or take the name out of the list."
    )


def _voc(argument: str, options: Options) -> Contents:
    path, given = parsed(argument, "classes", "first")
    classes = named_classes(given["classes"]) if "classes" in given else CLASSES
    home = home_of(path)
    target = options.target
    first = _first(given.get("first", "1"))
    faults = objects.Faults(forbearing=options.forbearing)
    lists = _lists(home, target, faults)
    files = _images(home)
    if target != "mask" and sum(map(len, lists.values())) > MANY:
        options.echo("Reading the annotations …")
    splits: dict[str, Encoded] = {}
    notes: list[str] = []
    wrong = faults.found
    for split, names in lists.items():
        images = [_image(home, files, name, target, options) for name in names]
        targets: Targets
        if target == "mask":
            targets = _masks(home, names, len(classes), options)
        else:
            targets = boxes = _boxes(home, names, classes, first, options)
            if target == "label":
                named = objects.labelled(boxes, split)
                images, targets = [images[n] for n in named.kept], named.labels
                notes += named.notes
                wrong += named.wrong
        splits[split] = Files(
            home,
            Names.of(path for path, _ in images),
            np.array([size for _, size in images], "int64"),
            targets.labels if isinstance(targets, Labels) else targets,
            (0, 0, 0),
            closed=True,
        )
    class_names = (BACKGROUND, *classes) if target == "mask" else classes
    return contents(home, class_names, splits, options, notes=notes, wrong=wrong, every_class=False)


def _first(text: str) -> int:
    if text not in ("0", "1"):
        raise DataError(
            f"first must be 1, the number of the first pixel in VOC, or 0. Received: {text!r}."
        )
    return int(text)


VOC = DataSource(
    read=_voc,
    argument="PATH",
    targets=("mask", "boxes", "label"),
    licence="of PASCAL VOC: Flickr's terms; of your own: yours",
    help="Folders as of PASCAL VOC: masks (palette PNGs), boxes (XML), and labels.",
)
