"""A large JSON file, element by element: never whole in memory.

COCO's annotations are one object of lists with millions of elements. Each element is found by its
brackets, with its place in the file, and is parsed alone, when it is short and shallow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from kerascnn.files import shortened

CHUNK = 2**22  # bytes that are read at a time
LONGEST = 2**25  # bytes of one element
DEEPEST = 32  # brackets within brackets

# A whole string, or one that goes on beyond what was read, or a bracket.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:(?P<whole>")|\\?\Z)|[\[\]{}]', re.DOTALL)
_PLAIN = re.compile(rb"[^\s,\]}\[{\"]++")
_SPACE = re.compile(rb"[ \t\r\n]*+")


class Element(NamedTuple):
    """An element of one of the lists.

    Attributes:
        key: under which the list is.
        start: where it begins in the file, in bytes.
        text: as it is in the file.
    """

    key: str
    start: int
    text: bytes

    def parsed(self) -> Any:
        """What it holds.

        Raises:
            ValueError: it is no JSON.
        """
        return parse(self.text)


def _no_number(text: str) -> float:
    raise ValueError(f"expected numbers. Received: {text}")


# One for all: to make a decoder takes as long as to parse an annotation.
_DECODER = json.JSONDecoder(parse_constant=_no_number)


def parse(text: bytes) -> Any:
    """One element.

    Raises:
        ValueError: it is no JSON, or NaN.
    """
    try:
        return _DECODER.decode(text.decode())
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error.msg}") from None
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8 text") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        if "integer string conversion" in str(error):
            raise ValueError("a number has thousands of digits") from None
        raise


def elements(file: IO[bytes]) -> Iterator[Element]:
    """The elements of the lists that the object in a file holds; what is no list is passed over.

    Raises:
        ValueError: it is no JSON of this kind, or an element is too long or nested too deeply; the
            message has the place.
    """
    window = _Window(file)
    if window.next() == b"\xef":  # the mark that editors on Windows begin a file with
        window.at += 3
    window.expect(b"{")
    seen: set[str] = set()
    if window.next() == b"}":
        return
    while True:
        if window.next() != b'"' or (name := parse(window.value())) in seen:
            raise ValueError(f"expected another name in quotes{window.place()}")
        seen.add(name)
        window.expect(b":")
        if window.next() == b"[":
            window.expect(b"[")
            if window.next() == b"]":
                window.expect(b"]")
            else:
                while True:
                    window.next()
                    start = window.start + window.at
                    yield Element(name, start, window.value())
                    if window.expect(b",]") == b"]":
                        break
        else:
            window.value()
        if window.expect(b",}") == b"}":
            return


class _Window:
    """What is in memory of a file.

    Attributes:
        start: of the window, in the file.
        at: how far it was read, in the window.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.text, self.start, self.at = b"", 0, 0

    def place(self) -> str:
        """Where it was read to, for messages."""
        return f" at byte {self.start + self.at:,}"

    def more(self) -> bool:
        """Read on, and forget what is behind; whether there was anything."""
        if len(self.text) - self.at > LONGEST:
            raise ValueError(f"an element is longer than {LONGEST / 2**20:g} MiB{self.place()}")
        found = self._file.read(max(CHUNK, len(self.text) - self.at))  # twice as much each time
        self.text, self.start, self.at = self.text[self.at :] + found, self.start + self.at, 0
        return bool(found)

    def next(self) -> bytes:
        """The next byte that is no space, which is not passed."""
        while True:
            match = _SPACE.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text):
                return self.text[self.at : self.at + 1]
            if not self.more():
                raise ValueError(f"it ends too early,{self.place()}")

    def expect(self, signs: bytes) -> bytes:
        """The next byte, which must be one of these, and is passed."""
        found = self.next()
        if found not in signs:
            wanted = " or ".join(signs.decode())
            raise ValueError(f"expected {wanted}{self.place()}. Received: {found!r}")
        self.at += 1
        return found

    def value(self) -> bytes:
        """The text of the next value, which is passed."""
        first = self.next()
        while (end := self._end(first)) is None:
            if not self.more():
                raise ValueError(f"it ends too early, in what begins{self.place()}")
        found = self.text[self.at : end]
        self.at = end
        return found

    def _end(self, first: bytes) -> int | None:
        """Where the value ends that begins here; None: not in the window."""
        if first not in (b"[", b"{", b'"'):
            plain = _PLAIN.match(self.text, self.at)
            if plain is None:
                raise ValueError(f"expected a value{self.place()}. Received: {first!r}")
            if plain.end() - self.at > 400:
                shown = shortened(plain[0][:99].decode("latin-1"))
                raise ValueError(f"expected a value{self.place()}. Received: {shown}")
            return plain.end() if plain.end() < len(self.text) else None
        depth = 0
        for token in _TOKEN.finditer(self.text, self.at):
            sign = token[0]
            if sign in (b"[", b"{"):
                depth += 1
                if depth > DEEPEST:
                    raise ValueError(f"it is nested more than {DEEPEST} deep{self.place()}")
            elif sign in (b"]", b"}"):
                depth -= 1
            elif not token["whole"]:
                return None
            if not depth:
                return token.end()
        return None
