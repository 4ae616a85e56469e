"""`kerascnn bench`: our speed as a ratio against peers, measured in one call."""

from __future__ import annotations

import dataclasses
import importlib.util
import json as json_
import os
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import typer

from kerascnn import catalogue, processors, registry
from kerascnn.commands.groups import Group, load_command
from kerascnn.commands.options import (
    complete_architecture,
    complete_source,
    complete_subject,
    parse_shape,
    run_directory,
)
from kerascnn.words import counted

if TYPE_CHECKING:
    from kerascnn.bench.networks import Row

PEERS = ("keras", "torchvision", "timm")
GPU_PEERS = ("keras", "torchvision")
GPU_PARTS = ("checks", "reading", "races")


class _WithPlugins(Group):
    """Our benchmarks, and those of other packages: entry points of `kerascnn.benchmarks`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *registry.entries(registry.BENCHMARKS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in registry.entries(registry.BENCHMARKS):
            return load_command(registry.BENCHMARKS, cmd_name)
        return super().get_command(ctx, cmd_name)


bench = typer.Typer(
    cls=_WithPlugins,
    no_args_is_help=True,
    help="Measure speed against peers.",
    add_completion=False,
    rich_markup_mode=None,
)


@bench.callback()
def _root() -> None:
    pass


def _names(required: bool = True) -> Any:
    default = ... if required else None
    return typer.Argument(
        default, help="Architectures, such as resnet50.", autocompletion=complete_architecture
    )


_AGAINST = typer.Option(
    list(PEERS), "--against", help="keras, torchvision or timm, where installed; repeatable."
)
_SHAPE = typer.Option(None, help="HEIGHTxWIDTHxCHANNELS; default: each network's own.")
_PRECISION = typer.Option(
    ["float32"],
    "--precision",
    help="float32, mixed_bfloat16, mixed_float16 or float64; repeatable: all take turns, and "
    "ratios are to ours in the first.",
)
_ROUNDS = typer.Option(5, min=1, help="Times that each contestant's turn comes.")
_JSON = typer.Option(False, "--json", help="Machine-readable output.")


@bench.command()
def infer(
    names: list[str] = typer.Argument(
        help="Architectures, such as resnet50; with --runtime also run directories.",
        autocompletion=complete_subject,
    ),
    batch_size: int = typer.Option(16, min=1),
    rounds: int = _ROUNDS,
    against: list[str] = _AGAINST,
    precision: list[str] = _PRECISION,
    runtime: list[str] = typer.Option(
        [],
        "--runtime",
        help="onnx, litert or openvino, repeatable: instead of peers, files that are exported for "
        "these, and of a run its error in each.",
    ),
    quantize: str | None = typer.Option(None, help="With --runtime: int8, besides float32."),
    data: str | None = typer.Option(
        None,
        help="With --quantize: where images are from on which ranges are found. Default: those "
        "that a run was trained on, and noise for a name.",
        autocompletion=complete_source,
    ),
    input_shape: str | None = _SHAPE,
    json: bool = _JSON,
) -> None:
    """Time inference against keras.applications, torchvision and timm, or in other runtimes."""
    if runtime:
        _runtimes(names, runtime, precision, quantize, data, batch_size, rounds, input_shape, json)
        return
    _refuse_without_runtime({"--quantize": quantize, "--data": data})
    _networks(
        "kerascnn.bench.infer", names, batch_size, rounds, against, precision, 1, input_shape, json
    )


def _refuse_without_runtime(options: Mapping[str, str | None]) -> None:
    from kerascnn.errors import ArgumentError

    for name, value in options.items():
        if value is not None:
            raise ArgumentError(f"{name} is for files: say where they run with --runtime.")


def _runtimes(
    subjects: Sequence[str],
    runtimes: Sequence[str],
    precisions: Sequence[str],
    quantize: str | None,
    data: str | None,
    batch_size: int,
    rounds: int,
    input_shape: str | None,
    json: bool,
) -> None:
    from kerascnn.bench import runtimes as measured
    from kerascnn.errors import ArgumentError
    from kerascnn.recipes.recipe import check_precision
    from kerascnn.runs.run import Run

    for runtime in runtimes:
        measured.check_runtime(runtime)
    for precision in precisions:
        check_precision(precision)
    if quantize not in (None, measured.INT8):
        raise ArgumentError(f"--quantize must be {measured.INT8}. Received: {quantize!r}.")
    found = {one: run_directory(one) for one in subjects}
    _check([name for name, path in found.items() if path is None])
    shape, load = parse_shape(input_shape), os.getloadavg()[0]
    rows: list[measured.Served] = []
    for name, path in found.items():
        _progress(f"{name} ...")
        rows += measured.measure(
            Run.open(path) if path else name,
            runtimes=runtimes,
            precisions=precisions,
            quantize=quantize is not None,
            data=data,
            batch_size=batch_size,
            rounds=rounds,
            input_shape=shape,
        )
    if json:
        _dump(rows, batch_size=batch_size, rounds=rounds, load=load)
        return
    _table(
        ("images/s", "ratio", "error", "agrees", "file", "first step", "memory"),
        [
            (
                row.network,
                row.contestant,
                f"{row.images_per_second:,.0f}",
                f"{row.ratio:.2f}",
                "–" if row.error is None else f"{row.error:.2%}",
                "–" if row.agreement is None else f"{row.agreement:.2%}",
                f"{row.size / 2**20:,.1f} MiB",
                f"{row.first_step:.1f} s",
                f"{row.peak_memory / 2**20:,.0f} MiB",
            )
            for row in rows
        ],
        f"Medians of {rounds} turns each, batch {batch_size}. ratio: its speed to kerascnn's own "
        "in float32. error, agrees: of the run's test images, the share of wrong answers, and of "
        "those that kerascnn gives in float32, too.",
        *_caution(load),
    )


@bench.command("train")
def train_steps(
    names: list[str] = _names(),
    batch_size: int = typer.Option(8, min=1),
    rounds: int = _ROUNDS,
    against: list[str] = _AGAINST,
    precision: list[str] = _PRECISION,
    input_shape: str | None = _SHAPE,
    memory_efficient: bool = typer.Option(
        False, "--memory-efficient", help="Of a DenseNet also with its concatenations not kept."
    ),
    json: bool = _JSON,
) -> None:
    """Time training steps against keras.applications, torchvision and timm."""
    _networks(
        "kerascnn.bench.training",
        names,
        batch_size,
        rounds,
        against,
        precision,
        3,
        input_shape,
        json,
        memory_efficient,
    )


def _networks(
    module: str,
    names: Sequence[str],
    batch_size: int,
    rounds: int,
    against: Sequence[str],
    precisions: Sequence[str],
    passes: int,
    input_shape: str | None,
    json: bool,
    memory_efficient: bool = False,
) -> None:
    from kerascnn.bench import networks
    from kerascnn.recipes.recipe import check_precision

    _check(names, against)
    for precision in precisions:
        check_precision(precision)
    shape = parse_shape(input_shape)
    load = os.getloadavg()[0]
    rows: list[Row] = []
    for name in names:
        _progress(f"{name} ...")
        rows += networks.measure(
            module,
            name,
            batch_size=batch_size,
            rounds=rounds,
            against=against,
            passes=passes,
            input_shape=shape,
            precisions=precisions,
            memory_efficient=memory_efficient,
        )
    if json:
        _dump(rows, batch_size=batch_size, rounds=rounds, load=load)
        return
    _table(
        ("images/s", "min–max", "ratio", "first step", "memory", "of peak"),
        [
            (
                row.network,
                row.contestant if len(precisions) == 1 else f"{row.contestant}, {row.precision}",
                f"{row.images_per_second:.1f}",
                f"{row.slowest:.1f}–{row.fastest:.1f}",
                f"{row.ratio:.2f}",
                f"{row.first_step:.1f} s",
                f"{row.peak_memory / 2**20:,.0f} MiB",
                f"{row.share_of_peak:.0%}",
            )
            for row in rows
        ],
        f"Medians of {rounds} turns each, batch {batch_size}. ratio: kerascnn's speed to this "
        "one's. first step: from the start of the process. memory: the process's largest. of peak: "
        f"{2 * passes} operations for each multiply-add of our network, over the speed of this "
        "machine's float32 matrix product in the same turns.",
        *(f"{name}: {networks.NOTES[name]}" for name in names if name in networks.NOTES),
        *_caution(load),
    )


@bench.command()
def digits(
    names: list[str] = _names(),
    batch_size: int = typer.Option(128, min=1),
    epochs: int = typer.Option(6, min=2, help="Of each training."),
    rounds: int = typer.Option(3, min=1, help="Fresh processes for each contestant."),
    json: bool = _JSON,
) -> None:
    """Train on the bundled digits: kerascnn, plain compile and fit, and PyTorch if installed."""
    from kerascnn.bench import digits as measured

    _check(names)
    load = os.getloadavg()[0]
    results = {}
    for name in names:
        contestants = ["kerascnn", "keras fit"]
        if name == "lenet5" and importlib.util.find_spec("torch"):
            contestants.append("pytorch")
        results[name] = measured.measure(
            name, batch_size=batch_size, epochs=epochs, rounds=rounds, contestants=contestants
        )
    if json:
        _dump(_rows(results), batch_size=batch_size, epochs=epochs, rounds=rounds, load=load)
        return
    _table(
        ("images/s", "min–max", "with first epoch", "first step", "ratio", "ratio*"),
        [
            (
                name,
                m.name,
                f"{m.images_per_second:,.0f}",
                f"{m.spread[0]:,.0f}–{m.spread[1]:,.0f}",
                f"{m.with_first_epoch:,.0f}",
                f"{m.first_step:.1f} s",
                f"{found[0].images_per_second / m.images_per_second:.2f}",
                f"{found[0].with_first_epoch / m.with_first_epoch:.2f}",
            )
            for name, found in results.items()
            for m in found
        ],
        f"Medians of {rounds} processes each, batch {batch_size}, {epochs} epochs. ratio: kerascnn "
        "to this; ratio*: with the first epoch.",
        *_caution(load),
    )


@bench.command()
def precision(
    names: list[str] = _names(),
    precision: str = typer.Option("mixed_bfloat16", help="What is compared with float32."),
    set_: list[str] = typer.Option(
        [], "--set", help="An argument of the architecture, such as widths=12,32. Repeatable."
    ),
    input_shape: str = typer.Option("32x32x1", help="HEIGHTxWIDTHxCHANNELS."),
    epochs: int | None = typer.Option(None, min=2, help="Of each training; default: the recipe's."),
    rounds: int = typer.Option(3, min=1, help="Trainings in each, with other seeds."),
    json: bool = _JSON,
) -> None:
    """Train on the digits and answer in half precision: speed, errors, agreement with float32."""
    from kerascnn.bench import precisions
    from kerascnn.commands.options import parse_network
    from kerascnn.recipes.recipe import check_precision

    _check(names)
    check_precision(precision)
    shape = parse_shape(input_shape) or (32, 32, 1)
    arguments = {name: parse_network(name, set_).given for name in names}
    load = os.getloadavg()[0]
    results = {}
    for name in names:
        _progress(f"{name} ...")
        results[name] = precisions.measure(
            name,
            precision=precision,
            arguments=arguments[name],
            input_shape=shape,
            epochs=epochs,
            rounds=rounds,
        )
    if json:
        _dump(_rows(results), input_shape=shape, epochs=epochs, rounds=rounds, load=load, set=set_)
        return
    _table(
        ("training", "ratio", "error", "inference", "ratio*", "error*", "agrees"),
        [
            (
                name,
                m.name,
                f"{m.training:,.0f}",
                f"{m.training_ratio:.2f}",
                f"{mean(m.trained_error):.2%}",
                f"{m.inference:,.0f}",
                f"{m.inference_ratio:.2f}",
                f"{mean(m.used_error):.2%}",
                f"{mean(m.agreement):.2%}",
            )
            for name, found in results.items()
            for m in found
        ],
        "Images/s, and top-1 errors of 1,000 test digits. training, error: of "
        f"{counted(rounds, 'training', 'trainings')} in this precision. inference, error*, agrees: "
        "of what was trained in float32, used in this one. Ratios: its speed to float32's.",
        *_caution(load),
    )


@bench.command()
def build(names: list[str] = _names(), rounds: int = _ROUNDS, json: bool = _JSON) -> None:
    """Time the making of a model, random weights included, against keras.applications."""
    from kerascnn.bench import building

    _check(names)
    load = os.getloadavg()[0]
    results = {name: building.measure(name, rounds=rounds) for name in names}
    if json:
        _dump(_rows(results), rounds=rounds, load=load)
        return
    _table(
        ("seconds", "min–max", "ratio", "first, with imports", "memory"),
        [
            (
                name,
                m.name,
                f"{m.seconds:.2f}",
                f"{m.fastest:.2f}–{m.slowest:.2f}",
                f"{m.seconds / found[0].seconds:.2f}",
                f"{m.first_step:.1f} s",
                f"{m.peak_memory / 2**20:,.0f} MiB",
            )
            for name, found in results.items()
            for m in found
        ],
        f"Medians of {rounds} turns each. ratio: kerascnn's speed to this one's.",
        *_caution(load),
    )


@bench.command("import")
def import_(
    names: list[str] = _names(required=False),
    commands: bool = typer.Option(
        False, "--commands", help="All commands, too; some need LeNet-5, which is trained first."
    ),
    rounds: int = _ROUNDS,
    json: bool = _JSON,
) -> None:
    """Time fresh processes: imports, and commands until their first output."""
    from kerascnn.bench import imports

    names = names or ["resnet50"]
    _check(names)
    load = os.getloadavg()[0]
    found = imports.measure(names, rounds=rounds, commands=commands)
    if json:
        _dump([m for m in found if not m.failure], rounds=rounds, load=load)
        return
    _table(
        ("seconds", "min–max"),
        [
            ("", m.name, f"{m.seconds:.2f}", f"{m.fastest:.2f}–{m.slowest:.2f}")
            for m in found
            if not m.failure
        ],
        f"Medians of {rounds} processes each, from start to the first output, or the end.",
        *(f"{m.name} is left out. {m.failure}" for m in found if m.failure),
        *_caution(load),
    )


@bench.command()
def data(
    images: int = typer.Option(512, min=64, help="JPEG files of 500×375 to write and read."),
    rounds: int = _ROUNDS,
    json: bool = _JSON,
) -> None:
    """Time reading and augmenting a folder of JPEG files against keras.utils and Keras layers."""
    from kerascnn.bench import data as measured

    load = os.getloadavg()[0]
    found = measured.measure(images=images, rounds=rounds)
    if json:
        _dump(found, images=images, rounds=rounds, load=load)
        return
    _table(
        ("images/s", "min–max", "ratio", "first pass", "memory"),
        [
            (
                "",
                m.name,
                f"{m.images_per_second:,.0f}",
                f"{m.slowest:,.0f}–{m.fastest:,.0f}",
                f"{found[0].images_per_second / m.images_per_second:.2f}",
                f"{m.first_step:.1f} s",
                f"{m.peak_memory / 2**20:,.0f} MiB",
            )
            for m in found
        ],
        f"Medians of {rounds} passes over {images} files. ratio: kerascnn's speed to this one's.",
        *_caution(load),
    )


@bench.command()
def record(
    names: list[str] = _names(),
    set_: list[str] = typer.Option(
        [], "--set", help="An argument of the architecture, such as widths=12,32. Repeatable."
    ),
    epochs: int = typer.Option(12, min=1, help="Of each training."),
    rounds: int = typer.Option(3, min=1, help="Trainings of each kind."),
    json: bool = _JSON,
) -> None:
    """Time trainings on the digits with and without checkpoints, curves and TensorBoard."""
    from kerascnn.bench import recording
    from kerascnn.commands.options import parse_network

    _check(names)
    arguments = {name: parse_network(name, set_).given for name in names}
    load = os.getloadavg()[0]
    results = {
        name: recording.measure(name, arguments=arguments[name], epochs=epochs, rounds=rounds)
        for name in names
    }
    if json:
        _dump(_rows(results), epochs=epochs, rounds=rounds, load=load)
        return
    _table(
        ("seconds", "min–max", "cost"),
        [
            (
                name,
                m.name,
                f"{m.seconds:.1f}",
                f"{m.fastest:.1f}–{m.slowest:.1f}",
                f"{m.seconds / plain.seconds - 1:+.1%}",
            )
            for name, (recorded, plain) in results.items()
            for m in (recorded, plain)
        ],
        f"Medians of {rounds} trainings of {epochs} epochs each, from first weights to test error.",
        *_caution(load),
    )


@bench.command()
def gpu(
    minutes: float = typer.Option(8, min=0.5, help="No race is begun that would end later."),
    rounds: int = typer.Option(3, min=1, help="Times that each contestant's turn comes."),
    against: list[str] = typer.Option(
        [*GPU_PEERS], "--against", help="keras or torchvision; repeatable."
    ),
    parts: list[str] = typer.Option(
        [*GPU_PARTS], "--part", help=f"{', '.join(GPU_PARTS)}; repeatable."
    ),
    save: Path | None = typer.Option(None, help="JSON file, written anew after each part."),
    json: bool = _JSON,
) -> None:
    """Check a GPU's results, then time training, inference and reading on it."""
    from kerascnn.bench import gpu as races
    from kerascnn.bench.gpu_parts import card, part
    from kerascnn.errors import KerascnnError

    _require("--against", against, GPU_PEERS)
    _require("--part", parts, GPU_PARTS)
    ends = time.monotonic() + 60 * minutes
    found: dict[str, Any] = {**card(), "rounds": rounds, "checks": [], "reading": [], "rows": []}

    def add(key: str, rows: Sequence[Any]) -> None:
        found[key] += rows
        if save:
            save.write_text(_json(**found))

    if "checks" in parts:
        _progress("comparing with the processor's results ...")
        add("checks", part("checks") + part("resumed"))
    if "reading" in parts:
        _progress("training from JPEG files ...")
        add("reading", part("reading"))
    if "races" in parts:
        left = ends - time.monotonic()
        for rows in races.run(
            races.PLAN, against=against, rounds=rounds, seconds=left, tell=_progress
        ):
            add("rows", rows)
    if json:
        typer.echo(_json(**found))
    else:
        _show_gpu(found)
    if wrong := [one["what"] for one in found["checks"] if one["difference"] > one["allowed"]]:
        raise KerascnnError(f"The GPU's results are not the processor's: {', '.join(wrong)}.")


