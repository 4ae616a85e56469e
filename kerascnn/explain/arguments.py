"""What functions of this room are given: how many of something, and which maps of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerascnn.errors import ArgumentError
from kerascnn.explain.graph import Replay, flat_profile
from kerascnn.typed import require


def is_whole(value: Any) -> bool:
    """Whether it is an integer, of Python's or NumPy's kind; True and False aren't."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def require_whole(name: str, value: Any, least: int) -> None:
    """Refuse what isn't a whole number, or is less than `least`.

    Raises:
        ArgumentError: it is so.
    """
    legal = is_whole(value) and value >= least
    require(legal, name, f"a whole number, at least {least}", value)


def chosen_maps(channels: Sequence[int] | np.ndarray | None, layer: str, count: int) -> np.ndarray:
    """The numbers of the maps that are asked for, int64 `[chosen]`; None: all.

    Raises:
        ArgumentError: the layer, which has `count` of them, lacks one.
    """
    chosen = np.arange(count) if channels is None else np.asarray(channels)
    whole = chosen.ndim == 1 and (chosen.dtype.kind in "iu" or not chosen.size)
    if not whole or not ((chosen >= 0) & (chosen < count)).all():
        raise ArgumentError(
            f"channels must be numbers of maps of {layer}, from 0 to {count - 1}. "
            f"Received: {channels!r}."
        )
    return chosen.astype("int64")


def map_count(model: keras.Model, layer: str) -> int:
    """How many maps a layer has.

    Raises:
        ArgumentError: there is no such layer.
    """
    name = Replay(model).layer(layer)
    return int(flat_profile(model)[name].output_shape[-1])


def evenly(count: int, most: int) -> np.ndarray:
    """Up to `most` of the numbers below `count`, evenly spaced, int64."""
    return np.linspace(0, count - 1, min(most, count)).round().astype("int64")
