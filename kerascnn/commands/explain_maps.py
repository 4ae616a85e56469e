"""`kerascnn explain RUN --data SOURCE` and `--evolution`: what feature maps look for."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from kerascnn.commands.explain_asked import Asked
from kerascnn.commands.progress import reading
from kerascnn.data import Labels, Split, load
from kerascnn.data.loading import best_target
from kerascnn.errors import ArgumentError
from kerascnn.explain.arguments import evenly, map_count
from kerascnn.explain.evolving import Evolution, evolution, require_kept, training_images
from kerascnn.explain.explaining import deepest
from kerascnn.explain.patches import TopPatches, patches_of_pixels
from kerascnn.explain.sheets import evolution_sheet, sheet
from kerascnn.words import listed


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which maps are shown, and how.

    Attributes:
        channels: their numbers; None: evenly chosen ones.
        count: how many of those.
        method: of their projections; None: what the network allows.
        batch_size: images in one step.
    """

    channels: Sequence[int] | None
    count: int
    method: str | None
    batch_size: int

    def shown(self, model: keras.Model, layer: str) -> list[int]:
        """Numbers of the maps of a layer."""
        if self.channels is not None:
            return list(self.channels)
        return evenly(map_count(model, layer), self.count).tolist()


def sheets(asked: Asked, data: str, split: str, maps: Choice, *, k: int) -> None:
    """Of each layer a sheet of its maps' strongest images.

    Raises:
        DataError: an image can't be read.
        ArgumentError: there is no such layer or map.
    """
    subject = asked.subject
    images, fingerprint = _images(asked, data, split)
    model = subject.model()
    with asked.numbers() as write:
        for layer in asked.layers or deepest(model, 1):
            shown = maps.shown(model, layer) if asked.place else []
            with reading() as report:
                found = patches_of_pixels(
                    model,
                    images,
                    layer,
                    preprocessing=subject.preprocessing,
                    cut=subject.cut(),
                    k=k,
                    channels=shown,
                    method=maps.method,
                    batch_size=maps.batch_size,
                    progress=_progress(asked, layer, fingerprint, split, str(k)),
                    report=report,
                )
            figure = functools.partial(sheet, found, rows=len(shown))
            picture = asked.draw(_name("layer", layer), figure)
            if picture:
                asked.say(f"{layer} on {images.size:,} images of {data}: {picture['picture']}")
            write({**_top(found, images, maps.channels), "data": data, "split": split, **picture})


def histories(asked: Asked, data: str | None, split: str, maps: Choice) -> None:
    """Of each layer a sheet of how its maps came about.

    Raises:
        DataError: the data can't be read.
        RunError: the run has kept no epoch.
        ArgumentError: it is no run, or there is no such layer or map.
    """
    run = asked.subject.run
    if run is None:
        raise ArgumentError(
            "--evolution needs a run that was trained with --keep-epochs. Received: the "
            f"architecture {asked.subject.name}."
        )
    kept = require_kept(run)
    images = _images(asked, data, split)[0] if data else training_images(run)
    with asked.numbers() as write:
        for layer in asked.layers or deepest(run.model(epoch=kept[0]), 1):
            with reading() as report:
                found = evolution(
                    run,
                    layer,
                    channels=maps.channels,
                    maps=maps.count if asked.place else 0,
                    data=images,
                    method=maps.method,
                    batch_size=maps.batch_size,
                    report=report,
                )
            figure = functools.partial(evolution_sheet, found)
            picture = asked.draw(_name("evolution", layer), figure)
            if picture:
                epochs = listed(map(str, kept))
                asked.say(f"{layer} after epochs {epochs}: {picture['picture']}")
            write({**_history(found, images, maps.channels), **picture})


def _name(what: str, layer: str) -> str:
    """Of a file, which no photo's picture is called like: photos are called C4, too."""
    return f"{what}-{layer.replace('/', '-')}"


def _progress(asked: Asked, layer: str, *key: str) -> Path | None:
    """The file that keeps a search, beside the picture; another one for another search."""
    if asked.place is None:
        return None
    whole = "\0".join((*key, layer, asked.subject.identity()))
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return asked.place.folder() / f".{_name('layer', layer)}-{digest}.npz"


def _images(asked: Asked, data: str, split: str) -> tuple[Split, str]:
    """What --data and --split mean, and the data's fingerprint."""
    subject = asked.subject
    seed = subject.run.config.seed if subject.run else 0
    # The images alone are looked at; but which there are may depend on what they are labelled with.
    target = best_target(data, subject.run.task.targets.kind if subject.run else Labels.kind)
    shape, say = subject.shape, asked.say
    dataset = load(data, target=target, input_shape=shape, seed=seed, split=split, echo=say)
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
