"""What files a folder holds: found in one pass, compact in memory, kept in the user's cache.

A million files take seconds to list on a local disk and minutes on a network's, so a large index is
kept. A directory's modification time changes whenever a file in it is added, removed or renamed:
the kept index holds as long as all of them are as they were. A file that is overwritten in place
changes no directory, therefore some files are looked at as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kerascnn import cache
from kerascnn.data import images
from kerascnn.data.names import Names

# Smaller folders are listed each time, in less than half a second, which sees every change.
KEPT = 20_000
LOOKED_AT = 256  # files whose size and time must be as they were, evenly over the index
VERSION = 2  # of the file in the cache
# A directory that was changed so shortly before it was listed may change again within the same
# tick of the file system's clock, unseen: such a listing is not kept. Git does the same.
RACY = 2 * 10**9  # ns


# What other programs leave in folders, beside what begins with a dot or a dollar.
LEFT_BEHIND = frozenset(("__MACOSX", "@eaDir", "lost+found", "System Volume Information"))


def passed_over(name: str) -> bool:
    """Whether a file or folder is none of the user's: hidden, or left by another program."""
    return name.startswith((".", "$")) or name in LEFT_BEHIND


@dataclass(frozen=True, eq=False)
class Index:
    """The image files below some folders of a root.

    Attributes:
        names: `[n]`, paths below the root: in the order of the folders, then by name.
        sizes: int64 `[n]`, in bytes; -1: a link to nowhere.
        counts: int64, files of each folder.
        strays: paths of the files that are no images.
        directories: every directory that was listed, and its modification time in ns.
    """

    names: Names
    sizes: np.ndarray
    counts: np.ndarray
    strays: Names
    directories: tuple[tuple[str, int], ...]


def index(root: str, folders: Sequence[str]) -> Index:
    """The image files below these folders of a root, from the cache if nothing has changed.

    Args:
        root: a folder.
        folders: paths below it, "" for itself; one that does not exist has no files.

    Raises:
        OSError: a folder can't be listed.
    """
    path = cache.directory() / "folders" / f"{_key(root)}.npz"
    if (kept := _kept(path, root, folders)) is not None:
        return kept
    began = time.time_ns()
    found = scan(root, folders)
    settled = all(changed < began - RACY for _, changed in found.directories)
    if settled and len(found.names) >= KEPT:
        with contextlib.suppress(OSError):  # a cache that can't be written is none
            cache.write(path, _packed(found, root, folders))
    return found


def scan(root: str, folders: Sequence[str]) -> Index:
    """List these folders of a root, each directory once.

    Raises:
        OSError: a folder can't be listed.
    """
    strays: list[bytes] = []
    directories: list[tuple[str, int]] = []
    text, lengths, sizes, counts = bytearray(), [], [], []
    for folder in folders:
        files = sorted(_walk(root, folder, strays, directories))
        for name, size in files:
            text += name
            lengths.append(len(name))
            sizes.append(size)
        counts.append(len(files))
    names = Names.packed(np.frombuffer(bytes(text), "uint8"), np.array(lengths, "uint32"))
    return Index(
        names,
        np.array(sizes, "int64"),
        np.array(counts, "int64"),
        Names.of(strays),
        tuple(directories),
    )


def _walk(
    root: str, folder: str, strays: list[bytes], directories: list[tuple[str, int]]
) -> Iterator[tuple[bytes, int]]:
    """Path below `root` and size of each image file; names with a dot in front are none."""
    place = os.path.join(root, folder)
    if not os.path.isdir(place):
        return
    # Before listing: what changes while it is listed makes the time differ.
    directories.append((folder, os.stat(place).st_mtime_ns))
    with os.scandir(place) as entries:
        for entry in entries:
            if passed_over(entry.name):
                continue
            path = os.path.join(folder, entry.name)
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(root, path, strays, directories)
            elif not images.is_image(entry.name):
                strays.append(os.fsencode(path))
            else:
                try:
                    yield os.fsencode(path), entry.stat().st_size
                except OSError:  # a dangling link: reading it will say so
                    yield os.fsencode(path), -1


def _key(root: str) -> str:
    return hashlib.sha256(os.fsencode(f"{VERSION}:{os.path.realpath(root)}")).hexdigest()[:32]


def _packed(found: Index, root: str, asked: Sequence[str]) -> bytes:
    """The index as a file; the archive's checksums tell a damaged one."""
    file = io.BytesIO()
    folders = Names.of(os.fsencode(folder) for folder, _ in found.directories)
    np.savez(
        file,
        asked=_joined(asked),
        names=found.names.text,
        name_lengths=found.names.length,
        sizes=found.sizes,
        counts=found.counts,
        strays=found.strays.text,
        stray_lengths=found.strays.length,
        directories=folders.text,
        directory_lengths=folders.length,
        directory_times=np.array([changed for _, changed in found.directories], "int64"),
        looked_at=_look(root, found.names),
    )
    return file.getvalue()


def _joined(folders: Sequence[str]) -> np.ndarray:
    return np.frombuffer(os.fsencode("\0".join(folders)), "uint8")


def _kept(path: os.PathLike[str], root: str, asked: Sequence[str]) -> Index | None:
    """The index in the cache; None: there is none, it is damaged, or the folder has changed."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not np.array_equal(archive["asked"], _joined(asked)):
                return None
            part = dict(archive)
        names = Names.packed(part["names"], part["name_lengths"])
        folders = Names.packed(part["directories"], part["directory_lengths"])
        times = part["directory_times"].tolist()
        found = Index(
            names,
            part["sizes"],
            part["counts"],
            Names.packed(part["strays"], part["stray_lengths"]),
            tuple(zip(map(os.fsdecode, folders), times, strict=True)),
        )
        for folder, changed in found.directories:
            if os.stat(os.path.join(root, folder)).st_mtime_ns != changed:
                return None
        same = np.array_equal(_look(root, names), part["looked_at"])
    except Exception:  # a damaged archive raises anything
        return None
    return found if same else None


def _look(root: str, names: Names) -> np.ndarray:
    """Size and modification time of some files, int64 `[n, 2]`."""
    chosen = np.unique(np.linspace(0, len(names) - 1, min(LOOKED_AT, len(names))).astype(int))
    seen = []
    for position in chosen:
        try:
            status = os.stat(os.path.join(os.fsencode(root), names[position]))
            seen.append((status.st_size, status.st_mtime_ns))
        except OSError:
            seen.append((-1, 0))
    return np.array(seen, "int64").reshape(-1, 2)
