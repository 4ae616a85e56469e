"""A model as what a drawing shows: stages in a row, blocks to unfold, heads on the side.

Neighbouring blocks that are alike are folded into one stage. Where that still leaves more than a
row can hold, those are one whose layers' names begin alike, then those of one map size, and at last
the middle is left out, which a note says.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kerascnn.drawing.reader import Reader, common_start
from kerascnn.drawing.units import Block, Shape, Unit, is_small, window
from kerascnn.profiles import LayerProfile, Profile
from kerascnn.receptive_fields import axes_text
from kerascnn.words import counted

MOST_STAGES = 18  # in a row that can be read; more are folded further
MOST_HEADS = 4  # that are drawn


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A volume of the drawing.

    Attributes:
        name: of the layer, the block, or the first and the last of several.
        kind: a unit's, or "block", "several" (of one map size), "left out".
        repeats: how many blocks are folded into it; layers with weights, of "several".
        window: kernel and stride as text.
        shape: of its output, without the batch.
        groups: into how many the channels are divided.
        branches: paths side by side in a block.
        merge: how they meet: "add", "concat" or None.
        shortcut: whether a path leads past all layers of the block.
        convolutional, dense: trainable parameters of the layers on maps, and on vectors.
        words: what else its layers do.
    """

    name: str
    kind: str
    repeats: int = 1
    window: str = ""
    shape: Shape = ()
    groups: int = 1
    branches: int = 1
    merge: str | None = None
    shortcut: bool = False
    convolutional: int = 0
    dense: int = 0
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Design:
    """A block that stands for all that are built like it.

    Attributes:
        block: the one that is drawn.
        names: of all, in their order.
        growth: maps that each of a run of dense layers adds; 0: it is no such run.
    """

    block: Block
    names: tuple[str, ...]
    growth: int = 0


@dataclass(frozen=True)
class Head:
    """An output beside the main one.

    Attributes:
        name: of its last layer.
        stage: the place of the stage whose output it reads.
        units: on the longest way to it.
        convolutional, dense: trainable parameters, as a stage's.
    """

    name: str
    stage: int
    units: tuple[Unit, ...]
    convolutional: int
    dense: int


@dataclass(frozen=True)
class Outline:
    """What a drawing shows of a model.

    Attributes:
        model: its name.
        stages: from left to right.
        designs: blocks to unfold, each once.
        heads: outputs beside the main one.
        connections: pairs of stages, where a map skips those between them.
        notes: what was folded or left out.
        convolutional, dense: trainable parameters in all.
        macs: multiply-adds for one image.
    """

    model: str
    stages: tuple[Stage, ...]
    designs: tuple[Design, ...]
    heads: tuple[Head, ...]
    connections: tuple[tuple[int, int], ...]
    notes: tuple[str, ...]
    convolutional: int
    dense: int
    macs: int


def outline(measured: Profile) -> Outline:
    """Read a network's profile."""
    reader = Reader(measured)
    blocks, skips = reader.trunk()
    branches = reader.branches()
    read = {branch.begins for branch in branches} | {begin for begin, _ in skips}
    blocks = [replace(b, tapped=any(row.name in read for row in b.rows)) for b in blocks]
    runs, notes = _folded(blocks, reader)
    stage = {
        row.name: place
        for place, run in enumerate(runs)
        for block in run.blocks
        for row in block.rows
    }
    if len(branches) > MOST_HEADS:
        hidden = counted(len(branches) - MOST_HEADS, "output", "outputs")
        notes.append(f"{hidden} of {len(branches)} beside the main one are not drawn.")
    pairs = {(stage[begin], stage[end]) for begin, end in skips if begin in stage}
    convolutional, dense = _split(measured.layers)
    return Outline(
        model=measured.model,
        stages=tuple(run.stage() for run in runs),
        designs=tuple(_designs(runs)),
        heads=tuple(
            Head(branch.name, stage.get(branch.begins, 0), branch.units, *_split(branch.rows))
            for branch in branches
        ),
        connections=tuple(sorted(pair for pair in pairs if pair[1] > pair[0] + 1)),
        notes=tuple(notes),
        convolutional=convolutional,
        dense=dense,
        macs=measured.macs,
    )


def _split(rows: Iterable[LayerProfile]) -> tuple[int, int]:
    """Trainable parameters of the layers on maps, and of those on vectors."""
    convolutional = dense = 0
    for row in rows:
        if len(row.output_shape) > 1:
            convolutional += row.params
        else:
            dense += row.params
    return convolutional, dense


@dataclass(frozen=True)
class _Run:
    """Neighbouring blocks that are one stage."""

    blocks: tuple[Block, ...]
    kind: str = ""

    def stage(self) -> Stage:
        first, last = self.blocks[0], self.blocks[-1]
        convolutional, dense = _split(row for block in self.blocks for row in block.rows)
        name = _range(first.name, last.name)
        unit = last.units[-1]
        if unit.kind == "input" and name.startswith("keras_tensor"):
            name = "input"  # Keras's own name for one without
        if self.kind:
            rows = [row for block in self.blocks for row in block.rows]
            return Stage(
                name=name,
                kind=self.kind,
                repeats=sum(bool(row.macs) for row in rows),
                shape=last.shape,
                convolutional=convolutional,
                dense=dense,
            )
        single = len(last.units) == 1
        return Stage(
            name=name,
            kind=unit.kind if single else "block",
            repeats=len(self.blocks),
            window=self._window() if single else "",
            shape=last.shape,
            groups=unit.main.groups if single else 1,
            branches=max(len(block.lanes) for block in self.blocks),
            merge=None if single else next(filter(None, (b.merge for b in self.blocks)), None),
            shortcut=not single and any(map(_is_shortcut, self.blocks)),
            convolutional=convolutional,
            dense=dense,
            words=unit.words,
        )

    def _window(self) -> str:
        first, last = self.blocks[0].units[0].main, self.blocks[-1].units[0].main
        if first.strides != last.strides:
            return f"{window(last)}, first / {axes_text(first.strides)}"
        return window(last)


