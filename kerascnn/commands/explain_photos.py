"""`kerascnn explain RUN PHOTO...`: why a network says what it says; and what if they are moved."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from kerascnn.commands.explain_asked import Asked
from kerascnn.commands.summary import Summary
from kerascnn.console import Console
from kerascnn.data.arguments import common
from kerascnn.data.files import Files, Found
from kerascnn.data.reading import Photo, read_files
from kerascnn.errors import ArgumentError
from kerascnn.explain.changing import invariance
from kerascnn.explain.explaining import deepest, explanation
from kerascnn.explain.sheets import invariance_sheet
from kerascnn.preprocessing import preprocess
from kerascnn.tasks.classification import predictions
from kerascnn.words import counted, printable

AT_ONCE = 4  # files that are read together
TOGETHER = 500  # photos of --invariance
NONE = "There is no image to explain: no name came."


def photos(
    asked: Asked,
    files: Files,
    found: Iterable[Found],
    *,
    target: int | None,
    methods: Sequence[str] | None,
    maps: int,
    top: int,
) -> None:
    """Explain one photo after the other.

    Args:
        asked: see there.
        files: that are meant.
        found: the same, as they come.
        target, methods, maps, top: see `kerascnn.explain.explanation`.

    Raises:
        DataError: one could not be read; the others are done.
    """
    subject, model = asked.subject, asked.subject.model()
    summary = Summary(Console(stderr=True))
    with asked.numbers() as write, predictions.bars(Console(stderr=asked.json)) as show:
        for photo in _photos(asked, found, summary):
            one = explanation(
                model,
                photo.pixels,
                preprocessing=subject.preprocessing,
                class_names=subject.class_names,
                target=target,
                methods=methods,
                layers=asked.layers or None,
                maps=maps,
                top=top,
                name=printable(photo.path),
                network=subject.name,
            )
            picture = asked.draw(Path(photo.path).stem, one.figure)
            write({**one.to_dict(), "image": photo.path, **picture})
            if not asked.json:
                show((photo.path, one.shown))
                asked.say(f"  {picture['picture']}")
    summary.end(files.passed_over, (), NONE)


def changes(asked: Asked, files: Files) -> None:
    """What moving, scaling and turning do to photos: one picture of all.

    Raises:
        DataError: one could not be read; the others are done.
        ArgumentError: there is no such layer, or there are more photos than are held at once.
    """
    subject = asked.subject
    summary = Summary(Console(stderr=True))
    seen = list(itertools.islice(_photos(asked, files, summary), TOGETHER + 1))
    if len(seen) > TOGETHER:
        raise ArgumentError(f"--invariance takes {TOGETHER} photos at most. Received: more.")
    if seen:
        model = subject.model()
        maps = deepest(model, count=10)  # all: strides are 1,024 pixels at most
        pixels = np.stack([photo.pixels for photo in seen if photo.pixels is not None])
        images = preprocess(pixels, subject.preprocessing)
        found = invariance(model, images, asked.layers or [*maps[:1], *maps[1:][-1:]])
        classes = [subject.class_names[index] for index in found.classes]
        names = [photo.path for photo in seen]
        titles = [f"{Path(name).stem}: {each}" for name, each in zip(names, classes)]
        picture = asked.draw("invariance", lambda: invariance_sheet(found, pixels, titles))
        if picture:
            asked.say(f"{counted(len(seen), 'photo', 'photos')}: {picture['picture']}")
        with asked.numbers() as write:
            write({"images": names, "classes": classes, **found.to_dict(), **picture})
    summary.end(files.passed_over, (), NONE)


def _photos(asked: Asked, files: Iterable[Found], summary: Summary) -> Iterable[Photo]:
    """Those that can be read, as the network sees them; the summary is told of all."""
    subject = asked.subject
    _, reading = common(subject.source())
    batches = read_files(files, subject.shape, batch_size=AT_ONCE, reading=reading)
    for photo in itertools.chain.from_iterable(batches):
        summary.add(photo.path, photo.changes, photo.error)
        if photo.pixels is not None:
            yield Photo(photo.path, subject.seen(photo.pixels))
