"""What a run's config.json holds, and how it becomes objects again."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from kerascnn import __version__
from kerascnn.architecture import Preprocessing
from kerascnn.training.recipes import Augmentation, Protocol, Recipe


def plain(value: Any) -> Any:
    """A dataclass as JSON can hold it; a class or function by its import path."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if callable(value):
        return f"{value.__module__}:{value.__qualname__}"
    return value


def tupled(stored: Mapping[str, Any]) -> Any:
    """Arguments as Python has them: JSON's lists as tuples."""
    return {key: _tupled(value) for key, value in stored.items()}


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value


def preprocessing_from(stored: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing that a run's config describes."""
    return Preprocessing(**tupled(stored))


def recipe_from(stored: Mapping[str, Any]) -> Recipe:
    """The recipe that a run's config describes."""
    values = tupled(stored)
    values["augmentation"] = Augmentation(**tupled(values["augmentation"]))
    values["evaluation"] = Protocol(**tupled(values.get("evaluation", {})))
    if values["loss"]:
        module, name = values["loss"].split(":")
        values["loss"] = getattr(import_module(module), name)
    return Recipe(**values)


def default_path(name: str, source: str) -> Path:
    """`runs/NAME-DATA-TIME`."""
    label = source.split(":")[0] if ":" in source else source
    return Path("runs") / f"{name}-{label}-{datetime.now():%Y%m%d-%H%M%S}"


def versions() -> dict[str, str]:
    """Versions of everything that has a say in the result."""
    import keras
    import numpy as np
    import tensorflow as tf

    return {
        "kerascnn": __version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def git_state() -> dict[str, Any] | None:
    """Commit and cleanliness of the working directory, if it is a git checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
