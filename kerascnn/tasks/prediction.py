"""Prediction: what a network sees in a file; and where predictions go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kerascnn.console import Console

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH = 32  # images in one step of prediction, unless told otherwise


@dataclass(frozen=True)
class Prediction:
    """What a network sees in a file.

    Attributes:
        path: the file.
        answer: what the task makes of the network's output; None if the file can't be read.
        changes: what was changed to fit the network, a phrase each.
        error: why the file can't be read; "": it can.
    """

    path: str
    answer: Any
    changes: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Shown:
    """An answer as people see it.

    Attributes:
        classes: names, each with a share in [0, 1]: a probability, a score, a share of the pixels;
            the largest first.
        picture: the photo with what was found in it; None: the task draws nothing on it.
    """

    classes: tuple[tuple[str, float], ...]
    picture: Figure | None = None


Write = Callable[[Prediction], None]


@dataclass(frozen=True, kw_only=True)
class Writers:
    """Where predictions go, one by one; files that can't be read aren't written.

    Attributes:
        terminal: for people.
        json: one JSON list, which grows.
        saved: to the path that `--save` names.
        check: refuses such a path before anything is computed.
    """

    terminal: Callable[[Console], AbstractContextManager[Write]]
    json: Callable[[IO[str]], AbstractContextManager[Write]]
    saved: Callable[[Path], AbstractContextManager[Write]]
    check: Callable[[Path], None]
