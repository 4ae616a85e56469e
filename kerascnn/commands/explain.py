"""`kerascnn explain`: why a network says what it says about photos, and what its maps look for."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kerascnn.commands.options import complete_source, complete_subject, parse_numbers
from kerascnn.errors import ArgumentError
from kerascnn.explain.methods import (
    DEFAULT,
    FOLLOWED,
    INSTEAD,
    MAPS,
    METHODS,
    MOST_MAPS,
    PROJECTING,
    STRONGEST,
    TOP,
    check,
)
from kerascnn.words import printable

if TYPE_CHECKING:
    from kerascnn.data.files import Files, Found

FOLDER = "explain"  # in the run, or here
SPLITS = ("train", "validation", "test", "all")

# The ways to explain, and which options are for some of them only.
PHOTOS, CHANGES, SHEETS, HISTORIES = "photos", "--invariance", "--data", "--evolution"
ONLY = {
    "--class": (PHOTOS,),
    "--method": (PHOTOS, SHEETS, HISTORIES),
    "--maps": (PHOTOS, SHEETS, HISTORIES),
    "--top": (PHOTOS, SHEETS),
    "--null": (PHOTOS, CHANGES),
    "--split": (SHEETS, HISTORIES),
    "--channels": (SHEETS, HISTORIES),
}


def explain(
    model: str = typer.Argument(
        help="A run directory; or, with --weights, the name of an architecture.",
        autocompletion=complete_subject,
    ),
    images: list[str] = typer.Argument(
        None,
        help="Photos, as for `kerascnn predict`: files; folders; patterns in quotes; or - for "
        "names on standard input.",
    ),
    class_: str | None = typer.Option(
        None,
        "--class",
        help="The class to explain, by name or number from 0; default: the likeliest of each "
        "photo.",
    ),
    method: list[str] = typer.Option(
        [],
        help=f"A panel each; repeatable, or with commas: {', '.join(METHODS)}. "
        f"Default: {', '.join(DEFAULT)}; where an activation isn't ReLU, {INSTEAD[DEFAULT[-1]]} "
        "instead of the last.",
    ),
    layer: list[str] = typer.Option(
        [],
        help="A layer or endpoint such as C4; repeatable, or with commas. Its strongest maps are "
        "shown, and Grad-CAM looks at the last. Default: the deepest four of C1, C2, ..., and the "
        "last of them that is no pooling; with --data the deepest, with --invariance the first "
        "and the deepest.",
    ),
    maps: int | None = typer.Option(
        None,
        min=0,
        help=f"Maps of each layer: the strongest {MAPS}; with --data {MOST_MAPS}, evenly chosen; "
        f"with --evolution {FOLLOWED}, evenly chosen.",
    ),
    top: int | None = typer.Option(
        None,
        min=1,
        help=f"Classes with bars, {TOP}; with --data images of each map, {STRONGEST}.",
    ),
    save: Path | None = typer.Option(
        None,
        help="A folder; or of one picture a file, NAME.png, NAME.svg or NAME.pdf. Default: "
        "explain in the run, or here.",
    ),
    json: bool = typer.Option(
        False, "--json", help="Print the numbers; pictures are drawn with --save only."
    ),
    null: bool = typer.Option(
        False, "--null", "-0", help="Names on standard input end with NUL, as from find -print0."
    ),
    data: str | None = typer.Option(
        None,
        help="Instead of photos: a source such as mnist5k or folder:PATH.",
        autocompletion=complete_source,
    ),
    split: str | None = typer.Option(
        None, help="Of --data: train, validation, test or all, the default."
    ),
    channels: str | None = typer.Option(
        None, help="Of --data or --evolution: numbers of the maps to show, such as 3,17,200."
    ),
    batch_size: int = typer.Option(32, min=1, help="Of --data or --evolution: images in one step."),
    evolution: bool = typer.Option(
        False,
        "--evolution",
        help="Of a run with --keep-epochs: how its maps came about over these epochs, on 1,000 of "
        "its training images, or of --data.",
    ),
    invariance: bool = typer.Option(
        False,
        "--invariance",
        help="Of photos: how features and class change when all of them are moved, scaled and "
        "turned, in one picture.",
    ),
    weights: str | None = typer.Option(
        None, help="For a name: imagenet, imagenet:PUBLISHER or a file of weights."
    ),
    set_: list[str] = typer.Option([], "--set", help="For a name: argument=value. Repeatable."),
    input_shape: str | None = typer.Option(None, help="For a name: such as 96x96x3."),
    classes: int | None = typer.Option(None, min=1, help="For a name: number of classes."),
) -> None:
    """Show why a network says what it says about photos, or what its maps look for.

    For photos, a picture each: the likeliest classes, where in the photo the evidence for one of
    them is, by several methods, and what the strongest maps of each layer have seen, projected back
    to pixels. A file that can't be read is named and left out, and the exit status is 1.

    With --data, a sheet for each layer: of every map the images that excite it most, and what in
    them does. An interrupted search goes on when the command is given again.

    With --evolution, a sheet for each layer: of some maps the strongest image after each epoch that
    the run has kept.

    With --invariance, one picture of all photos: how far features move, and whether the class
    stays, when a photo is moved, scaled and turned.

    \b
    For example:
      kerascnn explain runs/pets photo.jpg --class cat
      kerascnn explain runs/pets --data folder:photos --layer C4
      kerascnn explain runs/pets --evolution --layer C2,C4
    """
    way = _way(images or [], data, evolution, invariance)
    given = {
        "--class": class_,
        "--method": method or None,
        "--maps": maps,
        "--top": top,
        "--null": null or None,
        "--split": split,
        "--channels": channels,
    }
    _refuse(way, given)
    methods = check(_words(method))
    numbers = None
    if way in (SHEETS, HISTORIES):
        _check_maps(methods, maps, split, data)
        if channels is not None:
            numbers = parse_numbers("--channels", channels, "numbers of maps, such as 3,17,200")

    from kerascnn.commands.explain_asked import Asked, Place
    from kerascnn.commands.trained import class_index, trained
    from kerascnn.data.files import Files

    place = Place.of(save)
    layers = tuple(_words(layer))
    if place and place.is_file and len(layers) > 1 and way in (SHEETS, HISTORIES):
        raise ArgumentError(
            f"--save {save} is one file, and there are several layers. Pass a folder. Received: "
            f"--layer {','.join(layers)}."
        )
    subject = trained(model, weights, set_, input_shape, classes)
    asked = Asked(
        subject=subject,
        layers=layers,
        place=None if json and save is None else place or Place.within(subject.home, FOLDER),
        json=json,
    )
    files = Files(images or [], sys.stdin.buffer, b"\0" if null else b"\n")
    if way == PHOTOS:
        index = None if class_ is None else class_index(class_, subject.class_names)
        found = _only_one(files, save) if place and place.is_file else files
        from kerascnn.commands import explain_photos  # TensorFlow, after the cheap refusals

        explain_photos.photos(
            asked,
            files,
            found,
            target=index,
            methods=methods or None,
            maps=MAPS if maps is None else maps,
            top=top or TOP,
        )
    elif way == CHANGES:
        from kerascnn.commands import explain_photos

        explain_photos.changes(asked, files)
    else:
        from kerascnn.commands import explain_maps

        chosen = explain_maps.Choice(
            channels=numbers,
            count=maps or (MOST_MAPS if way == SHEETS else FOLLOWED),
            method=methods[0] if methods else None,
            batch_size=batch_size,
        )
        if way == HISTORIES:
            explain_maps.histories(asked, data, split or "all", chosen)
        elif data is not None:
            explain_maps.sheets(asked, data, split or "all", chosen, k=top or STRONGEST)


def _way(images: list[str], data: str | None, evolution: bool, invariance: bool) -> str:
    """Which way to explain is asked for.

    Raises:
        ArgumentError: none, or several that don't go together.
    """
    if evolution and (images or invariance):
        what = f"photos: {images[0]}" if images else "--invariance"
        raise ArgumentError(f"--evolution is about the images of a source. Received: {what}.")
    if invariance and not images:
        raise ArgumentError("--invariance is about photos. Received: none.")
    if evolution:
        return HISTORIES
    if bool(images) == (data is not None):
        raise ArgumentError(
            "Pass either photos, as in `kerascnn explain RUN photo.jpg`, or --data, as in "
            f"`kerascnn explain RUN --data mnist5k`. Received: {'both' if images else 'neither'}."
        )
    if not images:
        return SHEETS
    return CHANGES if invariance else PHOTOS


def _refuse(way: str, given: Mapping[str, Any]) -> None:
    """Refuse options that would be passed over."""
    for option, ways in ONLY.items():
        if given[option] is not None and way not in ways:
            raise ArgumentError(f"{option} is for {', '.join(ways)} only. Received: {way}.")


def _check_maps(
    methods: tuple[str, ...], maps: int | None, split: str | None, data: str | None
) -> None:
    """Refuse what can't be asked of a source's images."""
    if split not in (None, *SPLITS):
        raise ArgumentError(f"--split must be one of {', '.join(SPLITS)}. Received: {split!r}.")
    if split and data is None:
        raise ArgumentError(f"--split is of --data. Received: --split {split} without --data.")
    if len(methods) > 1 or not set(methods) <= set(PROJECTING):
        raise ArgumentError(
            f"Maps are projected by one of {', '.join(PROJECTING)}. Received: --method "
            f"{','.join(methods)}."
        )
    if maps == 0:
        raise ArgumentError("--maps must be at least 1 without photos. Received: 0.")


def _words(values: Iterable[str]) -> list[str]:
    """`["a,b", "c"]` → `["a", "b", "c"]`."""
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


def _only_one(files: Files, save: Path | None) -> Iterable[Found]:
    """The only photo.

    Raises:
        ArgumentError: there are several.
    """
    first = list(itertools.islice(files, 2))
    if len(first) > 1:
        raise ArgumentError(
            f"--save {save} is one file, and there are several images. Pass a folder. Received: "
            f"{printable(first[0].path)}, {printable(first[1].path)}."
        )
    return first
