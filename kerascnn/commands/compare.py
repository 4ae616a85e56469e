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

from kerascnn.commands.options import complete_architecture
from kerascnn.words import rounded

if TYPE_CHECKING:
    from kerascnn.architecture import Architecture
    from kerascnn.card import Card
    from kerascnn.console import Console
    from kerascnn.cost import Cost
    from kerascnn.paper_tables import Checked, Sizes
    from kerascnn.profiles import LayerProfile, Profile


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
class Share:
    """What layers of a kind have of all parameters, and of all multiply-adds."""

    params: float
    macs: float


@dataclass(frozen=True)
class Row:
    """One architecture at its native input."""

    name: str
    task: str
    year: int
    input_shape: tuple[int, ...]
    params: int
    macs: int
    dense: Share
    convolutions: Share
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
    reference: str | None = typer.Option(
        None,
        metavar="NAME",
        help="How many times this network's parameters and MACs each one has.",
        autocompletion=complete_architecture,
    ),
    claims: bool = typer.Option(
        False,
        "--claims",
        help="Below: what the papers say of their sizes, beside what their tables and we count.",
    ),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Compare architectures: parameters, MACs, receptive field, published results."""
    from kerascnn import catalogue

    known = _expand(names)
    whole = catalogue.get(reference).cost() if reference else None
    rows, told = _rows(known)
    if save:
        _draw([row for row in rows if row.published], save)
    if json:
        listed = [row.as_dict() | _times(row, whole) for row in rows]
        listed_claims = [asdict(one) | {"name": name} for name, one in told]
        typer.echo(
            json_.dumps(
                {"networks": listed, "claims": listed_claims} if claims else listed, indent=2
            )
        )
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
    sizes = ("year", "params", "dense", "MACs", "field")
    about = ("params", "×", "dense", "MACs", "× ") if whole else sizes
    titles = ("name", "task", *about, value, "published for")
    notes = ["dense: share of the parameters in dense layers"]
    notes += [f"×: of {reference}'s"] if whole else []
    notes += [f"{value}: {text}" for _, text in subjects]
    table = Table(box=None, caption="; ".join(notes), pad_edge=False)
    for title in titles:
        if title != "task" or not one_task:
            justify: Literal["left", "right"] = "left" if title in left else "right"
            table.add_column(title, justify=justify, no_wrap=title != "published for")
    for row in rows:
        one, times = row.published, [f"{ratio:.2f}" for ratio in _times(row, whole).values()]
        cells = {
            "name": row.name,
            "task": row.task,
            "year": str(row.year),
            "params": rounded(row.params),
            "×": times[0] if times else "",
            "dense": f"{row.dense.params:.1%}" if row.dense.params else "",
            "MACs": rounded(row.macs),
            "× ": times[1] if times else "",
            "field": str(row.field[0]) if row.field else "",
            value: f"{one.percent:.2f}%" if one else "",
            "published for": one.protocol if one else "",
        }
        table.add_row(*(cells[str(column.header)] for column in table.columns))
    console = Console()
    show(console, table)
    if claims:
        _print_claims(console, told)
    if save:
        console.print(f"Picture: {save}")


def _times(row: Row, reference: Cost | None) -> dict[str, float]:
    """How many times the reference's parameters and multiply-adds it has; {}: there is none."""
    if reference is None:
        return {}
    return {
        "times_params": row.params / reference.params,
        "times_macs": row.macs / reference.macs,
    }


def _print_claims(console: Console, told: list[tuple[str, Checked]]) -> None:
    """A line for each: what the paper says, what the papers' tables give, what is counted."""
    from rich.text import Text

    if not told:
        console.print("\nNone of these papers makes a claim about its size that we know of.")
        return
    for name, one in told:
        lines = [f"{'=' if one.agrees else '≠'} counted: {one.counted}"]
        lines += [f"  the papers' tables: {one.tables}"] if one.tables else []
        lines += [f"  {one.claim.note}"] if one.claim.note else []
        console.print(Text(f"\n{name}: {one.claim.says} ({one.claim.source})", "bold"))
        for line in lines:
            console.print(Text(f"  {line}"))


def _expand(patterns: list[str]) -> list[str]:
    """Names in the order asked for, wildcards replaced, each once."""
    from kerascnn import catalogue

    names: dict[str, None] = {}
    for pattern in patterns:
        found = catalogue.list_architectures(pattern) if set(pattern) & set("*?[") else []
        names |= dict.fromkeys(found or [pattern])
    return list(names)


def _rows(names: list[str]) -> tuple[list[Row], list[tuple[str, Checked]]]:
    """What is shown of each, and what their papers claim."""
    from kerascnn import catalogue
    from kerascnn.paper_tables import Sizes, check

    networks = [catalogue.get(name) for name in names]
    published: dict[str, Published | None] = {}
    for task in {network.task for network in networks}:
        alike = [network for network in networks if network.task == task]
        found = comparable([network.card for network in alike], _main(task))
        published |= {network.name: one for network, one in zip(alike, found)}
    rows, told = [], []
    for network in networks:
        measured = network.network().profile()
        field = measured.largest_field
        rows.append(
            Row(
                network.name,
                network.task,
                network.card.year,
                network.card.input_shape,
                measured.params,
                measured.macs,
                _share(measured, measured.dense),
                _share(measured, measured.convolutions),
                field.size if field else None,
                published[network.name],
            )
        )
        own = Sizes.of(measured, network.card.table)
        for claim in network.card.claims:
            other = _sizes(catalogue.get(claim.network)) if claim.network else None
            told.append((network.name, check(claim, own, other)))
    return rows, told


def _sizes(network: Architecture) -> Sizes:
    from kerascnn.paper_tables import Sizes

    cost = network.cost()
    return Sizes(cost.params, cost.macs, table=network.card.table)


def _share(measured: Profile, layers: list[LayerProfile]) -> Share:
    return Share(
        sum(layer.params for layer in layers) / (measured.params or 1),
        sum(layer.macs or 0 for layer in layers) / (measured.macs or 1),
    )


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
