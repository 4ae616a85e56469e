"""The sizes that papers print, beside those that are counted in the built network."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kerascnn.card import Claim, PaperRow, PaperTable
from kerascnn.profiles import LayerProfile, Profile
from kerascnn.words import rounded

_UNITS = {"": 1, "%": 0.01, "K": 1e3, "M": 1e6, "B": 1e9}


@dataclass(frozen=True)
class Printed:
    """A number as a paper prints it: "112K", "1.5B", "96%", "60,000".

    Attributes:
        text: the number.
        kilo: what a K is.

    Raises:
        ValueError: it is none.
    """

    text: str
    kilo: int = 1000

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d[\d,]*(\.\d+)?[KMB%]?", self.text):
            raise ValueError(
                f"A number such as 112K, 1.5B or 96% is needed. Received: {self.text!r}."
            )

    @property
    def unit(self) -> float:
        """What the last digit stands for."""
        number = self.text.rstrip("KMB%")
        return self._factor / 10 ** len(number.partition(".")[2])

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text.rstrip("KMB%").replace(",", "")) * self._factor

    @property
    def _factor(self) -> float:
        unit = self.text.lstrip("0123456789,.")
        return self.kilo if unit == "K" else _UNITS[unit]

    def is_of(self, count: float) -> bool:
        """Whether `count`, rounded or cut off to these digits, is this number."""
        rest = (count - self.value) / self.unit
        return -0.5 <= rest < 1 - 1e-9 or (self.unit == 1 and rest == 0)


@dataclass(frozen=True)
class Beside:
    """A number of a paper and ours; each None where there is none."""

    printed: Printed | None = None
    ours: int | None = None

    @property
    def differs(self) -> bool:
        """Whether both are there and ours isn't the paper's, rounded or cut off."""
        return bool(self.printed and self.ours is not None and not self.printed.is_of(self.ours))


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a paper's table, beside what was built.

    Attributes:
        layer: what the paper calls it.
        layers: what we call it.
        output, our_output: shapes; () where there is none.
        params, operations, units: the counts; `ours` of operations are multiply-adds.
        note: why they differ, where they do.
    """

    layer: str
    layers: tuple[str, ...] = ()
    output: tuple[int, ...] = ()
    our_output: tuple[int, ...] = ()
    params: Beside = Beside()
    operations: Beside = Beside()
    units: Beside = Beside()
    note: str = ""

    @property
    def differs(self) -> bool:
        """Whether anything that both state is another."""
        counts = (self.params, self.operations, self.units)
        return self.shape_differs or any(both.differs for both in counts)

    @property
    def shape_differs(self) -> bool:
        """Whether the outputs are others; a paper may leave out the maps, and print 1×1×n for n."""
        told, built = self.output, self.our_output
        if told[:2] == (1, 1) and len(built) == 1:
            told = told[2:]
        return bool(told and built and told != built[: len(told)])


def beside(table: PaperTable, profile: Profile) -> tuple[Line, ...]:
    """The lines of a paper's table and ours of the same layers, and the totals at the end.

    Args:
        table: the paper's.
        profile: of the network as the paper has it.
    """
    lines = [_line(row, table, profile) for row in table.rows]
    counted = [both.units.ours for both in lines if both.units.ours and both.units.printed]
    total = Line(
        layer="total",
        params=_both(table.params, profile.params, table),
        operations=_both(table.operations, profile.macs, table),
        units=_both(table.units, sum(counted) if counted else None, table),
    )
    return (*lines, total)


def _line(row: PaperRow, table: PaperTable, profile: Profile) -> Line:
    found = _matching(profile, row.ours)
    params = sum(layer.params for layer in found) if found else None
    macs = sum(layer.macs or 0 for layer in found) if found else None
    shape = found[-1].output_shape if found else ()
    return Line(
        layer=row.layer,
        layers=tuple(layer.name for layer in found),
        output=row.output,
        our_output=shape,
        params=_both(row.params, params, table),
        operations=_both(row.operations, macs, table),
        units=_both(row.units, math.prod(shape) if found else None, table),
        note=row.note,
    )


def _matching(profile: Profile, patterns: Iterable[str]) -> list[LayerProfile]:
    wanted = tuple(patterns)
    return [x for x in profile.layers if any(fnmatchcase(x.name, name) for name in wanted)]


def _both(printed: str, ours: int | None, table: PaperTable) -> Beside:
    return Beside(Printed(printed, table.kilo) if printed else None, ours)


# --- Claims ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a paper says in a sentence, what its tables give, and what is counted.

    Attributes:
        claim: the sentence.
        tables: the same number from what the papers' tables state, in full; "": they don't.
        counted: the same from the built networks, in full.
        value: `counted` as a number.
        agrees: whether that, rounded or cut off, is what the sentence says, or within its limit.
    """

    claim: Claim
    tables: str
    counted: str
    value: float
    agrees: bool


@dataclass(frozen=True)
class Sizes:
    """What claims are about: what was counted of a network, and its paper's table."""

    params: int
    macs: int
    largest_convolution: float = 0.0
    table: PaperTable | None = None

    @classmethod
    def of(cls, profile: Profile, table: PaperTable | None) -> Sizes:
        """Those of a profile."""
        largest = max((layer.params for layer in profile.convolutions), default=0)
        return cls(profile.params, profile.macs, largest / (profile.params or 1), table)

    def counted(self, quantity: str) -> float:
        """What was counted of a quantity."""
        counts = {"params": self.params, "macs": self.macs}
        return counts.get(quantity, self.largest_convolution)

    def stated(self, quantity: str) -> float | None:
        """What the paper's table states of a quantity: the total, or the sum of its lines."""
        name = {"params": "params", "macs": "operations"}.get(quantity)
        table = self.table
        if table is None or name is None or (name == "operations" and table.counted != "MACs"):
            return None
        total = getattr(table, name)
        parts = [total] if total else [getattr(row, name) for row in table.rows]
        values = [Printed(text).value for text in parts if text]
        return sum(values) if values else None


def check(claim: Claim, own: Sizes, other: Sizes | None = None) -> Checked:
    """A claim beside what the tables and the networks say.

    Args:
        claim: of a card.
        own: of that card's network.
        other: of `claim.network`, where it names one.
    """
    stated = own.stated(claim.quantity)
    stated_other = other.stated(claim.quantity) if other else None
    count = own.counted(claim.quantity)
    count_other = other.counted(claim.quantity) if other else None
    write = _number if claim.quantity == "largest_convolution" else _exact
    value, counted = _compared(claim, count, count_other, write=write)
    tables = ""
    if stated and (stated_other or other is None):
        tables = _compared(claim, stated, stated_other, write=_number)[1]
    told = Printed(claim.value)
    agrees = value <= told.value if claim.form == "most" else told.is_of(value)
    return Checked(claim=claim, tables=tables, counted=counted, value=value, agrees=agrees)


def _compared(
    claim: Claim, own: float, other: float | None, *, write: Callable[[float], str]
) -> tuple[float, str]:
    """The number that the claim is about, and how it comes about."""
    if other is None:
        return own, write(own)
    if claim.form == "ratio":
        return other / own, f"{write(other)} / {write(own)} = {other / own:.2f}"
    return own / other, f"{write(own)} / {write(other)} = {own / other:.1%}"


def _exact(count: float) -> str:
    return f"{count:,}"


def _number(value: float) -> str:
    return f"{value:.2%}" if value < 1 else rounded(value)
