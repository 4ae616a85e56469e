"""Checks of single values, whether a file or a command line gave them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from kerascnn.errors import ArgumentError

_UNITS = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}


def parse_count(text: str, option: str) -> int:
    """`500k` → 500,000; `1.5M`, `2G` and plain numbers too.

    Raises:
        ArgumentError: it is no positive number.
    """
    lowered = text.strip().lower().removesuffix("b") if text.strip()[-2:].isalpha() else text
    lowered = lowered.strip().lower()
    unit = _UNITS.get(lowered[-1:], 1)
    number = lowered[:-1] if unit != 1 else lowered
    try:
        value = float(number) * unit
    except ValueError:
        value = math.nan
    if not value > 0 or math.isinf(value):
        raise ArgumentError(
            f"{option} must be a positive number such as 500k, 1.5M or 2G. Received: {text!r}."
        )
    return round(value)


def require_text(value: object, name: str) -> None:
    """Refuse what is no text, or an empty one."""
    if not (isinstance(value, str) and value.strip()):
        raise ArgumentError(f"{name} must be a text. Received: {value!r}.")


def require_one_of(value: object, name: str, known: Sequence[str]) -> None:
    """Refuse what isn't known."""
    if value not in known:
        raise ArgumentError(f"{name} must be one of {', '.join(known)}. Received: {value!r}.")


def require_whole(value: object, name: str, least: int) -> None:
    """Refuse what is no whole number, or too small a one."""
    if type(value) is not int or value < least:
        raise ArgumentError(
            f"{name} must be at least {least}, a whole number. Received: {value!r}."
        )


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    kind = isinstance(value, (int, float)) and not isinstance(value, bool)
    return kind and math.isfinite(value)  # type: ignore[arg-type]


def refuse_doubles(values: Sequence[Any], name: str) -> None:
    """Refuse a list that has a value twice."""
    # By what they are written as: values of a file may be many, and lists can't be hashed.
    counts = Counter(map(repr, values))
    doubled = sorted({str(value) for value in values if counts[repr(value)] > 1})
    if doubled:
        raise ArgumentError(f"{name}: {', '.join(doubled)} is given more than once.")
