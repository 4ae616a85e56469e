"""`kerascnn compare`: architectures side by side, as a table and as a picture."""

from __future__ import annotations

import json as json_
import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

if TYPE_CHECKING:
    from kerascnn.card import Card


@dataclass(frozen=True)
class Published:
    """One published figure, in percent, of a single network."""

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
    task: str
    year: int
    input_shape: tuple[int, ...]
    params: int
    macs: int
    field: tuple[int, ...] | None
    published: Published | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `error` is what was published, where that is an error rate."""
        found = asdict(self)
        is_error = self.published is not None and self.published.metric.endswith("error")
        return {**found, "error": found["published"] if is_error else None}


def compare(
    names: list[str] = typer.Argument(help="Names; shell wildcards such as 'vgg*' in quotes."),
    save: Path | None = typer.Option(
        None,
        help="Write the picture here: the published figure against MACs, area of a circle = "
        "parameters; for networks of one task.",
    ),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Compare architectures: parameters, MACs, receptive field, published results."""
    rows = _rows(_expand(names))
    if save:
        _draw([row for row in rows if row.published], save)
    if json:
        typer.echo(json_.dumps([row.as_dict() for row in rows], indent=2))
        return
    from rich.table import Table

    from kerascnn.console import Console
    from kerascnn.tables import show

    found = [row.published for row in rows if row.published]
    subjects = dict.fromkeys((one.metric, f"{one.metric}, {one.dataset}") for one in found)
    errors = all(metric.endswith("error") for metric, _ in subjects)
    one_task = len({row.task for row in rows}) == 1
    value = "error" if errors else "published"
    left = ("name", "task", "published for")
    titles = ("name", "task", "year", "parameters", "MACs", "field", value, "published for")
    table = Table(box=None, caption="; ".join(f"{value}: {text}" for _, text in subjects) or None)
    for title in titles:
        if title != "task" or not one_task:
            justify: Literal["left", "right"] = "left" if title in left else "right"
            table.add_column(title, justify=justify, no_wrap=title != "published for")
    for row in rows:
        one = row.published
        table.add_row(
            row.name,
            *([] if one_task else [row.task]),
            str(row.year),
            f"{row.params / 1e6:,.3f} M",
            f"{row.macs / 1e9:,.3f} G",
            str(row.field[0]) if row.field else "",
            f"{one.percent:.2f}%" if one else "",
            one.protocol if one else "",
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
    published: dict[str, Published | None] = {}
    for task in {network.task for network in networks}:
        alike = [network for network in networks if network.task == task]
        found = comparable([network.card for network in alike], _main(task))
        published |= {network.name: one for network, one in zip(alike, found)}
    rows = []
    for network in networks:
        with without_values():
            measured = profile(network())
        field = measured.largest_field
        rows.append(
            Row(
                network.name,
                network.task,
                network.card.year,
                network.card.input_shape,
                measured.params,
                measured.macs,
                field.size if field else None,
                published[network.name],
            )
        )
    return rows


def _main(task: str) -> str:
    """What papers call the measure that decides in a task, such as "mean IoU"; "": not known."""
    from kerascnn import registry
    from kerascnn.errors import KerascnnError

    try:
        found: Any = registry.load(registry.TASKS, task, object)
    except KerascnnError:  # a network whose task is missing has its figures all the same
        return ""
    return found.measures[0].title


def comparable(cards: list[Card], main: str = "") -> list[Published | None]:
    """For each card the published figure that is most like the others'.

    Everybody published for another protocol. The dataset and metric that most of the cards have
    are taken, and of those the number of crops that most have; a card that lacks it keeps its
    first figure, and its protocol says so. Averages over several networks are left out.

    Args:
        cards: of networks for one task.
        main: the metric that is taken where several are equally frequent.
    """
    published = [[*_figures(card)] for card in cards]
    subject = _most(
        ({(one.dataset, one.metric) for one in found} for found in published),
        lambda subject: (subject[1].lower() != main.lower(), subject),
    )
    crops = _most(
        {one.crops for one in found if (one.dataset, one.metric) == subject} for found in published
    )
    chosen = []
    for found in published:
        fitting = [one for one in found if (one.dataset, one.metric) == subject]
        alike = [one for one in fitting if one.crops == crops]
        chosen.append(next(iter(alike or fitting), None))
    return chosen


def _most(sets: Iterable[set[Any]], order: Callable[[Any], Any] = lambda item: item) -> Any:
    """What is in most of the sets; of equals, the first in order: of the alphabet, "1 crop"."""
    counts = Counter(item for items in sets for item in items)
    return min(counts, key=lambda item: (-counts[item], order(item)), default=None)


def _figures(card: Card) -> Iterable[Published]:
    """What was published in percent, one by one: "top-1/top-5 error %" are two."""
    for result in card.results:
        values = result.value if isinstance(result.value, tuple) else (result.value,)
        name = result.metric.removesuffix("%").strip()
        shared = " error" if name.endswith(" error") else ""  # behind the last of several
        metrics = name.removesuffix(shared).split("/")
        together = re.search(r"\b([2-9]|\d\d+) (networks|models)", result.protocol)
        if not result.metric.endswith("%") or len(values) != len(metrics) or together:
            continue
        for metric, value in zip(metrics, values):
            yield Published(result.dataset, metric + shared, result.protocol, value, result.source)


INK, PAPER, GRID, BLUE = "#26292e", "#fcfcfb", "#d9dad6", "#0072b2"


def _draw(rows: list[Row], path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    from kerascnn.errors import ArgumentError

    if not rows:
        raise ArgumentError("--save: none of these architectures has a published figure.")
    if len(tasks := {row.task for row in rows}) > 1:
        raise ArgumentError(
            "--save draws networks of one task, whose figures can be compared. "
            f"Received: networks for {' and '.join(sorted(tasks))}."
        )
    figure = Figure(figsize=(8, 5.2), dpi=150, layout="constrained", facecolor=PAPER)
    axes = figure.add_subplot(facecolor=PAPER)
    macs = [row.macs / 1e9 for row in rows]
    values = [row.published.percent for row in rows if row.published]
    largest = max(row.params for row in rows)
    areas = [max(1800 * row.params / largest, 12) for row in rows]
    axes.scatter(macs, values, s=areas, color=BLUE, alpha=0.45, edgecolors=INK, linewidths=0.8)
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
    first = rows[0].published
    assert first
    axes.set_ylabel(f"{first.metric} in %, {first.dataset}")
    axes.set_title(
        f"Area: parameters, the largest {largest / 1e6:,.3g} million",
        loc="left",
        fontsize=10,
        color=INK,
    )
    caption = textwrap.fill(_protocols(rows), 150)
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=7, color=INK)
    _label(figure, axes, [row.name for row in rows], list(zip(macs, values)), areas)
    try:
        figure.savefig(path)
    except (ValueError, OSError) as error:  # an unknown suffix; a folder that isn't there
        raise ArgumentError(f"--save {path}: {error}") from error


def _protocols(rows: Iterable[Row]) -> str:
    """What a reader must know before comparing the figures."""
    groups: dict[str, list[str]] = {}
    errors = False
    for row in rows:
        assert row.published
        groups.setdefault(row.published.crops, []).append(row.name)
        errors = row.published.metric.endswith("error")
    what = "Errors" if errors else "Figures"
    if len(groups) == 1:
        return f"{what} as published: {next(iter(groups))}."
    listed = "; ".join(f"{crops}: {', '.join(names)}" for crops, names in groups.items())
    crops = ": the more crops, the fewer errors" if errors else ""
    return f"{what} as published, under different protocols{crops}. {listed}."


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
