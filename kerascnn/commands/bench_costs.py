"""`kerascnn bench build`, `import`, `data` and `growth`: what comes before a training."""

from __future__ import annotations

import os
from itertools import pairwise

import typer

from kerascnn.commands.bench_parts import (
    JSON,
    ROUNDS,
    caution,
    check,
    dump,
    names_argument,
    rows_of,
    table,
)


def build(names: list[str] = names_argument(), rounds: int = ROUNDS, json: bool = JSON) -> None:
    """Time the making of a model, random weights included, against keras.applications."""
    from kerascnn.bench import building

    check(names)
    load = os.getloadavg()[0]
    results = {name: building.measure(name, rounds=rounds) for name in names}
    if json:
        dump(rows_of(results), rounds=rounds, load=load)
        return
    table(
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
        *caution(load),
    )


def import_(
    names: list[str] = names_argument(required=False),
    commands: bool = typer.Option(
        False, "--commands", help="All commands, too; some need LeNet-5, which is trained first."
    ),
    rounds: int = ROUNDS,
    json: bool = JSON,
) -> None:
    """Time fresh processes: imports, and commands until their first output."""
    from kerascnn.bench import imports

    names = names or ["resnet50"]
    check(names)
    load = os.getloadavg()[0]
    found = imports.measure(names, rounds=rounds, commands=commands)
    if json:
        dump([m for m in found if not m.failure], rounds=rounds, load=load)
        return
    table(
        ("seconds", "min–max"),
        [
            ("", m.name, f"{m.seconds:.2f}", f"{m.fastest:.2f}–{m.slowest:.2f}")
            for m in found
            if not m.failure
        ],
        f"Medians of {rounds} processes each, from start to the first output, or the end.",
        *(f"{m.name} is left out. {m.failure}" for m in found if m.failure),
        *caution(load),
    )


def data(
    images: int = typer.Option(512, min=64, help="JPEG files of 500×375 to write and read."),
    rounds: int = ROUNDS,
    json: bool = JSON,
) -> None:
    """Time reading and augmenting a folder of JPEG files against keras.utils and Keras layers."""
    from kerascnn.bench import data as measured

    load = os.getloadavg()[0]
    found = measured.measure(images=images, rounds=rounds)
    if json:
        dump(found, images=images, rounds=rounds, load=load)
        return
    table(
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
        *caution(load),
    )


def growth(
    kind: str = typer.Argument(
        help="What grows: depth, the layers of a network; files, of a folder."
    ),
    sizes: str | None = typer.Option(
        None, help="Such as 20,56,110; default: 20 to 1202 layers, 10,000 to a million files."
    ),
    json: bool = JSON,
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
        dump(found, load=load)
        return
    table(
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
        *caution(load),
    )
