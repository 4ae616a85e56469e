"""`kerascnn data`: the sources, what is in one of them, and what augmentation makes of it."""

from __future__ import annotations

import json as json_
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kerascnn.commands.groups import Group
from kerascnn.commands.options import complete_architecture, complete_source
from kerascnn.words import printable

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from kerascnn.console import Console
    from kerascnn.data import Copied, Dataset
    from kerascnn.data.checking import Example, Report
    from kerascnn.data.fitting import Shape
    from kerascnn.recipes.recipe import Augmentation, Recipe

SHOWN = 10  # lines of a kind
FEW_CLASSES = 24  # are all shown
LABEL = "label"
CHANGED = 3  # augmented pictures beside each original
TARGET: Any = typer.Option(
    None, help="What the images are labelled with: label, mask, boxes; default: the source's best."
)

data = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    help="Sources of data: list them, check one, preview its augmentation.",
    add_completion=False,
    rich_markup_mode=None,
)


@data.command("list")
def list_(json: bool = typer.Option(False, "--json", help="Machine-readable output.")) -> None:
    """List the installed sources; labels are what they have where nothing else is said."""
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
        licence = source.licence or "not stated"
        rows.append((typed, source.targets, source.help, licence, entry.origin))
    if json:
        keys = ("source", "targets", "help", "licence", "provider")
        typer.echo(json_.dumps([dict(zip(keys, row)) for row in rows], indent=2))
        return
    from rich.markup import escape
    from rich.table import Table

    from kerascnn.console import Console
    from kerascnn.data.targets import many
    from kerascnn.tables import show

    table = Table("source", "what", "licence", "from", box=None)
    table.columns[0].no_wrap = True
    for typed, targets, *others in rows:
        has = "" if targets == (LABEL,) else f"\n  [dim]{escape(', '.join(map(many, targets)))}[/]"
        table.add_row(escape(typed) + has, *map(escape, others))
    show(Console(), table)


