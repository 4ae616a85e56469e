"""`kerascnn data`: the sources, what is in one of them, and what augmentation makes of it."""

from __future__ import annotations

import json as json_
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kerascnn.commands.groups import Group
from kerascnn.commands.options import complete_architecture
from kerascnn.words import printable

if TYPE_CHECKING:
    from kerascnn.console import Console
    from kerascnn.data.checking import Example, Report
    from kerascnn.data.fitting import Shape
    from kerascnn.recipes.recipe import Recipe

SHOWN = 10  # lines of a kind
FEW_CLASSES = 20  # are all shown
CHANGED = 3  # augmented pictures beside each original

data = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    help="Sources of data: list them, check one, preview its augmentation.",
    add_completion=False,
    rich_markup_mode=None,
)


@data.command("list")
def list_(json: bool = typer.Option(False, "--json", help="Machine-readable output.")) -> None:
    """List the installed sources."""
    from kerascnn import registry
    from kerascnn.console import print_error
    from kerascnn.data import DataSource
    from kerascnn.errors import KerascnnError

    rows = []
    for name, (entry, *_) in registry.entries(registry.DATASETS).items():
        try:
            source = registry.load(registry.DATASETS, name, DataSource)
        except KerascnnError as error:
            print_error("Warning", error, style="yellow")
            continue
        typed = f"{name}:{source.argument}" if source.argument else name
        rows.append((typed, source.help, source.licence or "not stated", entry.origin))
    if json:
        keys = ("source", "help", "licence", "provider")
        typer.echo(json_.dumps([dict(zip(keys, row)) for row in rows], indent=2))
        return
    from rich.markup import escape
    from rich.table import Table

    from kerascnn.console import Console
    from kerascnn.tables import show

    table = Table("source", "what", "licence", "from", box=None)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*map(escape, row))
    show(Console(), table)


