"""Rows of a table in a CSV file, one by one: one of millions of lines is never whole in memory."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterator
from typing import IO

from kerascnn.data.split_names import SPLIT_WORDS
from kerascnn.errors import DataError
from kerascnn.files import open_regular

LONGEST_LINE = 2**16  # bytes


def rows(file: str, accept: Callable[[list[str]], None]) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of each line below the header, and its values by the names of their columns.

    Args:
        file: the table.
        accept: is called with the names of the columns, and may raise.

    Raises:
        DataError: it can't be read, a name is there twice, or a line has more or fewer fields than
            the header; the message has the line.
    """
    try:
        with open_regular(file) as opened:
            reader = csv.DictReader(_lines(opened), strict=True)
            names = [name.strip() for name in reader.fieldnames or ()]
            accept(names)
            if len(set(names)) < len(names):
                raise DataError(
                    f"{file}, line 1: a column is there twice: {', '.join(names)[:200]}."
                )
            reader.fieldnames = names
            for row in reader:
                if None in row or None in row.values():
                    count = "more" if None in row else "fewer"
                    raise DataError(
                        f"{file}, line {reader.line_num}: it has {count} fields than the header."
                    )
                yield reader.line_num, {name: value.strip() for name, value in row.items()}
    except FileNotFoundError:
        raise DataError(f"There is no file {file}.") from None
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{file} can't be read as a table: {reason}") from error


def header(file: str) -> list[str]:
    """The names of the columns; see `rows`."""
    found: list[str] = []
    next(rows(file, found.extend), None)
    return found


def split_of(file: str, line: int, row: dict[str, str]) -> str:
    """The split that a row names; "train", where there is no such column.

    Raises:
        DataError: it is none; the message has the line.
    """
    split = row.get("split", "train")
    if split.lower() not in SPLIT_WORDS:
        raise DataError(
            f"{file}, line {line}: the split must be train, val or test. Received: {split!r}."
        )
    return SPLIT_WORDS[split.lower()]


def _lines(opened: IO[bytes]) -> Iterator[str]:
    """The lines of a file, one by one: a table of millions of images is never whole in memory.

    Raises:
        ValueError: a line is too long, or holds a NUL byte.
    """
    text = io.TextIOWrapper(opened, encoding="utf-8-sig", newline="")
    for number in itertools.count(1):
        line = text.readline(LONGEST_LINE)
        if not line:
            return
        if len(line) == LONGEST_LINE:
            raise ValueError(f"line {number} has more than {LONGEST_LINE:,} signs")
        if "\0" in line:
            raise ValueError(f"line {number} holds a NUL byte")
        yield line
