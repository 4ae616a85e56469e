"""The run directory: nothing of the user's is deleted unasked, and one process at a time trains."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from kerascnn.errors import RunError
from kerascnn.files import require_inside
from kerascnn.writing import (
    LockedError,
    NoLockError,
    is_locked,
    locked,
    remove_partial,
)


def refuse_directory(path: Path, overwrite: bool) -> None:
    """Refuse what is no directory, or holds an earlier run or anything else.

    Raises:
        RunError: the message says what can be done.
    """
    if path.is_dir() and any(path.iterdir()):
        if is_alive(path):
            raise RunError(f"Another process is training in {path}. Choose another with --run.")
        if not (path / "config.json").is_file():
            raise RunError(f"{path} is not empty and no run directory. Choose another with --run.")
        if not overwrite:
            raise RunError(
                f"{path} holds an earlier run. Choose another directory with --run, go on with "
                f"`kerascnn train --resume {path}`, or pass --overwrite."
            )
    elif path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file; --run needs a directory.")


def prepare_directory(path: Path, overwrite: bool) -> None:
    """Make an empty directory; delete an earlier run only when told to.

    Raises:
        RunError: see `refuse_directory`.
    """
    refuse_directory(path, overwrite)
    if path.is_dir() and any(path.iterdir()):
        shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)


LOCK = ".training"
PARTS = ("checkpoints", "epochs", "explain", "train", "validation")  # what training writes to


@contextlib.contextmanager
def alive(path: Path) -> Iterator[None]:
    """Hold the run directory's lock; what a killed training has left half-written is removed.

    Raises:
        RunError: another process holds it, or a part of the directory is a link out of it.
    """
    for name in PARTS:
        require_inside(path / name, path, error=RunError)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path / LOCK))
        except LockedError as holder:
            raise RunError(
                f"Another process is training in {path} ({holder}). Wait for its end, or choose "
                "another directory with --run."
            ) from None
        except NoLockError:
            raise RunError(f"{path / LOCK} is no file; it should be the lock of a run.") from None
        for directory in (path, path / "checkpoints", path / "epochs"):
            remove_partial(directory)
        yield


def is_alive(path: Path) -> bool:
    """Whether a process is training in the run directory now, see `files.is_locked`."""
    return is_locked(path / LOCK)
