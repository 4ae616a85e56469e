"""The architectures: one paper, one file. Using a name imports its file only.

    from kerascnn.applications import ResNet50

The names are those of the entry points in pyproject.toml.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from kerascnn import registry


@functools.cache
def _homes() -> Mapping[str, str]:
    """The module that each architecture is in: `{"ResNet50": "kerascnn.applications.resnet"}`."""
    claims = registry.entries(registry.ARCHITECTURES).values()
    targets = [entry.target.split(":") for entries in claims for entry in entries]
    return {name: module for module, name in targets if module.startswith(f"{__name__}.")}


def __getattr__(name: str) -> Any:
    if name == "__all__":  # of `from kerascnn.applications import *`
        return [*_homes()]
    if module := _homes().get(name):
        return getattr(importlib.import_module(module), name)
    if importlib.util.find_spec(f"{__name__}.{name}"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_homes())
