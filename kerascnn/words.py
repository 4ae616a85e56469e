"""Words of messages."""

import difflib
from collections.abc import Iterable


def counted(count: int, one: str, many: str) -> str:
    """A number of things: "1 epoch", "2 epochs"."""
    return f"{count} {one if count == 1 else many}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question to end a message about an unknown name with, or nothing if no name is near."""
    near = difflib.get_close_matches(name, list(known), n=2)
    return f" Did you mean {' or '.join(near)}?" if near else ""
