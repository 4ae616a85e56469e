"""The image files that arguments of a command mean: files, folders, patterns, names on a stream."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from kerascnn.data.images import SUFFIXES

STDIN = "-"


@dataclass(frozen=True)
class Found:
    """A file to read, or why there is none.

    Attributes:
        path: as it was named, or below the folder that was named. Bytes that are no UTF-8 are kept
            as Python does it (`os.fsencode` gives them back).
        error: why nothing can be read there; "": nothing is known against it.
        content: its bytes, if they are at hand; then `path` only names them.
    """

    path: str
    error: str = ""
    content: bytes | None = None


@dataclass
class Files:
    """The files that names mean, one by one, in their order; nothing is kept of them.

    A folder means the images in it, in any depth, ordered by path; what begins with a dot is passed
    over, as are files that don't end as images do. What isn't there is a pattern, such as
    `photos/*.jpg` or `photos/**/*.jpg`. `-` means the names on the stream, of files or folders.

    Attributes:
        names: files, folders, patterns, or "-".
        stream: has one name after the other, in bytes.
        end: ends a name on the stream.
        passed_over: how many files in folders were passed over so far, as they are no images.
    """

    names: Sequence[str]
    stream: BinaryIO
    end: bytes = b"\n"
    passed_over: int = 0

    def __iter__(self) -> Iterator[Found]:
        for name in self.names:
            if name == STDIN:
                for line in _records(self.stream, self.end):
                    yield from self._at(os.fsdecode(line))
            elif os.path.lexists(name) or not glob.has_magic(name):
                yield from self._at(name)
            elif matches := sorted(glob.glob(name, recursive=True), key=os.fsencode):
                for match in matches:
                    yield from self._at(match)
            else:
                yield Found(name, "there is no such file, and nothing matches it as a pattern")

    def _at(self, path: str) -> Iterator[Found]:
        if not os.path.isdir(path):
            yield Found(path, _refusal(path))
            return
        empty = True
        for found in self._below(path):
            empty = False
            yield found
        if empty:
            yield Found(path, "there is no image in this folder")

    def _below(self, folder: str) -> Iterator[Found]:
        try:
            with os.scandir(folder) as listing:
                entries = [(entry, entry.is_dir(follow_symlinks=False)) for entry in listing]
        except OSError as error:
            yield Found(folder, f"the folder can't be listed: {error.strerror}")
            return
        # As whole paths are ordered: a/x.jpg comes after a.jpg.
        entries.sort(key=lambda pair: os.fsencode(pair[0].name) + b"/" * pair[1])
        for entry, is_folder in entries:
            if entry.name.startswith("."):
                continue
            if is_folder:
                yield from self._below(entry.path)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                yield Found(entry.path, _refusal(entry.path))
            else:
                self.passed_over += 1


def _records(stream: BinaryIO, end: bytes) -> Iterator[bytes]:
    """What is on the stream, as it comes; empty names are none.

    Lines may end as Windows writes them.
    """
    if end == b"\n":
        for line in stream:
            name = line.removesuffix(b"\n")
            if name.endswith(b"\r") and not os.path.lexists(name):
                name = name[:-1]
            if name:
                yield name
        return
    rest = b""
    while block := stream.read(65536):
        *names, rest = (rest + block).split(end)
        yield from filter(None, names)
    if rest:
        yield rest


def _refusal(path: str) -> str:
    """Why a path can't be an image; opening a pipe would wait for ever."""
    if os.path.isfile(path):
        return ""
    return "it is no regular file" if os.path.exists(path) else "there is no such file"
