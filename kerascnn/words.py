"""Words of messages."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


def counted(count: int, one: str, many: str) -> str:
    """A number of things: "1 epoch", "2 epochs"."""
    return f"{count} {one if count == 1 else many}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question to end a message about an unknown name with, or nothing if no name is near."""
    near = difflib.get_close_matches(name, list(known), n=2)
    return f" Did you mean {' or '.join(near)}?" if near else ""


LISTED = 10  # names in a message


def listed(items: Iterable[str], limit: int = LISTED) -> str:
    """Some of many things: "a, b, c and 997 more"."""
    names = list(items)
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return f"{', '.join(names[:limit])}{more}"


def without_middle(name: str, longest: int) -> str:
    """A name of at most `longest` characters: where it is long, its ends tell it from others."""
    if len(name) <= longest:
        return name
    tail = (longest - 1) // 3
    return f"{name[: longest - 1 - tail]}…{name[-tail:]}"


def memory(size: int) -> str:
    """Bytes in words: "8 KiB", "232.7 MiB"."""
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size / 2**10:,.0f} KiB"


def rounded(count: float) -> str:
    """A large count with three digits, as papers print it: "156", "61.7 K", "138 M", "15.5 B"."""
    for power, unit in ((1e3, "K"), (1e6, "M"), (1e9, "B"), (1e12, "T")):
        if abs(count) < 999.5:
            break
        if abs(count) < 999.5 * power:
            scaled = count / power
            digits = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
            return f"{scaled:.{digits}f} {unit}"
    return f"{count:,.0f}"


def printable(text: str) -> str:
    """A file's name as any terminal can show it, on one line.

    What is no character (a byte that isn't UTF-8) or moves the cursor becomes an escape such as
    `\\xe9` or `\\n`.
    """
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    # Control, surrogate, line and paragraph separator, format; joiners are parts of characters.
    if unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp", "Cf"):
        return character
    if character in "\u200c\u200d":
        return character
    if "\udc80" <= character <= "\udcff":  # how Python keeps a byte that it can't decode
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
