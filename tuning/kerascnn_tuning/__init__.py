"""Search the declared space of any kerascnn architecture with KerasTuner, under a budget.

Importing this package loads neither Keras nor KerasTuner: names are resolved when first used.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerascnn_tuning.hypermodel import HyperModel
    from kerascnn_tuning.plan import Plan
    from kerascnn_tuning.searching import search
    from kerascnn_tuning.study import Study

_PUBLIC = {
    "HyperModel": "hypermodel",
    "Plan": "plan",
    "Study": "study",
    "search": "searching",
}

__all__ = ["HyperModel", "Plan", "Study", "search"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"kerascnn_tuning.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'kerascnn_tuning' has no attribute {name!r}")


if "keras" in sys.modules:
    # So that Keras can load what was saved with them, even if nothing else here is used.
    importlib.import_module("kerascnn_tuning.losses")


def __dir__() -> list[str]:
    return sorted(__all__)
