"""Data sets as `tf.data` pipelines: `kerascnn.data.load("mnist5k")`.

Importing this package loads neither Keras nor TensorFlow: names are resolved when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerascnn.data.dataset import Dataset, Split, explain
    from kerascnn.data.examples import Arrays, Contents, DataSource, Files, Options
    from kerascnn.data.loading import load
    from kerascnn.data.split_names import SPLITS

_PUBLIC = {
    "load": "loading",
    "Dataset": "dataset",
    "Split": "dataset",
    "explain": "dataset",
    "DataSource": "examples",
    "Options": "examples",
    "Contents": "examples",
    "Arrays": "examples",
    "Files": "examples",
    "SPLITS": "split_names",
}

__all__ = [
    "SPLITS",
    "Arrays",
    "Contents",
    "DataSource",
    "Dataset",
    "Files",
    "Options",
    "Split",
    "explain",
    "load",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"kerascnn.data.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'kerascnn.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
