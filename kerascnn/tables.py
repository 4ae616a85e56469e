"""Tables that stay readable: on 80 columns, in a pipe, as text and in a notebook."""

from __future__ import annotations

import base64
import html as html_
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.measure import Measurement
    from rich.text import Text

UNBOUNDED = 10_000  # more columns than any table takes


class Name:
    """A cell with a name that, where it must, goes on in a new line behind "_", "-", "/" or ":".

    Rich folds at spaces, which names don't have, and then in the middle of a word.
    """

    def __init__(self, name: str, style: str = "") -> None:
        self.name, self.style = name, style

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        return Measurement(max(map(len, _parts(self.name)), default=0), len(self.name))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        lines = folded(self.name, options.max_width)
        yield Text("\n".join(lines), style=self.style, overflow="fold")


def folded(name: str, width: int) -> list[str]:
    """The lines of a name in so many columns; continuations are indented by one."""
    lines = [""]
    for part in _parts(name):
        if len(lines[-1]) + len(part) > width and lines[-1].strip():
            lines.append(" ")
        lines[-1] += part
    return lines


def _parts(name: str) -> list[str]:
    return re.findall(r"[^_/:\-]*[_/:\-]+|[^_/:\-]+", name)


def is_bounded(console: Console) -> bool:
    """Whether somebody sees columns, or asks for so many: not in a plain pipe or file."""
    return console.is_terminal or console.is_jupyter or "COLUMNS" in os.environ


def show(console: Console, table: RenderableType) -> None:
    """Print a table; in a pipe or a file each row is one line."""
    if is_bounded(console):
        console.print(table)
    else:
        console.file.write(text(table, natural_width(console, table)))


def natural_width(console: Console, table: RenderableType) -> int:
    """The columns that a table would take if it had as many as it likes."""
    from rich.measure import Measurement

    options = console.options.update(max_width=UNBOUNDED)
    return Measurement.get(console, options, table).maximum


def text(table: RenderableType, width: int) -> str:
    """A table as plain text, without the codes of colours, whatever the terminal."""
    from kerascnn.console import Console

    file = io.StringIO()
    console = Console(
        file=file, width=width, color_system=None, force_terminal=False, force_jupyter=False
    )
    console.print(table)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def html(
    header: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Sequence[str] = ()
) -> str:
    """A table for notebooks; everything is escaped.

    Args:
        header: names of the columns.
        rows: the cells.
        numbers: columns that are aligned to the right.
    """
    sides = ["right" if name in numbers else "left" for name in header]

    def row(tag: str, cells: Sequence[Any]) -> str:
        found = [
            f'<{tag} style="text-align:{side}">{html_.escape(str(cell))}</{tag}>'
            for side, cell in zip(sides, cells)
        ]
        return f"<tr>{''.join(found)}</tr>"

    head = f"<thead>{row('th', header)}</thead>" if any(header) else ""
    return f"<table>{head}<tbody>{''.join(row('td', cells) for cells in rows)}</tbody></table>"


def picture(content: bytes, about: str) -> str:
    """A PNG for notebooks, beside tables.

    Args:
        content: of the file.
        about: what is in it, for those who can't see it.
    """
    data = base64.b64encode(content).decode()
    look = f'alt="{html_.escape(about)}" style="max-width:100%"'
    return f'<img {look} src="data:image/png;base64,{data}">'
