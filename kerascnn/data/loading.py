"""`load`: from a source's name to a Dataset. The rules for splits and checks are here, once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from kerascnn import registry
from kerascnn.data.dataset import Dataset
from kerascnn.data.examples import Arrays, Contents, Examples, Options, Source
from kerascnn.data.images import Shape
from kerascnn.errors import ArgumentError, BrokenPluginError, DataError, UnknownNameError

SPLITS = ("train", "validation", "test")


def load(
    source: str,
    *,
    input_shape: Shape | None = None,
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.1,
    skip_corrupt: bool = False,
    echo: Callable[[str], None] | None = print,
) -> Dataset:
    """Load a data set: `load("mnist5k")`, `load("folder:photos", input_shape=(224, 224, 3))`.

    Args:
        source: a name of the entry point group `kerascnn.datasets`: mnist5k, mnist,
            fashion_mnist, cifar10, cifar100, npz:PATH, folder:PATH, csv:FILE, tfrecord:GLOB,
            tfds:NAME, or another package's.
        input_shape: `(height, width, channels)` to deliver; images of another size are padded,
            resized or converted, see `kerascnn.data.images.fit`. Default: as they are.
        seed: of the split, where the source comes without one.
        validation: share of the training images, of each class, to take for validation where the
            source has no validation set.
        test: the same for the test set.
        skip_corrupt: leave unreadable images out. All are read for that, once, in parallel.
        echo: is called with each note; None: silent.

    Raises:
        DataError: the data can't be found, read or used; the message names the file.
        ArgumentError: an argument is illegal.
        UnknownNameError, DuplicateNameError, BrokenPluginError: see `kerascnn.registry.load`.
    """
    say = echo or (lambda line: None)
    _check_arguments(input_shape, validation, test)
    options = Options(input_shape=input_shape, skip_corrupt=skip_corrupt, echo=say)
    contents = read_source(source, options)
    contents = _split(contents, seed, validation, test)
    shape = input_shape or contents.splits["train"].shape
    notes = list(contents.notes)
    splits = {}
    for name in SPLITS:
        splits[name], changes = contents.splits[name].deliver(shape, fast=name == "train")
        notes += [change for change in changes if change not in notes]
    missing = set(range(len(contents.class_names))) - set(
        np.unique(splits["train"].labels).tolist()
    )
    if missing:
        names = ", ".join(contents.class_names[label] for label in sorted(missing)[:5])
        notes.append(f"No training image of {len(missing)} classes: {names}.")
    for note in notes:
        say(f"{source}: {note}")
    return Dataset(
        name=source,
        classes=len(contents.class_names),
        class_names=contents.class_names,
        image_shape=shape,
        licence=contents.licence,
        notes=tuple(notes),
        left_out=contents.left_out,
        fingerprint=_fingerprint(contents, shape),
        **splits,
    )


def read_source(source: str, options: Options) -> Contents:
    """What a source holds, with its own splits only.

    Raises:
        DataError, UnknownNameError, DuplicateNameError, BrokenPluginError: see `load`.
    """
    found, argument = _find(source)
    contents = found.read(argument, options)
    for name, examples in contents.splits.items():
        _check(source, name, examples, len(contents.class_names))
    if found.licence and contents.licence == Contents.licence:
        return replace(contents, licence=found.licence)
    return contents


def _find(source: str) -> tuple[Source, str]:
    """The source behind `NAME` or `NAME:ARGUMENT`, and the argument."""
    name, colon, argument = source.partition(":")
    try:
        found = registry.load(registry.DATASETS, name)
    except UnknownNameError:
        if not os.path.exists(source):
            raise
        kind = "folder" if os.path.isdir(source) else "npz"
        raise UnknownNameError(
            f"There is no dataset {source!r}. Did you mean {kind}:{source}?"
        ) from None
    if not isinstance(found, Source):
        raise BrokenPluginError(
            f"The dataset {name!r} must be a kerascnn.data.Source. "
            f"Received: {type(found).__name__}."
        )
    if bool(found.argument) != bool(argument) or (colon and not argument):
        expected = f"{name}:{found.argument}" if found.argument else name
        raise DataError(f"Expected {expected}. Received: {source!r}.")
    return found, argument


def _check_arguments(input_shape: Shape | None, validation: float, test: float) -> None:
    legal = input_shape is None or (
        len(input_shape) == 3 and all(isinstance(n, int) and n > 0 for n in input_shape)
    )
    if not legal:
        raise ArgumentError(
            "input_shape must be (height, width, channels), positive integers. "
            f"Received: {input_shape!r}."
        )
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise ArgumentError(
            "validation and test are shares in [0, 1) that leave something for training. "
            f"Received: validation={validation}, test={test}."
        )


def _check(source: str, split: str, examples: Examples, classes: int) -> None:
    """Refuse labels out of range, and arrays of another kind than documented."""
    labels = np.asarray(examples.labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"{source}: the {split} labels must be integers [n]. "
            f"Received: {labels.dtype} {list(labels.shape)}."
        )
    if isinstance(examples, Arrays):
        images = examples.images
        if images.ndim != 4 or images.dtype != np.uint8 or len(images) != len(labels):
            raise DataError(
                f"{source}: the {split} images must be uint8 [n, height, width, channels] with "
                f"values in 0..255, one for each label. Received: {images.dtype} "
                f"{list(images.shape)} and {len(labels)} labels."
            )
    if split == "train" and not len(labels):
        raise DataError(f"{source}: there is no training image.")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise DataError(
            f"{source}: {len(wrong)} {split} labels are out of range: expected 0 to "
            f"{classes - 1}. Received: {labels[wrong[0]]} at position {wrong[0]}."
        )


def _split(contents: Contents, seed: int, validation: float, test: float) -> Contents:
    """Take the validation and test sets that the source doesn't have from its training set."""
    shares = {
        name: share
        for name, share in (("validation", validation), ("test", test))
        if name not in contents.splits
    }
    if not shares:
        return contents
    everything = contents.splits["train"]
    seed = seed if contents.split_seed is None else contents.split_seed
    rest, *parts = stratified(
        everything.labels, everything.keys(), tuple(shares.values()), seed=seed
    )
    taken = {name: everything.take(part) for name, part in zip(shares, parts)}
    counts = " and ".join(f"{len(part)} for {name}" for name, part in zip(shares, parts))
    note = f"{counts} are taken from {len(everything.labels)} training images, class by class."
    return replace(
        contents,
        splits={**contents.splits, "train": everything.take(rest), **taken},
        notes=(*contents.notes, note) if any(shares.values()) else contents.notes,
    )


