"""The few words of YAML that `data.yaml` of YOLO's data sets is written in, and no others.

Texts, lists and names of texts, in lines or in brackets:

    path: ../datasets/beans
    train: [images/train, images/more]
    names:
      0: good
      1: bad

Only the keys that are asked for are read, and of these everything that means something else in
YAML is refused: anchors, tags, folded texts. Nothing is executed, expanded or fetched.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from kerascnn.files import shortened

Value = str | list[str] | dict[str, str]

_KEY = re.compile(r"""("[^"\\]*"\s*|'[^']*'\s*|[^\s#:'"\[\]{},&*!|>%@`-][^:#]*):(?:\s+(.*))?$""")
_QUOTED = re.compile(r"""\s*(?:"([^"\\]*)"|'((?:[^']|'')*)')\s*""")
_PART = re.compile(r"""\s*(?:(?:"[^"]*"|'[^']*'|[^\s,"':]+)\s*:\s+)?(?:"[^"]*"|'(?:[^']|'')*'|)""")
_MARKS = tuple("&*!|>%@`\"'[]{}#,?")
_QUOTES, _BEFORE_QUOTES = "\"'", " \t[{,'\""


def read(text: str, keys: Collection[str]) -> dict[str, Value]:
    """The values of some keys at the left border of a text; a number stays a text.

    Args:
        text: the YAML.
        keys: that are wanted; others are passed over, whatever they hold.

    Returns:
        Key → text, list of texts, or names of texts; "": the key is there, and nothing behind it.

    Raises:
        ValueError: a value is something else; the message has its line.
    """
    found: dict[str, Value] = {}
    for number, key, value, block in _entries(text):
        if key not in keys:
            continue
        try:
            if key in found:
                raise ValueError(f"{key} is there a second time")
            found[key] = _value(value, block)
        except ValueError as error:
            raise ValueError(f"line {number}, {key}: {error}") from None
    return found


def _entries(text: str) -> Iterator[tuple[int, str, str, list[str]]]:
    """The line's number, key, rest of the line, and the lines below it that belong to it."""
    entry: tuple[int, str, str, list[str]] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        line = _without_comment(line).rstrip()
        if not line or line in ("---", "..."):
            continue
        inside = entry is not None and (
            line[0] in " \t]}" or line.startswith("- ") or line == "-" or _is_open(entry)
        )
        if inside and entry is not None:
            entry[3].append(line)
            continue
        if entry is not None:
            yield entry
        match = _KEY.match(line)
        entry = (number, _plain(match[1].strip()), match[2] or "", []) if match else None
    if entry is not None:
        yield entry


def _is_open(entry: tuple[int, str, str, list[str]]) -> bool:
    """Whether a bracket is open, which may be closed in a line at the left border."""
    _, _, value, block = entry
    return value[:1] in ("[", "{") and not (block or [value])[-1].endswith(("]", "}"))


def _without_comment(line: str) -> str:
    quote, before = "", " "
    for place, sign in enumerate(line):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in _QUOTES and before in _BEFORE_QUOTES:
            quote = sign
        elif sign == "#" and before in " \t":
            return line[:place]
        before = sign
    return line


def _value(value: str, block: list[str]) -> Value:
    if value[:1] in ("[", "{"):
        return _in_brackets(" ".join([value, *(line.strip() for line in block)]))
    if value:
        if block:
            raise ValueError("expected a text in one line, or a list")
        return _plain(value)
    if not block:
        return ""
    depths = {len(line) - len(line.lstrip()) for line in block}
    if len(depths) > 1 or any("\t" in line[: len(line) - len(line.lstrip())] for line in block):
        raise ValueError("expected lines that begin below each other")
    lines = [line.strip() for line in block]
    if all(line.startswith("- ") for line in lines):
        return [_plain(line[2:].strip()) for line in lines]
    return _named([_pair(line) for line in lines])


def _in_brackets(text: str) -> Value:
    inside, closing = text[1:-1].strip(), {"[": "]", "{": "}"}[text[0]]
    if len(text) < 2 or text[-1] != closing:
        raise ValueError(f"expected {closing} at the end")
    parts, at = [], 0
    while at < len(inside):  # a comma in quotes is none
        start = _PART.match(inside, at)
        comma = inside.find(",", start.end() if start else at)
        end = len(inside) if comma < 0 else comma
        parts.append(inside[at:end].strip())
        at = end + 1
    if text[0] == "[":
        return [_plain(part) for part in parts]
    return _named([_pair(part) for part in parts])


def _pair(text: str) -> tuple[str, str]:
    match = _KEY.match(text)
    if not match:
        raise ValueError(f"expected a name, a colon and a text. Received: {shortened(text)}")
    return _plain(match[1].strip()), _plain((match[2] or "").strip())


def _named(pairs: list[tuple[str, str]]) -> dict[str, str]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there a second time")
    return found


def _plain(text: str) -> str:
    """A text without its quotes.

    Raises:
        ValueError: it is no text, but something of YAML's that isn't read.
    """
    if match := _QUOTED.fullmatch(text):
        return match[1] if match[1] is not None else match[2].replace("''", "'")
    marked = text.startswith(_MARKS) or text.split(" ")[0] == "-" or text.endswith(":")
    if not text or marked or ": " in text or " #" in text:
        raise ValueError(f"expected a text. Received: {shortened(text)}")
    return text
