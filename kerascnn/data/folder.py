"""`folder:PATH`: image files, one sub-folder for each class.

    PATH/cat/*.jpg, PATH/dog/*.jpg                          a share is taken for validation and test
    PATH/train/cat/*.jpg, PATH/val/..., PATH/test/...       the split is yours

The classes are the names of the sub-folders in alphabetical order. Files are found in any depth
below them. Names that begin with a dot are passed over. With `folder:PATH?labels=FILE` a table says
which files are images of what: see `kerascnn.data.table`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from kerascnn.data import table
from kerascnn.data.arguments import SPLITS, parsed
from kerascnn.data.encoded import contents
from kerascnn.data.examples import Contents, Files, Options, Source
from kerascnn.data.index import index
from kerascnn.errors import DataError


def _folder(argument: str, options: Options) -> Contents:
    root, given = parsed(argument, "labels")
    if not os.path.isdir(root):
        raise DataError(f"There is no folder {root}.")
    if "labels" in given:
        return table.read(given["labels"], root, options)
    parts = _split_folders(root)
    class_names = _classes(root, parts)
    found, strays = _find(root, parts, class_names, options)
    return contents(root, class_names, found, options, strays)


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
    if not all(name.lower() in SPLITS for name in names):
        return {"train": ""}
    parts: dict[str, str] = {}
    for name in names:
        split = SPLITS[name.lower()]
        if split in parts:
            raise DataError(f"{root} has two {split} folders: {parts[split]} and {name}.")
        parts[split] = name
    return {split: parts[split] for split in ("train", "validation", "test") if split in parts}


def _classes(root: str, parts: Mapping[str, str]) -> list[str]:
    """The classes of the training images; without such, those of all others."""
    folders = {split: _folders(os.path.join(root, folder)) for split, folder in parts.items()}
    return folders.get("train") or sorted({name for names in folders.values() for name in names})


def _find(
    root: str, parts: Mapping[str, str], class_names: list[str], options: Options
) -> tuple[dict[str, Files], list[str]]:
    """The images of each split, in the order of classes and names; and what is no image.

    Raises:
        DataError: a class folder is empty in the training set (whoever asks for the unread files
            finds that out), or unknown in another.
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
        if split == "train" and not per_class.all() and not options.unread:
            empty = os.path.join(root, parts[split], class_names[int(per_class.argmin())])
            raise DataError(
                f"The class folder {empty} has no image. Add some, or remove the folder."
            )
        labels = np.repeat(np.arange(len(class_names), dtype="int32"), per_class)
        part = np.arange(end - len(labels), end)
        splits[split] = Files(root, found.names.take(part), found.sizes[part], labels, (0, 0, 0))
    return splits, [os.fsdecode(name) for name in found.strays]


FOLDER = Source(
    read=_folder,
    argument="PATH",
    licence="yours",
    help="Image files, one sub-folder for each class; train, val and test folders if there are.",
)
