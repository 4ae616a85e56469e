"""`masks:PATH`: images, and a mask of the same name for each.

    images/street.jpg    masks/street.png

In `images/` and `masks/` there may be folders `train`, `validation` and `test`, or these may hold
`images/` and `masks/` themselves. A mask's pixels say the classes, as numbers (of a palette, or
grey values) or as colours. `classes.csv` beside the folders names them, in their order:

    name,index              name,red,green,blue
    background,0            road,128,64,128
    cell,255                void,0,0,0

A pixel of the class `void` is neither learnt nor judged. Without the table the classes are 0 to the
largest number that is in a mask, but for 255, which is void; where there are 0 and 255 alone, these
are two classes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerascnn import processors
from kerascnn.data import (
    SPLIT_WORDS,
    SPLITS,
    VOID,
    Contents,
    DataSource,
    Encoded,
    Files,
    Masks,
    Names,
    Options,
    contents,
    read_mask,
    scan,
)
from kerascnn.errors import DataError
from kerascnn.files import read_csv
from kerascnn.words import listed, printable

IMAGES, MASKS, TABLE = "images", "masks", "classes.csv"
COLOURS = (("red", "green", "blue"), ("r", "g", "b"))
MOST = 250  # classes
UNKNOWN = 254  # stands in a mask for what no class has
MANY = 1000  # masks that take longer than a moment to look through


@dataclass(frozen=True, eq=False)
class Classes:
    """What the pixels of masks mean.

    Attributes:
        names: of the classes.
        table: the number or colour → the class, or VOID: uint8 `[256]` or `[2**24]`; `UNKNOWN` is
            none of these.
        coloured: whether they are colours.
        source: what messages call the table.
    """

    names: tuple[str, ...]
    table: np.ndarray
    coloured: bool
    source: str

    @classmethod
    def of(
        cls, names: Sequence[str], values: Sequence[int], coloured: bool, source: str
    ) -> Classes:
        """The classes in their order, of which "void" is none."""
        table = np.full(2**24 if coloured else 256, UNKNOWN, "uint8")
        if not coloured:
            table[VOID] = VOID
        kept = [name for name in names if name != "void"]
        for name, value in zip(names, values):
            table[value] = VOID if name == "void" else kept.index(name)
        return cls(tuple(kept), table, coloured, source)

    def mask(self, path: str, stored: np.ndarray) -> np.ndarray:
        """The classes of a mask's pixels, uint8 `[height, width]`.

        Raises:
            DataError: a number or colour is of no class; the message names the file.
        """
        codes = stored
        if self.coloured:
            red, green, blue = np.moveaxis(stored.astype("int32"), 2, 0)
            codes = red << 16 | green << 8 | blue
        found = self.table[codes]
        unknown = found == UNKNOWN
        if unknown.any():
            y, x = np.argwhere(unknown)[0].tolist()
            what = "colour" if self.coloured else "number"
            value = ",".join(map(str, np.atleast_1d(stored[y, x]).tolist()))
            void = not self.coloured and self.table[VOID] == VOID  # a table may name it otherwise
            raise DataError(
                f"{path}: {np.count_nonzero(unknown):,} pixels are of no class, such as {x},{y} "
                f"with the {what} {value}. Expected those of the {len(self.names)} classes in "
                f"{self.source}{f', or {VOID}, which is void' if void else ''}."
            )
        return found


def read_table(path: str, root: str) -> Classes:
    """The classes that a table names.

    Raises:
        DataError: it can't be read, or a line of it is wrong; the message names it.
    """
    columns, rows = read_csv(path, error=DataError, limit=2**20, inside=Path(root))
    columns = [column.strip().lower() for column in columns]
    used = next((names for names in COLOURS if set(names) <= set(columns)), ("index",))
    if "name" not in columns or not set(used) <= set(columns):
        raise DataError(
            f"{path}, line 1: expected the columns name and index, or name, red, green and blue. "
            f"Received: {', '.join(columns)[:200]}."
        )
    names, values = [], []
    for line, row in enumerate(rows, start=2):
        fields = dict(zip(columns, map(str.strip, row)))
        name, numbers = fields["name"], [fields[column] for column in used]
        if not name or not name.isprintable():
            received = printable(name)[:100]
            raise DataError(
                f"{path}, line {line}: a class must have a name. Received: {received!r}."
            )
        if not all(text.isdecimal() and len(text) < 4 and int(text) < 256 for text in numbers):
            raise DataError(
                f"{path}, line {line}: {', '.join(used)} must be 0 to 255. "
                f"Received: {', '.join(numbers)[:100]}."
            )
        value = int("".join(f"{int(text):02x}" for text in numbers), 16)
        if name in names or value in values:
            raise DataError(f"{path}, line {line}: {name[:100]}, or its number, is there twice.")
        names.append(name)
        values.append(value)
    if not 0 < len(names) <= MOST:
        raise DataError(f"{path} must name 1 to {MOST} classes. Received: {len(names):,}.")
    return Classes.of(names, values, len(used) == 3, os.path.basename(path))


@dataclass(frozen=True, eq=False)
class Pairs:
    """The images of a split, and their masks.

    Attributes:
        images, masks: paths below the root; a mask that is missing is called as it should be.
        image_sizes, mask_sizes: int64, in bytes; -1: there is no such file.
        strays: paths of the masks without an image.
    """

    images: Names
    image_sizes: np.ndarray
    masks: Names
    mask_sizes: np.ndarray
    strays: tuple[str, ...]


def _folders(root: str) -> dict[str, tuple[str, str]]:
    """Split → the folders of its images and masks, below the root.

    Raises:
        DataError: there are none, or two for a split.
    """
    if not os.path.isdir(root):
        raise DataError(f"There is no folder {root}.")

    def inside(folder: str) -> dict[str, str]:
        """Split → the folder in this one that is called so."""
        found: dict[str, str] = {}
        place = os.path.join(root, folder)
        for name in sorted(os.listdir(place)) if os.path.isdir(place) else ():
            split = SPLIT_WORDS.get(name.lower())
            if split is None or not os.path.isdir(os.path.join(place, name)):
                continue
            if split in found:
                raise DataError(f"{place} has two {split} folders: {found[split]} and {name}.")
            found[split] = name
        return found

    if os.path.isdir(os.path.join(root, IMAGES)):
        below = inside(IMAGES)
        if not below:
            return {"train": (IMAGES, MASKS)}
        return {s: (os.path.join(IMAGES, n), os.path.join(MASKS, n)) for s, n in below.items()}
    above = inside("")
    if not above or not all(os.path.isdir(os.path.join(root, n, IMAGES)) for n in above.values()):
        raise DataError(
            f"{root} must hold the folders {IMAGES} and {MASKS}, with a mask of the same name for "
            f"each image; or train, validation and test with these in them. It has no {IMAGES}."
        )
    return {s: (os.path.join(n, IMAGES), os.path.join(n, MASKS)) for s, n in above.items()}


def _pairs(root: str, images: str, masks: str) -> Pairs:
    """An image's mask has its path, but for the ending.

    Raises:
        DataError: there is no image, or one that has a namesake.
    """
    found = [_stems(root, folder) for folder in (images, masks)]
    if not found[0]:
        raise DataError(f"{os.path.join(root, images)} has no image.")
    if not os.path.isdir(os.path.join(root, masks)):
        raise DataError(
            f"There is no folder {os.path.join(root, masks)}, which must hold a mask of the same "
            "name for each image."
        )
    pictures, answers = found
    missing = [(os.path.join(os.fsencode(masks), stem) + b".png", -1) for stem in pictures]
    chosen = [answers.get(stem, other) for stem, other in zip(pictures, missing)]
    strays = [path for stem, (path, _) in answers.items() if stem not in pictures]
    return Pairs(
        *_packed(pictures.values()),
        *_packed(chosen),
        tuple(printable(os.fsdecode(path)) for path in strays),
    )


def _stems(root: str, folder: str) -> dict[bytes, tuple[bytes, int]]:
    """Path below the folder without the ending → path below the root, and size in bytes."""
    found: dict[bytes, tuple[bytes, int]] = {}
    listing = scan(root, [folder])
    start = len(os.fsencode(folder)) + 1
    for path, size in zip(listing.names, listing.sizes.tolist()):
        stem = os.path.splitext(path[start:])[0]
        if stem in found:
            two = [printable(os.fsdecode(one)) for one in (found[stem][0], path)]
            raise DataError(
                f"{printable(root)}: {' and '.join(two)} have one name, so that it isn't plain "
                "which belongs to what. Move one away."
            )
        found[stem] = path, size
    return found


def _packed(files: Iterable[tuple[bytes, int]]) -> tuple[Names, np.ndarray]:
    files = list(files)
    return Names.of(path for path, _ in files), np.array([size for _, size in files], "int64")


class _Reader:
    """Reads the masks of a split: called with a position, gives uint8 `[height, width]`."""

    def __init__(self, root: str, pairs: Pairs, classes: Classes | None, options: Options) -> None:
        self.root, self.pairs, self.classes, self.options = root, pairs, classes, options

    def place(self, position: int) -> str:
        return os.path.join(self.root, os.fsdecode(self.pairs.masks[position]))

    def stored(self, position: int) -> np.ndarray:
        """As the file has it.

        Raises:
            DataError: it is missing, can't be read, or has colours without a table for them.
        """
        place = self.place(position)
        if self.pairs.mask_sizes[position] < 0:
            image = os.path.join(self.root, os.fsdecode(self.pairs.images[position]))
            raise DataError(
                f"There is no mask for {printable(image)}. Expected: {printable(place)}. Add it, "
                "or move the image away."
            )
        coloured = bool(self.classes and self.classes.coloured)
        found = read_mask(place, inside=self.root, reading=self.options.reading, colours=coloured)
        if found.ndim > 2 and not coloured:
            named = self.classes is not None and self.classes.source == TABLE
            raise DataError(
                f"{printable(place)}: the mask has colours, and "
                f"{f'{TABLE} names numbers' if named else 'nothing says what they mean'}. Name "
                f"them in {os.path.join(self.root, TABLE)}: name,red,green,blue."
            )
        return found

    def __call__(self, position: int) -> np.ndarray:
        found = self.stored(position)
        return self.classes.mask(printable(self.place(position)), found) if self.classes else found


def _found_classes(root: str, parts: Mapping[str, Pairs], options: Options) -> Classes:
    """The classes that all masks show, where no table names them.

    Raises:
        DataError: a mask can't be read, unless unreadable ones are left out or listed later.
    """
    total = sum(len(pairs.masks) for pairs in parts.values())
    if total > MANY:
        options.echo(f"Looking at {total:,} masks for their classes …")
    seen = np.zeros(256, bool)
    with ThreadPoolExecutor(processors.available()) as threads:
        for pairs in parts.values():
            reader = _Reader(root, pairs, None, options)

            def values(position: int, reader: _Reader = reader) -> np.ndarray:
                try:
                    return np.bincount(reader(position).ravel(), minlength=256) > 0
                except DataError:
                    if options.forbearing:
                        return np.zeros(256, bool)
                    raise

            for shown in threads.map(values, range(len(pairs.masks))):
                seen |= shown
    numbers = np.flatnonzero(seen).tolist()
    if numbers == [0, VOID]:
        return Classes.of(("0", "255"), numbers, False, "these masks")
    most = max((number for number in numbers if number != VOID), default=0)
    if most >= MOST:
        raise DataError(
            f"{root}: the masks have numbers up to {most}; expected 0 to the number of classes, "
            f"which are {MOST} at most, without a gap. If other numbers stand for classes, name "
            f"them in {os.path.join(root, TABLE)} with the columns name,index."
        )
    return Classes.of(tuple(map(str, range(most + 1))), range(most + 1), False, "these masks")


def _masks(argument: str, options: Options) -> Contents:
    root = argument
    parts = {s: _pairs(root, *folders) for s, folders in _folders(root).items()}
    table = os.path.join(root, TABLE)
    named = os.path.lexists(table)
    classes = read_table(table, root) if named else _found_classes(root, parts, options)
    notes = []
    if not named:
        names = listed(classes.names)
        notes.append(f"There is no {TABLE}: the classes are the numbers in the masks, {names}.")
    splits: dict[str, Encoded] = {}
    for split in (split for split in SPLITS if split in parts):
        pairs = parts[split]
        answers = Masks(
            read=_Reader(root, pairs, classes, options),
            names=pairs.masks,
            sizes=pairs.mask_sizes,
            classes=len(classes.names),
            root=root,
        )
        splits[split] = Files(
            root, pairs.images, pairs.image_sizes, answers, (0, 0, 0), closed=True
        )
    strays = {"a mask without an image": [s for pairs in parts.values() for s in pairs.strays]}
    return contents(root, classes.names, splits, options, strays, notes)


SOURCE = DataSource(
    read=_masks,
    argument="PATH",
    targets=("mask",),
    licence="yours",
    help="Folders images and masks, with equal names; numbers, a palette or colours.",
)
