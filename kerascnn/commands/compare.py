"""`kerascnn compare`: architectures side by side, as a table and as a picture."""

from __future__ import annotations

import json as json_
import math
import re
import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from kerascnn.card import Card


@dataclass(frozen=True)
class Error:
    """One published error rate, in percent, of a single network."""

    dataset: str
    metric: str
    protocol: str
    percent: float
    source: str

    @property
    def crops(self) -> str:
        """The kind of protocol: only like may be compared with like."""
        if re.search(r"\b(10|ten) crops", self.protocol):
            return "10 crops"
        if re.search(r"\b(1|single|cent(er|re)|\d{3}) crop|\bcrop of\b", self.protocol):
            return "1 crop"
        return self.protocol


@dataclass(frozen=True)
class Row:
    """One architecture at its native input."""

    name: str
    year: int
    input_shape: tuple[int, ...]
    params: int
    macs: int
    field: tuple[int, ...] | None
    error: Error | None


def compare(
    names: list[str] = typer.Argument(help="Names; shell wildcards such as 'vgg*' in quotes."),
    save: Path | None = typer.Option(
        None, help="Write the picture here: error against MACs, area of a circle = parameters."
    ),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Compare architectures: parameters, MACs, receptive field, published error."""
    rows = _rows(_expand(names))
    if save:
        _draw([row for row in rows if row.error], save)
    if json:
        typer.echo(json_.dumps([asdict(row) for row in rows], indent=2))
        return
    from rich.table import Table

    from kerascnn.console import Console
    from kerascnn.tables import show

    subject = next((f"{r.error.metric}, {r.error.dataset}" for r in rows if r.error), "")
    table = Table(box=None, caption=f"error: {subject}" if subject else None)
    for title in ("name", "year", "parameters", "MACs", "field", "error"):
        table.add_column(title, justify="left" if title == "name" else "right", no_wrap=True)
    table.add_column("published for")
    for row in rows:
        table.add_row(
            row.name,
            str(row.year),
            f"{row.params / 1e6:,.3f} M",
            f"{row.macs / 1e9:,.3f} G",
            str(row.field[0]) if row.field else "",
            f"{row.error.percent:.2f}%" if row.error else "",
            row.error.protocol if row.error else "",
        )
    console = Console()
    show(console, table)
    if save:
        console.print(f"Picture: {save}")


def _expand(patterns: list[str]) -> list[str]:
    """Names in the order asked for, wildcards replaced, each once."""
    from kerascnn import catalogue

    names: dict[str, None] = {}
    for pattern in patterns:
        found = catalogue.list_architectures(pattern) if set(pattern) & set("*?[") else []
        names |= dict.fromkeys(found or [pattern])
    return list(names)


def _rows(names: list[str]) -> list[Row]:
    from kerascnn import catalogue, profile
    from kerascnn.keras_internals import without_values

    networks = [catalogue.get(name) for name in names]
    errors = comparable([network.card for network in networks])
    rows = []
    for network, error in zip(networks, errors):
        with without_values():
            measured = profile(network())
        field = measured.largest_field
        rows.append(
            Row(
                network.name,
                network.card.year,
                network.card.input_shape,
                measured.params,
                measured.macs,
                field.size if field else None,
                error,
            )
        )
    return rows


def comparable(cards: list[Card]) -> list[Error | None]:
    """For each card the published error that is most like the others'.

    Everybody published for another protocol. The dataset and metric that most of the cards have
    are taken, and of those the number of crops that most have; a card that lacks it keeps its
    first figure, and its protocol says so. Averages over several networks are left out.
    """
    published = [[*_errors(card)] for card in cards]
    subject = _most({(error.dataset, error.metric) for error in found} for found in published)
    crops = _most(
        {error.crops for error in found if (error.dataset, error.metric) == subject}
        for found in published
    )
    chosen = []
    for found in published:
        fitting = [error for error in found if (error.dataset, error.metric) == subject]
        alike = [error for error in fitting if error.crops == crops]
        chosen.append(next(iter(alike or fitting), None))
    return chosen


def _most(sets: Iterable[set[Any]]) -> Any:
    """What is in most of the sets; of equals, the first in alphabetical order, "1 crop"."""
    counts = Counter(item for items in sets for item in items)
    return min(counts, key=lambda item: (-counts[item], item), default=None)


def _errors(card: Card) -> Iterable[Error]:
    for result in card.results:
        values = result.value if isinstance(result.value, tuple) else (result.value,)
        metrics = result.metric.removesuffix(" error %").removesuffix("error %").split("/")
        together = re.search(r"\b([2-9]|\d\d+) (networks|models)", result.protocol)
        if not result.metric.endswith("error %") or len(values) != len(metrics) or together:
            continue
        for metric, value in zip(metrics, values):
            name = f"{metric} error".strip()
            yield Error(result.dataset, name, result.protocol, value, result.source)


INK, PAPER, GRID, BLUE = "#26292e", "#fcfcfb", "#d9dad6", "#0072b2"


def _draw(rows: list[Row], path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    from kerascnn.errors import ArgumentError

    if not rows:
        raise ArgumentError("--save: none of these architectures has a published error rate.")
    figure = Figure(figsize=(8, 5.2), dpi=150, layout="constrained", facecolor=PAPER)
    axes = figure.add_subplot(facecolor=PAPER)
    macs = [row.macs / 1e9 for row in rows]
    errors = [row.error.percent for row in rows if row.error]
    largest = max(row.params for row in rows)
    areas = [max(1800 * row.params / largest, 12) for row in rows]
    axes.scatter(macs, errors, s=areas, color=BLUE, alpha=0.45, edgecolors=INK, linewidths=0.8)
    axes.set_xscale("log")
    axes.set_xlim(min(macs) / 1.8, max(macs) * 1.8)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.margins(y=0.18)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("multiply-adds for one image, × 10⁹")
    first = rows[0].error
    assert first
    axes.set_ylabel(f"{first.metric} in %, {first.dataset}")
    axes.set_title(
        f"Area: parameters, the largest {largest / 1e6:,.3g} million",
        loc="left",
        fontsize=10,
        color=INK,
    )
    caption = textwrap.fill(_protocols(row for row in rows if row.error), 150)
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=7, color=INK)
    _label(figure, axes, [row.name for row in rows], list(zip(macs, errors)), areas)
    try:
        figure.savefig(path)
    except (ValueError, OSError) as error:  # an unknown suffix; a folder that isn't there
        raise ArgumentError(f"--save {path}: {error}") from error


def _protocols(rows: Iterable[Row]) -> str:
    """What a reader must know before comparing the errors."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        assert row.error
        groups.setdefault(row.error.crops, []).append(row.name)
    if len(groups) == 1:
        return f"Errors as published: {next(iter(groups))}."
    listed = "; ".join(f"{crops}: {', '.join(names)}" for crops, names in groups.items())
    how = "under different protocols: the more crops, the fewer errors"
    return f"Errors as published, {how}. {listed}."


def _label(
    figure: Any, axes: Any, names: list[str], points: list[tuple[float, float]], areas: list[float]
) -> None:
    """Write each name beside its circle, at the first of six places that is still free."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    taken: list[Any] = []
    for point, area in zip(points, areas):
        x, y = axes.transData.transform(point)
        reach = (area / math.pi) ** 0.5 * figure.dpi / 72
        taken.append(Bbox.from_extents(x - reach, y - reach, x + reach, y + reach))
    for name, point, area in zip(names, points, areas):
        gap = (area / math.pi) ** 0.5 + 4
        places = [
            *((0, gap, "center", "bottom"), (0, -gap, "center", "top")),
            *((gap, 0, "left", "center"), (-gap, 0, "right", "center")),
            *((gap, gap, "left", "bottom"), (gap, -gap, "left", "top")),
        ]
        for x, y, horizontal, vertical in places:
            text = axes.annotate(
                name,
                point,
                (x, y),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                fontsize=8,
                color=INK,
            )
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
            text.remove()
        else:
            axes.add_artist(text)
        taken.append(box)
