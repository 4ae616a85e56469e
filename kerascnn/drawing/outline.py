"""A model's graph as what a drawing shows: stages in a row, blocks to unfold, heads on the side.

All of it is read off the profile, so it holds for any functional model. Calls through which every
path leads divide the graph into segments. A segment without branches is a chain of layers; one with
branches is a block, as long as it is small enough to be one. Where a segment is larger, as in a
U-Net, its longest path is the chain, and what leaves and meets it is drawn as connections.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from kerascnn.features import bottlenecks
from kerascnn.keras_internals import calls, functional, is_model
from kerascnn.profiling import LayerProfile, Profile, profile
from kerascnn.words import counted

MOST_STAGES = 18  # in a row that can be read; more are folded further
# A larger segment is no block that a panel could show.
MOST_UNITS, MOST_LANES, MOST_DEPTH = 24, 8, 9
MOST_HEADS = 4

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
            longest = (self.units[place] for place in _longest(self))
            path = tuple((u.kind, u.main.kernel) for u in longest if u.kind != "merge")
            return (_stem(self.name), self.shape[:-1], path)
        unit = self.units[0]
        if unit.kind != "conv":
            return None
        return (*unit.design, unit.main.groups, self.shape)


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


def outline(model: keras.Model, input_shape: Any = None) -> Outline:
    """Read a functional model.

    Args:
        model: any functional `keras.Model`, or a built Sequential.
        input_shape: see `kerascnn.profile`.

    Raises:
        ArgumentError: the model has no graph, or a size is unknown and not given.
    """
    measured = profile(model, input_shape)
    reader = _Reader(measured, _operations(model))
    blocks, skips = reader.trunk()
    taps = reader.taps()
    read = {tap for tap, _ in taps} | {begin for begin, _ in skips}
    blocks = [replace(b, tapped=any(row.name in read for row in b.rows)) for b in blocks]
    runs, notes = _folded(blocks, reader)
    place = {id(block): number for number, run in enumerate(runs) for block in run.blocks}
    rows = {
        row.name: place[id(block)] for run in runs for block in run.blocks for row in block.rows
    }
    heads = [replace(head, stage=rows.get(tap, 0)) for tap, head in taps]
    if len(heads) > MOST_HEADS:
        hidden = counted(len(heads) - MOST_HEADS, "output", "outputs")
        notes.append(f"{hidden} of {len(heads)} beside the main one are not drawn.")
    connections = {(rows[a], rows[b]) for a, b in skips if a in rows and b in rows}
    convolutional, dense = _split(measured.layers)
    return Outline(
        model=measured.model,
        stages=tuple(run.stage() for run in runs),
        designs=tuple(_designs(runs)),
        heads=tuple(heads[:MOST_HEADS]),
        connections=tuple(sorted(pair for pair in connections if pair[1] > pair[0] + 1)),
        notes=tuple(notes),
        convolutional=convolutional,
        dense=dense,
        macs=measured.macs,
    )


def _operations(model: Any) -> dict[str, Any]:
    """The layer or operation of each call, by the name that its profile has."""
    found: dict[str, Any] = {}
    times: Counter[str] = Counter()

    def walk(graph: Any, place: str) -> None:
        for call in calls(graph):
            name = f"{place}{call.operation.name}"
            if is_model(call.operation):
                walk(functional(call.operation), f"{name}/")
                continue
            times[name] += 1
            found[name if times[name] == 1 else f"{name}#{times[name]}"] = call.operation

    walk(functional(model), "")
    return found


def _split(rows: Iterable[LayerProfile]) -> tuple[int, int]:
    """Trainable parameters of the layers on maps, and of those on vectors."""
    convolutional = dense = 0
    for row in rows:
        if len(row.output_shape) > 1:
            convolutional += row.params
        else:
            dense += row.params
    return convolutional, dense


# --- From calls to units -------------------------------------------------------------------------

WORDS = {
    "BatchNormalization": "BN",
    "LocalResponseNormalization": "LRN",
    "LayerNormalization": "LN",
    "GroupNormalization": "GN",
}
# They change where numbers are, not what they are.
_UNSAID = {
    *("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Cropping2D"),
    *("Flatten", "Reshape", "Permute", "Identity", "InputLayer"),
}


def _kind(row: LayerProfile) -> str | None:
    """A unit's kind; None: the call only changes values, or where they are."""
    if row.kind == "Input":
        return "input"
    if len(row.inputs) > 1:
        return "merge"
    if row.kind in _UNSAID:
        return None
    shape, before = row.output_shape, row.input_shapes[0]
    if row.macs != 0:
        return "conv" if row.kernel or len(shape) > 1 else "dense"
    if row.kernel:
        return "pool" if max(row.kernel) > 1 else "other"
    if len(shape) == 1 == len(before):
        return "dense" if shape != before else None
    return "pool" if shape[:-1] != before[:-1] and len(before) > 1 else None


