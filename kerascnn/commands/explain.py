"""`kerascnn explain`: why a network says what it says about photos, and what its maps look for."""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kerascnn.commands.trained import class_index, trained
from kerascnn.errors import ArgumentError
from kerascnn.explain.methods import DEFAULT, INSTEAD, METHODS, check
from kerascnn.words import counted, printable

if TYPE_CHECKING:
    from kerascnn.commands.trained import Trained
    from kerascnn.data import Split
    from kerascnn.explain.evolving import Evolution
    from kerascnn.explain.patches import TopPatches
    from kerascnn.runs.files import Found

FORMATS = (".png", ".svg", ".pdf")
FOLDER = "explain"  # in the run, or here
AT_ONCE = 4  # files that are read together
TOGETHER = 500  # photos of --invariance
MAPS, TOP = 3, 5  # of photos: maps of each layer, classes
SHEET, K = 24, 9  # of --data: maps of each layer, images of each map
HISTORIES = 8  # of --evolution: maps of each layer
SPLITS = ("train", "validation", "test", "all")
PROJECTING = ("deconvnet", "guided_backprop", "saliency")


def explain(
    model: str = typer.Argument(
        help="A run directory; or, with --weights, the name of an architecture."
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
        help=f"Maps of each layer: the strongest {MAPS}; with --data {SHEET}, evenly chosen; with "
        f"--evolution {HISTORIES}, evenly chosen.",
    ),
    top: int | None = typer.Option(
        None,
        min=1,
        help=f"Classes with bars, {TOP}; with --data images of each map, {K}.",
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
        None, help="Instead of photos: a source such as mnist5k or folder:PATH."
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
    methods = check(_words(method))
    if evolution:
        if images:
            raise ArgumentError(f"--evolution looks at data, not at photos. Received: {images[0]}.")
        _refuse({"--class": class_, "--null": null, "--top": top}, "photos or --data")
        _refuse({} if data else {"--split": split}, "--data")
        _refuse({"--invariance": invariance}, "photos")
    elif bool(images) == (data is not None):
        raise ArgumentError(
            "Pass either photos, as in `kerascnn explain RUN photo.jpg`, or --data, as in "
            "`kerascnn explain RUN --data mnist5k`. Received: "
            f"{'both' if images else 'neither'}."
        )
    place = _Place.of(save)
    if data is None and not evolution:
        _refuse({"--split": split, "--channels": channels}, "--data")
        subject = trained(model, weights, set_, input_shape, classes)
        index = None if class_ is None else class_index(class_, subject.class_names)
        found, passed_over = _files(images, null, None if invariance else place)
        if invariance:
            pictures = {"--class": class_, "--method": method, "--maps": maps, "--top": top}
            _refuse(pictures, "a picture of each photo")
            _changes(
                subject,
                found,
                passed_over,
                place=(None if json and save is None else place or _Place(subject.home / FOLDER)),
                json=json,
                layers=_words(layer),
            )
            return
        _photos(
            subject,
            found,
            passed_over,
            place=(None if json and save is None else place or _Place(subject.home / FOLDER)),
            json=json,
            target=index,
            methods=methods or None,
            layers=_words(layer) or None,
            maps=MAPS if maps is None else maps,
            top=top or TOP,
        )
        return
    _refuse(
        {"--class": class_, "--null": null, "--invariance": invariance}, "photos"
    )  # which --evolution has refused
    if split not in (None, *SPLITS):
        raise ArgumentError(f"--split must be one of {', '.join(SPLITS)}. Received: {split!r}.")
    if len(methods) > 1 or not set(methods) <= set(PROJECTING):
        raise ArgumentError(
            f"With --data or --evolution, --method must be one of {', '.join(PROJECTING)}, by "
            f"which maps are projected. Received: {', '.join(methods)}."
        )
    if maps == 0:
        raise ArgumentError("With --data or --evolution, --maps must be at least 1. Received: 0.")
    numbers = None if channels is None else _numbers(channels)
    subject = trained(model, weights, set_, input_shape, classes)
    layers = _words(layer)
    if place and place.is_file and len(layers) > 1:
        raise ArgumentError(
            f"--save {place.path} is one file, and there are several layers. Pass a folder."
        )
    if evolution:
        _histories(
            subject,
            data,
            split or "all",
            place=(None if json and save is None else place or _Place(subject.home / FOLDER)),
            json=json,
            method=methods[0] if methods else None,
            layers=layers,
            channels=numbers,
            maps=HISTORIES if maps is None else maps,
            batch_size=batch_size,
        )
        return
    assert data is not None
    _sheets(
        subject,
        data,
        split or "all",
        place=(None if json and save is None else place or _Place(subject.home / FOLDER)),
        json=json,
        method=methods[0] if methods else None,
        layers=layers,
        channels=numbers,
        maps=SHEET if maps is None else maps,
        k=top or K,
        batch_size=batch_size,
    )


def _refuse(given: Mapping[str, Any], where: str) -> None:
    """Options that would be passed over."""
    names = [name for name, value in given.items() if value]
    if names:
        raise ArgumentError(f"{', '.join(names)} makes sense with {where} alone.")


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ArgumentError(
            f"--channels must be numbers of maps, such as 3,17,200. Received: {text!r}."
        )
    return [int(part) for part in parts]


def _words(values: Iterable[str]) -> list[str]:
    """`["a,b", "c"]` → `["a", "b", "c"]`."""
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


# --- Where pictures go ---------------------------------------------------------------------------


@dataclass
class _Place:
    """Where pictures go.

    Attributes:
        path: a folder, or the file of the only picture.
        is_file: which of them.
        taken: names of pictures in the folder, so that photos of one name don't overwrite another.
    """

    path: Path
    is_file: bool = False
    taken: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, save: Path | None) -> _Place | None:
        """What --save says; None: nothing.

        Raises:
            ArgumentError: it is of an unknown kind, or in no folder.
        """
        if save is None:
            return None
        if save.is_dir() or not save.suffix:
            return cls(save)
        if save.suffix.lower() not in FORMATS:
            raise ArgumentError(
                "--save must be a folder, whose name has no dot if it is new, or a file whose name "
                f"ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}. Received: {save}."
            )
        if not save.parent.is_dir():
            raise ArgumentError(f"--save must be in a folder that exists. Received: {save}.")
        return cls(save, is_file=True)

    def next(self, name: str) -> Path:
        """The file for a picture called so; its folder is made."""
        if self.is_file:
            return self.path
        self.path.mkdir(parents=True, exist_ok=True)
        names = itertools.chain([name], (f"{name}-{n}" for n in itertools.count(2)))
        chosen = next(one for one in names if one not in self.taken)
        self.taken.add(chosen)
        return self.path / f"{chosen}.png"


# --- Photos --------------------------------------------------------------------------------------


def _files(
    images: list[str], null: bool, place: _Place | None
) -> tuple[Iterable[Found], Callable[[], int]]:
    """The files that are meant, and how many were passed over so far.

    Raises:
        ArgumentError: there are several, and one file to write.
    """
    from kerascnn.runs.files import Files

    files = Files(images, sys.stdin.buffer, b"\0" if null else b"\n")
    coming = iter(files)
    if place and place.is_file:
        first = list(itertools.islice(coming, 2))
        if len(first) > 1:
            raise ArgumentError(
                f"--save {place.path} is one file, and there are several images. Pass a folder."
            )
        coming = iter(first)
    return coming, lambda: files.passed_over


def _photos(
    subject: Trained,
    files: Iterable[Found],
    passed_over: Callable[[], int],
    *,
    place: _Place | None,
    json: bool,
    target: int | None,
    methods: Sequence[str] | None,
    layers: Sequence[str] | None,
    maps: int,
    top: int,
) -> None:
    """Explain one photo after the other.

    Raises:
        DataError: one could not be read; the others are done.
    """
    from kerascnn.commands import predictions
    from kerascnn.commands.summary import Summary
    from kerascnn.console import Console, sayer
    from kerascnn.data.arguments import common
    from kerascnn.explain.explaining import explanation  # TensorFlow, after the cheap refusals
    from kerascnn.runs.reading import read_files

    model = subject.model()
    console = Console(stderr=json)
    summary = Summary(Console(stderr=True))
    _, reading = common(subject.source())
    with ExitStack() as open_:
        if json:
            write = open_.enter_context(predictions.json_objects(sys.stdout))
        else:
            show = open_.enter_context(predictions.bars(console))
        batches = read_files(files, subject.shape, batch_size=AT_ONCE, reading=reading)
        for photo in itertools.chain.from_iterable(batches):
            summary.add(photo.path, photo.changes, photo.error)
            if photo.pixels is None:
                continue
            found = explanation(
                model,
                subject.seen(photo.pixels),
                preprocessing=subject.preprocessing,
                class_names=subject.class_names,
                target=target,
                methods=methods,
                layers=layers,
                maps=maps,
                top=top,
                name=printable(photo.path),
                network=subject.name,
            )
            path = place.next(Path(photo.path).stem) if place else None
            if path:
                found.figure().savefig(path)
            if json:
                where = {"picture": str(path)} if path else {}
                write({**found.to_dict(), "image": photo.path, **where})
            else:
                show((photo.path, found.shown))
                sayer(console)(f"  {path}")
    summary.end(passed_over(), (), "There is no image to explain: no name came.")


# --- Photos that are changed ---------------------------------------------------------------------


def _changes(
    subject: Trained,
    files: Iterable[Found],
    passed_over: Callable[[], int],
    *,
    place: _Place | None,
    json: bool,
    layers: Sequence[str],
) -> None:
    """What moving, scaling and turning do to photos: one picture of all.

    Raises:
        DataError: one could not be read; the others are done.
        ArgumentError: there is no such layer, or there are more photos than are held at once.
    """
    import numpy as np

    from kerascnn.commands import predictions
    from kerascnn.commands.summary import Summary
    from kerascnn.console import Console, sayer
    from kerascnn.data.arguments import common
    from kerascnn.explain.changing import invariance
    from kerascnn.explain.explaining import deepest
    from kerascnn.explain.sheets import invariance_sheet
    from kerascnn.preprocessing import preprocess
    from kerascnn.runs.reading import read_files

    summary = Summary(Console(stderr=True))
    _, reading = common(subject.source())
    names, photos = [], []
    batches = read_files(files, subject.shape, batch_size=AT_ONCE, reading=reading)
    for photo in itertools.chain.from_iterable(batches):
        summary.add(photo.path, photo.changes, photo.error)
        if photo.pixels is not None:
            names.append(photo.path)
            photos.append(subject.seen(photo.pixels))
        if len(photos) > TOGETHER:
            raise ArgumentError(f"--invariance takes {TOGETHER} photos at most. Received: more.")
    if photos:
        model = subject.model()
        maps = deepest(model, count=10)  # all: strides are 1,024 pixels at most
        pixels = np.stack(photos)
        images = preprocess(pixels, subject.preprocessing)
        found = invariance(model, images, layers or [*maps[:1], *maps[1:][-1:]])
        path = place.next("invariance") if place else None
        if path:
            classes = [subject.class_names[index] for index in found.classes]
            titles = [f"{Path(name).stem}: {each}" for name, each in zip(names, classes)]
            invariance_sheet(found, pixels, titles).savefig(path)
            sayer(Console(stderr=json))(f"{counted(len(photos), 'photo', 'photos')}: {path}")
        if json:
            where = {"picture": str(path)} if path else {}
            predicted = [subject.class_names[index] for index in found.classes]
            with predictions.json_objects(sys.stdout) as write:
                write({"images": names, "classes": predicted, **found.to_dict(), **where})
    summary.end(passed_over(), (), "There is no image to explain: no name came.")


# --- Sheets --------------------------------------------------------------------------------------


def _sheets(
    subject: Trained,
    data: str,
    split: str,
    *,
    place: _Place | None,
    json: bool,
    method: str | None,
    layers: Sequence[str],
    channels: Sequence[int] | None,
    maps: int,
    k: int,
    batch_size: int,
) -> None:
    """Of each layer a sheet of its maps' strongest images.

    Raises:
        DataError: an image can't be read.
        ArgumentError: there is no such layer or map.
    """
    from kerascnn.commands import predictions
    from kerascnn.commands.progress import reading
    from kerascnn.console import Console, sayer
    from kerascnn.explain.evolving import evenly, map_count
    from kerascnn.explain.explaining import deepest
    from kerascnn.explain.patches import patches_of_pixels
    from kerascnn.explain.sheets import sheet

    say = sayer(Console(stderr=json))
    images, fingerprint = _images(subject, data, split, say)
    model = subject.model()
    with ExitStack() as open_:
        write = open_.enter_context(predictions.json_objects(sys.stdout)) if json else None
        for layer in layers or deepest(model, 1):
            shown = channels
            if shown is None:
                shown = evenly(map_count(model, layer), maps if place else 0).tolist()
            path, kept = None, None
            if place:
                path = place.next(layer.replace("/", "-"))
                key = (fingerprint, split, layer, str(k), subject.identity())
                digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:8]
                kept = path.parent / f".{path.stem}-{digest}.npz"
            with reading() as report:
                found = patches_of_pixels(
                    model,
                    images,
                    layer,
                    preprocessing=subject.preprocessing,
                    cut=subject.cut(),
                    k=k,
                    channels=shown,
                    method=method,
                    batch_size=batch_size,
                    progress=kept,
                    report=report,
                )
            if path:
                rows = -(-len(shown) // 4)
                sheet(found, rows=rows).savefig(path)
                say(f"{layer} on {images.size:,} images of {data}: {path}")
            if write:
                where = {"picture": str(path)} if path else {}
                write({**_top(found, images, channels), "data": data, "split": split, **where})


def _images(
    subject: Trained, data: str, split: str, say: Callable[[str], None]
) -> tuple[Split, str]:
    """What --data and --split mean, and the data's fingerprint."""
    from kerascnn.data import load

    seed = subject.run.config.seed if subject.run else 0
    dataset = load(data, input_shape=subject.shape, seed=seed, split=split, echo=say)
    images = dataset.test if split == "all" else dataset.splits[split]
    return images, str(dataset.fingerprint)


def _top(found: TopPatches, images: Split, channels: Sequence[int] | None) -> dict[str, Any]:
    """The numbers of a sheet, of the maps that were asked for, or all."""

    def strongest(channel: int) -> list[dict[str, Any]]:
        return [_strongest(found, (channel, place), images) for place in places]

    maps = range(len(found.values)) if channels is None else channels
    places = range(found.values.shape[1])
    return {
        "layer": found.layer,
        "images": images.size,
        "maps": [{"map": one, "strongest": strongest(one)} for one in maps],
    }


def _strongest(
    found: TopPatches | Evolution, place: tuple[int, int], images: Split
) -> dict[str, Any]:
    """An image, and its unit."""
    number = int(found.index[place])
    name = {"name": os.fsdecode(images.names[number])} if images.files else {}
    row, column = found.position[place].tolist()
    return {
        "image": number,
        **name,
        "value": float(found.values[place]),
        "row": row,
        "column": column,
        "box": found.box[place].tolist(),
    }


# --- Over the epochs of a run --------------------------------------------------------------------


def _histories(
    subject: Trained,
    data: str | None,
    split: str,
    *,
    place: _Place | None,
    json: bool,
    method: str | None,
    layers: Sequence[str],
    channels: Sequence[int] | None,
    maps: int,
    batch_size: int,
) -> None:
    """Of each layer a sheet of how its maps came about.

    Raises:
        DataError: the data can't be read.
        RunError: the run has kept no epoch.
        ArgumentError: it is no run, or there is no such layer or map.
    """
    if subject.run is None:
        raise ArgumentError(
            "--evolution needs a run that was trained with --keep-epochs. Received: the "
            f"architecture {subject.name}."
        )
    from kerascnn.commands import predictions
    from kerascnn.commands.progress import reading
    from kerascnn.console import Console, sayer
    from kerascnn.explain.evolving import evolution, require_kept, training_images
    from kerascnn.explain.explaining import deepest
    from kerascnn.explain.sheets import evolution_sheet

    say, run = sayer(Console(stderr=json)), subject.run
    kept = require_kept(run)
    images = _images(subject, data, split, say)[0] if data else training_images(run)
    with ExitStack() as open_:
        write = open_.enter_context(predictions.json_objects(sys.stdout)) if json else None
        for layer in layers or deepest(run.model(epoch=kept[0]), 1):
            with reading() as report:
                found = evolution(
                    run,
                    layer,
                    channels=channels,
                    maps=maps if place else 0,
                    data=images,
                    method=method,
                    batch_size=batch_size,
                    report=report,
                )
            path = place.next(f"evolution-{layer.replace('/', '-')}") if place else None
            if path:
                evolution_sheet(found).savefig(path)
                say(f"{layer} after {counted(len(kept), 'epoch', 'epochs')}: {path}")
            if write:
                where = {"picture": str(path)} if path else {}
                write({**_history(found, images, channels), **where})


def _history(found: Evolution, images: Split, channels: Sequence[int] | None) -> dict[str, Any]:
    """The numbers of a sheet, of the maps that were asked for, or all."""

    def strongest(channel: int, row: int) -> dict[str, Any]:
        place = (row, channel)
        return {"epoch": int(found.epochs[row]), **_strongest(found, place, images)}

    maps = range(found.values.shape[1]) if channels is None else channels
    rows = range(len(found.epochs))
    return {
        "layer": found.layer,
        "images": found.images,
        "maps": [{"map": one, "strongest": [strongest(one, row) for row in rows]} for one in maps],
    }
