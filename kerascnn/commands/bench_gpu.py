"""`kerascnn bench gpu`: right results first, then speed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from kerascnn.commands.bench_parts import JSON, progress, require, table

GPU_PEERS = ("keras", "torchvision")
GPU_PARTS = ("checks", "reading", "races")


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
    json: bool = JSON,
) -> None:
    """Check a GPU's results, then time training, inference and reading on it."""
    from kerascnn.bench import as_json
    from kerascnn.bench import gpu as races
    from kerascnn.bench.gpu_parts import card, part
    from kerascnn.errors import KerascnnError

    require("--against", against, GPU_PEERS)
    require("--part", parts, GPU_PARTS)
    ends = time.monotonic() + 60 * minutes
    found: dict[str, Any] = {**card(), "rounds": rounds, "checks": [], "reading": [], "rows": []}

    def add(key: str, rows: Sequence[Any]) -> None:
        found[key] += rows
        if save:
            save.write_text(as_json(**found))

    if "checks" in parts:
        progress("comparing with the processor's results ...")
        add("checks", part("checks") + part("resumed"))
    if "reading" in parts:
        progress("training from JPEG files ...")
        add("reading", part("reading"))
    if "races" in parts:
        left = ends - time.monotonic()
        for rows in races.run(
            races.PLAN, against=against, rounds=rounds, seconds=left, tell=progress
        ):
            add("rows", rows)
    if json:
        typer.echo(as_json(**found))
    else:
        _show_gpu(found)
    if wrong := [one["what"] for one in found["checks"] if one["difference"] > one["allowed"]]:
        raise KerascnnError(f"The GPU's results are not the processor's: {', '.join(wrong)}.")


def _show_gpu(found: Mapping[str, Any]) -> None:
    """The tables of `bench gpu`."""
    table(
        ("difference", "allowed"),
        [
            ("", check["what"], f"{check['difference']:.1e}", f"{check['allowed']:.0e}")
            for check in found["checks"]
        ],
        f"{found['card']}: largest differences from the processor's results, without TF32.",
    )
    table(
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