def stratified(
    labels: np.ndarray, keys: Iterable[bytes], shares: tuple[float, ...], *, seed: int
) -> list[np.ndarray]:
    """Positions of what remains and of each share, in natural order.

    A class with n images gives `round(share * n)` to each share, and at least one if it has three
    or more; one image always remains. Which ones is decided by a hash of seed and key, so that it
    doesn't depend on the version of a random generator, nor on which other images there are.
    """
    salt = str(seed).encode()
    hashes = bytearray()
    for key in keys:
        hashes += hashlib.blake2b(key, digest_size=8, key=salt).digest()
    order = np.lexsort((np.frombuffer(hashes, ">u8"), labels))
    parts: list[list[np.ndarray]] = [[] for _ in range(len(shares) + 1)]
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        start = 0
        for part, share in zip(parts[1:], shares):
            wanted = round(share * len(members))
            if share and not wanted and len(members) >= 3:
                wanted = 1
            stop = min(start + wanted, len(members) - 1)
            part.append(members[start:stop])
            start = stop
        parts[0].append(members[start:])
    return [np.sort(np.concatenate(part)) for part in parts]


def _fingerprint(contents: Contents, shape: Shape) -> str:
    digest = hashlib.sha256(json.dumps([contents.class_names, shape]).encode())
    for name in SPLITS:
        digest.update(name.encode())
        contents.splits[name].digest(digest.update)
    return digest.hexdigest()
