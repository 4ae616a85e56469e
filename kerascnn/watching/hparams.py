"""What TensorBoard and loggers compare runs by, in types that their tables know."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kerascnn.runs.config import RunConfig, plain

ABOUT = ("source", "unstated", "notes", "network")  # fields that describe a recipe


def parameters_of(config: RunConfig) -> dict[str, Any]:
    """What runs are compared by, nested."""
    return {
        "network": config.name,
        **(plain(config.architecture.arguments) if config.architecture else {}),
        "data": config.data.source,
        "input_shape": plain(config.input_shape),
        "precision": config.precision,
        "recipe": {key: value for key, value in plain(config.recipe).items() if key not in ABOUT},
        "seed": config.seed,
    }


def hparams_of(config: RunConfig) -> dict[str, Any]:
    """The same for TensorBoard: numbers bring the first ones to the front of the table."""
    others = parameters_of(config)
    recipe = others["recipe"]
    widths = [name for name in others if "width" in name or "growth" in name]
    return {
        "1 network": others.pop("network"),
        "2 learning rate": recipe.pop("learning_rate"),
        "3 batch size": recipe.pop("batch_size"),
        **{f"4 {name}": others.pop(name) for name in widths},
        **others,
    }


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Nested mappings and dataclasses as one, in the types that HParams knows.

    `{"recipe": Recipe(...), "widths": (6, 16)}` gives `{"recipe.optimizer": "adamw", ...,
    "widths": "(6, 16)"}`.
    """
    result: dict[str, bool | int | float | str] = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{name}.")
        else:
            known = isinstance(value, (bool, int, float, str))
            result[f"{prefix}{name}"] = value if known else str(value)
    return result
