"""`npz:PATH`: an archive of NumPy arrays.

    images, labels                                          a share is taken for validation and test
    x_train, y_train, x_val, y_val, x_test, y_test          the split is yours
    class_names                                             text, in the order of the labels

What an archive says of itself is compared with what is there before anything is read, and objects,
which may run code, are never read.
"""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerascnn.data.examples import Arrays, Contents, DataSource, Options
from kerascnn.data.split_names import SPLIT_WORDS, SPLITS
from kerascnn.errors import DataError

# The names of arrays: images and labels, alone or with a split's name before or behind.
KINDS = {
    **dict.fromkeys(("x", "image", "images", "img", "imgs"), "images"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets"), "labels"),
}
EXPECTED = (
    "expected the arrays images and labels, or x_train and y_train, and perhaps x_val, y_val, "
    "x_test, y_test (or train_images, train_labels and so on) and class_names"
)
CLASS_NAMES = "class_names"


def _npz(path: str, options: Options) -> Contents:
    archive = _Archive(path)
    pairs, unused = _pairs(path, archive.names)
    # Class names first: they are small, and what is wrong with them is said before minutes pass.
    names = _class_names(path, archive.read(CLASS_NAMES)) if CLASS_NAMES in archive.names else None
    notes = []
    splits: dict[str, Arrays] = {}
    for split, pair in pairs.items():
        labels = archive.read(pair["labels"])
        splits[split] = Arrays.of(archive.read(pair["images"]), labels)
    if unused:
        notes.append(f"Not used of the archive: {', '.join(unused)}.")
    for split, part in splits.items():
        labels = part.labels
        if labels.ndim == 2 and labels.shape[1] > 1:
            splits[split] = Arrays(part.images, _one_hot(path, pairs[split]["labels"], labels))
            notes.append(f"The {split} labels are one-hot: the place of the 1 is the class.")
    if any(part.labels.dtype.kind in "SU" for part in splits.values()):
        names, splits = _named(path, names, splits)
    if names is None:
        names = tuple(map(str, range(_count_classes(path, splits))))
    return Contents(class_names=names, splits=splits, notes=tuple(notes))


def _pairs(path: str, arrays: Sequence[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Split → {"images": name of an array, "labels": another}, and the arrays that are none.

    Raises:
        DataError: nothing is found, images lack labels or the reverse, or two arrays are the same.
    """
    pairs: dict[str, dict[str, str]] = {}
    unused = []
    for name in arrays:
        words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
        kind = [KINDS[word] for word in words if word in KINDS]
        split = [SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS]
        if len(kind) != 1 or len(split) > 1 or len(words) != len(kind) + len(split):
            if "images" in kind:  # a test set that was left out would be taken from the others
                raise DataError(
                    f"{path}: it is not clear to which split the images {name} belong; {EXPECTED}. "
                    "Rename the array, or leave it out."
                )
            unused += [name] * (name != CLASS_NAMES)
            continue
        pair = pairs.setdefault(split[0] if split else "train", {})
        if other := pair.get(kind[0]):
            raise DataError(f"{path} has two arrays of the same: {other} and {name}.")
        pair[kind[0]] = name
    for pair in pairs.values():
        for one, other in (("images", "labels"), ("labels", "images")):
            if other not in pair:
                raise DataError(f"{path}: {pair[one]} has no {other}; {EXPECTED}.")
    if not pairs:
        raise DataError(f"{path}: {EXPECTED}. Received: {', '.join(arrays) or 'no array'}.")
    return {name: pairs[name] for name in SPLITS if name in pairs}, unused


def _class_names(path: str, found: np.ndarray) -> tuple[str, ...]:
    """The names of the classes, which may be text or UTF-8 bytes."""
    if found.ndim != 1 or found.dtype.kind not in "SUiu":
        raise DataError(
            f"{path}: {CLASS_NAMES} must be text [classes]. Received: {found.dtype} "
            f"{list(found.shape)}."
        )
    names = tuple(_text(name) for name in found.tolist())
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: {CLASS_NAMES} has {twice!r} twice.")
    return names


def _text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _one_hot(path: str, name: str, labels: np.ndarray) -> np.ndarray:
    """Labels `[n]` of rows that are 1 in one place and 0 elsewhere, `[n, classes]`.

    Raises:
        DataError: a row is not so.
    """
    right = (labels.dtype.kind in "biuf") and ((labels == 1).sum(axis=1) == 1)
    if not np.all(right & ((labels != 0).sum(axis=1) == 1)):
        raise DataError(
            f"{path}: {name} must be one class an image: integers [n], or one-hot [n, classes]. "
            f"Received: {labels.dtype} {list(labels.shape)} with several labels or none in a row, "
            "which is for another kind of network."
        )
    return np.argmax(labels, axis=1)


def _named(
    path: str, names: tuple[str, ...] | None, splits: Mapping[str, Arrays]
) -> tuple[tuple[str, ...], dict[str, Arrays]]:
    """Classes of labels that are text, in alphabetical order unless the archive has another.

    Raises:
        DataError: a name is unknown, or only some labels are text.
    """
    if any(part.labels.dtype.kind not in "SU" or part.labels.ndim != 1 for part in splits.values()):
        raise DataError(f"{path}: the labels are text in one split, and something else in another.")
    texts = {
        split: [_text(label) for label in part.labels.tolist()] for split, part in splits.items()
    }
    seen = sorted({text for part in texts.values() for text in part})
    names = names or tuple(seen)
    place = {name: label for label, name in enumerate(names)}
    if unknown := [name for name in seen if name not in place]:
        raise DataError(f"{path}: the label {unknown[0]!r} is not in {CLASS_NAMES}.")
    return names, {
        split: Arrays(part.images, np.array([place[text] for text in texts[split]], "int32"))
        for split, part in splits.items()
    }


SEVERAL_SIZES = (
    "holds Python objects, which are not read, as they may run code. Images of several sizes can "
    "be read as files: see folder:PATH and csv:FILE."
)
OBJECT_NAMES = (
    "holds Python objects, which are not read, as they may run code. Save text, as in "
    "numpy.savez(FILE, class_names=numpy.array(names, 'U'), ...)."
)


class _Archive:
    """A file as `numpy.savez` writes it, of which arrays are read one by one.

    What an array declares is compared with what is there, and with the memory, before it is read.

    Args:
        path: the file.

    Raises:
        DataError: it is no such archive; the message names it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        if not os.path.isfile(path):
            raise DataError(f"There is no file {path}.")
        try:
            # NumPy takes any other file for a pickle, and advises to load it unsafely.
            if not zipfile.is_zipfile(path):
                raise ValueError("it is no zip archive of arrays, as numpy.savez writes it")
            with zipfile.ZipFile(path) as archive:
                self.names = [
                    name.removesuffix(".npy")
                    for name in archive.namelist()
                    if name.endswith(".npy")
                ]
        except Exception as error:  # a damaged archive raises anything
            raise self._unreadable(error) from error
        self._left = _memory()

    def read(self, name: str) -> np.ndarray:
        """An array.

        Raises:
            DataError: it can't be read.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                info = archive.getinfo(f"{name}.npy")
                with archive.open(info) as file:
                    self._check(name, info.file_size, file)
                with archive.open(info) as file:
                    return np.lib.format.read_array(file, allow_pickle=False)
        except DataError:
            raise
        except (
            Exception
        ) as error:  # a damaged archive raises anything, tokenize.TokenError included
            raise self._unreadable(error) from error

    def _check(self, name: str, size: int, file: Any) -> None:
        """Refuse objects, sizes that are not there, and more than the memory holds."""
        version = np.lib.format.read_magic(file)
        readers = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        if version[0] in readers:
            shape, _, dtype = readers[version[0]](file)
            if dtype.hasobject:
                why = OBJECT_NAMES if KINDS.get(name) != "images" else SEVERAL_SIZES
                raise DataError(f"{self.path}: {name} {why}")
            declared = math.prod(shape) * dtype.itemsize
            if min(shape, default=0) < 0 or declared != size - file.tell():
                raise ValueError(
                    f"{name} says that it holds {declared:,} bytes, and has {size - file.tell():,}"
                )
        self._left -= size
        if self._left < 0:
            raise DataError(
                f"{self.path}: {name} takes {size / 2**30:,.1f} GiB, more than the memory holds. "
                "Images as files are read when they are needed: see folder:PATH and tfrecord:GLOB."
            )

    def _unreadable(self, error: Exception) -> DataError:
        return DataError(f"{self.path} can't be read as an .npz archive: {error}")


def _memory() -> int:
    """The machine's memory, in bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**63


def _count_classes(path: str, splits: Mapping[str, Arrays]) -> int:
    """One more than the highest label, unless that can't be a label."""
    labels = [part.labels for part in splits.values() if part.labels.size]
    if not labels or any(part.dtype.kind not in "iu" for part in labels):
        return 0  # `load` says what is wrong
    highest = max(int(part.max()) for part in labels)
    total = sum(part.size for part in labels)
    if highest >= total:
        raise DataError(
            f"{path}: the labels are out of range: the highest is {highest} with only {total} "
            "images. Labels count from 0."
        )
    return highest + 1


NPZ = DataSource(
    read=_npz,
    argument="PATH",
    licence="yours",
    help="An archive of NumPy arrays: images and labels, or x_train, y_train, x_test, y_test.",
)