def _normalizes(row: LayerProfile) -> bool:
    return row.kind.endswith("Normalization")


class _Reader:
    """Makes units and blocks of a profile's calls."""

    def __init__(self, measured: Profile, operations: dict[str, Any]) -> None:
        self.measured = measured
        self.operations = operations
        self.rows = {row.name: row for row in measured.layers}
        self.needed = self._leading_to(measured.outputs[0])

    def _leading_to(self, output: str) -> set[str]:
        found: set[str] = set()
        stack = [output]
        while stack:
            name = stack.pop()
            if name not in found and name in self.rows:
                found.add(name)
                stack += self.rows[name].inputs
        return found

    def trunk(self) -> tuple[list[Block], list[tuple[str, str]]]:
        """The blocks on the way to the main output, and pairs of calls that are connected past it."""
        ends = {row.name for row in bottlenecks(self.measured)}
        blocks: list[Block] = []
        skips: list[tuple[str, str]] = []
        chain: list[LayerProfile] = []
        segment: list[LayerProfile] = []

        def end_chain() -> None:
            # A ReLU behind a sum is the block's; batch normalization may be of the layer behind.
            while blocks and chain and _kind(chain[0]) is None and not _normalizes(chain[0]):
                row = chain.pop(0)
                blocks.append(self.single(self.unit("other", row, [row])))
            blocks.extend(self.single(unit) for unit in self.chain(chain))
            chain.clear()

        def lead() -> list[LayerProfile]:
            """The pre-activation that all paths of a block share."""
            place = len(chain)
            while place and _kind(chain[place - 1]) is None:
                place -= 1
            if place and _kind(chain[place - 1]) in ("conv", "dense"):
                return []
            while place < len(chain) and not _normalizes(chain[place]):
                place += 1
            found = chain[place:]
            del chain[place:]
            return found

        for row in (row for row in self.measured.layers if row.name in self.needed):
            segment.append(row)
            if row.name not in ends:
                continue
            if len(segment) == 1:
                chain.append(row)
            else:
                shared = lead()
                end_chain()
                block = self.block(segment)
                block = replace(block, lead=self.words(shared), rows=(*shared, *block.rows))
                if _is_small(block):
                    blocks.append(block)
                else:
                    opened, found = self.opened(block)
                    blocks += opened
                    skips += found
            segment = []
        end_chain()
        return _with_satellites(blocks), skips

    def taps(self) -> list[tuple[str, Head]]:
        """For each further output the call that it begins behind, and the head."""
        found: list[tuple[str, Head]] = []
        known = set(self.needed)
        for output in self.measured.outputs[1:]:
            own = self._leading_to(output)
            rows = [row for row in self.measured.layers if row.name in own - known]
            if rows:
                block = self.block(rows)
                path = _longest(block)
                tap = next((name for row in rows for name in row.inputs if name in known), "")
                units = tuple(block.units[i] for i in path)
                found.append((tap, Head(output, 0, units, *_split(rows))))
            known |= own
        return found

    def chain(self, rows: Sequence[LayerProfile]) -> list[Unit]:
        """Units of calls in a row, each of which reads the one before.

        What only changes values belongs to the layer before it, or, where the chain begins with
        it, to the one behind: batch normalization and ReLU precede each convolution then.
        """
        if not rows:
            return []
        kinds = [_kind(row) for row in rows]
        first = next((i for i, kind in enumerate(kinds) if kind), None)
        if first is None:
            return [self.unit("other", rows[-1], rows)]
        ahead = any(self.word(row) for row in rows[:first])
        heavy = [i for i, kind in enumerate(kinds) if kind]
        units = []
        begin = 0
        for number, place in enumerate(heavy):
            last = number + 1 == len(heavy)
            if last:
                end = len(rows)
            elif ahead:
                end = place + 1
            else:  # zeros around a map are those of the layer behind them
                end = heavy[number + 1]
                while end > place + 1 and rows[end - 1].kind.startswith("ZeroPadding"):
                    end -= 1
            kind = kinds[place]
            assert kind
            units.append(self.unit(kind, rows[place], rows[begin:end]))
            begin = end
        return units

    def unit(self, kind: str, main: LayerProfile, rows: Sequence[LayerProfile]) -> Unit:
        """One unit, whose inputs are filled in later."""
        place = rows.index(main)
        before, behind = self.words(rows[:place]), self.words(rows[place:])
        if _kind(main) and (inner := _activation(self.operations.get(main.name))):
            behind = (inner, *behind)
        return Unit(kind, main, tuple(rows), before, behind)

    def words(self, rows: Iterable[LayerProfile]) -> tuple[str, ...]:
        """Of all that only changes values."""
        return tuple(filter(None, map(self.word, rows)))

    def word(self, row: LayerProfile) -> str:
        """What a call that only changes values is called; nothing where that needs no word."""
        if row.kind in _UNSAID or _kind(row) is not None:
            return ""
        operation = self.operations.get(row.name)
        if row.kind == "Dropout":
            return f"dropout {operation.rate:g}" if operation is not None else "dropout"
        return _activation(operation) or WORDS.get(row.kind, row.kind)

    @staticmethod
    def single(unit: Unit) -> Block:
        """A block of one unit."""
        return Block(unit.main.name, (unit,), unit.rows)

    def block(self, rows: Sequence[LayerProfile], name: str | None = None) -> Block:
        """A block of these calls; what they read beside each other is its input."""
        readers = Counter(name for row in rows for name in row.inputs)
        units: list[Unit] = []
        owner: dict[str, int] = {}
        chains: dict[str, list[LayerProfile]] = {}  # by the call that ends it so far
        for row in rows:
            before = row.inputs[0] if len(row.inputs) == 1 else ""
            if before in chains and readers[before] == 1:
                chains[row.name] = chains.pop(before)
                chains[row.name].append(row)
            else:
                chains[row.name] = [row]
        order = {row.name: place for place, row in enumerate(rows)}
        for chain in sorted(chains.values(), key=lambda chain: order[chain[0].name]):
            sources = tuple(dict.fromkeys(owner.get(n, INPUT) for n in chain[0].inputs))
            for unit in self.chain(chain):
                # Two edges from one map into a sum are one line.
                units.append(replace(unit, inputs=sources))
                sources = (len(units) - 1,)
            for row in chain:
                owner[row.name] = len(units) - 1
        return Block(name or _common_name(rows), tuple(units), tuple(rows))

    def opened(self, block: Block) -> tuple[list[Block], list[tuple[str, str]]]:
        """The longest path through a block that is too large to be one, and what skips parts of it."""
        path = _longest(block)
        on_path = {INPUT, *path}
        found = {place: list(block.units[place].rows) for place in path}
        mine = {row.name for unit in block.units for row in unit.rows}
        found[path[0]] += [row for row in block.rows if row.name not in mine]
        outside = next((n for row in block.rows for n in row.inputs if n not in mine), "")
        skips: list[tuple[str, str]] = []
        begins: dict[int, set[int]] = {place: {place} for place in on_path}
        for place, unit in enumerate(block.units):
            if place not in on_path:  # where the path to it leaves the longest one
                begins[place] = set().union(*(begins[source] for source in unit.inputs))
        for before, place in zip([INPUT, *path], path):
            unit = block.units[place]
            for begin in set().union(*(begins[n] for n in unit.inputs if n != before)):
                left = outside if begin == INPUT else block.units[begin].rows[-1].name
                skips.append((left, unit.main.name))
        home: dict[int, int] = {}
        for place in reversed(range(len(block.units))):
            if place not in on_path:
                readers = [n for n, u in enumerate(block.units) if place in u.inputs]
                home[place] = min(n if n in on_path else home[n] for n in readers)
                found[home[place]] += block.units[place].rows
        units = {place: replace(block.units[place], inputs=(INPUT,)) for place in path}
        return [replace(self.single(units[n]), rows=tuple(found[n])) for n in path], skips


