"""How `kerascnn predict` shows what it found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

BAR = 24  # characters of a bar that means certainty


def render_predictions(
    rows: Iterable[tuple[str, Sequence[tuple[str, float]]]], console: Console
) -> None:
    """Print each image's name and its likeliest classes, with a bar for each probability.

    Args:
        rows: a file's name and its classes with their probabilities, the likeliest first.
        console: where to print.
    """
    for name, classes in rows:
        console.print(Text(str(name), "bold"), soft_wrap=True)
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, width=BAR)
        table.add_column(overflow="fold")
        for rank, (label, probability) in enumerate(classes):
            style = "cyan" if rank == 0 else "dim"
            bar = Bar(1.0, 0.0, probability, color="cyan" if rank == 0 else "bright_black")
            table.add_row(f"  {probability:7.2%}", bar, Text(label, style))
        console.print(table)
