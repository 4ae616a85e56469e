"""The options of `kerascnn tune search`, from text to the fields of a plan."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import typer

from kerascnn.commands import parse_shape
from kerascnn.errors import ArgumentError
from kerascnn_tuning.values import parse_count


def given(context: typer.Context, name: str) -> bool:
    """Whether the command line sets this option."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def said(context: typer.Context) -> dict[str, Any]:
    """The fields of a plan that this command line sets, without defaults."""
    return {
        field: convert(context.params[option])
        for option, (field, convert) in FIELDS.items()
        if given(context, option)
    }


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _value(text: str) -> Any:
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(text.lower(), text))
    except (ValueError, SyntaxError):
        return text


def _assignments(items: list[str], option: str) -> dict[str, Any]:
    """`["pool=max", "widths=6,16"]` → `{"pool": "max", "widths": (6, 16)}`."""
    found: dict[str, Any] = {}
    for item in items:
        key, equals, text = (part.strip() for part in item.partition("="))
        parts = tuple(_value(part.strip()) for part in text.strip("()[]").split(",") if part)
        if not (key and equals and parts):
            raise ArgumentError(f"{option} must be parameter=value. Received: {item!r}.")
        _refuse_second(key, found, option)
        found[key] = parts if "," in text else parts[0]
    return found


def _refuse_second(key: str, found: dict[str, Any], option: str) -> None:
    if key in found:
        raise ArgumentError(f"{option} says something about {key} more than once.")


def _choices(items: list[str]) -> dict[str, Any]:
    found = _assignments(items, "--choose")
    return {k: v if isinstance(v, tuple) else (v,) for k, v in found.items()}


def _ranges(items: list[str]) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for item in items:
        key, _, bounds = item.partition("=")
        low, colon, high = bounds.partition(":")
        values = (_value(low), _value(high))
        if not key or not colon or not all(isinstance(v, (int, float)) for v in values):
            raise ArgumentError(f"--range must be parameter=LOW:HIGH. Received: {item!r}.")
        _refuse_second(key, found, "--range")
        found[key] = values
    return found


FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "objective": ("objectives", _names),
    "only": ("only", _names),
    "input_shape": ("input_shape", parse_shape),
    "start": ("start", lambda items: _assignments(items, "--start")),
    "fix": ("fix", lambda items: _assignments(items, "--fix")),
    "choose": ("choose", _choices),
    "range_": ("range", _ranges),
    "max_params": ("max_params", lambda text: parse_count(text, "--max-params")),
    "max_macs": ("max_macs", lambda text: parse_count(text, "--max-macs")),
    "max_memory": ("max_memory", lambda text: parse_count(text, "--max-memory")),
    **{
        name: (name, lambda value: value)
        for name in (
            *("data", "tuner", "max_trials", "max_minutes", "epochs", "strategy", "precision"),
            *("seed", "repeats", "prune", "prune_after", "warm_start"),
            *("retries", "failure_limit", "keep"),
        )
    },
}
"""Option of `search` → the plan's field, and how the text becomes its value."""
