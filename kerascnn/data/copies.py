"""A folder that is made of a source once: whole or not at all, and found again.

All is written beside the folder and takes its place at the end, so that what was interrupted never
looks whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerascnn.data.examples import Contents, Examples, Files
from kerascnn.data.labels import Labels
from kerascnn.data.split_names import SPLITS
from kerascnn.data.threads import in_parallel
from kerascnn.errors import DataError
from kerascnn.files import read_json
from kerascnn.words import counted, listed, printable
from kerascnn.writing import LockedError, Names, locked, write_json

FILE = "source.json"
LONGEST_NAME = 200  # bytes of a file's name, of the 255 that file systems allow
AT_ONCE = 256  # images that are read ahead

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A folder that was made of a source.

    Attributes:
        folder: loads as `folder:FOLDER`.
        images: how many of each split; of a source without splits all are "train".
        new: whether it was written now; otherwise it was there, made of the same.
        notes: what was done to the images, and what was left out, in sentences.
    """

    folder: Path
    images: Mapping[str, int]
    new: bool
    notes: tuple[str, ...] = ()


def labels_of(examples: Examples) -> np.ndarray:
    """The class of each example, `[n]`."""
    found = examples.targets
    if not isinstance(found, Labels):
        raise AssertionError(found)  # who copies has asked for labels
    return np.asarray(found.labels)


Written = Callable[[Examples, int], tuple[bytes, str, str]]
"""From an example to a file's content, its ending, and what was done to it; "": nothing."""


def make_once(
    source: str,
    folder: Path,
    contents: Contents,
    how: Mapping[str, Any],
    parts: Callable[[], Mapping[str, Examples]],
    write: Written,
    skip_corrupt: bool,
    progress: Progress,
) -> Copied:
    """The folder, written or found.

    Raises:
        DataError: it holds something else, or another process is writing it.
    """
    said = {**how, "source": source, "fingerprint": fingerprint(contents)}
    if there := _found(folder, said):
        return there
    _check_classes(contents.class_names)
    partial = folder.parent / f".partial-{folder.name}"
    if partial.is_symlink():
        raise DataError(f"{partial} is a link, and no unfinished folder of ours. Remove it.")
    try:
        with locked(partial / ".lock"):
            try:
                for left in partial.iterdir():
                    if left.name != ".lock":
                        shutil.rmtree(left) if left.is_dir() else left.unlink()
                made = _fill(partial, contents, parts(), write, skip_corrupt, progress)
                write_json(partial / FILE, {**said, **made})
                (partial / ".lock").unlink()
                if folder.is_dir():
                    folder.rmdir()  # an empty one
                os.rename(partial, folder)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    except LockedError as holder:
        raise DataError(f"Another process is writing {folder} ({holder}).") from None
    return Copied(folder=folder, images=made["images"], new=True, notes=tuple(made["notes"]))


def _found(folder: Path, said: Mapping[str, Any]) -> Copied | None:
    """What is in the folder already; None: nothing.

    Raises:
        DataError: it is something else.
    """
    if not folder.exists() and not folder.is_symlink():
        return None
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder. Choose another --save.")
    if not any(folder.iterdir()):
        return None
    if not (folder / FILE).is_file():
        raise DataError(
            f"{folder} is not empty, and was not made by kerascnn. Choose another --save."
        )
    stored = read_json(folder / FILE, error=DataError, inside=folder)
    was = stored if isinstance(stored, dict) else {}
    other = [key for key, value in said.items() if key != "source" and was.get(key) != value]
    if other:
        was_made = printable(f"{was.get('made_by')} of {was.get('source')}")
        what = "the images of the source are others" if other == ["fingerprint"] else ""
        what = what or f"now {listed([key for key in other if key != 'fingerprint'])} would differ"
        raise DataError(
            f"{folder} was made by {was_made}, and {what}. Nothing is mixed: choose another "
            "--save, or delete that folder."
        )
    counts = was.get("images")
    legal = isinstance(counts, dict) and all(isinstance(n, int) for n in counts.values())
    return Copied(folder=folder, images=dict(counts or {}) if legal else {}, new=False)


