"""What is to be explained: a class, or a unit of a feature map.

The main output may be a map itself, with scores of the classes for each of its places. A class is
then what the network answers where it answers with this class: the sum of its scores there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerascnn.errors import ArgumentError

Unit = str | tuple[int, ...]
ANSWER = "answer"


@dataclass(frozen=True)
class Target:
    """A class of the main output, or units of one map.

    Attributes:
        layer: an endpoint's or a layer's name; None: the main output before its softmax.
        channel: the map, or the class.
        unit: "max", the strongest of the map; "all"; a position such as `(row, column)`; or of the
            main output "answer", where this class has the highest score, and the strongest unit
            where it has that nowhere.
    """

    layer: str | None
    channel: int
    unit: Unit = "max"

    def __str__(self) -> str:
        place = "" if self.unit in ("max", ANSWER) else f", {self.unit}"
        if self.layer is None:
            return f"class {self.channel}{place}"
        return f"{self.layer}, map {self.channel}{place}"


def parse(target: Any, count: int) -> list[Target]:
    """One target for each of `count` images.

    Args:
        target: a class index, `(class, unit)`, `(layer, channel)` or `(layer, channel, unit)` for
            all images; or a list or array of one for each.

    Raises:
        ArgumentError: it is none of these, or there are not as many as images.
    """
    if keras.ops.is_tensor(target):
        target = np.asarray(target)
    if _is_one(target):
        return [_parse_one(target)] * count
    if isinstance(target, (list, tuple, np.ndarray)) and len(target) == count:
        return [_parse_one(each) for each in target]
    raise ArgumentError(
        f"target must be one target, or a list of {count}, one for each image; a target is "
        f"{_FORMS}. Received: {target!r}."
    )


_FORMS = (
    'a class index, (layer, channel), or (layer, channel, "max" | "all" | (row, column)); '
    "where the answer is a map also (class, unit), with the same units"
)


def _is_one(target: Any) -> bool:
    named = isinstance(target, tuple) and bool(target) and isinstance(target[0], str)
    return named or isinstance(target, Target) or _is_index(target) or _is_place(target)


def _is_place(target: Any) -> bool:
    """Whether it is a class and a unit: (3, (10, 20)). Two numbers are two classes."""
    pair = isinstance(target, tuple) and len(target) == 2 and not _is_index(target[1])
    return pair and _is_index(target[0]) and _is_unit(target[1])


def _is_index(value: Any) -> bool:
    if isinstance(value, np.ndarray) and value.ndim:
        return False
    whole = isinstance(value, (int, np.integer, np.ndarray)) and not isinstance(value, bool)
    return whole and np.issubdtype(np.asarray(value).dtype, np.integer)


def _parse_one(target: Any) -> Target:
    if isinstance(target, Target):
        return target
    if _is_index(target):
        return Target(None, int(target), ANSWER)
    if _is_place(target):
        return Target(None, int(target[0]), _plain(target[1]))
    if isinstance(target, tuple) and len(target) in (2, 3):
        layer, channel, *unit = target
        if isinstance(layer, str) and _is_index(channel) and all(map(_is_unit, unit)):
            return Target(layer, int(channel), *map(_plain, unit))
    raise ArgumentError(f"A target is {_FORMS}. Received: {target!r}.")


def _is_unit(unit: Any) -> bool:
    if isinstance(unit, str):
        return unit in ("max", "all")
    return isinstance(unit, (tuple, list)) and all(map(_is_index, unit))


def _plain(unit: Any) -> Unit:
    return unit if isinstance(unit, str) else tuple(map(int, unit))


def by_layer(targets: Sequence[Target]) -> Iterator[tuple[str | None, np.ndarray]]:
    """Each layer that targets name, and the numbers of the images whose target is in it."""
    names = [target.layer for target in targets]
    for name in dict.fromkeys(names):
        yield name, np.flatnonzero([other == name for other in names])


def units(targets: Sequence[Target], maps: np.ndarray) -> np.ndarray:
    """Which units of each image's map are meant.

    Args:
        targets: one for each image, all in one layer.
        maps: the layer's output, `[batch, ..., channels]`.

    Returns:
        Ones and zeros in the shape of `maps`, float32.

    Raises:
        ArgumentError: there is no such map or unit.
    """
    chosen = np.zeros(maps.shape, "float32")
    for target, values, marks in zip(targets, maps, chosen):
        _check(target, values.shape)
        answered = values.argmax(axis=-1) == target.channel
        values, marks = values[..., target.channel], marks[..., target.channel]
        if target.unit == "all":
            marks[...] = 1
        elif target.unit == ANSWER and answered.any():
            marks[...] = answered
        elif target.unit in ("max", ANSWER):
            marks[np.unravel_index(values.argmax(), values.shape)] = 1
        else:
            marks[target.unit] = 1
    return chosen


def _check(target: Target, shape: tuple[int, ...]) -> None:
    *sides, channels = shape
    if not 0 <= target.channel < channels:
        what = "class" if target.layer is None else f"map of {target.layer}"
        raise ArgumentError(
            f"The {what} must be a number from 0 to {channels - 1}. Received: {target.channel}."
        )
    if isinstance(target.unit, str):
        return
    inside = len(target.unit) == len(sides) and all(
        0 <= place < side for place, side in zip(target.unit, sides)
    )
    if not inside:
        expected = f"within {'×'.join(map(str, sides))}" if sides else '"max", as it has one unit'
        of = "class" if target.layer is None else f"map of {target.layer}"
        raise ArgumentError(f"The unit of a {of} must be {expected}. Received: {target.unit}.")
