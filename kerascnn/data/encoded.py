"""Encoded images as contents of a source: their common shape, the unreadable ones, the notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from kerascnn.data import images
from kerascnn.data.examples import Contents, Encoded, Options
from kerascnn.data.fitting import PAD_LIMIT, Shape
from kerascnn.data.labels import Labels
from kerascnn.data.threads import threads
from kerascnn.errors import DataError
from kerascnn.words import counted

# Up to so many files are all read when the data are loaded, so that a damaged one is reported
# before training begins; with more, it is reported when training meets it.
VERIFY_LIMIT = 2000
PROBES = 64  # files that tell the size of the images when the user doesn't
LISTED = 10  # files named in a note


def contents(
    root: str,
    class_names: Sequence[str],
    splits: Mapping[str, Encoded],
    options: Options,
    strays: Mapping[str, Sequence[str]] | None = None,
    notes: Sequence[str] = (),
    every_class: bool = True,
    wrong: Sequence[str] = (),
) -> Contents:
    """What a source of encoded images found, read as far as the options and the limits say.

    Args:
        root: how messages call the source.
        class_names: in the order of the labels.
        splits: the examples of "train", "validation" and "test", as far as there are some.
        options: as the source got them.
        strays: reason → files that are left out for it.
        notes: what the source has to say itself.
        every_class: refuse a class without an image to train on; without, it is noted, as where a
            list of classes is the same for all data.
        wrong: see `Contents`; there are some only where the options are forbearing.

    Raises:
        DataError: the images have no common size and none is asked for, one is unreadable, or a
            class has no readable one.
    """
    names = tuple(class_names)
    found = {n: part.delivering(part.shape, options.reading) for n, part in splits.items()}
    left_out = [f"{file}: {why}" for why, files in (strays or {}).items() for file in files]
    if options.unread:
        return Contents(
            class_names=names,
            splits=found,
            left_out=tuple(left_out),
            notes=tuple(notes),
            wrong=tuple(wrong),
        )
    shape = options.input_shape or _common_shape(root, next(iter(found.values())))
    found = {split: part.delivering(shape, options.reading) for split, part in found.items()}
    notes = list(notes)
    unreadable: list[str] = []
    for why, files in (strays or {}).items():
        if files:
            what = counted(len(files), "file", "files")
            notes.append(listing(f"Left out {what} ({why})", files))
    if options.skip_corrupt or sum(len(e.labels) for e in found.values()) <= VERIFY_LIMIT:
        changes: Counter[str] = Counter()
        for split, examples in found.items():
            found[split] = _verified(examples, shape, changes, unreadable, options)
        if every_class and "train" in found and options.target == Labels.kind:
            _refuse_empty(root, found["train"], names)
        notes += [
            f"{counted(count, 'image is', 'images are')} {change}."
            for change, count in changes.most_common()
        ]
    else:
        notes.append(_rule(shape))
    if wrong:
        what = counted(len(wrong), "wrong annotation", "wrong annotations")
        notes.append(listing(f"Left out {what}", wrong))
    if hint := _dark(next(iter(found.values())), options):
        notes.append(hint)
    if unreadable:
        what = counted(len(unreadable), "unreadable image", "unreadable images")
        notes.append(listing(f"Left out {what}", unreadable))
    if {"train", "validation"} <= set(found) and "test" not in found:
        found["test"] = found["train"].take(np.arange(0))
        notes.append("There is no test split: the test set is empty.")
    return Contents(
        class_names=names,
        splits=found,
        notes=tuple(notes),
        left_out=(*unreadable, *wrong, *left_out),
    )


def _probes(examples: Encoded) -> list[int]:
    """Positions of some examples, evenly over all."""
    last = len(examples.labels) - 1
    return np.unique(np.linspace(0, last, min(PROBES, last + 1)).astype(int)).tolist()


def _dark(examples: Encoded, options: Options) -> str | None:
    """That the images have 16 bits and hardly use them, judged by some; None: it isn't so."""
    if options.reading.range:
        return None
    peaks = []
    for position in _probes(examples):
        try:
            peaks.append(images.peak(examples.place(position), examples.content(position)) or 0)
        except DataError:
            continue  # the verification, or training, reports it
    return images.range_hint(max(peaks, default=0))


def _common_shape(root: str, examples: Encoded) -> Shape:
    """The shape of the images, judged by some of them.

    Raises:
        DataError: they have several sizes.
    """
    sizes: dict[tuple[int, int], str] = {}
    channels = 1
    for position in _probes(examples):
        path = examples.place(position)
        try:
            image, _ = images.decode(path, None, examples.content(position), examples.reading)
        except DataError:
            continue  # the verification, or training, reports it
        sizes.setdefault((image.height, image.width), path)
        channels = max(channels, len(image.getbands()))
    if len(sizes) != 1:
        some = ", ".join(f"{path} is {h}×{w}" for (h, w), path in list(sizes.items())[:2])
        raise DataError(
            f"{root}: the images have no common size: {some or 'none is readable'}. "
            "Pass input_shape=(height, width, channels)."
        )
    height, width = next(iter(sizes))
    return height, width, channels


def _verified(
    examples: Encoded,
    shape: Shape,
    changes: Counter[str],
    unreadable: list[str],
    options: Options,
) -> Encoded:
    """The readable images; counts what is changed in them.

    Raises:
        DataError: one is unreadable and `skip_corrupt` is off.
    """
    total = len(examples.labels)
    if total > VERIFY_LIMIT:
        options.echo(f"Reading {total} images to find unreadable ones …")
    targets = examples.targets

    def check(position: int) -> tuple[tuple[str, ...], str]:
        try:
            content = examples.content(position)
            _, changes = images.read(examples.place(position), shape, content, examples.reading)
            targets.checked(position)
            return changes, ""
        except DataError as error:
            return (), str(error)

    bad: dict[int, str] = {}
    for position, (changed, error) in enumerate(threads().map(check, range(total))):
        changes.update(changed)
        if error:
            bad[position] = error
    if bad and not options.skip_corrupt:
        said, *others = (error.rstrip(".") for error in bad.values())
        more = f" ({len(others)} others can't be read either.)" if others else ""
        raise DataError(
            f"{said}.{more} Repair or remove it, or leave such files out with skip_corrupt=True "
            "(--skip-corrupt)."
        )
    unreadable += bad.values()
    return examples.take(np.setdiff1d(np.arange(total), list(bad)))


def _refuse_empty(root: str, examples: Encoded, class_names: Sequence[str]) -> None:
    counts = examples.targets.counts(len(class_names))
    if not counts.all():
        empty = class_names[int(counts.argmin())]
        raise DataError(
            f"{root}: the class {empty!r} has no readable image to train on. Add some, or leave "
            "the class out."
        )


def _rule(shape: Shape) -> str:
    height, width, channels = shape
    return (
        f"Images that are not {height}×{width} are padded with zeros if they are at most "
        f"{PAD_LIMIT} pixels smaller, else scaled and cropped to the middle; all are "
        f"delivered with {channels} {'channel' if channels == 1 else 'channels'}."
    )


def listing(what: str, items: Sequence[str]) -> str:
    """What was left out or found, with the first of the items."""
    more = f"; and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return f"{what}: {'; '.join(item.rstrip('.') for item in items[:LISTED])}{more}."
