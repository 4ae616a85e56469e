"""The terminal, to which names of files and classes go as they are, but steer nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import rich.console
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from kerascnn.words import printable

IN_NOTEBOOK = "JPY_PARENT_PID"  # a variable that Jupyter gives its kernels, and they their commands


class Console(rich.console.Console):
    """Rich's console, without pictures for words between colons: `a:cat:b` is a path here.

    A name that a stranger has given may hold codes that steer a terminal: they are shown as
    escapes such as `\\x1b`. Rich's own, for colours and the cursor, are no text, and stay.

    It is not interactive in a command of a notebook's cell (`!kerascnn train ...`): that is told to
    be a terminal, but keeps every drawing of a bar as a line.
    """

    def __init__(self, *, emoji: bool = False, **options: Any) -> None:
        if IN_NOTEBOOK in os.environ:
            options.setdefault("force_interactive", False)
        super().__init__(emoji=emoji, **options)

    def render(
        self, renderable: Any, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What is shown, piece by piece."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                yield Segment(_harmless(segment.text), segment.style)


def _harmless(text: str) -> str:
    return "".join(sign if sign in "\n\t" else printable(sign) for sign in text)


def sayer(console: Console) -> Callable[[str], None]:
    """Prints lines as they are: a path may look like Rich's markup, or like an emoji's `:ok:`."""
    return lambda line: console.print(Text(line), soft_wrap=True)


def print_error(kind: str, error: object, *, style: str) -> None:
    """Print "Warning: ..." or "Error: ..." on stderr; brackets in the message are no markup."""
    Console(stderr=True, soft_wrap=True, emoji=False).print(
        f"[{style}]{kind}:[/] {escape(str(error))}", highlight=False
    )
