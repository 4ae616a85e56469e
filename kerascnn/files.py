"""Small files that a stranger may have written: read within limits, or refused in one message.

Only a regular file is opened, so that a FIFO or a device can't hold the reader up; not more is read
than the limit says; and what was read is text that JSON or TOML can hold: no NUL, no NaN, no number
beyond 64 bits, no name given twice, no nesting that would exhaust a parser.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from kerascnn.errors import KerascnnError

Error = Callable[[str], KerascnnError]

LARGEST = 8 * 2**20  # bytes of a JSON or CSV file
MOST = 500_000  # objects and lists, or lines: each needs many times its bytes in memory
LARGEST_TOML = 2**18  # it is written by hand, and its parser needs the square of a line's parts
DEEPEST = 64  # brackets within brackets
LONGEST_KEY = 32  # parts of a dotted key of TOML
LARGEST_INTEGER = 2**63

_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{LONGEST_KEY}}}")
# Up to the end of the file where a closing quote is missing: each sign is looked at once.
_TEXT_OF_JSON = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)


def open_regular(path: str | os.PathLike[str], *, inside: Path | None = None) -> IO[bytes]:
    """Open a file for reading; never waits.

    Args:
        path: the file.
        inside: a directory that it must lie in when all links are followed.

    Raises:
        OSError: it can't be opened, lies elsewhere, or is a directory, a FIFO or a device.
    """
    if inside is not None:
        place, home = os.path.realpath(path), os.path.realpath(inside)
        if os.path.commonpath((place, home)) != home:
            raise OSError(0, f"it is a link out of {inside}, to {place}")
    # Without O_NONBLOCK opening a FIFO waits for its writer.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(0, f"it is {_kind(mode)}; expected a file")
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def read_text(
    path: str | os.PathLike[str],
    *,
    error: Error,
    what: str = "",
    limit: int = LARGEST,
    inside: Path | None = None,
) -> str:
    """The text of a small file.

    Args:
        path: the file.
        error: what is raised, one of `kerascnn.errors`.
        what: what the file is, for the message, such as "The recipe".
        limit: bytes that it may have.
        inside: see `open_regular`.

    Raises:
        error: it can't be read, is larger, or no UTF-8; the message names the file.
    """
    owner = f"{what} {path}".strip()
    try:
        with open_regular(path, inside=inside) as file:
            found = file.read(limit + 1)
        if len(found) > limit:
            raise ValueError(f"it is larger than {limit / 2**20:g} MiB")
        text = found.decode("utf-8")
        text = text.removeprefix("\ufeff")  # as editors on Windows begin a file
        if "\0" in text:
            raise ValueError(f"it holds a NUL byte, at position {found.index(0)}")
    except FileNotFoundError:
        raise error(f"{owner} can't be read: there is no such file.") from None
    except (OSError, ValueError) as cause:
        raise error(f"{owner} can't be read: {_reason(cause)}.") from None
    return text


def _reason(cause: Exception) -> str:
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if isinstance(cause, UnicodeDecodeError):
        return f"it is no UTF-8 text, at byte {cause.start}"
    return str(cause).rstrip(".")


def read_json(
    path: str | os.PathLike[str],
    *,
    error: Error,
    what: str = "",
    limit: int = LARGEST,
    inside: Path | None = None,
) -> Any:
    """What a JSON file holds; see `read_text`.

    Raises:
        error: the same, or it is no JSON that this module's description allows.
    """
    text = read_text(path, error=error, what=what, limit=limit, inside=inside)
    return _parsed(text, parse_json, f"{what} {path} is damaged".strip(), error)


def read_toml(
    path: str | os.PathLike[str], *, error: Error, what: str = "", limit: int = LARGEST_TOML
) -> dict[str, Any]:
    """What a TOML file holds; see `read_text`.

    Raises:
        error: the same, or it is no TOML that this module's description allows.
    """
    text = read_text(path, error=error, what=what, limit=limit)
    return _parsed(text, parse_toml, f"{what} {path} can't be read".strip(), error)


def _parsed(text: str, parse: Callable[[str], Any], verdict: str, error: Error) -> Any:
    try:
        return parse(text)
    except (ValueError, RecursionError) as cause:
        reason = "it is nested too deeply" if isinstance(cause, RecursionError) else _reason(cause)
        raise error(f"{verdict}: {reason}.") from None


def parse_json(text: str) -> Any:
    """JSON, of which the module's description says what it may hold.

    Raises:
        ValueError: what is wrong.
    """
    # Before parsing: Keras needs a high limit of recursion, above which the parser ends Python.
    _check_nesting(_TEXT_OF_JSON.sub("", text))
    found = json.loads(
        text,
        object_pairs_hook=_without_doubles,
        parse_constant=_no_number,
        parse_float=_finite,
        parse_int=_integer,
    )
    _check_texts(found)
    return found


def parse_toml(text: str) -> dict[str, Any]:
    """TOML, of which the module's description says what it may hold.

    Raises:
        ValueError: what is wrong.
    """
    _check_nesting(text)
    if _LONG_KEY.search(text):
        raise ValueError(f"a key has more than {LONGEST_KEY} parts")
    found = tomllib.loads(text, parse_float=_finite)
    _check_texts(found)
    return found


def _check_nesting(text: str) -> None:
    depth = 0
    for count, bracket in enumerate(re.finditer(r"[\[\]{}]", text)):
        if count > 2 * MOST:
            raise ValueError(f"it has more than {MOST:,} objects and lists")
        depth = depth + 1 if bracket[0] in "[{" else max(0, depth - 1)
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{double!r} is there twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"expected numbers. Received: {text}")


def _finite(text: str) -> float:
    if not math.isfinite(found := float(text)):
        raise ValueError(f"expected finite numbers. Received: {shortened(text)}")
    return found


def _integer(text: str) -> int:
    if len(text) > 20 or abs(found := int(text)) >= LARGEST_INTEGER:
        raise ValueError(f"expected whole numbers of 64 bits. Received: {shortened(text)}")
    return found


def _check_texts(found: Any) -> None:
    """Refuse what no file name and no terminal can take, and integers beyond 64 bits."""
    stack = [found]
    while stack:
        value = stack.pop()
        if isinstance(value, Mapping):
            stack += [*value, *value.values()]
        elif isinstance(value, list):
            stack += value
        elif isinstance(value, str):
            if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
                raise ValueError(f"text holds NUL or half a character: {shortened(value)}")
        elif isinstance(value, int) and abs(value) >= LARGEST_INTEGER:
            raise ValueError("expected whole numbers of 64 bits. Received: a larger one")


def shortened(value: object, length: int = 60) -> str:
    """How Python writes it, cut where it would fill the terminal."""
    try:
        text = repr(value[: 2 * length] if isinstance(value, str) else value)
    except ValueError:  # an integer of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= length else f"{text[: length - 1]}…"


def read_csv(
    path: str | os.PathLike[str],
    *,
    error: Error,
    what: str = "",
    limit: int = LARGEST,
    inside: Path | None = None,
) -> tuple[list[str], list[list[str]]]:
    """The names of a CSV file's columns, and its rows, each with a field for each column.

    Raises:
        error: see `read_text`; or a row has more or fewer fields; the message names the line.
    """
    text = read_text(path, error=error, what=what, limit=limit, inside=inside)
    owner = f"{what} {path}".strip()
    if text.count("\n") > MOST:
        raise error(f"{owner} can't be read: it has more than {MOST:,} lines.")
    try:
        names, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (csv.Error, ValueError) as cause:
        reason = "it is empty" if not text.strip() else _reason(cause)
        raise error(f"{owner} is damaged: {reason}.") from None
    if len(set(names)) < len(names):
        raise error(f"{owner} is damaged: a column is there twice in {shortened(names)}.")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise error(
                f"{owner} is damaged: line {line} has {len(row)} fields, the header {len(names)}."
            )
    return names, rows


def require_inside(path: Path, home: Path, *, error: Error) -> None:
    """Refuse a file or directory that is a link out of its home.

    Raises:
        error: it names both.
    """
    place, whole = os.path.realpath(path), os.path.realpath(home)
    if os.path.commonpath((place, whole)) != whole:
        raise error(f"{path} is a link out of {home}, to {place}; it is not followed.")


def check_printable(values: Any, *, but: tuple[str, ...] = ()) -> None:
    """Refuse texts that would steer the terminal they are printed on.

    Args:
        values: what JSON holds.
        but: names whose values are left out.

    Raises:
        ValueError: it names the text.
    """
    stack = [("text", values)]
    while stack:
        name, value = stack.pop()
        if isinstance(value, Mapping):
            stack += [(str(key), item) for key, item in value.items() if key not in but]
            stack += [("a name", key) for key in value]
        elif isinstance(value, list):
            stack += [(name, item) for item in value]
        elif isinstance(value, str) and not re.sub(r"[\n\t]", "", value).isprintable():
            raise ValueError(f"{name} holds signs that can't be printed: {shortened(value)}")