def _activation(operation: Any) -> str:
    """The name of a layer's activation; nothing where it has none."""
    function = getattr(operation, "activation", None)
    if function is None:
        name = type(operation).__name__
        return name.lower() if name in ("ReLU", "Softmax", "LeakyReLU", "PReLU", "ELU") else ""
    name = getattr(function, "__name__", type(function).__name__)
    return "" if name == "linear" else name


def _with_satellites(blocks: list[Block]) -> list[Block]:
    """A chain behind a block that only changes values, such as a ReLU, belongs to the block."""
    found: list[Block] = []
    for block in blocks:
        unit = block.units[0]
        alone = len(block.units) == 1 and unit.kind == "other" and _kind(unit.main) is None
        if alone and found:
            last = found[-1]
            end = replace(last.units[-1], behind=last.units[-1].behind + unit.words)
            units = (*last.units[:-1], end)
            found[-1] = replace(last, units=units, rows=last.rows + block.rows)
        else:
            found.append(block)
    return found


def _is_small(block: Block) -> bool:
    return (
        len(block.units) <= MOST_UNITS
        and len(block.lanes) <= MOST_LANES
        and max(block.depths) <= MOST_DEPTH
    )


def _longest(block: Block) -> list[int]:
    """Places of the units on the longest path that ends in the last one."""
    depths = block.depths
    path = [len(block.units) - 1]
    while inputs := [place for place in block.units[path[-1]].inputs if place != INPUT]:
        path.append(max(inputs, key=lambda place: depths[place]))
    return path[::-1]


