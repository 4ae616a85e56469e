"""`kerascnn runs`: a table of runs, and what differs between two of them."""

from __future__ import annotations

import fnmatch
import json as json_
import operator
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kerascnn.commands.groups import Group
from kerascnn.commands.options import complete_run
from kerascnn.errors import ArgumentError, KerascnnError, RunError
from kerascnn.tasks.measure import HELD, TEST, Measure

if TYPE_CHECKING:
    from rich.table import Table

    from kerascnn.console import Console
    from kerascnn.runs.run import Run

FINISHED, INTERRUPTED, RUNNING, DEAD = "finished", "interrupted", "running", "dead"
DAMAGED = "damaged"
COLOURS = {
    FINISHED: "green",
    INTERRUPTED: "yellow",
    RUNNING: "cyan",
    DEAD: "red",
    DAMAGED: "bold red",
}
# A directory with one of these and without a config.json was a run once.
TRACES = ("model.keras", "history.csv", "metrics.json", "checkpoints")
# They differ between any two runs, and say nothing about the result.
ALWAYS_DIFFERENT = ("created", "command")
LONGEST_VALUE = 60  # characters in the table of differences


@dataclass(frozen=True)
class Row:
    """One run; what isn't known is None.

    Attributes:
        run: its directory, below the one that was asked for.
        name: of the network.
        task: what it is trained for.
        data: the source.
        epochs: that are complete.
        of: epochs it was started for.
        measure: the task's main one; not known where the task is not installed.
        result: its value on the test images; a share is in [0, 1].
        val_result: the same on the validation images after the last epoch.
        params: trainable.
        seconds: of training steps.
        strategy: as it was asked for.
        after: the run that it goes on from.
        created: when it was started, local time in ISO 8601.
        state: "finished", "interrupted", "running", "dead" or "damaged". One that runs on another
            machine seems dead where the file system shares no locks.
        silent: seconds since it last wrote something, if it is running or dead.
        reason: what is damaged.
    """

    run: str
    name: str | None = None
    task: str | None = None
    data: str | None = None
    epochs: int | None = None
    of: int | None = None
    measure: Measure | None = None
    result: float | None = None
    val_result: float | None = None
    params: int | None = None
    seconds: float | None = None
    strategy: str | None = None
    after: str | None = None
    created: str | None = None
    state: str = DAMAGED
    silent: float | None = None
    reason: str = ""

    def column(self, name: str) -> Any:
        """What stands in one of `COLUMNS`."""
        if name in ERRORS:
            own = self.measure is not None and self.measure.name == "error"
            return getattr(self, ERRORS[name]) if own else None
        value = getattr(self, name)
        return value.name if isinstance(value, Measure) else value


# A classifier's result by the name that it has in its files: "error<5%" is another task's not.
ERRORS = {"error": "result", "val_error": "val_result"}
RESULTS = ("result", "val_result")
COLUMNS = (*(field.name for field in fields(Row)), *ERRORS)
NUMBERS = ("epochs", "of", *RESULTS, *ERRORS, "params", "seconds", "silent")


