"""What TensorBoard compares runs by, in the types that its table of hyperparameters knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kerascnn.runs.config import RunConfig, plain

ABOUT = ("source", "unstated", "notes", "network")  # fields that describe a recipe


def hparams_of(config: RunConfig) -> dict[str, Any]:
    """What runs are compared by; the numbers bring the first ones to the front of the table."""
    recipe = {key: value for key, value in plain(config.recipe).items() if key not in ABOUT}
    arguments = plain(config.architecture.arguments) if config.architecture else {}
    widths = [name for name in arguments if "width" in name or "growth" in name]
    return {
        "1 network": config.name,
        "2 learning rate": recipe.pop("learning_rate"),
        "3 batch size": recipe.pop("batch_size"),
        **{f"4 {name}": arguments.pop(name) for name in widths},
        **arguments,
        "data": config.data.source,
        "input_shape": plain(config.input_shape),
        "precision": config.precision,
        "recipe": recipe,
        "seed": config.seed,
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
