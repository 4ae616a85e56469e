"""Prediction: what a network sees in a file; and where predictions go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kerascnn.console import Console

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