def _is_shortcut(block: Block) -> bool:
    """Whether a path leads past the layers: the input itself, or a projection of it."""
    lanes = block.lanes
    return block.dense or (block.merge == "add" and len(lanes[-1]) < len(lanes[0]))


def _range(first: str, last: str) -> str:
    """Two names as one: "conv4_block2…36"."""
    if first == last:
        return first
    common = re.sub(r"\d+$", "", common_start([first, last]))
    end = common_start([first[::-1], last[::-1]])[::-1]
    end = re.sub(r"^\w*?\d+(?=_|$)|^[^_]*(?=_)", "", end)  # whole words
    end = end if end.startswith("_") and len(common) + len(end) < len(first) else ""
    return f"{first.removesuffix(end)}…{last.removesuffix(end)[len(common) :]}"


def _folded(blocks: list[Block], reader: Reader) -> tuple[list[_Run], list[str]]:
    """Blocks in runs: alike ones first; where there are too many, as parts of larger ones.

    Those are blocks by name, separable convolutions, and at last all layers of one map size.
    """
    notes: list[str] = []
    runs = _runs(blocks)
    for join in (_by_name, _separable):
        if len(runs) > MOST_STAGES:
            runs = min(runs, _runs(join(blocks, reader)), key=len)
    if len(runs) > MOST_STAGES:
        blocks = [block for run in runs for block in run.blocks]
        before = len(runs)
        runs = list(_by_size(blocks))
        if len(runs) < before:
            notes.append(
                f"{before} stages are folded into {len(runs)}: layers of one map size are one."
            )
    if len(runs) > MOST_STAGES:
        ahead = MOST_STAGES // 2
        behind = MOST_STAGES - ahead - 1
        middle = runs[ahead : len(runs) - behind]
        cut = _Run(tuple(block for run in middle for block in run.blocks), "left out")
        notes.append(
            f"{len(middle)} stages in the middle are left out: one bar has their parameters."
        )
        runs = [*runs[:ahead], cut, *runs[len(runs) - behind :]]
    return runs, notes


def _runs(blocks: Sequence[Block]) -> list[_Run]:
    found: list[list[Block]] = []
    for block in blocks:
        last = found[-1][-1] if found else None
        alike = last is not None and block.family is not None and block.family == last.family
        if last is not None and alike and not last.tapped:
            found[-1].append(block)
        else:
            found.append([block])
    return [_Run(tuple(run)) for run in found]


def _by_name(blocks: Sequence[Block], reader: Reader) -> list[Block]:
    """Neighbours whose names begin with the same numbered word, such as "block_12", are one."""

    def group(block: Block) -> str:
        vector = len(block.shape) < 2
        found = re.match(r"[a-zA-Z_/]*?\d+[a-z]?(?=_|$)", block.name)
        return found[0] if found and not vector else block.name

    result: list[Block] = []
    for name, part in itertools.groupby(blocks, group):
        same = list(part)
        if len(same) == 1:
            result += same
        else:
            rows = [row for block in same for row in block.rows]
            whole = replace(reader.block(rows, name), tapped=any(b.tapped for b in same))
            result += [whole] if is_small(whole) else same
    return result


def _separable(blocks: Sequence[Block], reader: Reader) -> list[Block]:
    """A depthwise convolution and the 1×1 convolution behind it are one, as in MobileNet."""

    def first(block: Block) -> bool:
        return len(block.units) == 1 and window(block.units[0].main).startswith("dw ")

    def second(block: Block) -> bool:
        return len(block.units) == 1 and set(block.units[0].main.kernel) == {1}

    result: list[Block] = []
    for block in blocks:
        before = result[-1] if result else block
        if first(before) and second(block) and not before.tapped:
            whole = reader.block((*before.rows, *block.rows), block.name)
            result[-1] = replace(whole, tapped=block.tapped)
        else:
            result.append(block)
    return result


def _by_size(blocks: Sequence[Block]) -> Iterator[_Run]:
    def key(block: Block) -> Any:
        kind = block.units[-1].kind
        return block.name if kind == "input" or len(block.shape) < 2 else block.shape[:-1]

    for _, part in itertools.groupby(blocks, key):
        same = tuple(part)
        yield _Run(same, "several" if len(same) > 1 else "")


def _designs(runs: Sequence[_Run]) -> Iterator[Design]:
    """Each kind of block once; a run of dense layers says by how much its maps grow."""
    found: dict[Any, list[Block]] = {}
    for run in runs:
        for block in run.blocks:
            if len(block.units) > 1 and run.kind == "":
                found.setdefault(block.design, []).append(block)
    longest = max((run.blocks for run in runs if run.blocks[-1].dense), key=len, default=())
    for blocks in found.values():
        usual = Counter(block.strides for block in blocks).most_common(1)[0][0]
        shown = next(block for block in blocks if block.strides == usual)
        growth = 0
        if shown.dense and len(longest) > 2 and longest[0].design == shown.design:
            growth = longest[1].shape[-1] - longest[0].shape[-1]
            shown = longest[0]
        yield Design(shown, tuple(block.name for block in blocks), growth)
