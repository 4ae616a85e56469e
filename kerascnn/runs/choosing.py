"""Which images an evaluation is about.

Of the run's own data those that were on the side asked for when it was trained, as far as they are
still there. Of other data the source's own test images, or all of a source without a split.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerascnn.data import SPLITS, Dataset, Split, joined, load, load_for
from kerascnn.data.labels import Labels
from kerascnn.data.targets import Targets
from kerascnn.errors import ArgumentError, DataError, UnknownNameError
from kerascnn.runs import sides
from kerascnn.runs.config import RunConfig
from kerascnn.runs.matching import match
from kerascnn.runs.sides import Changes, Sides
from kerascnn.words import counted

ALL = "all"
ASKED = (*SPLITS, ALL)
PREFERRED = ("test", "validation", "train")

Say = Callable[[str], None]
Load = Callable[..., Dataset]  # of data, which split is wanted, and where to say something


@dataclass(frozen=True)
class Chosen:
    """The images of an evaluation.

    Attributes:
        data: the source.
        split: which part of it: one of `ASKED`.
        images: these images, with targets that number the classes as the run does.
        trained_on: how many of the images the run was trained on; None: it isn't known.
    """

    data: str
    split: str
    images: Split
    trained_on: int | None

    @property
    def targets(self) -> Targets:
        """What the images are labelled with, as the run numbers its classes."""
        return self.images.targets

    @property
    def labels(self) -> np.ndarray:
        """The same as int32 `[n]`, where it is one class for each image."""
        return self.images.labels


@dataclass(frozen=True)
class _Part:
    """A part of a dataset; see `Chosen`."""

    dataset: Dataset
    split: str
    images: Split
    trained_on: int | None


def choose(
    run: Path,
    config: RunConfig,
    data: str | Dataset | None,
    split: str | None,
    say: Say,
    *,
    target: str = Labels.kind,
) -> Chosen:
    """Load what a run is to be evaluated on, and say how far the run has seen it.

    Args:
        run: the run directory, which keeps the names of its images.
        config: the run's.
        data: see `Run.evaluate`.
        split: one of `ASKED`; None: see `Run.evaluate`.
        say: is called with each note.
        target: the kind of targets that the run was trained with.

    Raises:
        ArgumentError: there is no such split; or a Dataset has other targets.
        DataError: the data can't be read, hold no such image, or have classes that the run lacks.
        RunError: what the run keeps of its images is damaged.
    """
    if split is not None and split not in ASKED:
        raise ArgumentError(f"split must be one of {', '.join(ASKED)}. Received: {split!r}.")
    kept = sides.read(run)
    load_part = functools.partial(_load, config, target)
    if data is None or (isinstance(data, str) and _same(data, config.data.source)):
        part = _own(run, config, load_part, kept, split, say)
    elif kept and isinstance(data, str) and (dataset := _moved(config, load_part, kept, data)):
        say(f"{data} has the images of {config.data.source}, which the run was trained on.")
        part = _as_then(run, dataset, kept, split)
    else:
        part = _other(config, load_part, kept, data, split, say)
    names, found = config.named_classes, part.dataset.class_names
    numbers = match(names, found, part.images.targets, run=str(run), data=part.dataset.name)
    _say_what_was_seen(part, run, say)
    alike = np.array_equal(numbers, np.arange(len(found)))
    images = part.images if alike else part.images.relabelled(numbers)
    return Chosen(part.dataset.name, part.split, images, part.trained_on)


def _say_what_was_seen(part: _Part, run: Path, say: Say) -> None:
    if part.trained_on:
        say(
            f"{part.trained_on:,} of the {part.images.size:,} images are among those that the "
            "run was trained on, where it does better than on others."
        )
    elif part.trained_on is None:
        say(
            f"How many of the images the run was trained on is not known: {run} has no "
            f"{sides.FILE}, as it was made by an older version."
        )


def _same(one: str, other: str) -> bool:
    """Whether two sources are one, such as folder:photos and folder:./photos/."""
    parts = [source.partition(":") for source in (one, other)]
    return len({(kind, path and os.path.realpath(path)) for kind, _, path in parts}) == 1


def _moved(config: RunConfig, load_part: Load, kept: Sides, data: str) -> Dataset | None:
    """The run's own images if they are here now, all of them and no other: by names and sizes."""
    if not kept.of_files or data.partition(":")[0] != config.data.source.partition(":")[0]:
        return None
    try:
        dataset = load_part(data, ALL)
    except DataError:  # which whoever loads it as other data will say
        return None
    return dataset if kept.same(dataset.test) else None


