"""`kerascnn explain`: why a network says what it says about photos, and what its maps look for."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kerascnn.errors import ArgumentError, WeightsError
from kerascnn.explain.methods import DEFAULT, INSTEAD, METHODS, check
from kerascnn.words import did_you_mean, listed, printable

if TYPE_CHECKING:
    import keras
    import numpy as np

    from kerascnn.card import Preprocessing
    from kerascnn.data.fitting import Shape
    from kerascnn.network import Network
    from kerascnn.runs.run import Run

FORMATS = (".png", ".svg", ".pdf")
FOLDER = "explain"  # in the run, or here
AT_ONCE = 4  # files that are read together
IMAGENET = 1000  # classes


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
        help="A layer or endpoint such as C4, repeatable or with commas: its strongest maps are "
        "shown, and Grad-CAM looks at the last. Default: the deepest four of C1, C2, ...",
    ),
    maps: int = typer.Option(3, min=0, help="Strongest maps of each layer; 0: none."),
    top: int = typer.Option(5, min=1, help="Classes with bars."),
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
    weights: str | None = typer.Option(
        None, help="For a name: imagenet, imagenet:PUBLISHER or a file of weights."
    ),
    set_: list[str] = typer.Option([], "--set", help="For a name: argument=value. Repeatable."),
    input_shape: str | None = typer.Option(None, help="For a name: such as 96x96x3."),
    classes: int | None = typer.Option(None, min=1, help="For a name: number of classes."),
) -> None:
    """Show why a network says what it says about photos.

    One picture for each photo: the likeliest classes, where in the photo the evidence for one of
    them is, by several methods, and what the strongest maps of each layer have seen, projected back
    to pixels. A file that can't be read is named and left out, and the exit status is 1.

    \b
    For example:
      kerascnn explain runs/pets photo.jpg --class cat --layer C4
    """
    methods = check(_words(method))
    if not images:
        raise ArgumentError(
            "Pass photos to explain, as in `kerascnn explain runs/NAME photo.jpg`: files, folders, "
            "patterns or -. Received: none."
        )
    place = _Place.of(save)
    subject = _subject(model, weights, set_, input_shape, classes)
    index = None if class_ is None else _class_index(class_, subject.class_names)
    found, passed_over = _files(images, null, place)
    _photos(
        subject,
        found,
        passed_over,
        place=(None if json and save is None else place or _Place(subject.home)),
        json=json,
        target=index,
        methods=methods or None,
        layers=_words(layer) or None,
        maps=maps,
        top=top,
    )


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


# --- What is explained ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """A trained network, not loaded yet.

    Attributes:
        name: for titles.
        run: the run it comes from; None: an architecture with `weights`.
        network, weights: of an architecture.
        class_names: one for each class.
        shape: `(height, width, channels)` that files are read in.
        preprocessing: from pixels to the network's input.
        home: where its pictures go.
    """

    name: str
    run: Run | None = None
    network: Network | None = None
    weights: str | None = None
    class_names: tuple[str, ...]
    shape: Shape
    preprocessing: Preprocessing
    home: Path

    def model(self) -> keras.Model:
        """Load it."""
        if self.run:
            return self.run.model()
        assert self.network is not None
        return self.network.model(weights=self.weights)

    def source(self) -> str:
        """What the run was trained on, whose way of reading files is kept; "": nothing."""
        return self.run.config.data.source if self.run else ""

    def seen(self, pixels: np.ndarray) -> np.ndarray:
        """What the network sees of an image of `shape`, in pixels."""
        import numpy as np

        from kerascnn.runs.forward import middle

        if not self.run:
            return pixels
        found = np.asarray(middle(self.run.config)(pixels[None]))[0]
        return np.clip(np.rint(found), 0, 255).astype("uint8")


def _subject(
    model: str,
    weights: str | None,
    assignments: list[str],
    input_shape: str | None,
    classes: int | None,
) -> _Subject:
    """What the argument and the options for a name mean.

    Raises:
        KerascnnError: there is no such run or architecture, or no such weights.
    """
    from kerascnn.commands.options import parse_network, run_directory

    if path := run_directory(model):
        from kerascnn.runs.run import Run

        if weights or input_shape or classes or assignments:
            raise ArgumentError(
                f"{model} is a run, whose model is complete: --weights, --input-shape, --classes "
                "and --set are for the name of an architecture."
            )
        run = Run.open(path)
        return _Subject(
            name=run.config.name,
            run=run,
            class_names=run.config.named_classes,
            shape=run.config.canvas,
            preprocessing=run.config.preprocessing,
            home=path / FOLDER,
        )
    from kerascnn import catalogue

    network = parse_network(model, assignments, input_shape=input_shape, classes=classes)
    if weights is None:
        raise ArgumentError(
            f"{model} is an architecture, and an untrained network explains nothing. Pass "
            "--weights imagenet or a file of weights; or a run, such as `kerascnn train` leaves."
        )
    published = network.require(weights)
    card = catalogue.get(model).card
    height, width, channels = network.input_shape
    if not (height and width and network.classes):  # which no option leaves open
        raise AssertionError(network)
    return _Subject(
        name=model,
        network=network,
        weights=weights,
        class_names=_class_names(network.classes),
        shape=(height, width, channels),
        preprocessing=(published or card).preprocessing,
        home=Path(FOLDER),
    )


def _class_names(count: int) -> tuple[str, ...]:
    """ImageNet's names of its 1,000 classes if they can be fetched; else numbers."""
    if count == IMAGENET:
        from kerascnn.weights.imagenet import class_names

        try:
            return tuple(name.replace("_", " ") for _, name in class_names())
        except WeightsError as error:
            typer.echo(f"Classes are called by their numbers: {printable(str(error))}", err=True)
    return tuple(map(str, range(count)))


def _class_index(text: str, names: Sequence[str]) -> int:
    """The class that --class means: a name, or a number from 0.

    Raises:
        ArgumentError: there is none; the message lists names.
    """
    if text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < len(names):
        return int(text)
    raise ArgumentError(
        f"--class must be one of {listed(map(printable, names))}, or its number from 0 to "
        f"{len(names) - 1}. Received: {text!r}.{did_you_mean(text, names)}"
    )


# --- Photos --------------------------------------------------------------------------------------


def _files(
    images: list[str], null: bool, place: _Place | None
) -> tuple[Iterable[Any], Callable[[], int]]:
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
    subject: _Subject,
    files: Iterable[Any],
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
