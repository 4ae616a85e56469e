"""A bar on the terminal while images are read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def reading() -> Iterator[Callable[[int, int | None], None]]:
    """A bar on standard error, if that is a terminal; to be told what is done, and of how much."""
    from rich import progress

    from kerascnn.console import Console

    columns = (
        progress.TextColumn("Reading"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("images,"),
        progress.TimeRemainingColumn(compact=True),
        progress.TextColumn("left"),
    )
    console = Console(stderr=True)
    with progress.Progress(
        *columns, console=console, transient=True, disable=not console.is_interactive
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
