"""`folder:PATH`: image files, one sub-folder for each class.

    PATH/cat/*.jpg, PATH/dog/*.jpg                          a share is taken for validation and test
    PATH/train/cat/*.jpg, PATH/val/..., PATH/test/...       the split is yours
    folder:PATH?train=A,B&validation=C&test=D               these folders, whatever they are called
    folder:PATH?train=.                                     all sub-folders are classes

The classes are the names of the sub-folders in alphabetical order. Files are found in any depth
below them. Names that begin with a dot are passed over. How splits are told from classes says
`kerascnn.data.splitting`. With `folder:PATH?labels=FILE` a table says which files are images of
what: see `kerascnn.data.table`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np

from kerascnn.data import images, splitting, table
from kerascnn.data.arguments import parsed
from kerascnn.data.encoded import contents, listing
from kerascnn.data.examples import Contents, DataSource, Files, Options
from kerascnn.data.index import Index, index, passed_over
from kerascnn.data.split_names import SPLITS
from kerascnn.data.splitting import Parts
from kerascnn.errors import DataError
from kerascnn.words import counted, listed, printable

NO_IMAGE, LOOSE = "no image", "beside the class folders"


def _folder(argument: str, options: Options) -> Contents:
    root, given = parsed(argument, "labels", *SPLITS)
    if not os.path.isdir(root):
        raise DataError(f"There is no folder {root}.")
    if "labels" in given:
        if len(given) > 1:
            raise DataError(f"{root}: with labels=FILE the table says what is in which split.")
        return table.read(given["labels"], root, options)
    notes: tuple[str, ...] = ()
    if given:
        parts = splitting.told(root, given)
        first = {folder.split(os.sep)[0] for folders in parts.values() for folder in folders}
        rest = [printable(name) for name in _folders(root) if not first & {name, ""}]
        if rest:
            what = counted(len(rest), "folder", "folders")
            notes = (listing(f"Left out {what} (no option names it)", rest),)
    else:
        parts, notes = splitting.by_name(root, _folders(root))
    class_names = _classes(root, parts)
    splits, strays = _find(root, parts, class_names, options)
    loose = [place for folders in parts.values() for f in folders for place in _loose(root, f)]
    names = list(map(_class_name, class_names))
    for odd in (name for name, text in zip(class_names, names) if name != text):
        notes += (f"The folder of the class {printable(odd)} has a name that is no UTF-8.",)
    return contents(root, names, splits, options, {NO_IMAGE: strays, LOOSE: loose}, notes)


def _folders(path: str) -> list[str]:
    """The sub-folders by name."""
    with os.scandir(path) as entries:
        names = sorted(e.name for e in entries if e.is_dir() and not passed_over(e.name))
    if not names:
        raise DataError(
            f"{printable(path)} must hold one sub-folder of images for each class; it has none."
        )
    return names


def _loose(root: str, folder: str) -> Iterator[str]:
    """The images of a folder of classes that are in none of them."""
    with os.scandir(os.path.join(root, folder)) as entries:
        for name in sorted(entry.name for entry in entries if not entry.is_dir()):
            if images.is_image(name) and not passed_over(name):
                yield printable(os.path.join(folder, name))


def _classes(root: str, parts: Parts) -> list[str]:
    """The classes of the training images; without such, those of all others.

    Raises:
        DataError: two names can't be told apart.
    """
    found = {
        split: sorted({name for f in folders for name in _folders(os.path.join(root, f))})
        for split, folders in parts.items()
    }
    names = found.get("train") or sorted({name for part in found.values() for name in part})
    if len(set(map(_class_name, names))) < len(names):
        raise DataError(
            f"{printable(root)}: two class folders differ only in bytes that are no UTF-8."
        )
    return names


def _class_name(folder: str) -> str:
    """A folder's name as text: bytes that are no UTF-8 as escapes, `caf\\xe9`."""
    return os.fsencode(folder).decode("utf-8", "backslashreplace")


def _find(
    root: str, parts: Parts, class_names: Sequence[str], options: Options
) -> tuple[dict[str, Files], list[str]]:
    """The images of each split, in the order of its folders, classes and names; and what is none.

    Raises:
        DataError: a class folder is empty in the training set (whoever asks for the unread files
            finds that out), or unknown in another; or it holds the splits.
    """
    for folder in (folder for folders in parts.values() for folder in folders):
        unknown = set(_folders(os.path.join(root, folder))) - set(class_names)
        if unknown:
            name = min(unknown)
            raise DataError(
                f"{printable(os.path.join(root, folder, name))}: the training images have no class "
                f"{printable(name)!r}, only {listed(map(printable, class_names))}. Rename the "
                "folder, or move it away."
            )
    places = [
        (split, os.path.join(folder, name))
        for split, folders in parts.items()
        for folder in folders
        for name in class_names
    ]
    found = index(root, [place for _, place in places])
    _refuse_splits_of_classes(root, found, [place for _, place in places])
    first = np.cumsum([0, *found.counts])
    splits = {}
    for split, folders in parts.items():
        chosen = [n for n, (owner, _) in enumerate(places) if owner == split]
        per_class = found.counts[chosen].reshape(len(folders), len(class_names))
        if split == "train" and not per_class.any(axis=0).all() and not options.unread:
            empty = class_names[int(per_class.any(axis=0).argmin())]
            place = printable(os.path.join(root, folders[0], empty))
            raise DataError(
                f"The class folder {place} has no image. Add some, or remove the folder."
            )
        labels = np.tile(np.arange(len(class_names), dtype="int32"), len(folders))
        labels = np.repeat(labels, per_class.ravel())
        part = np.arange(first[chosen[0]], first[chosen[-1] + 1])
        splits[split] = Files(root, found.names.take(part), found.sizes[part], labels, (0, 0, 0))
    return splits, [printable(os.fsdecode(name)) for name in found.strays]


def _refuse_splits_of_classes(root: str, found: Index, places: Sequence[str]) -> None:
    """PATH/cat/train and PATH/cat/test, in any depth: all would become training images.

    Raises:
        DataError: it is so.
    """
    inside: dict[str, set[str]] = {}
    for folder, _ in found.directories:
        above, name = os.path.split(folder)
        said = None if folder in places else splitting.split_of(name)
        if not said or said[1]:
            continue
        inside.setdefault(above, set()).add(said[0])
        if len(inside[above]) > 1:
            here = printable(os.path.join(root, above))
            name = printable(os.path.basename(above)) if above in places else "CLASS"
            meant = f"Did you mean folder:{here}? " if len(places) == 1 else ""
            raise DataError(
                f"{here} has folders for several splits in it. {meant}Expected "
                f"{printable(root)}/train/{name} and so on, or a table of the files: see csv:FILE."
            )


FOLDER = DataSource(
    read=_folder,
    argument="PATH",
    licence="yours",
    help="Image files, one sub-folder for each class; train, val and test folders if there are.",
)
