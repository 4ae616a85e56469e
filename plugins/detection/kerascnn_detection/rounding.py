"""Quotients as whole numbers, the same however they are compiled.

Where a graph is optimised, a division by a constant becomes a product with its reciprocal, which
rounds otherwise: 6 / 3 is then a little more than 2, and its ceiling 3. A corner that lies on the
border of a cell would fall into another one in training than in a test.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def floored(x: Any, by: float) -> Any:
    """The floor of x / by, by > 0, of x's dtype; exact where the product is."""
    found = ops.floor(x / by)
    found = ops.where((found + 1) * by <= x, found + 1, found)
    return ops.where(found * by > x, found - 1, found)


def ceiled(x: Any, by: float) -> Any:
    """The ceiling of x / by, by > 0, of x's dtype; exact where the product is."""
    return -floored(-x, by)
