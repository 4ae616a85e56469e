"""Where --save puts what a command has found."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kerascnn.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = (".png", ".svg", ".pdf")


def check_save(path: Path, endings: Iterable[str], expected: str = "a file") -> None:
    """Refuse a file that can't be written, before anything is computed.

    Args:
        path: what --save says.
        endings: of the names that are known, such as ".png".
        expected: what it may be, to which "whose name ends in ..." is added.

    Raises:
        ArgumentError: its name has another ending, or its folder isn't there or is closed.
    """
    *first, last = endings
    if path.suffix.lower() not in (*first, last):
        raise ArgumentError(
            f"--save must be {expected} whose name ends in {', '.join(first)} or {last}. "
            f"Received: {path}."
        )
    if not path.parent.is_dir():
        raise ArgumentError(f"--save must be in a folder that exists. Received: {path}.")
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        why = "is a folder" if path.is_dir() else "is in a folder where you can't write"
        raise ArgumentError(f"--save must be a file that can be written. Received: {path}, {why}.")


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a whole or not at all; the same drawing gives the same bytes."""
    from matplotlib import rc_context

    from kerascnn.writing import replacing

    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with (
        replacing(path) as partial,
        rc_context({"svg.hashsalt": "kerascnn"}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph ")  # an empty box stands for it
        figure.savefig(partial, metadata=undated.get(path.suffix.lower()))
