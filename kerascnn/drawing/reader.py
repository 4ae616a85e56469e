"""A profile's calls read as units and blocks, between the places where all paths meet.

Calls through which every path leads divide the graph into segments. A segment without branches is
a chain of layers; one with branches is a block, as long as it is small enough to be one. Where a
segment is larger, as in a U-Net, its longest path is the chain, and what leaves and meets it are
connections.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from kerascnn.drawing.units import INPUT, UNSAID, Block, Unit, is_small, kind_of, longest_path
from kerascnn.profiles import LayerProfile, Profile, bottlenecks

WORDS = {
    "BatchNormalization": "BN",
    "LocalResponseNormalization": "LRN",
    "LayerNormalization": "LN",
    "GroupNormalization": "GN",
}


def _normalizes(row: LayerProfile) -> bool:
    return row.kind.endswith("Normalization")


def _samples(row: LayerProfile, behind: LayerProfile | None) -> bool:
    """Whether a call does no more than to pick the pixels of the 1×1 convolution behind it."""
    return (
        row.macs == 0
        and max(row.kernel, default=0) == 1
        and max(row.strides) > 1
        and behind is not None
        and bool(behind.macs)
        and max(behind.kernel, default=0) == 1
    )


def _of_the_next(row: LayerProfile, behind: LayerProfile) -> bool:
    """Whether a call that only changes where values are is of the layer behind it."""
    return row.kind.startswith("ZeroPadding") or _samples(row, behind)


@dataclass(frozen=True)
class Branch:
    """What leads to an output beside the main one.

    Attributes:
        name: of its last call.
        begins: the call behind which it leaves the way to the main output; "" where none.
        units: on the longest way to it.
        rows: all its calls.
    """

    name: str
    begins: str
    units: tuple[Unit, ...]
    rows: tuple[LayerProfile, ...]


class Reader:
    """Makes units and blocks of a profile's calls."""

    def __init__(self, measured: Profile) -> None:
        self.measured = measured
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
        """The blocks on the way to the main output, and pairs of calls connected past others."""
        ends = {row.name for row in bottlenecks(self.measured)}
        blocks: list[Block] = []
        skips: list[tuple[str, str]] = []
        chain: list[LayerProfile] = []
        segment: list[LayerProfile] = []

        def end_chain() -> None:
            # A ReLU behind a sum is the block's; batch normalization may be of the layer behind.
            while blocks and chain and kind_of(chain[0]) is None and not _normalizes(chain[0]):
                row = chain.pop(0)
                blocks.append(self.single(self.unit("other", row, [row])))
            blocks.extend(self.single(unit) for unit in self.chain(chain))
            chain.clear()

        def lead() -> list[LayerProfile]:
            """The pre-activation that all paths of a block share."""
            place = len(chain)
            while place and kind_of(chain[place - 1]) is None:
                place -= 1
            if place and kind_of(chain[place - 1]) in ("conv", "dense"):
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
                if is_small(block):
                    blocks.append(block)
                else:
                    opened, found = self.opened(block)
                    blocks += opened
                    skips += found
            segment = []
        end_chain()
        return _with_satellites(blocks), skips

    def branches(self) -> list[Branch]:
        """One for each output but the first."""
        found: list[Branch] = []
        leaves = {name: name for name in self.needed}  # call → where its branch leaves the way
        for output in self.measured.outputs[1:]:
            own = self._leading_to(output)
            rows = [row for row in self.measured.layers if row.name in own - leaves.keys()]
            if rows:
                block = self.block(rows)
                units = tuple(block.units[place] for place in longest_path(block))
                names = (name for row in rows for name in row.inputs)
                begins = next((leaves[name] for name in names if name in leaves), "")
                found.append(Branch(output, begins, units, tuple(rows)))
                leaves |= {row.name: begins for row in rows}
        return found

    def chain(self, rows: Sequence[LayerProfile]) -> list[Unit]:
        """Units of calls in a row, each of which reads the one before.

        What only changes values belongs to the layer before it, or, where the chain begins with
        it, to the one behind: batch normalization and ReLU precede each convolution then.
        """
        if not rows:
            return []
        kinds = [
            None if _samples(row, behind) else kind_of(row)
            for row, behind in zip(rows, [*rows[1:], None])
        ]
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
            else:
                end = heavy[number + 1]
                while end > place + 1 and _of_the_next(*rows[end - 1 : end + 1]):
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
        if kind_of(main) and main.activation:
            behind = (main.activation, *behind)
        if place and _samples(rows[place - 1], main):
            main = replace(main, strides=rows[place - 1].strides)
        return Unit(kind, main, tuple(rows), before, behind)

    def words(self, rows: Iterable[LayerProfile]) -> tuple[str, ...]:
        """Of all that only changes values."""
        return tuple(filter(None, map(self.word, rows)))

    def word(self, row: LayerProfile) -> str:
        """What a call that only changes values is called; nothing where that needs no word."""
        if row.kind in UNSAID or kind_of(row) is not None:
            return ""
        if row.kind == "Dropout":
            return f"dropout {row.rate:g}"
        return row.activation or WORDS.get(row.kind, row.kind)

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
            if readers[chain[-1].name] and all(row.kind in UNSAID for row in chain):
                # U-Net's crop of what comes from the way down: the map itself, as it is drawn.
                owner |= {row.name: sources[0] for row in chain}
                continue
            for unit in self.chain(chain):
                # Two edges from one map into a sum are one line.
                units.append(replace(unit, inputs=sources))
                sources = (len(units) - 1,)
            for row in chain:
                owner[row.name] = len(units) - 1
        return Block(name or _common_name(rows), tuple(units), tuple(rows))

    def opened(self, block: Block) -> tuple[list[Block], list[tuple[str, str]]]:
        """The longest path through a block that is too large, and what skips parts of it."""
        path = longest_path(block)
        on_path = {INPUT, *path}
        found = {place: list(block.units[place].rows) for place in path}
        mine = {row.name for unit in block.units for row in unit.rows}
        for row in block.rows:
            if row.name not in mine:
                readers = (
                    n for n in path if any(row.name in r.inputs for r in block.units[n].rows)
                )
                found[next(readers, path[0])].append(row)
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
                behind = [n for n, u in enumerate(block.units) if place in u.inputs]
                home[place] = min(n if n in on_path else home[n] for n in behind)
                found[home[place]] += block.units[place].rows
        units = {place: replace(block.units[place], inputs=(INPUT,)) for place in path}
        return [replace(self.single(units[n]), rows=tuple(found[n])) for n in path], skips


def _with_satellites(blocks: list[Block]) -> list[Block]:
    """A chain behind a block that only changes values, such as a ReLU, belongs to the block."""
    found: list[Block] = []
    for block in blocks:
        unit = block.units[0]
        alone = len(block.units) == 1 and unit.kind == "other" and kind_of(unit.main) is None
        if alone and found:
            last = found[-1]
            end = replace(last.units[-1], behind=last.units[-1].behind + unit.words)
            units = (*last.units[:-1], end)
            found[-1] = replace(last, units=units, rows=last.rows + block.rows)
        else:
            found.append(block)
    return found


def common_start(names: Sequence[str]) -> str:
    """What all names begin with, letter by letter."""
    return os.path.commonprefix(names)  # noqa: RUF071 (names, not paths)


def _common_name(rows: Sequence[LayerProfile]) -> str:
    names = [row.name for row in rows]
    common = common_start(names)
    if common not in names:
        common = common.rstrip("_/")
    return common if re.search(r"\d", common) else names[-1]
