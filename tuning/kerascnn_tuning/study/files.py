"""A study's files, which may be damaged: each problem is one message with the file's name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerascnn import files
from kerascnn.errors import KerascnnError
from kerascnn_tuning.errors import StudyError

RESTORE = "Restore it from a copy, or begin another study with another --dir."
LARGEST = 2**26  # bytes of a file of JSON
PRUNED_AT = "pruned_at"
"""The metric by which an oracle's trial is known to be pruned: after how many epochs it ended."""
PRUNED_FILE = "pruned.json"


def trial_files(directory: Path) -> list[Path]:
    """The files of an oracle's trials, in the order in which they began."""
    found = {file.parent.name: file for file in directory.glob("trial_*/trial.json")}
    return [found[name] for name in sorted(found, key=lambda name: (len(name), name))]


@contextlib.contextmanager
def usable(file: Path) -> Iterator[None]:
    """Turn what goes wrong with a file's content into one message with its name.

    Raises:
        StudyError: something did.
    """
    try:
        yield
    except StudyError:
        raise
    except KerascnnError as error:
        raise StudyError(f"{file} can't be used: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StudyError(f"{file} is damaged: {error!r}. {RESTORE}") from None


def read_json(path: Path) -> dict[str, Any]:
    """A table from one of a study's files.

    Raises:
        StudyError: names the file, which can't be read or holds something else.
    """
    try:
        found = files.read_json(path, error=StudyError, limit=LARGEST)
    except StudyError as error:
        raise StudyError(f"{error} {RESTORE}") from None
    if not isinstance(found, dict):
        raise StudyError(f"{path} is damaged: it holds a {type(found).__name__}. {RESTORE}")
    return found