@bench.command()
def growth(
    kind: str = typer.Argument(
        help="What grows: depth, the layers of a network; files, of a folder."
    ),
    sizes: str | None = typer.Option(
        None, help="Such as 20,56,110; default: 20 to 1202 layers, 10,000 to a million files."
    ),
    json: bool = _JSON,
) -> None:
    """Measure how time and memory grow with the depth of a network, or with a folder's files."""
    from kerascnn.bench import growth as measured
    from kerascnn.commands.options import parse_numbers
    from kerascnn.errors import ArgumentError

    if kind not in measured.KINDS:
        raise ArgumentError(f"It must be {' or '.join(measured.KINDS)}. Received: {kind!r}.")
    chosen = measured.KINDS[kind][1]
    if sizes is not None:
        chosen = parse_numbers("--sizes", sizes, "two or more rising numbers, such as 20,56,110")
        if len(chosen) < 2 or chosen[0] < 8 or any(a >= b for a, b in pairwise(chosen)):
            raise ArgumentError(
                f"--sizes must be two or more rising numbers from 8 up. Received: {sizes!r}."
            )
    load = os.getloadavg()[0]
    found = measured.measure(kind, chosen)
    if json:
        _dump(found, load=load)
        return
    _table(
        (*(f"{size:,}" for size in chosen), "exponent", "of memory"),
        [
            (
                "",
                m.what,
                *(f"{seconds:.2f} s" for seconds in m.seconds),
                *("" if e is None else f"{e:.2f}" for e in (m.exponent, m.memory_exponent)),
            )
            for m in found
        ],
        "Seconds of processor time. Exponent: 1 is linear in the size; less, where something is "
        "the same at any size.",
        *_caution(load),
    )