def _own(
    run: Path,
    config: RunConfig,
    load_part: Load,
    kept: Sides | None,
    split: str | None,
    say: Say,
) -> _Part:
    """Of the data that the run was trained on."""
    source = config.data.source
    try:
        dataset = load_part(source, None)
    except UnknownNameError as error:
        raise UnknownNameError(
            f"{error} The run {run} was trained on {source!r}: if that was a Dataset made in "
            "Python, pass it to Run.evaluate; if it was a source, install what has it."
        ) from None
    except DataError as error:
        if kept is None:
            raise _elsewhere(error, run, source) from None
        try:
            dataset = load_part(source, ALL)  # no training image is left
        except DataError:
            raise _elsewhere(error, run, source) from None
    unchanged = dataset.fingerprint == config.data.fingerprint
    if kept is not None and not unchanged:
        part = _as_then(run, dataset, kept, split)
        everything = _part(dataset, ALL)[1]
        changes = kept.changes(everything, part.split)
        say(_changed(dataset.name, part.split, changes, part.images.size))
        return part
    name, images = _part(dataset, split)
    count: int | None = dataset.train.size if name in ("train", ALL) else 0
    if kept is not None:  # an image may be there twice, on two sides
        count = max(count or 0, kept.trained(images))
    elif not unchanged:
        count = None
        rule = config.data.split_rule is None and dataset.split_rule
        why = ", or was split by the rule of an older version" if rule else ""
        say(f"{dataset.name} has changed since the run was trained{why}.")
    return _Part(dataset, name, images, count)


def _as_then(run: Path, dataset: Dataset, kept: Sides, split: str | None) -> _Part:
    """The images that were on a side when the run was trained, as far as they are there.

    Raises:
        DataError: there is none.
    """
    sizes = kept.sizes()
    name = split or next(name for name in PREFERRED if sizes[name])
    _, everything = _part(dataset, ALL)
    images = everything if name == ALL else everything.take(kept.named(everything, name))
    if not images.size:
        raise DataError(
            f"{dataset.name} has no image any more of those that {run} had for {name}. "
            "Evaluate on what is there with --split all, which counts what it was trained on."
        )
    return _Part(dataset, name, images, kept.trained(images))


def _elsewhere(error: DataError, run: Path, source: str) -> DataError:
    return DataError(
        f"{error} The run {run} was trained on {source!r}. A path in it begins where the "
        "training was started: evaluate from there, or on other data with --data."
    )


def _changed(data: str, name: str, changes: Changes, left: int) -> str:
    """What has changed, and what is evaluated therefore."""

    def part(pair: tuple[int, int], one: str, many: str) -> str:
        count, asked = pair
        own = "" if name == ALL else f" ({asked:,} for {name})"
        return f"{counted(count, one, many)}{own}"

    parts = []
    if changes.gone[0]:
        parts.append(part(changes.gone, "image is gone", "images are gone"))
    if changes.resized[0]:
        parts.append(part(changes.resized, "file has another size", "files have another size"))
    if changes.new:
        parts.append(counted(changes.new, "image is new", "images are new"))
    if changes.gone[0] and changes.new:
        parts.append("a file that was moved or renamed counts as both")
    what = "; ".join(parts) or "its classes or splits are others"
    if name == ALL:
        return f"{data} has changed since the run was trained: {what}. All of it is evaluated."
    return (
        f"{data} has changed since the run was trained: {what}. Evaluated are the {left:,} images "
        f"that were for {name} then and are still there; new ones are not."
    )


def _other(
    config: RunConfig,
    load_part: Load,
    kept: Sides | None,
    data: str | Dataset,
    split: str | None,
    say: Say,
) -> _Part:
    """Of any other data."""
    dataset = load_part(data, split or "own", say)
    if isinstance(data, str):
        name = next(name for name in PREFERRED if getattr(dataset, name).size)
        images = getattr(dataset, name)
        name = split or (ALL if name == "train" else name)
    else:
        name, images = _part(dataset, split)
    count = kept.trained(images) if kept else None
    if dataset.fingerprint == config.data.fingerprint and kept is None:
        count = dataset.train.size if name in ("train", ALL) else 0
    return _Part(dataset, name, images, count)


def _load(
    config: RunConfig,
    target: str,
    data: str | Dataset,
    split: str | None,
    say: Say = lambda line: None,
) -> Dataset:
    shape, seed, skip = config.canvas, config.seed, config.data.skip_corrupt
    if isinstance(data, str) and split == "train":  # all of it, as nothing is going to be trained
        options: dict[str, Any] = {"seed": seed, "skip_corrupt": skip, "validation": 0, "test": 0}
        data = load(data, target=target, input_shape=shape, split=split, echo=say, **options)
    options = {"seed": seed, "skip_corrupt": skip, "echo": say}
    return load_for(data, shape, split=split, target=target, **options)


def _part(dataset: Dataset, split: str | None) -> tuple[str, Split]:
    """A split, or all of them together; None: the first of `PREFERRED` that has an image.

    Raises:
        DataError: there is no image in it.
    """
    filled = {name: part for name, part in dataset.splits.items() if part.size}
    if not filled or (split not in (None, ALL, *filled)):
        had = f", only in {' and '.join(filled)}" if filled else ""
        raise DataError(f"{dataset.name}: there is no image in {split or 'any split'}{had}.")
    if split == ALL:
        return ALL, joined(list(filled.values()))
    name = split or next(name for name in PREFERRED if name in filled)
    return name, filled[name]