def _common_name(rows: Sequence[LayerProfile]) -> str:
    names = [row.name for row in rows]
    common = os.path.commonprefix(names)
    if common not in names:
        common = common.rstrip("_/")
    return common if re.search(r"\d", common) else names[-1]


def _stem(name: str) -> str:
    """A block's name without its number: "conv4_block", "inception_4"."""
    return re.sub(r"(?<=\d)[a-z]$|_?\d+$", "", name)


# --- From blocks to stages -----------------------------------------------------------------------


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
            return f"{window(last)}, first / {_axes(first.strides)}"
        return window(last)


def _is_shortcut(block: Block) -> bool:
    """Whether a path leads past the layers: the input itself, or a projection of it."""
    lanes = block.lanes
    return block.dense or (block.merge == "add" and len(lanes[-1]) < len(lanes[0]))


def window(row: LayerProfile) -> str:
    """Kernel and stride as text: "3×3 / 2"."""
    if not row.kernel:
        return ""
    depthwise = row.kind.startswith("Depthwise") or 1 < row.groups == row.output_shape[-1]
    sides = row.kernel if len(row.kernel) > 1 else (*row.kernel, 1)
    text = "dw " * depthwise + "×".join(map(str, sides))
    if max(row.strides) > 1:
        text += f" / {_axes(row.strides)}"
    if max(row.dilation) > 1:
        text += f" dilated {_axes(row.dilation)}"
    return text


def _axes(values: Sequence[int]) -> str:
    return "×".join(map(str, values if len(set(values)) > 1 else values[:1]))


def _range(first: str, last: str) -> str:
    """Two names as one: "conv4_block2…36"."""
    if first == last:
        return first
    common = re.sub(r"\d+$", "", os.path.commonprefix([first, last]))
    end = os.path.commonprefix([first[::-1], last[::-1]])[::-1]
    end = re.sub(r"^\w*?\d+(?=_|$)|^[^_]*(?=_)", "", end)  # whole words
    end = end if end.startswith("_") and len(common) + len(end) < len(first) else ""
    return f"{first.removesuffix(end)}…{last.removesuffix(end)[len(common) :]}"


def _folded(blocks: list[Block], reader: _Reader) -> tuple[list[_Run], list[str]]:
    """Blocks in runs: alike ones first; where there are too many, by name, then by map size."""
    notes: list[str] = []
    runs = _runs(blocks)
    if len(runs) > MOST_STAGES:
        named = _by_name(blocks, reader)
        if len(named) < len(blocks):
            runs = _runs(named)
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


def _by_name(blocks: Sequence[Block], reader: _Reader) -> list[Block]:
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
            result += [whole] if _is_small(whole) else same
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
