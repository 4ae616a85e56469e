"""Sliding windows, and what one unit of a map sees of the input: receptive field arithmetic.

A field's size, stride and start follow from those of the layer before and the layer's window, axis
by axis, in fractions of pixels where a layer enlarges the map (Araujo, Norris, Sim, 2019,
doi:10.23915/distill.00021).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from kerascnn.windows import extent

Shape = tuple[Any, ...]


@dataclass(frozen=True)
class Window:
    """One axis of a layer's sliding window.

    Attributes:
        size: extent in input pixels, dilation included.
        stride: step in input pixels; below 1 where the layer enlarges the map. Its units then
            read from different places between two pixels: size and before hold for all of them.
        before: how far the first unit's window begins in front of the first pixel.
    """

    size: Fraction
    stride: Fraction
    before: Fraction


@dataclass(frozen=True)
class ReceptiveField:
    """The input pixels that one unit of a map can see, for each spatial axis.

    Attributes:
        size: extent of the field, in input pixels.
        stride: distance between the fields of neighbours; a fraction where the map is larger than
            the input.
        start: the first pixel that the first unit sees; negative inside the padding.
    """

    size: tuple[int, ...]
    stride: tuple[float, ...]
    start: tuple[int, ...]

    def through(self, windows: Sequence[Window] | None) -> ReceptiveField | None:
        """The field of a unit behind a layer.

        Args:
            windows: the layer's, on each axis; none: its units see what those before it see; None:
                each of its units sees everything, or what it sees isn't known.
        """
        if not windows:
            return None if windows is None else self
        axes = []
        for size, stride, start, window in zip(self.size, self.stride, self.start, windows):
            step = Fraction(stride)
            first = start - window.before * step
            end = math.ceil(first + size + (window.size - 1) * step)
            axes.append((end - math.floor(first), _number(step * window.stride), math.floor(first)))
        sizes, strides, starts = zip(*axes)
        return ReceptiveField(sizes, strides, starts)

    def __or__(self, other: ReceptiveField) -> ReceptiveField | None:
        """The union, where maps are added or concatenated; None if their strides differ."""
        if self.stride != other.stride:
            return None
        starts = tuple(map(min, self.start, other.start))
        ends = (max(a + n, b + m) for a, n, b, m in zip(*self._span(), *other._span()))
        return ReceptiveField(
            tuple(end - start for end, start in zip(ends, starts)), self.stride, starts
        )

    def _span(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.start, self.size

    def __str__(self) -> str:
        return f"{axes_text(self.size)} / {axes_text(self.stride)}"


def union(fields: Iterable[ReceptiveField | None]) -> ReceptiveField | None:
    """The field of maps that are added or concatenated; None without any, or if they clash."""
    found = list(fields)
    return functools.reduce(lambda a, b: a | b if a and b else None, found) if found else None


def slid(window: dict[str, Any]) -> list[Window]:
    """Of kernel, strides, dilation and padding, as a profile has them."""
    spans = map(extent, window["kernel"], window["dilation"])
    rows = zip(spans, window["strides"], window["padding"])
    return [plain(k, s, before) for k, s, (before, _) in rows]


def plain(size: int, stride: int, before: int) -> Window:
    """One that slides."""
    return Window(Fraction(size), Fraction(stride), Fraction(before))


def transposed(kernel: int, stride: int, padding: str) -> Window:
    """Unit `u` reads the pixels from `(u + before - kernel + 1) / stride` up, `kernel / stride`."""
    before = max(kernel - stride, 0) // 2 if padding == "same" else 0
    reach = Fraction(kernel - 1, stride)
    return Window(1 + reach, Fraction(1, stride), reach - Fraction(before, stride))


def enlarged(factor: int, nearest: bool) -> Window:
    """Unit `u` reads pixel `u // factor`, or the two around `(u + 1/2) / factor - 1/2`."""
    step = Fraction(1, factor)
    if nearest:
        return Window(2 - step, step, 1 - step)
    return Window(3 - step, step, Fraction(3, 2) - step)


def interpolated(size: int, wanted: int) -> Window:
    """Unit `u` reads the two pixels around `(u + 1/2) · size / wanted - 1/2` that there are."""
    step = Fraction(size, wanted)
    first = [((2 * unit + 1) * size - wanted) // (2 * wanted) for unit in range(wanted)]
    before = max(unit * step - max(pixel, 0) for unit, pixel in enumerate(first))
    behind = max(min(pixel + 1, size - 1) - unit * step for unit, pixel in enumerate(first))
    return Window(before + behind + 1, step, before)


def _number(value: Fraction) -> float:
    return int(value) if value.denominator == 1 else float(value)


def axes_text(values: Sequence[float]) -> str:
    """One number where the axes agree, "1×7" where they don't."""
    distinct = values[:1] if len(set(values)) == 1 else values
    return "×".join(f"{value:g}" for value in distinct)
