"""A table of image files and their classes: of `csv:FILE`, and of `folder:PATH?labels=FILE`.

    path,label,split
    photos/1.jpg,cat,train
    photos/2.jpg,dog,test

The first line names the columns; others than these are passed over, and `split` may be missing.
Paths start from the table's folder, or from the folder that is named. The classes are in
alphabetical order, or by value if all are whole numbers.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from kerascnn.data.encoded import contents
from kerascnn.data.examples import Contents, Encoded, Files, Options
from kerascnn.data.names import Names
from kerascnn.data.split_names import SPLITS
from kerascnn.data.table_rows import rows, split_of
from kerascnn.errors import DataError

# Of more files none is looked at before it is read: on a network's disk that takes minutes.
LOOKED_AT = 20_000


class Row(NamedTuple):
    """A line of the table."""

    line: int
    path: str
    label: str
    split: str


def read(file: str, root: str, options: Options) -> Contents:
    """The images of a table.

    Args:
        file: the table.
        root: the folder that its paths start from.
        options: see `Options`.

    Raises:
        DataError: the table can't be read, or a line of it is wrong: the message names it; or see
            `kerascnn.data.encoded.contents`.
    """
    lengths, labels, splits, lines = [], [], [], []
    text = bytearray()
    seen: set[bytes] = set()
    label_numbers: dict[str, int] = {}
    split_numbers: dict[str, int] = {}
    for row in _rows(file):
        path = os.fsencode(os.path.normpath(row.path))
        if path in seen:
            raise DataError(f"{file}, line {row.line}: {row.path} is there a second time.")
        seen.add(path)
        text += path
        lengths.append(len(path))
        labels.append(label_numbers.setdefault(row.label, len(label_numbers)))
        splits.append(split_numbers.setdefault(row.split, len(split_numbers)))
        lines.append(row.line)
    if not lengths:
        raise DataError(f"{file} has no line below its header.")
    class_names, order = ordered(label_numbers)
    paths = Names.packed(np.frombuffer(bytes(text), "uint8"), np.array(lengths, "uint32"))
    everything = Files(
        root, paths, _sizes(file, root, paths, lines), order[np.array(labels)], (0, 0, 0)
    )
    part = np.array(splits)
    found: dict[str, Encoded] = {
        name: everything.take(np.flatnonzero(part == split_numbers[name]))
        for name in SPLITS
        if name in split_numbers
    }
    return contents(file, class_names, found, options)


def _rows(file: str) -> Iterator[Row]:
    """The lines of a table.

    Raises:
        DataError: see `read`.
    """

    def accept(names: list[str]) -> None:
        if not {"path", "label"} <= set(names):
            raise DataError(
                f"{file}, line 1: expected the columns path and label, and perhaps split, each "
                f"once. Received: {', '.join(names)[:200] or 'nothing'}."
            )

    for line, row in rows(file, accept):
        for name in ("path", "label"):
            if not row[name]:
                raise DataError(f"{file}, line {line}: the {name} is empty.")
        yield Row(line, row["path"], row["label"], split_of(file, line, row))


def ordered(found: dict[str, int]) -> tuple[list[str], np.ndarray]:
    """The class names in their order, and the label of each in the order in which it was met."""
    whole = all(re.fullmatch("-?[0-9]{1,18}", name) for name in found)
    names = sorted(found, key=lambda name: (int(name), name) if whole else (0, name))
    labels = np.empty(len(names), "int32")
    for label, name in enumerate(names):
        labels[found[name]] = label
    return names, labels


def _sizes(file: str, root: str, paths: Names, lines: list[int]) -> np.ndarray:
    """Sizes of the files; -1 where there are too many to look at each.

    Raises:
        DataError: a file does not exist.
    """
    sizes = np.full(len(paths), -1, "int64")
    if len(paths) > LOOKED_AT:
        return sizes
    for position, path in enumerate(paths):
        try:
            found = os.stat(os.path.join(os.fsencode(root), path))
        except OSError:
            raise DataError(
                f"{file}, line {lines[position]}: there is no file "
                f"{os.path.join(root, os.fsdecode(path))[:500]}."
            ) from None
        if not stat.S_ISREG(found.st_mode):
            raise DataError(
                f"{file}, line {lines[position]}: {os.path.join(root, os.fsdecode(path))} is a "
                "directory or a device; expected the file of an image."
            )
        sizes[position] = found.st_size
    return sizes