@data.command()
def check(
    source: str = typer.Argument(help="Such as folder:PATH; see `kerascnn data list`."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Read everything once: corrupt files, sizes, modes, class balance, duplicates.

    The exit status is 1 if something can't be read, or a class has no training image.
    """
    import dataclasses

    from kerascnn.commands.progress import reading
    from kerascnn.console import Console
    from kerascnn.data import checking

    console = Console(stderr=json)
    with reading() as progress:
        report = checking.check(source, progress=progress)
    if json:
        found = dataclasses.asdict(report)
        typer.echo(json_.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_report(console, report)
    if report.corrupt or report.empty_classes():
        raise typer.Exit(1)


def _print_report(console: Console, report: Report) -> None:
    from rich.markup import escape

    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    images = "1 image" if report.images == 1 else f"{report.images:,} images"
    say(f"[bold]{escape(report.source)}[/]: {images}; licence: {escape(report.licence)}")
    _print_classes(console, report.counts)
    say(f"height×width: {_counts(report.sizes)}")
    say(f"modes: {_counts(report.modes)}; formats: {_counts(report.formats)}")
    for change, count in report.changes.items():
        say(f"{count:,} {'image is' if count == 1 else 'images are'} {change} when read")
    for hint in report.hints:
        say(f"[yellow]{escape(hint)}[/]")
    _print_list(say, "yellow", "Left out", report.left_out)
    alone = len(report.counts) == 1 and report.duplicates
    across, contradictory = report.across_splits(), report.contradictory()
    inside = [g for g in report.duplicates if g not in across and g not in contradictory]
    _print_list(say, "bold red", "The same image in several splits", _groups(across))
    _print_list(say, "bold red", "The same image in several classes", _groups(contradictory))
    _print_list(say, "yellow", "The same image more than once", _groups(inside))
    if alone:
        say(
            "  The source has no test split: one is taken from these images, and duplicates may "
            "come to be on both sides."
        )
    _print_list(say, "bold red", "Images that can't be read", report.corrupt)
    _print_list(say, "bold red", "Classes without a training image", report.empty_classes())
    if not (report.corrupt or report.duplicates):
        say("[green]Every image can be read, and none is there twice.[/]")
    elif not report.corrupt:
        say("[green]Every image can be read.[/]")


def _print_classes(console: Console, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Images of each class and split; of many classes only the smallest and the largest."""
    from rich.markup import escape
    from rich.table import Table

    sums = {
        name: sum(part[name] for part in counts.values()) for name in next(iter(counts.values()))
    }
    names = list(sums)
    if len(names) > FEW_CLASSES:
        ordered = sorted(names, key=sums.__getitem__)
        names = [*ordered[: SHOWN // 2], "…", *ordered[-SHOWN // 2 :]]
    table = Table("class", box=None)
    for split in counts:
        table.add_column(split, justify="right")
    table.add_column("share", justify="right")
    total = max(1, sum(sums.values()))
    for name in names:
        if name == "…":
            table.add_row(f"… {len(sums) - SHOWN} classes between")
            continue
        cells = [f"{part[name]:,}" for part in counts.values()]
        table.add_row(escape(printable(name)), *cells, f"{sums[name] / total:.1%}")
    table.add_row("all", *(f"{sum(p.values()):,}" for p in counts.values()), style="bold")
    console.print(table)
    smallest, largest = min(sums.values()), max(sums.values())
    if len(sums) > 1 and smallest:
        console.print(
            f"balance: the largest class has {largest / smallest:.3g} times the smallest's images",
            highlight=False,
        )


def _counts(counts: Mapping[str, int]) -> str:
    parts = [f"{name} ({count:,})" for name, count in list(counts.items())[:SHOWN]]
    more = f" and {len(counts) - SHOWN} others" if len(counts) > SHOWN else ""
    return ", ".join(parts) + more


def _groups(groups: Iterable[list[Example]]) -> list[str]:
    return [" = ".join(f"{e.place} ({e.label})" for e in group) for group in groups]


def _print_list(say: Any, style: str, what: str, lines: list[str]) -> None:
    from rich.markup import escape

    if not lines:
        return
    say(f"[{style}]{what}: {len(lines):,}[/]")
    for line in lines[:SHOWN]:
        say(f"  {escape(line)}")
    if len(lines) > SHOWN:
        say(f"  and {len(lines) - SHOWN:,} more; --json lists them all")


@data.command()
def preview(
    source: str = typer.Argument(help="Such as folder:PATH; see `kerascnn data list`."),
    name: str | None = typer.Option(
        None,
        "--for",
        help="The architecture whose recipe and input are shown; default: the recipe's.",
        autocompletion=complete_architecture,
    ),
    recipe: str | None = typer.Option(
        None, help="A name of `kerascnn recipes`, or a .toml or .json file."
    ),
    save: Path = typer.Option(Path("preview.png"), help="Where to write the picture."),
    images: int = typer.Option(6, min=1, max=64, help="How many, evenly over the training set."),
    input_shape: str | None = typer.Option(None, help="Such as 64x64x3; default: native."),
    seed: int = typer.Option(0, help="As in `kerascnn train`, which makes the same changes."),
    skip_corrupt: bool = typer.Option(False, help="Leave unreadable images out."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Draw training images as a recipe changes them in the first three epochs."""
    from kerascnn.commands.options import parse_shape
    from kerascnn.console import Console
    from kerascnn.recipes.recipe import Augmentation

    chosen, native = _recipe(name, recipe)
    augmentation = chosen.augmentation
    shape = parse_shape(input_shape) or native

    import dataclasses

    import numpy as np

    from kerascnn import pictures, style
    from kerascnn.data import load
    from kerascnn.data.augmentation import augment, with_components
    from kerascnn.data.fitting import fit

    console = Console(stderr=json)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    canvas = augmentation.canvas_shape(shape)
    dataset = load(source, input_shape=canvas, seed=seed, skip_corrupt=skip_corrupt, echo=say)
    index = np.unique(np.linspace(0, dataset.train.size - 1, images).astype("int64"))
    examples = [dataset.train.example(int(position)) for position in index]
    originals = np.stack([image for image, _ in examples])
    labels = [dataset.class_names[label] for _, label in examples]
    changes = with_components(augmentation, dataset.train)
    changed = [
        augment(
            originals,
            index,
            np.full(index.shape, epoch),
            seed=seed,
            augmentation=changes,
            size=shape[:2],
        )
        for epoch in range(CHANGED)
    ]
    changed = [np.clip(np.rint(batch), 0, 255).astype("uint8") for batch in changed]
    figure = pictures.augmented(fit(originals, shape)[0], changed, labels)
    save.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(save, facecolor=style.PAPER)
    settings = dataclasses.asdict(augmentation)
    if json:
        typer.echo(
            json_.dumps(
                {"path": str(save), "images": index.tolist(), "augmentation": settings}, indent=2
            )
        )
        return
    from rich.markup import escape

    plain = dataclasses.asdict(Augmentation())
    made = ", ".join(f"{key} {value}" for key, value in settings.items() if value != plain[key])
    console.print(
        f"Wrote [bold]{escape(str(save))}[/]. Random changes of {escape(str(recipe or name))}: "
        f"{made or 'none: the recipe changes nothing'}.",
        highlight=False,
    )


def _recipe(name: str | None, recipe: str | None) -> tuple[Recipe, Shape]:
    """What the options choose, and the native input of its network.

    Raises:
        ArgumentError: neither is given, or the recipe belongs to no network and none is given.
        UnknownNameError, DuplicateNameError, BrokenPluginError: see `kerascnn.registry.load`.
    """
    from kerascnn import catalogue
    from kerascnn.errors import ArgumentError
    from kerascnn.recipes import book as recipe_book
    from kerascnn.recipes.recipe import Recipe

    if not (name or recipe):
        raise ArgumentError(
            "Say which recipe to show: --recipe NAME (see `kerascnn recipes`), or --for NETWORK."
        )
    chosen = recipe_book.find(recipe) if recipe else None
    network = name or (chosen.network if chosen else "")
    if not network:
        raise ArgumentError(
            f"The recipe {recipe} is for any network; say for which to show it, as in "
            "--for resnet50: its input decides how large the images are."
        )
    architecture = catalogue.get(network)
    return chosen or architecture.recipe or Recipe(), architecture.card.input_shape
