"""Search the declared space of any kerascnn architecture with KerasTuner, under a budget.

Importing this package loads neither Keras nor KerasTuner: names are resolved when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import kerascnn  # noqa: F401 - so that Keras finds what saved models name

if TYPE_CHECKING:
    from kerascnn_tuning.finals.running import run_finals
    from kerascnn_tuning.hypermodel import HyperModel
    from kerascnn_tuning.plan import Plan
    from kerascnn_tuning.searching import search
    from kerascnn_tuning.study.study import Study

_PUBLIC = {
    "HyperModel": "hypermodel",
    "Plan": "plan",
    "Study": "study.study",
    "run_finals": "finals.running",
    "search": "searching",
}

__all__ = ["HyperModel", "Plan", "Study", "run_finals", "search"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"kerascnn_tuning.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'kerascnn_tuning' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
