"""`coco:PATH`: pictures and JSON annotations as of COCO (Lin et al. 2014).

    annotations/instances_train2017.json    train2017/000000000009.jpg
    annotations/instances_val2017.json      val2017/000000000139.jpg      the validation set

or one folder with `annotations.json`, and the images beside it or in `images/`. The years may be
others, and the images' folders may be in `images/`.

The classes are the categories in the order of their ids; in a mask 0 is the background and 1 is the
first of them. A mask is made of all objects, the larger first, so that the smaller are seen.
Polygons are filled as `kerascnn.data.polygons` says, run-length codes are decoded exactly. A crowd
is `VOID` in a mask, and difficult in boxes. An image's label is the class of its objects, if they
are all of one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kerascnn.data import objects
from kerascnn.data.arguments import parsed
from kerascnn.data.boxes import Boxes
from kerascnn.data.coco_file import Instances, mask, read_instances
from kerascnn.data.encoded import contents
from kerascnn.data.examples import Contents, DataSource, Encoded, Files, Options
from kerascnn.data.index import index
from kerascnn.data.labels import Labels
from kerascnn.data.masks import Masks
from kerascnn.data.names import Names
from kerascnn.data.targets import Targets
from kerascnn.errors import DataError
from kerascnn.words import printable

BACKGROUND = "background"
WORDS = {"train": "train", "val": "validation", "test": "test"}

SLOW = 2**26  # bytes that take longer than a moment to go through


def _files(root: str) -> dict[str, tuple[str, str]]:
    """Split → the JSON file, and the folder of the images.

    Raises:
        DataError: there is none, or more than one of a split.
    """
    if not os.path.isdir(root):
        raise DataError(f"There is no folder {root}.")
    alone = os.path.join(root, "annotations.json")
    if os.path.lexists(alone):
        inside = os.path.isdir(os.path.join(root, "images"))
        return {"train": (alone, "images" if inside else "")}
    folder = os.path.join(root, "annotations")
    found: dict[str, tuple[str, str]] = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        match = re.fullmatch(r"instances_((train|val|test)\d{0,4})\.json", name)
        if not match:
            continue
        split = WORDS[match[2]]
        if split in found:
            raise DataError(
                f"{folder} has two files for {split}: {os.path.basename(found[split][0])} and "
                f"{name}. Leave one there."
            )
        places = (match[1], os.path.join("images", match[1]))
        images = next((p for p in places if os.path.isdir(os.path.join(root, p))), None)
        if images is None:
            raise DataError(
                f"{os.path.join(root, match[1])} must hold the images of {name}; there is no such "
                "folder."
            )
        found[split] = os.path.join(folder, name), images
    if not found:
        raise DataError(
            f"{root} must be a folder of COCO, with annotations/instances_train2017.json and the "
            "images in train2017, or with annotations.json and the images beside it."
        )
    return found


def _paths(root: str, folder: str, found: Instances, options: Options) -> tuple[Names, np.ndarray]:
    """The images' paths below the root, and their sizes in bytes; -1: unknown.

    Raises:
        DataError: there is no such image.
    """
    there = index(root, [folder])
    sizes = dict(zip(there.names, there.sizes.tolist()))
    start = os.fsencode(os.path.join(folder, ""))
    paths = Names.of(start + name for name in found.names)
    known = [sizes.get(path, -1 if options.forbearing else -2) for path in paths]
    if -2 in known:
        missing = printable(os.fsdecode(paths[known.index(-2)]))
        raise DataError(
            f"There is no image {os.path.join(root, missing)}, which {found.path} names"
            f"{_more(known.count(-2) - 1)}. Add it, or take it out of the file."
        )
    return paths, np.array(known, "int64")


def _more(others: int) -> str:
    return f", nor {others:,} others" if others else ""


def _masks(found: Instances, root: str, options: Options) -> Masks:
    home = os.path.relpath(found.path, root)
    own = np.concatenate([[0], np.cumsum(found.length)])
    return Masks(
        read=lambda position: mask(found, position, root, options.reading.pixels),
        names=Names.of(os.fsencode(f"{home}[") + name + b"]" for name in found.names),
        sizes=own[found.starts[1:]] - own[found.starts[:-1]],
        classes=1 + len(found.categories),
        root=root,
    )


def _boxes(found: Instances, options: Options) -> Boxes:
    """The boxes of a file.

    Raises:
        DataError: one has no area or isn't in its image; unless that is kept for the image.
    """
    found = _with_faulty(found, options)
    columns = (found.boxes, found.labels[:, None], found.crowd[:, None])
    start = os.fsencode(found.path)
    reasons = (os.fsencode(found.said(position)) for position in range(len(found.names)))
    return Boxes(
        boxes=np.concatenate(columns, axis=1, dtype="float32"),
        starts=found.starts,
        sizes=found.sizes,
        names=Names.of(start + b"[" + name + b"]" for name in found.names),
        wrong=Names.of(reasons) if found.wrong else None,
        ids=found.ids,
        class_ids=dict(enumerate(found.categories)),
        areas=found.areas,
    )


def _with_faulty(found: Instances, options: Options) -> Instances:
    """The same, and what is wrong with boxes is said of their images: masks need no boxes."""
    owner = np.repeat(np.arange(len(found.sizes)), np.diff(found.starts))
    faults = objects.Faults(forbearing=options.forbearing)
    wrong = {position: list(reasons) for position, reasons in found.wrong.items()}
    for row in np.flatnonzero(objects.faulty(found.boxes, found.sizes[owner])).tolist():
        height, width = found.sizes[owner[row]].tolist()
        (fault,) = objects.faults(found.boxes[row : row + 1], (height, width)).values()
        x1, y1, x2, y2 = found.boxes[row].tolist()
        reason = (
            f"the annotation at byte {found.place[row]:,}: {fault}. "
            f"Received: {[round(one, 2) for one in (x1, y1, x2 - x1, y2 - y1)]}"
        )
        faults.add(f"{found.called(owner[row])}: {reason}.")
        wrong.setdefault(int(owner[row]), []).append(reason)
    return replace(found, wrong=wrong)


def _coco(argument: str, options: Options) -> Contents:
    root, _ = parsed(argument)
    target = options.target
    files = _files(root)
    splits: dict[str, Encoded] = {}
    notes: list[str] = []
    wrong: list[str] = []
    classes: Mapping[int, str] = {}
    for split, (path, folder) in files.items():
        if os.path.exists(path) and os.path.getsize(path) > SLOW:
            options.echo(f"Going through {path} …")
        found = read_instances(path, root, forbearing=options.forbearing)
        wrong += found.astray
        if classes and dict(found.categories) != dict(classes):
            raise DataError(
                f"{path}: the categories differ from those of {next(iter(files.values()))[0]}."
            )
        classes = found.categories
        paths, sizes = _paths(root, folder, found, options)
        targets: Targets
        if target == "mask":
            targets = _masks(found, root, options)
        elif target == "boxes":
            targets = _boxes(found, options)
        else:
            named = objects.labelled(_boxes(found, options), split)
            paths, sizes, targets = paths.take(named.kept), sizes[named.kept], named.labels
            notes += named.notes
            wrong += named.wrong
        stored = targets.labels if isinstance(targets, Labels) else targets
        splits[split] = Files(root, paths, sizes, stored, (0, 0, 0), closed=True)
    names = tuple(classes.values())
    names = (BACKGROUND, *names) if target == "mask" else names
    return contents(root, names, splits, options, notes=notes, wrong=wrong, every_class=False)


COCO = DataSource(
    read=_coco,
    argument="PATH",
    targets=("mask", "boxes", "label"),
    licence="of COCO: CC BY 4.0, pictures Flickr's terms; of your own: yours",
    help="Pictures and JSON annotations as of COCO: masks, boxes and labels.",
)
