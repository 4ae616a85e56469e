"""What makes a page of a directory: of a run, and of whatever else an installed package leaves."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kerascnn import registry
from kerascnn.errors import RunError
from kerascnn.reports.page import Page
from kerascnn.words import listed
from kerascnn.writing import check_save, write_text

if TYPE_CHECKING:
    from kerascnn.data import Dataset

ENDINGS = (".html", ".htm")
EXPLAINED = 3  # images, unless told otherwise

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a page is to have.

    Attributes:
        data: what a run is evaluated on: a source or a Dataset; None: the data it was trained on.
        explain: how many images are explained.
        say: is called with what the user should know.
    """

    data: str | Dataset | None = None
    explain: int = EXPLAINED
    say: Say = print


@dataclass(frozen=True)
class Reporter:
    """Makes a page of a directory; an entry point of `kerascnn.reports` names one.

    Attributes:
        name: the file that tells such directories from others, "config.json" of a run. The entry
            point has the same name.
        page: makes it of the directory; it refuses what it doesn't know of what is asked.
    """

    name: str
    page: Callable[[Path, Asked], Page]


def report(
    path: str | os.PathLike[str],
    *,
    data: str | Dataset | None = None,
    explain: int = EXPLAINED,
    echo: Say | None = print,
) -> Page:
    """The page of a run, a study, or whatever else an installed package can report.

    Args:
        path: its directory.
        data: what a run is evaluated on, for `Run.evaluate`; None: its own data.
        explain: how many images of a run are explained.
        echo: is called with what the user should know; None: silent.

    Raises:
        RunError: it is no directory that anybody can report, or it is damaged.
    """
    directory = Path(path)
    if not directory.is_dir():
        raise RunError(f"There is no directory {directory} to report.")
    known = registry.names(registry.REPORTS)
    asked = Asked(data=data, explain=explain, say=echo or (lambda line: None))
    for name in known:
        if (directory / name).is_file():
            found = registry.load(registry.REPORTS, name, Reporter)
            return found.page(directory, asked)
    raise RunError(
        f"{directory} can't be reported: expected a directory with one of {listed(known)}, such as "
        "`kerascnn train` leaves. Received: none of them."
    )


def write(
    path: str | os.PathLike[str],
    save: str | os.PathLike[str],
    *,
    data: str | Dataset | None = None,
    explain: int = EXPLAINED,
    echo: Say | None = print,
) -> Path:
    """Write the page of a run or a study to a file; see `report`.

    Raises:
        ArgumentError: the file can't be written.
        RunError: see `report`.
    """
    target = Path(save)
    check_save(target, ENDINGS)
    write_text(target, report(path, data=data, explain=explain, echo=echo).html())
    return target