def _check(names: Sequence[str], against: Sequence[str] = ()) -> None:
    """Refuse a wrong name before anything is measured."""
    for name in names:
        catalogue.get(name)
    _require("--against", against, PEERS)


def _require(option: str, values: Sequence[str], expected: Sequence[str]) -> None:
    from kerascnn.errors import ArgumentError

    for value in values:
        if value not in expected:
            raise ArgumentError(
                f"{option} must be one of {', '.join(expected)}. Received: {value!r}."
            )


def _rows(results: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """What was measured on each network, one row for each contestant."""
    return [{"network": n, **dataclasses.asdict(m)} for n, found in results.items() for m in found]


def _dump(rows: Sequence[Any], **conditions: Any) -> None:
    """One JSON object: the conditions, and a row for each contestant."""
    typer.echo(_json(rows, **conditions))


def _json(rows: Sequence[Any], **found: Any) -> str:
    from kerascnn.bench import machine

    plain = [row if isinstance(row, Mapping) else dataclasses.asdict(row) for row in rows]
    words = [word for word in sys.argv[1:] if word != "--json"]
    command = {"command": " ".join(["kerascnn", *words])}
    return json_.dumps({**command, **machine.conditions(), **found, "rows": plain}, indent=2)


def _show_gpu(found: Mapping[str, Any]) -> None:
    """The tables of `bench gpu`."""
    _table(
        ("difference", "allowed"),
        [
            ("", check["what"], f"{check['difference']:.1e}", f"{check['allowed']:.0e}")
            for check in found["checks"]
        ],
        f"{found['card']}: largest differences from the processor's results, without TF32.",
    )
    _table(
        ("images/s", "min–max", "first step", "GPU memory"),
        [
            (
                f"{row.work} {row.network}, batch {row.batch_size}, {row.precision}",
                row.contestant,
                f"{row.images_per_second:,.0f}",
                f"{row.slowest:,.0f}–{row.fastest:,.0f}",
                f"{row.first_step:.1f} s",
                f"{row.gpu_memory / 2**20:,.0f} MiB",
            )
            for row in found["rows"]
        ],
        f"Medians of {found['rounds']} turns each; float32 with TF32, as all have it by default.",
    )
    for row in found["reading"]:
        typer.echo(
            f"ResNet-50 from JPEG files, {row['precision']}: {row['images_per_second']:,.0f} "
            f"images/s, and {row['waiting']:.0%} of the time it waits for them."
        )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], *notes: str) -> None:
    """Rows of group, contestant and numbers, under a line for each group; then the notes."""
    from rich.table import Table

    from kerascnn.console import Console
    from kerascnn.tables import show

    table = Table("", box=None)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    group = ""
    for row in rows:
        if row[0] != group:
            group = row[0]
            table.add_row(f"[bold]{group}")
        table.add_row(*row[1:])
    console = Console()
    show(console, table)
    for note in notes:
        console.print(note, highlight=False)


def _progress(line: str) -> None:
    from kerascnn.console import Console

    Console(stderr=True).print(line, style="dim", highlight=False)


def _caution(load: float) -> list[str]:
    """A warning if others were using the machine when the measurement began."""
    if load < 0.5:
        return []
    return [
        f"The machine was busy (load average {load:.1f} on {processors.available()} processors "
        "before the start): trust the ratios more than the speeds, and neither much."
    ]
