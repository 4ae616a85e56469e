"""Comparison: whether two answers to the same images are the same, where places mean nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Outputs = Sequence[np.ndarray]
"""Of a model, `[batch, ...]` each; another runtime may give them in another order."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How the outputs of an exported file are compared with those of its model.

    Attributes:
        what: is compared, such as "boxes".
        said: how much the outputs say of each image, `[batch]`; where that is 0, they would be the
            same whatever the weights are.
        gap: the largest difference of the file's outputs, the second, from the model's, that
            rounding has to explain: a share of the range of what is compared.
    """

    what: str
    said: Callable[[Outputs], np.ndarray]
    gap: Callable[[Outputs, Outputs], float]
