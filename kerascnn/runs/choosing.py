"""Which images an evaluation is about.

Of the run's own data those that were on the side asked for when it was trained, as far as they are
still there. Of other data the source's own test images, or all of a source without a split.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kerascnn.data import SPLITS, Dataset, Split, joined, load, load_for
from kerascnn.errors import ArgumentError, DataError, UnknownNameError
from kerascnn.runs import sides
from kerascnn.runs.inference import canvas_shape
from kerascnn.runs.run import Run
from kerascnn.runs.sides import Changes, Sides
from kerascnn.words import counted

ALL = "all"
ASKED = (*SPLITS, ALL)
PREFERRED = ("test", "validation", "train")


@dataclass(frozen=True)
class Chosen:
    """The images of an evaluation.

    Attributes:
        data: the source.
        split: which part of it: one of `ASKED`.
        images: these images, labelled as the source numbers its classes.
        class_names: of the source.
        trained_on: how many of the images the run was trained on; None: it isn't known.
    """

    data: str
    split: str
    images: Split
    class_names: tuple[str, ...]
    trained_on: int | None


def choose(
    run: Run,
    config: Mapping[str, Any],
    data: str | Dataset | None,
    split: str | None,
    say: Callable[[str], None],
) -> Chosen:
    """Load what a run is to be evaluated on.

    Args:
        run, config: the run and its config.
        data: see `Run.evaluate`.
        split: one of `ASKED`; None: see `Run.evaluate`.
        say: is called with each note.

    Raises:
        ArgumentError: there is no such split.
        DataError: the data can't be read, or hold no such image.
        RunError: what the run keeps of its images is damaged.
    """
    if split is not None and split not in ASKED:
        raise ArgumentError(f"split must be one of {', '.join(ASKED)}. Received: {split!r}.")
    kept = sides.read(run.path)
    if data is None or (isinstance(data, str) and _same(data, config["data"]["source"])):
        return _own(run, config, kept, split, say)
    return _other(config, kept, data, split, say)


def _same(one: str, other: str) -> bool:
    """Whether two sources are one, such as folder:photos and folder:./photos/."""
    parts = [source.partition(":") for source in (one, other)]
    return len({(kind, path and os.path.realpath(path)) for kind, _, path in parts}) == 1


def _own(
    run: Run,
    config: Mapping[str, Any],
    kept: Sides | None,
    split: str | None,
    say: Callable[[str], None],
) -> Chosen:
    """Of the data that the run was trained on."""
    source = config["data"]["source"]
    try:
        dataset = _load(config, source, None)
    except UnknownNameError as error:
        raise UnknownNameError(
            f"{error} The run {run.path} was trained on {source!r}: if that was a Dataset made in "
            "Python, pass it to Run.evaluate; if it was a source, install what has it."
        ) from None
    except DataError as error:
        if kept is None:
            raise _elsewhere(error, run, source) from None
        try:
            dataset = _load(config, source, ALL)  # no training image is left
        except DataError:
            raise _elsewhere(error, run, source) from None
    unchanged = dataset.fingerprint == config["data"]["fingerprint"]
    if unchanged or kept is None:
        name, images = _part(dataset, split)
        train = dataset.train.size if name in ("train", ALL) else 0
        count: int | None = train
        if kept is not None:  # an image may be there twice, on two sides
            count = max(train, kept.trained(images))
        elif not unchanged:
            count = None
            rule = "split_rule" not in config["data"] and dataset.split_rule
            why = ", or was split by the rule of an older version" if rule else ""
            say(f"{dataset.name} has changed since the run was trained{why}.")
        return Chosen(dataset.name, name, images, dataset.class_names, count)
    sizes = kept.sizes()
    name = split or next(name for name in PREFERRED if sizes[name])
    _, everything = _part(dataset, ALL)
    images = everything if name == ALL else everything.take(kept.named(everything, name))
    say(_changed(dataset.name, name, kept.changes(everything, name), images.size))
    if not images.size:
        raise DataError(
            f"{dataset.name} has no image any more of those that {run.path} had for {name}. "
            "Evaluate on what is there with --split all, which counts what it was trained on."
        )
    return Chosen(dataset.name, name, images, dataset.class_names, kept.trained(images))


def _elsewhere(error: DataError, run: Run, source: str) -> DataError:
    return DataError(
        f"{error} The run {run.path} was trained on {source!r}. A path in it begins where the "
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
    config: Mapping[str, Any],
    kept: Sides | None,
    data: str | Dataset,
    split: str | None,
    say: Callable[[str], None],
) -> Chosen:
    """Of any other data."""
    dataset = _load(config, data, split or "own", say)
    if isinstance(data, str):
        name = next(name for name in PREFERRED if getattr(dataset, name).size)
        images = getattr(dataset, name)
        name = split or (ALL if name == "train" else name)
    else:
        name, images = _part(dataset, split)
    count = kept.trained(images) if kept else None
    if dataset.fingerprint == config["data"]["fingerprint"] and kept is None:
        count = dataset.train.size if name in ("train", ALL) else 0
    return Chosen(dataset.name, name, images, dataset.class_names, count)


def _load(
    config: Mapping[str, Any],
    data: str | Dataset,
    split: str | None,
    say: Callable[[str], None] = lambda line: None,
) -> Dataset:
    shape, seed, skip = canvas_shape(config), config["seed"], config["data"]["skip_corrupt"]
    if isinstance(data, str) and split == "train":  # all of it, as nothing is going to be trained
        options: dict[str, Any] = {"seed": seed, "skip_corrupt": skip, "validation": 0, "test": 0}
        data = load(data, input_shape=shape, split=split, echo=say, **options)
    return load_for(data, shape, seed=seed, skip_corrupt=skip, echo=say, split=split)


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
