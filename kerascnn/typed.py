"""Values that came as text, made what type hints say: for recipes, runs and studies."""

from __future__ import annotations

import functools
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from kerascnn.errors import ArgumentError
from kerascnn.files import LARGEST_INTEGER, shortened


def typed(hint: Any, value: Any) -> Any:
    """The value as the type hint says: an integer as a float, a list as a tuple.

    Raises:
        TypeError, ValueError: it is of another type, not finite, or an integer beyond 64 bits.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        for choice in inner:
            try:
                return typed(choice, value)
            except (TypeError, ValueError):
                continue
        raise TypeError
    if origin is tuple:
        return _typed_tuple(inner, value)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise TypeError
        return {typed(inner[0], key): typed(inner[1], item) for key, item in value.items()}
    if origin is Callable:
        if not callable(value):
            raise TypeError
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = typed(int, value) * 1.0
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise TypeError
    if hint is int and abs(value) >= LARGEST_INTEGER:
        raise ValueError
    if hint is float and not math.isfinite(value):
        raise ValueError
    return value


def _typed_tuple(inner: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    endless = len(inner) == 2 and inner[1] is Ellipsis
    if endless and not isinstance(value, (list, tuple, Mapping)):
        value = (value,)  # `--with evaluation.resize=1.5`
    if not isinstance(value, (list, tuple)) or not (endless or len(value) == len(inner)):
        raise TypeError
    kinds = (inner[0],) * len(value) if endless else inner
    return tuple(typed(kind, item) for kind, item in zip(kinds, value))


def settle(value: Any, prefix: str = "") -> None:
    """Give each field of a new dataclass the type of its hint: an integer as a float, and so on.

    Args:
        value: the dataclass, in its `__post_init__`.
        prefix: of the fields' names in messages.

    Raises:
        ArgumentError: a field is of another type.
    """
    for name, hint in _hints(value.__class__).items():
        given = getattr(value, name)
        try:
            object.__setattr__(value, name, typed(hint, given))
        except (TypeError, ValueError):
            raise ArgumentError(
                f"{prefix}{name} must be {words(hint)}. Received: {shortened(given)}."
            ) from None


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def require(legal: bool, name: str, what: str, value: Any) -> None:
    """Refuse a value unless it is legal.

    Raises:
        ArgumentError: `name` must be `what`.
    """
    if not legal:
        raise ArgumentError(f"{name} must be {what}. Received: {shortened(value)}.")


def words(hint: Any) -> str:
    """A type in words: `tuple[float, float]` is "2 values, each a number"."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(words(choice) for choice in inner)
    if origin is tuple:
        count = "values" if inner[-1] is Ellipsis else f"{len(inner)} values"
        return f"{count}, each {words(inner[0])}"
    if origin is Mapping:
        return "a table"
    if origin is Callable:
        return "a class of losses"
    known = {float: "a number", int: "an integer", bool: "true or false", str: "text"}
    return known.get(hint, "none")
