"""The terminal, to which names of files and classes go as they are."""

from __future__ import annotations

from typing import Any

import rich.console


class Console(rich.console.Console):
    """Rich's console, without pictures for words between colons: `a:cat:b` is a path here."""

    def __init__(self, *, emoji: bool = False, **options: Any) -> None:
        super().__init__(emoji=emoji, **options)