@data.command()
def check(
    source: str = typer.Argument(
        help="Such as folder:PATH; see `kerascnn data list`.", autocompletion=complete_source
    ),
    target: str | None = TARGET,
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Read everything once: corrupt files, bad masks, sizes, modes, class balance, duplicates.

    The exit status is 1 if something can't be read, a mask doesn't fit its image or its classes, or
    a class has no training image.
    """
    import dataclasses

    from kerascnn.commands.progress import reading
    from kerascnn.console import Console
    from kerascnn.data import checking

    console = Console(stderr=json)
    with reading() as progress:
        report = checking.check(source, target=target, progress=progress)
    if json:
        found = dataclasses.asdict(report)
        typer.echo(json_.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_report(console, report)
    if not report.usable:
        raise typer.Exit(1)


def _print_report(console: Console, report: Report) -> None:
    from rich.markup import escape

    from kerascnn.data.targets import many

    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    images = "1 image" if report.images == 1 else f"{report.images:,} images"
    unit = report.unit
    what = "" if report.target == LABEL else f" with {many(report.target)}"
    say(f"[bold]{escape(report.source)}[/]: {images}{what}; licence: {escape(report.licence)}")
    if unit:
        _print_classes(console, report, unit)
    for what_of, (least, median, most) in report.spread.items():
        say(f"{what_of}: {least:.3g} to {most:.3g}, median {median:.3g}")
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
    several = "in several classes" if unit == "images" else f"with several {many(report.target)}"
    _print_list(say, "bold red", f"The same image {several}", _groups(contradictory))
    _print_list(say, "yellow", "The same image more than once", _groups(inside))
    if alone:
        say(
            "  The source has no test split: one is taken from these images, and duplicates may "
            "come to be on both sides."
        )
    bad = "Images that can't be read"
    good = "Every image can be read"
    empty = "Classes without a training image"
    if unit != "images":
        bad = f"Images that can't be read, and {many(report.target)} that don't fit"
        good = f"Every image can be read, and its {many(report.target)} fit it"
        empty = "Classes that no training image has"
    _print_list(say, "bold red", bad, report.corrupt)
    serious = "bold red" if unit == "images" else "yellow"
    _print_list(say, serious, empty, list(map(printable, report.empty_classes())))
    if not (report.corrupt or report.duplicates):
        say(f"[green]{good}{', and' if unit == 'images' else ';'} none is there twice.[/]")
    elif not report.corrupt:
        say(f"[green]{good}.[/]")


def _print_classes(console: Console, report: Report, unit: str) -> None:
    """Images, pixels or objects of each class and split; of many classes the extremes only."""
    from rich.markup import escape
    from rich.table import Table

    counts = report.counts
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
    if beside := unit != "images":
        table.add_column("in images", justify="right")
        console.print(f"{unit} of each class, and how many images have it:", highlight=False)
    having = {name: sum(part[name] for part in report.images_with.values()) for name in sums}
    total = max(1, sum(sums.values()))
    for name in names:
        if name == "…":
            table.add_row(f"… {len(sums) - SHOWN} classes between")
            continue
        cells = [f"{part[name]:,}" for part in counts.values()]
        cells += [f"{sums[name] / total:.1%}", *([f"{having[name]:,}"] if beside else [])]
        table.add_row(escape(printable(name)), *cells)
    table.add_row("all", *(f"{sum(p.values()):,}" for p in counts.values()), style="bold")
    console.print(table)
    smallest, largest = min(sums.values()), max(sums.values())
    if len(sums) > 1 and smallest:
        console.print(
            f"balance: the largest class has {largest / smallest:.3g} times the smallest's {unit}",
            highlight=False,
        )
    nowhere = sum(report.nowhere.values())
    if nowhere and unit == "pixels":
        share = nowhere / (nowhere + total)
        console.print(f"{nowhere:,} pixels ({share:.1%}) are of no class", highlight=False)
    elif nowhere:
        which = "image has" if nowhere == 1 else "images have"
        console.print(f"{nowhere:,} {which} no {unit}", highlight=False)


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
    source: str = typer.Argument(
        help="Such as folder:PATH; see `kerascnn data list`.", autocompletion=complete_source
    ),
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
    target: str | None = TARGET,
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Draw training images as a recipe changes them in the first three epochs.

    Masks and boxes are drawn over them, moved as the images are.
    """
    from kerascnn.commands.options import parse_shape
    from kerascnn.console import Console
    from kerascnn.recipes.recipe import Augmentation

    chosen, native = _recipe(name, recipe)
    augmentation = chosen.augmentation
    shape = parse_shape(input_shape) or native

    import dataclasses

    import numpy as np

    from kerascnn.data import load
    from kerascnn.data.loading import best_target
    from kerascnn.style import PAPER

    console = Console(stderr=json)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    canvas = augmentation.canvas_shape(shape)
    dataset = load(
        source,
        target=target or best_target(source),
        input_shape=canvas,
        seed=seed,
        skip_corrupt=skip_corrupt,
        echo=say,
    )
    index = np.unique(np.linspace(0, dataset.train.size - 1, images).astype("int64"))
    figure = _previewed(dataset, index, augmentation, shape[:2], seed)
    save.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(save, facecolor=PAPER)
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
    made = ", ".join(f"{key} {_short(v)}" for key, v in settings.items() if v != plain[key])
    console.print(
        f"Wrote [bold]{escape(str(save))}[/]. Random changes of {escape(str(recipe or name))}: "
        f"{made or 'none: the recipe changes nothing'}.",
        highlight=False,
    )


def _previewed(
    dataset: Dataset,
    index: np.ndarray,
    augmentation: Augmentation,
    size: tuple[int, int],
    seed: int,
) -> Figure:
    """Some training images, each beside what the first epochs make of it and of its target.

    Raises:
        ArgumentError: targets can't follow the augmentation.
    """
    import numpy as np

    from kerascnn import overlays, pictures
    from kerascnn.data.augmentation import augment, motion, refuse_strays, with_components
    from kerascnn.data.fitting import fit

    split, shape = dataset.train, (*size, dataset.image_shape[2])
    positions, kind = index.tolist(), type(split.targets)
    refuse_strays(augmentation, kind)
    changes = with_components(augmentation, split)
    originals = np.concatenate([fit(split.original(p)[None], shape)[0] for p in positions])
    examples = [split.example(position) for position in positions]
    canvases, targets = (np.stack(parts) for parts in zip(*examples))
    drawn, moved = [], [np.stack([split.targets.fitted(p, shape) for p in positions])]
    for epoch in range(CHANGED):
        epochs = np.full(index.shape, epoch)
        draw: dict[str, Any] = {"seed": seed, "augmentation": changes, "size": size}
        pixels = augment(canvases, index, epochs, **draw)
        drawn.append(np.clip(np.rint(pixels), 0, 255).astype("uint8"))
        way = motion(index, epochs, canvas=canvases.shape[1:3], **draw)
        moved.append(targets if way is None else np.asarray(kind.moved(targets, way)))
    files = split.files
    names = [
        split.targets.named(p, dataset.class_names)
        or (os.path.basename(files.name(p)) if files else f"image {p}")
        for p in positions
    ]
    if not kind.moves:  # what is nowhere in an image can't be drawn there
        return pictures.augmented(originals, drawn, names)
    return overlays.augmented(
        originals,
        drawn,
        names,
        draw=kind.draw,
        targets=moved,
        class_names=dataset.class_names,
    )


@data.command()
def split(
    source: str = typer.Argument(
        help="Such as folder:PATH; see `kerascnn data list`.", autocompletion=complete_source
    ),
    save: Path = typer.Option(
        help="A new folder: train, validation and test, a sub-folder for each class."
    ),
    validation: float = typer.Option(0.1, help="Share of each class for validation."),
    test: float = typer.Option(0.1, help="Share of each class for the test."),
    seed: int = typer.Option(0, help="Of the choice."),
    skip_corrupt: bool = typer.Option(False, help="Leave unreadable images out, and list them."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Copy a source's images into train, validation and test, counted out in each class."""
    from kerascnn.commands.progress import reading
    from kerascnn.data import write_split

    with reading() as progress:
        found = write_split(
            source,
            save,
            validation=validation,
            test=test,
            seed=seed,
            skip_corrupt=skip_corrupt,
            progress=progress,
        )
    _print_copied(found, json)


@data.command()
def resize(
    source: str = typer.Argument(
        help="Such as folder:PATH; see `kerascnn data list`.", autocompletion=complete_source
    ),
    size: int = typer.Argument(help="The shorter side, in pixels; smaller images stay."),
    save: Path = typer.Option(help="A new folder, laid out as the source."),
    quality: int = typer.Option(90, help="Of JPEG files, 1 to 95; others become PNG."),
    skip_corrupt: bool = typer.Option(False, help="Leave unreadable images out, and list them."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Copy a source's images, upright and no larger than so, so that training reads less."""
    from kerascnn.commands.progress import reading
    from kerascnn.data import write_resized

    with reading() as progress:
        found = write_resized(
            source, size, save, quality=quality, skip_corrupt=skip_corrupt, progress=progress
        )
    _print_copied(found, json)


def _print_copied(found: Copied, json: bool) -> None:
    """What was written, and how to use it."""
    if json:
        made = {"source": f"folder:{found.folder}", "images": found.images, "new": found.new}
        typer.echo(json_.dumps({**made, "notes": found.notes}, indent=2, ensure_ascii=False))
        return
    from rich.text import Text

    from kerascnn.console import Console

    counts = ", ".join(f"{count:,} {name}" for name, count in found.images.items())
    total = f"{sum(found.images.values()):,} images"
    held = f"{total}: {counts}" if len(found.images) > 1 else total
    state = "" if found.new else "It was there already, made of the same. "
    console = Console()
    for line in (*found.notes, f"{state}folder:{found.folder} has {held}."):
        console.print(Text(line), soft_wrap=True)


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


def _short(value: Any) -> str:
    """A setting, its numbers with six digits at most."""
    return f"{value:g}" if isinstance(value, float) else str(value)
