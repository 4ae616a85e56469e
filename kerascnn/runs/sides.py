"""Which images a run was trained, validated and tested on, kept in its directory.

`images.npy` has 21 bytes for each image: its name's hash, its file's, its size and its split. So an
evaluation knows the images again when others have been added or removed, or when another source has
some of them. The names are those of `kerascnn.data.Split.names`: of files their paths, of other
images digests of their pixels.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerascnn.data import SPLITS, Dataset, Split
from kerascnn.data.names import Names
from kerascnn.errors import RunError
from kerascnn.files import open_regular
from kerascnn.writing import replacing

FILE = "images.npy"
ROW = np.dtype([("name", "<u8"), ("file", "<u8"), ("size", "<u4"), ("split", "u1")])
MOST_IMAGES = 50_000_000  # in a gigabyte
UNKNOWN_SIZE = 2**32 - 1
NOWHERE = -1
NAMELESS = 0  # of an image that is known by its position only, or has no file


def write(run: Path, dataset: Dataset) -> None:
    """Keep which images are on which side."""
    parts = []
    for number, split in enumerate(dataset.splits.values()):
        rows = _rows(split)
        rows["split"] = number
        parts.append(rows)
    # NumPy's own writing says "N requested and M written" where the disk is full; Python's says so.
    content = io.BytesIO()
    np.save(content, np.concatenate(parts), allow_pickle=False)
    with replacing(run / FILE) as temporary:
        temporary.write_bytes(content.getbuffer())


def read(run: Path) -> Sides | None:
    """What a run keeps; None: it was made by a version that kept nothing.

    Raises:
        RunError: the file is damaged.
    """
    path = run / FILE
    if not os.path.lexists(path):
        return None
    try:
        with open_regular(path, inside=run) as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("it is of another version")
            shape, _, kind = np.lib.format.read_array_header_1_0(file)
            held = os.fstat(file.fileno()).st_size - file.tell()
            if kind != ROW or len(shape) != 1 or held != shape[0] * ROW.itemsize:
                raise ValueError(f"expected rows of {ROW.itemsize} bytes, as many as it says")
            if shape[0] > MOST_IMAGES:
                raise ValueError(f"it has more than {MOST_IMAGES:,} images")
            rows = np.fromfile(file, ROW, shape[0])
        if len(rows) and rows["split"].max() >= len(SPLITS):
            raise ValueError("it has more than three splits")
    except Exception as error:  # a damaged header raises anything
        raise RunError(
            f"{path} is damaged: {error}. Without it, it isn't known which images the run was "
            "trained on: delete it to evaluate all the same."
        ) from None
    return Sides(rows)


def _rows(split: Split) -> np.ndarray:
    """What is kept of a split's images, but for which split it is."""
    rows = np.zeros(split.size, ROW)
    if split.has_names:
        rows["name"] = split.ids
    if split.files is not None:
        rows["file"] = _files(split.files.root, split.files.paths)
        rows["size"] = split.files.sizes & UNKNOWN_SIZE  # -1, not known, becomes that
    return rows


def _files(root: str, paths: Names) -> np.ndarray:
    """A number for each file, wherever its source begins: uint64 `[n]`."""
    top = os.fsencode(os.path.realpath(root))

    def places() -> Iterator[bytes]:
        for path in paths:
            place = os.path.join(top, path)
            yield os.path.normpath(place) if b".." in path else place

    return Names.of(places()).hashes()


@dataclass(frozen=True)
class Changes:
    """What has become of a run's images, as many of each kind, in all and on the side asked for.

    Attributes:
        gone: no longer in the data.
        resized: files that have another size now.
        new: in the data, but the run never had them.
    """

    gone: tuple[int, int]
    resized: tuple[int, int]
    new: int


class Sides:
    """The images of a run.

    Args:
        rows: of the dtype `ROW`.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows

    def _of(self, side: str) -> np.ndarray:
        return self._rows[self._rows["split"] == SPLITS.index(side)]

    def sizes(self) -> dict[str, int]:
        """How many images each side has."""
        return {name: len(self._of(name)) for name in SPLITS}

    @property
    def of_files(self) -> bool:
        """Whether the images are files, which can be moved."""
        return bool((self._rows["file"] != NAMELESS).any())

    def same(self, everything: Split) -> bool:
        """Whether a source has all of the images and no other, by names and sizes."""
        changes = self.changes(everything, "all")
        alike = not (changes.gone[0] or changes.resized[0] or changes.new)
        return alike and everything.size == len(self._rows) and everything.has_names

    def named(self, split: Split, side: str) -> np.ndarray:
        """Positions in a split of the run's own source of the images of one side."""
        names = _rows(split)["name"]
        found = _find(names, self._of(side)["name"])
        return np.flatnonzero((found != NOWHERE) & (names != NAMELESS))

    def trained(self, split: Split) -> int:
        """How many of these images the run was trained on, whatever source they come from.

        A file is the same in the same place, or under the same name below the folder of another
        source, if it has the same size. Of a copy under another name nothing is known. Other images
        are the same if their pixels are.
        """
        mine, kept = _rows(split), self._of("train")
        found = np.zeros(split.size, bool)
        for key in ("name", "file"):
            at = _find(mine[key], kept[key])
            sizes = kept["size"][at] if len(kept) else mine["size"]
            unknown = (sizes == UNKNOWN_SIZE) | (mine["size"] == UNKNOWN_SIZE)
            same = (sizes == mine["size"]) | (unknown & (key == "file"))
            found |= (at != NOWHERE) & same & (mine[key] != NAMELESS)
        return int(found.sum())

    def changes(self, everything: Split, side: str) -> Changes:
        """What is different in the run's own source; the second numbers are of this side.

        Args:
            everything: all images of the source.
            side: one of `kerascnn.data.SPLITS`, or "all".
        """
        mine, kept = _rows(everything), self._rows
        at = _find(kept["name"], mine["name"])
        asked = np.ones(len(kept), bool) if side == "all" else kept["split"] == SPLITS.index(side)
        gone = at == NOWHERE
        sizes = mine["size"][at] if len(mine) else kept["size"]
        known = (sizes != UNKNOWN_SIZE) & (kept["size"] != UNKNOWN_SIZE)
        resized = ~gone & known & (sizes != kept["size"])
        new = _find(mine["name"], kept["name"]) == NOWHERE
        return Changes(
            (int(gone.sum()), int((gone & asked).sum())),
            (int(resized.sum()), int((resized & asked).sum())),
            int(new.sum()),
        )


def _find(wanted: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each number a position where it is among others, or `NOWHERE`: int64 `[wanted]`."""
    if not len(among):
        return np.full(len(wanted), NOWHERE)
    order = np.argsort(among, kind="stable")
    place = np.minimum(np.searchsorted(among, wanted, sorter=order), len(among) - 1)
    at = order[place]
    return np.where(among[at] == wanted, at, NOWHERE)
