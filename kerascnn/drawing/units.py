"""Units and blocks, of which a drawing is made: layers that compute, and what is around them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kerascnn.profiles import LayerProfile
from kerascnn.receptive_fields import axes_text

# A larger segment is no block that a panel could show.
MOST_UNITS, MOST_LANES, MOST_DEPTH = 24, 8, 9

INPUT = -1  # what a unit reads that reads its block's input

Shape = tuple[Any, ...]


@dataclass(frozen=True)
class Unit:
    """A layer that computes, with those around it that only change values.

    Attributes:
        kind: "input", "conv", "dense", "pool", "merge", or "other".
        main: the call that computes.
        rows: all calls, in order.
        before, behind: words for the others, such as "BN" and "relu".
        inputs: places in the block of the units that it reads, or `INPUT`.
    """

    kind: str
    main: LayerProfile
    rows: tuple[LayerProfile, ...]
    before: tuple[str, ...]
    behind: tuple[str, ...]
    inputs: tuple[int, ...] = (INPUT,)

    @property
    def design(self) -> tuple[Any, ...]:
        """What two units have in common that differ in channels and stride alone."""
        row = self.main
        words = (word for word in self.words if not word.startswith("dropout"))
        return (self.kind, row.kind, row.kernel, row.dilation, row.groups > 1, *words)

    @property
    def words(self) -> tuple[str, ...]:
        """All of them."""
        return self.before + self.behind


@dataclass(frozen=True)
class Block:
    """Units between two places where all paths meet; often it is one unit.

    Attributes:
        name: what its layers' names begin with, or that of its last layer.
        units: each behind those it reads; the last one is where the paths meet.
        rows: its calls.
        lead: words for what happens to its input before the paths part.
        tapped: whether something beside the row of stages reads its output.
    """

    name: str
    units: tuple[Unit, ...]
    rows: tuple[LayerProfile, ...]
    lead: tuple[str, ...] = ()
    tapped: bool = False

    @property
    def shape(self) -> Shape:
        """Of the map or vector that comes out, before it is flattened."""
        return self.units[-1].main.output_shape

    @property
    def design(self) -> tuple[Any, ...]:
        """Equal for blocks that differ in channels and strides alone."""
        return (self.lead, *((unit.design, unit.inputs) for unit in self.units))

    @property
    def strides(self) -> tuple[Any, ...]:
        """Of every unit."""
        return tuple(unit.main.strides for unit in self.units)

    @property
    def lanes(self) -> tuple[tuple[int, ...], ...]:
        """Paths that cover the units but the last, side by side; empty where it reads the input."""
        last = len(self.units) - 1
        waiting = list(self.units[last].inputs)
        taken: set[int] = set()
        found: list[tuple[int, ...]] = []
        while waiting:
            place = waiting.pop(0)
            if place == INPUT:
                found.append(())
            if place in taken or place == INPUT:
                continue
            lane: list[int] = []
            step: int | None = place
            while step is not None:
                lane.append(step)
                taken.add(step)
                free = [n for n in self.units[step].inputs if n != INPUT and n not in taken]
                step = free[0] if free else None
                waiting = free[1:] + waiting
            found.append(tuple(reversed(lane)))
        if self.merge == "concat":
            return tuple(sorted(found, key=lambda lane: not lane))
        return tuple(sorted(found, key=len, reverse=True))  # a shortcut stands on the right

    @property
    def depths(self) -> tuple[int, ...]:
        """For each unit the length of the longest path from the input to it."""
        found: list[int] = []
        for unit in self.units:
            found.append(1 + max((found[i] if i != INPUT else 0 for i in unit.inputs), default=0))
        return tuple(found)

    @property
    def merge(self) -> str | None:
        """How its paths meet: "concat", "add" for any other way, None for a single path."""
        last = self.units[-1]
        if len(last.inputs) < 2:
            return None
        return "concat" if last.main.kind == "Concatenate" else "add"

    @property
    def dense(self) -> bool:
        """Whether it puts new maps beside those it reads, as DenseNet's layers do."""
        return self.merge == "concat" and INPUT in self.units[-1].inputs

    @property
    def family(self) -> tuple[Any, ...] | None:
        """Equal for neighbours that are folded; None: it stays alone."""
        if len(self.units) > 1:
            longest = (self.units[place] for place in longest_path(self))
            path = tuple((u.kind, u.main.kernel) for u in longest if u.kind != "merge")
            return (_stem(self.name), self.shape[:-1], path)
        unit = self.units[0]
        if unit.kind != "conv":
            return None
        return (*unit.design, unit.main.groups, self.shape)


def window(row: LayerProfile) -> str:
    """Kernel, stride, dilation: "3×3 / 2", "max 3×3 / 2", "3×3 d2", "dw 3×3"; "" without any."""
    kind = _pooling(row) if kind_of(row) == "pool" else ""
    if not row.kernel:
        return f"{kind} of all" if kind in ("max", "avg") else kind
    if row.kind.startswith("Depthwise") or 1 < row.groups == row.output_shape[-1]:
        kind = "dw"
    elif row.kind.startswith("Separable"):
        kind = "sep"
    sides = row.kernel if len(row.kernel) > 1 else (*row.kernel, 1)
    text = f"{kind} {'×'.join(map(str, sides))}".strip()
    if max(row.strides) > 1:
        text += f" / {axes_text(row.strides)}"
    if max(row.dilation) > 1:
        text += f" d{axes_text(row.dilation)}"
    return text


def _pooling(row: LayerProfile) -> str:
    """What it takes of each window; the class's name where that doesn't say."""
    name = row.kind.lower()
    if "grid" in name or "adaptive" in name:
        return f"{'max' if 'max' in name else 'avg'} to {'×'.join(map(str, row.output_shape[:-1]))}"
    if "average" in name or "subsampling" in name:
        return "avg"
    return "max" if "max" in name else row.kind


# They change where numbers are, not what they are.
UNSAID = {
    *("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "MultiplePadding"),
    *("Cropping1D", "Cropping2D", "Cropping3D", "Cropping"),
    *("Flatten", "Reshape", "Permute", "Identity", "InputLayer"),
}


def kind_of(row: LayerProfile) -> str | None:
    """A unit's kind; None: the call only changes values, or where they are."""
    if row.kind == "Input":
        return "input"
    if len(row.inputs) > 1:
        return "merge"
    if row.kind in UNSAID:
        return None
    shape, before = row.output_shape, row.input_shapes[0]
    if row.macs != 0:
        return "conv" if row.kernel or len(shape) > 1 else "dense"
    if row.kernel:
        return "pool" if max(row.kernel) > 1 else "other"
    if len(shape) == 1 == len(before):
        return "dense" if shape != before else None
    return "pool" if shape[:-1] != before[:-1] and len(before) > 1 else None


def is_small(block: Block) -> bool:
    """Whether a panel could show it."""
    return (
        len(block.units) <= MOST_UNITS
        and len(block.lanes) <= MOST_LANES
        and max(block.depths) <= MOST_DEPTH
    )


def longest_path(block: Block) -> list[int]:
    """Places of the units on the longest path that ends in the last one."""
    depths = block.depths
    path = [len(block.units) - 1]
    while inputs := [place for place in block.units[path[-1]].inputs if place != INPUT]:
        path.append(max(inputs, key=lambda place: depths[place]))
    return path[::-1]


def _stem(name: str) -> str:
    """A block's name without its number: "conv4_block", "inception_4"."""
    return re.sub(r"(?<=\d)[a-z]$|_?\d+$", "", name)