class _ListsByDefault(Group):
    """A group in which anything but a sub-command's name belongs to `list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` in front."""
        if not args or args[0] not in (*self.commands, "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


runs = typer.Typer(
    cls=_ListsByDefault,
    help="List runs; `kerascnn runs DIR` is short for `kerascnn runs list DIR`.",
    add_completion=False,
    rich_markup_mode=None,
)


@runs.command("list")
def list_(
    directory: Path = typer.Argument(Path("runs"), help="Looked through at any depth."),
    sort: str = typer.Option(
        "created",
        help=f"A column: {', '.join(COLUMNS)}. By result: the best first, by the main measure of "
        "its task.",
    ),
    reverse: bool = typer.Option(
        False, "--reverse", help="The other way round: the largest first."
    ),
    filter_: list[str] = typer.Option(
        [],
        "--filter",
        metavar="COLUMN<VALUE",
        help="Such as 'result<5%', 'name=resnet*' or 'state!=finished'; all of several must hold.",
    ),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """List runs with their results and state; damaged ones too."""
    if sort not in COLUMNS:
        raise ArgumentError(f"--sort must be one of {', '.join(COLUMNS)}. Received: {sort!r}.")
    conditions = [_condition(text) for text in filter_]
    if not directory.is_dir():
        raise RunError(f"There is no directory {directory}. `kerascnn train` makes runs in ./runs.")
    found = [_row(path, directory) for path in sorted(_directories(directory))]
    rows = [row for row in found if all(holds(row) for holds in conditions)]
    known = [row for row in rows if row.column(sort) is not None]
    known.sort(key=lambda row: _place(row, sort), reverse=reverse)
    rows = known + [row for row in rows if row.column(sort) is None]
    if json:
        found_ = [{name: row.column(name) for name in COLUMNS} for row in rows]
        typer.echo(json_.dumps(found_, indent=2))
        return
    from rich.markup import escape

    from kerascnn.console import Console

    console = Console()
    if not rows:
        of = f" of {len(found)} passes the filters" if found else f" in {directory}"
        console.print(f"No run{of}.", highlight=False)
        return
    _print_table(console, rows)
    for row in rows:
        if row.reason or row.silent is not None:
            why = row.reason or f"has written nothing for {_duration(row.silent or 0)}"
            console.print(f"[{COLOURS[row.state]}]{escape(row.run)}[/]: {escape(why)}")


def _place(row: Row, column: str) -> Any:
    """What rows are sorted by; results of several measures can't be compared, and stand apart."""
    value = row.column(column)
    if column in RESULTS and row.measure:
        return row.measure.name, row.measure.sign * value
    return value


def _directories(root: Path) -> Iterator[Path]:
    """Directories that are runs, or were."""
    for path, folders, files in os.walk(root):
        if "config.json" in files or any(trace in files + folders for trace in TRACES):
            folders.clear()
            yield Path(path)
        else:
            folders[:] = sorted(name for name in folders if not name.startswith("."))


def _row(path: Path, root: Path) -> Row:
    """What is known of a run; never raises."""
    from kerascnn.runs.run import Run

    name = path.relative_to(root).as_posix() if path != root else str(path)
    try:
        return _read(Run.open(path), name)
    except KerascnnError as error:
        return Row(name, reason=str(error))
    except Exception as error:  # files of any content are met here
        return Row(name, reason=f"{type(error).__name__}: {error}")


def _read(run: Run, name: str) -> Row:
    from kerascnn.runs.directory import is_alive

    config, history = run.config, run.history
    metrics = run.metrics if (run.path / "metrics.json").is_file() else {}
    if is_alive(run.path):
        state = RUNNING
    else:
        state = INTERRUPTED if metrics.get("interrupted") else FINISHED if metrics else DEAD
    last = history[-1] if history else {}
    measure = next(iter(run.measures), None)
    return Row(
        run=name,
        name=config.name,
        task=config.task,
        data=config.data.source,
        epochs=metrics.get("epochs", len(history)),
        of=config.recipe.epochs,
        measure=measure,
        result=measure.of(metrics, TEST) if measure else None,
        val_result=measure.of({**last, **metrics}, HELD) if measure else None,
        params=metrics.get("trainable_params"),
        seconds=metrics.get("train_seconds", sum(row["seconds"] for row in history)),
        strategy=config.strategy,
        after=config.predecessor.run if config.predecessor else None,
        created=config.created,
        state=state,
        silent=_silence(run.path) if state in (RUNNING, DEAD) else None,
    )


def _silence(path: Path) -> float:
    """Seconds since something was written in the directory."""
    newest = max(entry.stat().st_mtime for entry in (path, *path.rglob("*")) if entry.exists())
    return max(0.0, time.time() - newest)


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}


def _condition(text: str) -> Callable[[Row], bool]:
    """A test of rows from `column<value`.

    Text is compared with = and != only, and with shell wildcards; percent signs are understood.
    A run of which the value isn't known fulfils != only.

    Raises:
        ArgumentError: it can't be understood.
    """
    found = re.fullmatch(r"\s*(\w+)\s*(<=|>=|!=|==|<|>|=)\s*(.+?)\s*", text)
    column = found[1] if found else ""
    if found is None or column not in COLUMNS:
        raise ArgumentError(
            "--filter must be a column, one of < <= > >= = !=, and a value, such as result<5%. "
            f"Columns: {', '.join(COLUMNS)}. Received: {text!r}."
        )
    sign, value = found[2].replace("==", "="), found[3]
    if column in NUMBERS:
        number = _number(value, text)
        return lambda row: _compare(COMPARISONS[sign], sign, row.column(column), number)
    if sign in ("=", "!="):
        return lambda row: (
            fnmatch.fnmatchcase(str(row.column(column) or ""), value) == (sign == "=")
        )
    return lambda row: _compare(COMPARISONS[sign], sign, row.column(column), value)


def _compare(compare: Callable[[Any, Any], bool], sign: str, value: Any, limit: Any) -> bool:
    return sign == "!=" if value is None else compare(value, limit)


def _number(text: str, whole: str) -> float:
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise ArgumentError(f"--filter needs a number there. Received: {whole!r}.") from None


# Shown where the terminal has room for them, the first first.
OPTIONAL = ("name", "data", "task", "after", "params", "seconds", "created", "strategy")
LONGEST_SOURCE = 24  # characters in a line of a terminal; longer ones are folded


def _table(rows: list[Row], left_out: Collection[str] = (), *, folded: bool = False) -> Table:
    from rich.table import Table

    from kerascnn.tables import Name

    measures = {row.measure.name for row in rows if row.measure}
    result = next(iter(measures)) if len(measures) == 1 else "result"
    columns: dict[str, list[Any]] = {
        "run": [Name(row.run) for row in rows],
        "name": [row.name or "" for row in rows],
        "task": [row.task or "" for row in rows],
        "data": [Name(row.data or "") for row in rows],
        "epochs": ["" if row.epochs is None else f"{row.epochs}/{row.of}" for row in rows],
        result: [_result(row, named=len(measures) > 1) for row in rows],
        "params": ["" if row.params is None else f"{row.params:,}" for row in rows],
        "seconds": ["" if row.seconds is None else f"{row.seconds:,.0f}" for row in rows],
        "strategy": [row.strategy or "" for row in rows],
        "after": [Name(Path(row.after or "").name) for row in rows],
        "created": [(row.created or "").replace("T", " ")[:16] for row in rows],
        "state": [f"[{COLOURS[row.state]}]{row.state}[/]" for row in rows],
    }
    if len({row.task for row in rows if row.task}) < 2:
        del columns["task"]
    if not any(row.after for row in rows):
        del columns["after"]
    shown = {title: cells for title, cells in columns.items() if title not in left_out}
    table = Table(box=None)
    for title in shown:
        right = title in (*NUMBERS, result)
        table.add_column(
            title,
            justify="right" if right else "left",
            no_wrap=title not in ("run", "data"),
            max_width=LONGEST_SOURCE if folded and title == "data" else None,
        )
    for cells in zip(*shown.values()):
        table.add_row(*cells)
    return table


def _result(row: Row, *, named: bool) -> str:
    """A run's result, with the name of the measure where there are several."""
    if row.measure is None or row.result is None:
        return ""
    return f"{row.measure.name} " * named + row.measure.written(row.result)


def _print_table(console: Console, rows: list[Row]) -> None:
    """All columns, or as many as the terminal has room for."""
    from kerascnn import tables

    if not tables.is_bounded(console):
        tables.show(console, _table(rows))
        return
    known = {column.header for column in _table(rows).columns}
    left_out = [title for title in OPTIONAL if title in known]
    for title in tuple(left_out):
        fewer = [other for other in left_out if other != title]
        if tables.natural_width(console, _table(rows, fewer, folded=True)) <= console.width:
            left_out = fewer
    tables.show(console, _table(rows, left_out, folded=True))
    if left_out:
        names = ", ".join(left_out)
        console.print(f"Not shown for want of room: {names}.", style="dim", highlight=False)


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


@runs.command()
def diff(
    first: Path = typer.Argument(help="A run directory.", autocompletion=complete_run),
    second: Path = typer.Argument(help="Another one.", autocompletion=complete_run),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Show what differs between two runs: settings, versions, data, and results."""
    from kerascnn.runs.run import Run

    pair = Run.open(first), Run.open(second)
    settings = _differences(*(_settings(run) for run in pair))
    results = _differences(*(_results(run) for run in pair))
    if json:
        found = {"runs": [str(first), str(second)], "settings": settings, "results": results}
        typer.echo(json_.dumps(found, indent=2))
        return
    from rich.table import Table

    from kerascnn import tables
    from kerascnn.console import Console

    # The last parts of the paths, unless they are the same.
    titles = (first.name, second.name) if first.name != second.name else (first, second)
    table = Table("", box=None)
    for title in titles:
        table.add_column(tables.Name(str(title), "bold"))
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True  # the names of the settings stay whole
    for part, differences in (("settings", settings), ("results", results)):
        rows = differences or {"no difference": (None, None)}
        table.add_row(f"[bold]{part}[/]", style="dim" if not differences else None)
        for key, values in rows.items():
            table.add_row(f"  {key}", *map(_shown, values))
    tables.show(Console(), table)


def _settings(run: Run) -> dict[str, Any]:
    from kerascnn.runs.config import plain

    config = plain(run.config)
    return dict(_flat({k: v for k, v in config.items() if k not in ALWAYS_DIFFERENT}))


def _results(run: Run) -> dict[str, Any]:
    """The final metrics, or those of the last epoch where training has not come to its end."""
    if (run.path / "metrics.json").is_file():
        return dict(_flat(run.metrics))
    return dict(run.history[-1]) if run.history else {}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"recipe": {"epochs": 3}}` as `("recipe.epochs", 3)`."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _differences(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Key → both values, None where one has no such key, in the order of the first."""
    keys = dict.fromkeys((*first, *second))
    return {k: (first.get(k), second.get(k)) for k in keys if first.get(k) != second.get(k)}


def _shown(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if re.fullmatch("[0-9a-f]{40,}", text):
        return text[:12]  # of a commit or a fingerprint
    return escape(text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…")
