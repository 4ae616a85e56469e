"""`kerascnn bench digits`, `precision` and `record`: whole trainings on the bundled digits."""

from __future__ import annotations

import importlib.util
import os
from statistics import mean

import typer

from kerascnn.commands.bench_parts import (
    JSON,
    caution,
    check,
    dump,
    names_argument,
    progress,
    rows_of,
    table,
)
from kerascnn.commands.options import parse_shape
from kerascnn.words import counted


def digits(
    names: list[str] = names_argument(),
    batch_size: int = typer.Option(128, min=1),
    epochs: int = typer.Option(6, min=2, help="Of each training."),
    rounds: int = typer.Option(3, min=1, help="Fresh processes for each contestant."),
    json: bool = JSON,
) -> None:
    """Train on the bundled digits: kerascnn, plain compile and fit, and PyTorch if installed."""
    from kerascnn.bench import digits as measured

    check(names)
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
        dump(rows_of(results), batch_size=batch_size, epochs=epochs, rounds=rounds, load=load)
        return
    table(
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
        *caution(load),
    )


def precision(
    names: list[str] = names_argument(),
    precision: str = typer.Option("mixed_bfloat16", help="What is compared with float32."),
    set_: list[str] = typer.Option(
        [], "--set", help="An argument of the architecture, such as widths=12,32. Repeatable."
    ),
    input_shape: str = typer.Option("32x32x1", help="HEIGHTxWIDTHxCHANNELS."),
    epochs: int | None = typer.Option(None, min=2, help="Of each training; default: the recipe's."),
    rounds: int = typer.Option(3, min=1, help="Trainings in each, with other seeds."),
    json: bool = JSON,
) -> None:
    """Train on the digits and answer in half precision: speed, errors, agreement with float32."""
    from kerascnn.bench import precisions
    from kerascnn.commands.options import parse_network
    from kerascnn.recipes.recipe import check_precision

    check(names)
    check_precision(precision)
    shape = parse_shape(input_shape) or (32, 32, 1)
    arguments = {name: parse_network(name, set_).given for name in names}
    load = os.getloadavg()[0]
    results = {}
    for name in names:
        progress(f"{name} ...")
        results[name] = precisions.measure(
            name,
            precision=precision,
            arguments=arguments[name],
            input_shape=shape,
            epochs=epochs,
            rounds=rounds,
        )
    if json:
        dump(rows_of(results), input_shape=shape, epochs=epochs, rounds=rounds, load=load, set=set_)
        return
    table(
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
        *caution(load),
    )


def record(
    names: list[str] = names_argument(),
    set_: list[str] = typer.Option(
        [], "--set", help="An argument of the architecture, such as widths=12,32. Repeatable."
    ),
    epochs: int = typer.Option(12, min=1, help="Of each training."),
    rounds: int = typer.Option(3, min=1, help="Trainings of each kind."),
    json: bool = JSON,
) -> None:
    """Time trainings on the digits with and without checkpoints, curves and TensorBoard."""
    from kerascnn.bench import recording
    from kerascnn.commands.options import parse_network

    check(names)
    arguments = {name: parse_network(name, set_).given for name in names}
    load = os.getloadavg()[0]
    results = {
        name: recording.measure(name, arguments=arguments[name], epochs=epochs, rounds=rounds)
        for name in names
    }
    if json:
        dump(rows_of(results), epochs=epochs, rounds=rounds, load=load)
        return
    table(
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
        *caution(load),
    )
