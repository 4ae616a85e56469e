"""`kerascnn info`: what is known about an architecture or a run, and its layers."""

from __future__ import annotations

import dataclasses
import json as json_
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kerascnn.commands.options import complete_subject
from kerascnn.errors import ArgumentError
from kerascnn.words import memory

if TYPE_CHECKING:
    from rich.table import Table

    from kerascnn.architecture import Architecture
    from kerascnn.card import Preprocessing
    from kerascnn.console import Console
    from kerascnn.paper_tables import Beside, Line
    from kerascnn.profiles import Profile
    from kerascnn.tasks.measure import Measure

FEW_LAYERS = 30  # a network of so many is shown layer by layer without being asked


def info(
    subject: str = typer.Argument(
        help="An architecture's name, or a run directory.", autocompletion=complete_subject
    ),
    layers: bool = typer.Option(False, "--layers", help="Show every layer of a deep network too."),
    weights: bool = typer.Option(
        False, "--weights", help="Count the weights of every layer, without biases, and its share."
    ),
    paper: bool = typer.Option(
        False, "--paper", help="The paper's own table of layers and sizes, ours beside it."
    ),
    thousands: bool = typer.Option(
        False, "--thousands", help="Counts of layers as papers print them: 61.7 K, 138 M, 15.5 B."
    ),
    assign: list[str] = typer.Option(
        [], "--set", help="argument=value of the architecture; repeat for several."
    ),
    input_shape: str | None = typer.Option(None, help="HEIGHTxWIDTHxCHANNELS; default: native."),
    classes: int | None = typer.Option(None, min=1, help="Default: native."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Show an architecture's card, arguments and layers, or those of a trained run."""
    from kerascnn import catalogue
    from kerascnn.commands.options import parse_network, refuse_for_run, run_directory
    from kerascnn.console import Console
    from kerascnn.paper_tables import beside
    from kerascnn.profiles import EXACT
    from kerascnn.tables import show
    from kerascnn.words import rounded

    changed = {"--set": assign, "--input-shape": input_shape, "--classes": classes}
    if paper and any(changed.values()):
        raise ArgumentError(
            "--paper shows the network as its paper has it, and takes none of "
            f"{', '.join(changed)}. Received: {', '.join(k for k, v in changed.items() if v)}."
        )
    run: dict[str, Any] | None = None
    measures: tuple[Measure, ...] = ()
    if path := run_directory(subject):
        refuse_for_run(subject, {**changed, "--paper": paper})
        network, measured, expected, run, measures = _open(path)
    else:
        network = catalogue.get(subject)
        chosen = parse_network(subject, assign, input_shape=input_shape, classes=classes)
        measured, expected = chosen.profile(), chosen.preprocessing
    report = _report(network, measured, expected, run)
    lines = beside(network.card.table, measured) if paper and network and network.card.table else ()
    if json:
        if paper:
            report["paper"] = [dataclasses.asdict(line) for line in lines]
        report["layers"] = measured.to_dict()["layers"]
        typer.echo(json_.dumps(report, indent=2))
        return
    console = Console()
    write = rounded if thousands else EXACT
    if paper and network:
        _print_paper(console, network, lines, write)
        return
    _print_card(console, report, measures)
    if weights:
        show(console, measured.weight_table(write=write))
    if layers or (len(measured.layers) <= FEW_LAYERS and not weights):
        show(console, measured.table(write=write))
    elif not weights:
        console.print(f"[dim]{len(measured.layers)} layers: --layers shows them.[/]")


def _open(
    path: Path,
) -> tuple[Architecture | None, Profile, Preprocessing, dict[str, Any], tuple[Measure, ...]]:
    """The architecture, the layers, the pixels that it expects, facts of the run, its measures."""
    from kerascnn import catalogue, profile
    from kerascnn.runs.config import plain
    from kerascnn.runs.run import Run

    run = Run.open(path)
    measured, config = profile(run.model()), run.config
    chosen = config.architecture
    found = {
        "path": str(path),
        "task": config.task,
        "data": plain(config.data),
        "arguments": plain(chosen.arguments) if chosen else None,
        "metrics": run.metrics,
    }
    network = catalogue.get(chosen.name) if chosen else None
    return network, measured, config.preprocessing, found, run.measures


def _report(
    network: Architecture | None,
    measured: Profile,
    preprocessing: Preprocessing,
    run: dict[str, Any] | None,
) -> dict[str, Any]:
    from kerascnn import registry

    field = measured.largest_field
    report: dict[str, Any] = {
        "name": network.name if network else measured.model,
        "input_shape": measured.layers[0].output_shape,
        "output_shapes": [measured[name].output_shape for name in measured.outputs],
        "params": measured.params,
        "other_params": measured.other_params,
        "macs": measured.macs,
        "preprocessing": dataclasses.asdict(preprocessing),
        "receptive_field": dataclasses.asdict(field) if field else None,
        "peak_bytes_inference": measured.peak_memory(),
        "peak_bytes_training": measured.peak_memory(training=True),
    }
    if run:
        report["run"] = run
    if network:
        entry = registry.entries(registry.ARCHITECTURES)[network.name][0]
        report["provider"] = entry.origin
        report["task"] = network.task
        report["card"] = dataclasses.asdict(network.card)
        report["arguments"] = [
            {
                "name": param.name,
                "default": param.default,
                "expected": param.expected(),
                "when": param.when,
                "help": param.help,
            }
            for param in network.space
        ]
    return report


def _print_card(
    console: Console, report: dict[str, Any], measures: tuple[Measure, ...] = ()
) -> None:
    from rich.markup import escape

    card = report.get("card")
    console.print(f"[bold]{report['name']}[/]  [dim]{report.get('provider', 'own model')}[/]")
    if card:
        console.print(escape(f"{card['title']} ({card['authors']}, {card['year']})"))
        console.print(_address(card["link"]), style="blue", highlight=False)
    console.print(_facts(report))
    if "run" in report:
        console.print(_grid("run", _run_lines(report["run"], measures)))
    if not card:
        return
    if card["results"]:
        console.print(_results(card["results"]))
    if report["arguments"]:
        console.print(_arguments(report["arguments"]))
    for deviation in card["deviations"]:
        console.print(f"[yellow]deviation[/]  {escape(deviation)}", highlight=False)
    console.print()


def _print_paper(
    console: Console,
    network: Architecture,
    lines: tuple[Line, ...],
    write: Callable[[int], str],
) -> None:
    """The paper's table and ours, without the columns that it doesn't have."""
    from rich.markup import escape
    from rich.table import Table

    from kerascnn.tables import show

    card = network.card
    console.print(f"[bold]{network.name}[/]  {escape(card.title)} ({card.year})")
    if card.table is None:
        console.print("No table of its layers or sizes in the paper is known to us.")
        return
    console.print(f"From the paper: {card.table.source}. ≠: ours differs; in brackets: ours alone.")
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("layer", no_wrap=True)
    table.add_column("output", justify="right", no_wrap=True)
    columns = {"params": "parameters", "operations": card.table.counted, "units": "units"}
    told = [name for name in columns if any(getattr(line, name).printed for line in lines)]
    if "units" not in told:
        del columns["units"]
    for name, title in columns.items():
        if name in told:
            table.add_column(title, justify="right", overflow="fold")
        table.add_column("ours" if name in told else f"({title})", justify="right", no_wrap=True)
    notes = list(dict.fromkeys(line.note for line in lines if line.note and line.differs))
    for line in lines:
        mark = f" ({notes.index(line.note) + 1})" if line.note and line.differs else ""
        pairs = {name: _pair(getattr(line, name), write) for name in columns}
        counts = [cell for name, pair in pairs.items() for cell in pair[name not in told :]]
        style = "bold" if line.layer == "total" else None
        table.add_row(line.layer + mark, _output(line), *counts, style=style)
    show(console, table)
    numbered = [f"({number}) {note}" for number, note in enumerate(notes, start=1)]
    for text in filter(None, (*numbered, card.table.note)):
        console.print(escape(text), highlight=False)


def _pair(both: Beside, write: Callable[[int], str]) -> tuple[str, str]:
    """The paper's number, and ours, marked where it is another."""
    ours = "" if both.ours is None else write(both.ours)
    if not both.printed:
        return "", ours if both.ours else ""
    return both.printed.text, f"≠ {ours}" if both.differs else ours


def _output(line: Line) -> str:
    """The paper's shape, and ours behind it where it is another."""
    told, ours = ("×".join(map(str, shape)) for shape in (line.output, line.our_output))
    if not told:
        return f"({ours})" if ours else ""
    return f"{told} ≠ {ours}" if line.shape_differs else told


def _grid(title: str, lines: list[tuple[str, str]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=None, show_header=False)
    for name, value in lines:
        table.add_row(f"[dim]{name}[/]", escape(value))
    return table


def _facts(report: dict[str, Any]) -> Table:
    card, field = report.get("card"), report["receptive_field"]
    outputs = ", ".join("×".join(map(str, shape)) for shape in report["output_shapes"])
    lines = [
        *([("task", report["task"])] if "task" in report else []),
        ("input", "×".join(map(str, report["input_shape"]))),
        ("output", outputs),
        ("parameters", f"{report['params']:,} trainable, {report['other_params']:,} others"),
        ("MACs", f"{report['macs']:,}"),
        (
            "activations",
            f"{memory(report['peak_bytes_inference'])} at most for one image, "
            f"{memory(report['peak_bytes_training'])} in training",
        ),
    ]
    if field:
        size, stride = field["size"][0], field["stride"][0]
        lines.append(("receptive field", f"{size} pixels, stride {stride} (convolutions)"))
    if card and card["smallest_input"]:
        height, width = card["smallest_input"]
        lines.append(("smallest input", f"{height}×{width}, without the classifier"))
    lines.append(("preprocessing", _formula(report["preprocessing"])))
    return _grid("", lines)


def _formula(known: dict[str, Any]) -> str:
    """How pixels in 0..255 become the input, without the steps that change nothing."""
    text = "pixel" if known["scale"] == 1 else f"pixel / {1 / known['scale']:g}"
    if any(known["mean"]):
        text = f"{text} - {_values(known['mean'])}"
    if any(value != 1 for value in known["std"]):
        text = f"({text}) / {_values(known['std'])}"
    return f"{text}, {known['order']}"


def _values(values: tuple[float, ...]) -> str:
    return f"({_plain(values)})" if len(values) > 1 else _plain(values)


def _run_lines(run: dict[str, Any], measures: tuple[Measure, ...]) -> list[tuple[str, str]]:
    from kerascnn.runs.run import figure
    from kerascnn.tasks.measure import logged

    data = run["data"]
    sizes = ", ".join(f"{split} {size:,}" for split, size in data["sizes"].items())
    lines = [
        ("directory", run["path"]),
        ("task", run["task"]),
        ("data", f"{data['source']} ({sizes})"),
    ]
    lines += [(f"argument {name}", _plain(v)) for name, v in (run["arguments"] or {}).items()]
    for name, value in run["metrics"].items():
        lines.append((name, figure(value, logged(name, measures))))
    return lines


def _results(results: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table("dataset", "protocol", "metric", "value", "source", title="published results")
    table.box, table.title_justify = None, "left"
    for row in results:
        values = (_plain(value) for value in row.values())
        table.add_row(*values)
    return table


def _arguments(arguments: list[dict[str, Any]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table("argument", "default", "legal", "meaning", title="arguments")
    table.box, table.title_justify = None, "left"
    for row in arguments:
        meaning = row["help"]
        if row["when"]:
            parent, values = row["when"]
            meaning += f" Only if {parent} is {' or '.join(map(str, values))}."
        table.add_row(row["name"], _plain(row["default"]), escape(row["expected"]), escape(meaning))
    return table


def _plain(value: Any) -> str:
    return ", ".join(map(_plain, value)) if isinstance(value, (tuple, list)) else str(value)


def _address(link: str) -> str:
    """A DOI or an arXiv id as an address that a terminal can open."""
    for scheme, prefix in (("doi:", "https://doi.org/"), ("arXiv:", "https://arxiv.org/abs/")):
        if link.startswith(scheme):
            return prefix + link.removeprefix(scheme)
    return link
