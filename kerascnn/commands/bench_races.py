"""`kerascnn bench infer` and `train`: images a second, against peers or in other runtimes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from kerascnn.commands.bench_parts import (
    AGAINST,
    JSON,
    PRECISION,
    ROUNDS,
    SHAPE,
    caution,
    check,
    dump,
    names_argument,
    progress,
    table,
)
from kerascnn.commands.options import complete_source, complete_subject, parse_shape, run_directory

if TYPE_CHECKING:
    from kerascnn.bench.networks import Row


def infer(
    names: list[str] = typer.Argument(
        help="Architectures, such as resnet50; with --runtime also run directories.",
        autocompletion=complete_subject,
    ),
    batch_size: int = typer.Option(16, min=1),
    rounds: int = ROUNDS,
    against: list[str] = AGAINST,
    precision: list[str] = PRECISION,
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
    input_shape: str | None = SHAPE,
    json: bool = JSON,
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
    check([name for name, path in found.items() if path is None])
    shape, load = parse_shape(input_shape), os.getloadavg()[0]
    rows: list[measured.Served] = []
    for name, path in found.items():
        progress(f"{name} ...")
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
        dump(rows, batch_size=batch_size, rounds=rounds, load=load)
        return
    table(
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
        *caution(load),
    )


def train_steps(
    names: list[str] = names_argument(),
    batch_size: int = typer.Option(8, min=1),
    rounds: int = ROUNDS,
    against: list[str] = AGAINST,
    precision: list[str] = PRECISION,
    input_shape: str | None = SHAPE,
    memory_efficient: bool = typer.Option(
        False, "--memory-efficient", help="Of a DenseNet also with its concatenations not kept."
    ),
    json: bool = JSON,
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

    check(names, against)
    for precision in precisions:
        check_precision(precision)
    shape = parse_shape(input_shape)
    load = os.getloadavg()[0]
    rows: list[Row] = []
    for name in names:
        progress(f"{name} ...")
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
        dump(rows, batch_size=batch_size, rounds=rounds, load=load)
        return
    table(
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
        *caution(load),
    )
