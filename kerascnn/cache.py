"""Where kerascnn keeps what it can find out or fetch again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def directory() -> Path:
    """`$KERASCNN_CACHE`, or `kerascnn` in the user's cache directory."""
    if chosen := os.environ.get("KERASCNN_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kerascnn"


def write(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, meets the old content or the new, never a part.

    Raises:
        OSError: the directory can't be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
