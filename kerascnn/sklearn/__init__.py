"""The networks as scikit-learn's estimators: `kerascnn.sklearn.Classifier("lenet5", epochs=5)`.

Importing this package loads neither Keras, TensorFlow nor scikit-learn: names are resolved when
first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerascnn.imports import lazy

if TYPE_CHECKING:
    from kerascnn.sklearn.classifier import Classifier

_PUBLIC = {"Classifier": "classifier"}

__all__ = ["Classifier"]


if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others
    __getattr__ = lazy(__name__, {n: f"{__name__}.{home}" for n, home in _PUBLIC.items()})


def __dir__() -> list[str]:
    return sorted(__all__)
