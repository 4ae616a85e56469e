"""Lines for people, printed as they are."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text

from kerascnn.console import Console


def sayer(console: Console) -> Callable[[str], None]:
    """Prints lines as they are: a path may look like Rich's markup, or like an emoji's `:ok:`."""
    return lambda line: console.print(Text(line), soft_wrap=True)
