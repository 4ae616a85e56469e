"""The run directory's beginning: nothing of the user's is ever deleted unasked."""

from __future__ import annotations

import shutil
from pathlib import Path

from kerascnn.errors import RunError


def refuse_directory(path: Path, overwrite: bool) -> None:
    """Refuse what is no directory, or holds an earlier run or anything else.

    Raises:
        RunError: the message says what can be done.
    """
    if path.is_dir() and any(path.iterdir()):
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