def fingerprint(contents: Contents) -> str:
    """A hash of the names, sizes and labels of all images: see `Dataset.fingerprint`."""
    digest = hashlib.sha256(repr(contents.class_names).encode())
    for name in SPLITS:
        digest.update(name.encode())
        if name in contents.splits:
            contents.splits[name].digest(digest.update)
    return digest.hexdigest()


def _check_classes(names: tuple[str, ...]) -> None:
    """Refuse classes that no folder can be called.

    Raises:
        DataError: it names them.
    """
    wrong = [
        name
        for name in names
        if not name
        or name.startswith(".")
        or any(sign in name for sign in ("/", "\\", "\0"))
        or len(os.fsencode(name)) > LONGEST_NAME
    ]
    if wrong:
        raise DataError(
            f"No folder can have the name of {counted(len(wrong), 'class', 'classes')}: "
            f"{listed(map(repr, map(printable, wrong)))}. Call them otherwise."
        )
    taken = Names()
    for name in names:
        if taken.fresh(name) != name:
            raise DataError(
                f"The class {printable(name)!r} differs from another by capitals or accents alone: "
                "on many disks their folders are one. Call one otherwise."
            )


def _fill(
    root: Path,
    contents: Contents,
    parts: Mapping[str, Examples],
    write: Written,
    skip_corrupt: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Write all images below a root, and say how many there are and what was done to them."""
    single, names = list(parts) == ["train"], Names()
    total, done = sum(len(part.labels) for part in parts.values()), 0
    counts: dict[str, int] = {}
    changes: dict[str, int] = {}
    left_out: list[str] = list(contents.left_out)
    for split in (name for name in SPLITS if name in parts):
        examples, counts[split] = parts[split], 0
        labels = labels_of(examples)
        for position, result in _results(examples, write):
            done += 1
            progress(done, total)
            if isinstance(result, DataError):
                if not skip_corrupt:
                    raise result
                left_out.append(str(result))
                continue
            content, ending, change = result
            label = contents.class_names[int(labels[position])]
            place = _place(examples, position, label)
            path = os.path.join("" if single else split, label, place)
            stem, own = os.path.splitext(path)
            path = names.fresh(stem + ("" if ending == own else own)) + ending
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            counts[split] += 1
            if change:
                changes[change] = changes.get(change, 0) + 1
    notes = list(contents.notes)
    notes += [f"{counted(n, 'image is', 'images are')} {change}." for change, n in changes.items()]
    if left_out:
        left = counted(len(left_out), "image is", "images are")
        notes.append(f"{left} left out: {listed(map(printable, left_out), 3)}")
    return {"images": counts, "notes": notes, "left_out": left_out}


def _results(
    examples: Examples, write: Written
) -> Iterator[tuple[int, tuple[bytes, str, str] | DataError]]:
    """Each position with what is to be written of it, or why it can't be."""

    def one(position: int) -> tuple[bytes, str, str] | DataError:
        try:
            return write(examples, position)
        except DataError as error:
            return error

    count = len(examples.labels)
    for first in range(0, count, AT_ONCE):
        positions = range(first, min(count, first + AT_ONCE))
        yield from zip(positions, in_parallel(one, positions))


def _place(examples: Examples, position: int, label: str) -> str:
    """Where an image is below its class: as in the source, if that is such a folder."""
    if not isinstance(examples, Files):
        return f"{position:06}"
    parts = os.fsdecode(examples.paths[position]).split(os.sep)
    inner = parts[parts.index(label) + 1 :] if label in parts[:-1] else parts[-1:]
    if any(part.startswith(".") or not part for part in inner):  # which would be passed over
        inner = [inner[-1].lstrip(".") or f"{position:06}"]
    return os.path.join(*inner)
