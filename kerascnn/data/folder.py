"""`folder:PATH`: image files, one sub-folder for each class.

    PATH/cat/*.jpg, PATH/dog/*.jpg                          a share is taken for validation and test
    PATH/train/cat/*.jpg, PATH/val/..., PATH/test/...       the split is yours

The classes are the names of the sub-folders in alphabetical order. Files are found in any depth
below them. Names that begin with a dot are passed over.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kerascnn.data import images
from kerascnn.data.examples import Contents, Files, Options, Source
from kerascnn.data.images import Shape
from kerascnn.data.index import index
from kerascnn.errors import DataError

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}

# Up to so many files are all read when the data are loaded, so that a damaged one is reported
# before training begins; with more, it is reported when training meets it.
VERIFY_LIMIT = 2000
PROBES = 64  # files that tell the size of the images when the user doesn't
LISTED = 10  # files named in a note


def _folder(root: str, options: Options) -> Contents:
    if not os.path.isdir(root):
        raise DataError(f"There is no folder {root}.")
    parts = _split_folders(root)
    class_names = _folders(os.path.join(root, parts["train"]))
    found, strays = _find(root, parts, class_names)
    if options.unread:
        left_out = [f"{stray}: no image" for stray in strays]
        return Contents(class_names=tuple(class_names), splits=found, left_out=tuple(left_out))
    shape = options.input_shape or _common_shape(found["train"])
    found = {split: replace(files, shape=shape) for split, files in found.items()}
    notes: list[str] = []
    left_out = []
    if strays:
        notes.append(_listing(f"Left out {len(strays)} files that are no images", strays))
    if options.skip_corrupt or sum(len(files.labels) for files in found.values()) <= VERIFY_LIMIT:
        changes: Counter[str] = Counter()
        for split, files in found.items():
            found[split] = _verified(files, changes, left_out, options)
        _refuse_empty(root, found["train"], class_names)
        notes += [f"{count} images are {change}." for change, count in changes.most_common()]
    else:
        notes.append(_rule(shape))
    if left_out:
        notes.append(_listing(f"Left out {len(left_out)} unreadable images", left_out))
    if len(found) > 1 and "test" not in found:
        found["test"] = found["train"].take(np.arange(0))
        notes.append("There is no test folder: the test set is empty.")
    left_out += [f"{stray}: no image" for stray in strays]
    return Contents(
        class_names=tuple(class_names), splits=found, notes=tuple(notes), left_out=tuple(left_out)
    )


def _folders(path: str) -> list[str]:
    """The sub-folders by name."""
    with os.scandir(path) as entries:
        names = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    if not names:
        raise DataError(f"{path} must hold one sub-folder of images for each class; it has none.")
    return names


def _split_folders(root: str) -> dict[str, str]:
    """Split → its folder below `root`; without such folders everything is `train`."""
    names = _folders(root)
    if not all(name.lower() in SPLIT_FOLDERS for name in names):
        return {"train": ""}
    parts: dict[str, str] = {}
    for name in names:
        split = SPLIT_FOLDERS[name.lower()]
        if split in parts:
            raise DataError(f"{root} has two {split} folders: {parts[split]} and {name}.")
        parts[split] = name
    if "train" not in parts:
        raise DataError(f"{root} has no train folder beside {' and '.join(names)}.")
    return {split: parts[split] for split in ("train", "validation", "test") if split in parts}


def _find(
    root: str, parts: Mapping[str, str], class_names: list[str]
) -> tuple[dict[str, Files], list[str]]:
    """The images of each split, in the order of classes and names; and what is no image.

    Raises:
        DataError: a class folder is empty in the training set, or unknown in another.
    """
    for folder in parts.values():
        unknown = set(_folders(os.path.join(root, folder))) - set(class_names)
        if unknown:
            raise DataError(
                f"{os.path.join(root, folder, min(unknown))}: the training images have no class "
                f"{min(unknown)!r}."
            )
    places = [os.path.join(folder, name) for folder in parts.values() for name in class_names]
    found = index(root, places)
    counts = found.counts.reshape(len(parts), len(class_names))
    ends = np.cumsum(counts.sum(axis=1))
    splits = {}
    for split, per_class, end in zip(parts, counts, ends):
        if split == "train" and not per_class.all():
            empty = os.path.join(root, parts[split], class_names[int(per_class.argmin())])
            raise DataError(f"The class folder {empty} has no image.")
        labels = np.repeat(np.arange(len(class_names), dtype="int32"), per_class)
        part = np.arange(end - len(labels), end)
        splits[split] = Files(root, found.names.take(part), found.sizes[part], labels, (0, 0, 0))
    return splits, [os.fsdecode(name) for name in found.strays]


def _common_shape(files: Files) -> Shape:
    """The shape of the images, judged by some of them.

    Raises:
        DataError: they have several sizes.
    """
    chosen = np.unique(np.linspace(0, len(files.labels) - 1, PROBES).astype(int))
    sizes: dict[tuple[int, int], str] = {}
    channels = 1
    for path in map(files.place, chosen):
        try:
            image, _ = images.decode(path)
        except DataError:
            continue  # the verification, or training, reports it
        sizes.setdefault((image.height, image.width), path)
        channels = max(channels, len(image.getbands()))
    if len(sizes) != 1:
        examples = ", ".join(f"{path} is {h}×{w}" for (h, w), path in list(sizes.items())[:2])
        raise DataError(
            f"{files.root}: the images have no common size: {examples or 'none is readable'}. "
            "Pass input_shape=(height, width, channels)."
        )
    height, width = next(iter(sizes))
    return height, width, channels


def _verified(files: Files, changes: Counter[str], left_out: list[str], options: Options) -> Files:
    """The readable files; counts what is changed in them.

    Raises:
        DataError: one is unreadable and `skip_corrupt` is off.
    """
    total = len(files.labels)
    if total > VERIFY_LIMIT:
        options.echo(f"Reading {total} images to find unreadable ones …")

    def check(position: int) -> tuple[tuple[str, ...], str]:
        try:
            return images.read(files.place(position), files.shape)[1], ""
        except DataError as error:
            return (), str(error)

    bad: dict[int, str] = {}
    for position, (changed, error) in enumerate(images.workers().map(check, range(total))):
        changes.update(changed)
        if error:
            bad[position] = error
    if bad and not options.skip_corrupt:
        first, *others = bad.values()
        more = f" ({len(others)} others can't be read either.)" if others else ""
        raise DataError(
            f"{first}.{more} Repair or remove it, or leave such files out with skip_corrupt=True "
            "(--skip-corrupt)."
        )
    left_out += bad.values()
    return files.take(np.setdiff1d(np.arange(total), list(bad)))


def _refuse_empty(root: str, files: Files, class_names: list[str]) -> None:
    counts = np.bincount(files.labels, minlength=len(class_names))
    if not counts.all():
        raise DataError(
            f"{root}: the class {class_names[int(counts.argmin())]!r} has no readable image."
        )


def _rule(shape: Shape) -> str:
    height, width, channels = shape
    return (
        f"Images that are not {height}×{width} are padded with zeros if they are at most "
        f"{images.PAD_LIMIT} pixels smaller, else scaled and cropped to the middle; all are "
        f"delivered with {channels} {'channel' if channels == 1 else 'channels'}."
    )


def _listing(what: str, items: list[str]) -> str:
    more = f"; and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return f"{what}: {'; '.join(items[:LISTED])}{more}."


FOLDER = Source(
    read=_folder,
    argument="PATH",
    licence="yours",
    help="Image files, one sub-folder for each class; train, val and test folders if there are.",
)
