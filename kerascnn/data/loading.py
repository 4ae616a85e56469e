"""`load`: from a source's name to a Dataset. The rules for splits and checks are here, once."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from PIL import Image

from kerascnn import registry
from kerascnn.data.arguments import common
from kerascnn.data.dataset import Dataset
from kerascnn.data.delivery import deliver
from kerascnn.data.examples import Arrays, Contents, DataSource, Examples, Options
from kerascnn.data.fitting import Shape, eight_bits
from kerascnn.data.labels import Labels
from kerascnn.data.shares import with_shares
from kerascnn.data.split_names import SPLITS
from kerascnn.data.splits import ArraySplit, Split, joined
from kerascnn.data.targets import Targets, many
from kerascnn.errors import ArgumentError, DataError, UnknownNameError
from kerascnn.words import counted, listed, printable

ALL, OWN = "all", "own"
ENDINGS = {"csv": "csv", "tfrecord": "tfrecord", "tfrecords": "tfrecord"}  # file → source


def load(
    source: str,
    *,
    target: str = Labels.kind,
    input_shape: Shape | None = None,
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.1,
    skip_corrupt: bool = False,
    split: str | None = None,
    echo: Callable[[str], None] | None = print,
) -> Dataset:
    """Load a data set: `load("mnist5k")`, `load("folder:photos", input_shape=(224, 224, 3))`.

    Where the source comes without a validation or test set, a share of its training images is
    taken. On which side an image falls is decided by a hash of its name and the seed alone, so that
    adding or removing images moves no other; what that means for small classes says
    `kerascnn.data.shares.divided`.

    To evaluate, `split="all"` gives every image of the source, whatever split it belongs to, and
    `split="test"` the test images alone; both also of a source without training images, which is
    refused otherwise. `split="own"` gives what the source itself has to test on.

    Args:
        source: a name of the entry point group `kerascnn.datasets`: mnist5k, mnist,
            fashion_mnist, cifar10, cifar100, digit_scenes, npz:PATH, folder:PATH, csv:FILE,
            tfrecord:GLOB, tfds:NAME, voc:PATH, coco:PATH, yolo:PATH, or another package's.
        target: what the images are to be labelled with: "label", "mask" or "boxes".
        input_shape: `(height, width, channels)` to deliver; images of another size are padded,
            resized or converted, see `kerascnn.data.fitting.fit`. Default: as they are.
        seed: of the split, where the source comes without one.
        validation: share of the training images to take for validation where the source has no
            validation set.
        test: the same for the test set.
        skip_corrupt: leave unreadable images out. All are read for that, once, in parallel.
        split: None: the images of all splits, each in its own, to train with. "train",
            "validation" or "test": only the images of this one. "all": every image, in `test`, in
            the order train, validation, test; nothing is taken. "own": the first of test,
            validation and train that the source itself has; nothing is taken. The other splits are
            then empty.
        echo: is called with each note; None: silent.

    Raises:
        DataError: the data can't be found, read or used, the message names the file; or there is no
            image of the split wanted, without `split` no training image; or the source has no such
            targets.
        ArgumentError: an argument is illegal.
        UnknownNameError, DuplicateNameError, BrokenPluginError: see `kerascnn.registry.load`.
    """
    say = echo or (lambda line: None)
    _check_arguments(input_shape, validation, test, split)
    options = Options(target=target, input_shape=input_shape, skip_corrupt=skip_corrupt, echo=say)
    contents = read_source(source, options)
    rule = ""
    if split == OWN:
        split = next((n for n in reversed(SPLITS) if _has(contents, n)), ALL)
    elif split != ALL:
        contents, rule = with_shares(contents, seed, validation, test)
    wanted = _chosen(source, contents, split)
    shape = input_shape or next(iter(wanted.values())).shape
    notes = list(contents.notes)
    splits: dict[str, Split] = {}
    for name, examples in wanted.items():
        splits[name], changes = deliver(examples, shape, fast=name == "train" and split is None)
        notes += [change for change in changes if change not in notes]
    if split == ALL:
        splits = {"test": joined(list(splits.values()))}
    if split is None:
        shares = {"train": 1.0, "validation": validation, "test": test}
        notes += _lacking(
            {
                name: examples.targets
                for name, examples in contents.splits.items()
                if name in wanted or (rule and shares[name])
            },
            contents.class_names,
        )
    for note in notes:
        say(f"{source}: {note}")
    nothing = next(iter(wanted.values())).targets.take(np.arange(0))
    empty = ArraySplit(np.zeros((0, *shape), "uint8"), nothing)
    return Dataset(
        name=source,
        classes=len(contents.class_names),
        class_names=contents.class_names,
        image_shape=shape,
        licence=contents.licence,
        notes=tuple(notes),
        left_out=contents.left_out,
        fingerprint=_fingerprint(contents, shape),
        split_rule=rule,
        target=target,
        **{name: splits.get(name, empty) for name in SPLITS},
    )


def load_for(
    data: str | Dataset,
    shape: Shape,
    *,
    seed: int,
    skip_corrupt: bool,
    echo: Callable[[str], None],
    split: str | None = None,
    target: str = Labels.kind,
) -> Dataset:
    """The data, loaded for a network that takes images of this shape; arguments as `load`'s.

    Raises:
        ArgumentError: a Dataset that delivers images of another shape, or other targets.
    """
    if isinstance(data, str):
        data = load(
            data,
            target=target,
            input_shape=shape,
            seed=seed,
            skip_corrupt=skip_corrupt,
            split=split,
            echo=echo,
        )
    if tuple(data.image_shape) != tuple(shape):
        raise ArgumentError(
            f"The network takes images of {shape}, the Dataset {data.name} delivers "
            f"{data.image_shape}. Load it with input_shape={shape}."
        )
    if data.target != target:
        raise ArgumentError(
            f"The network is trained on images with {many(target)}, the Dataset {data.name} has "
            f"{many(data.target)}. Load it with target={target!r}."
        )
    return data


def read_source(source: str, options: Options) -> Contents:
    """What a source holds, with its own splits only.

    Raises:
        DataError, UnknownNameError, DuplicateNameError, BrokenPluginError: see `load`.
    """
    try:
        source.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"The path of {printable(source)} is no UTF-8: rename the folder or file, or make a "
            "link."
        ) from None
    found, argument = find_source(source)
    if options.target not in found.targets:
        raise DataError(
            f"{source} has no {many(options.target)}. It has {listed(map(many, found.targets))}."
        )
    argument, reading = common(argument)
    if Image.MAX_IMAGE_PIXELS and reading.pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = reading.pixels  # Pillow has no other way to be told
    contents = found.read(argument, replace(options, reading=reading))
    if reading.range:
        contents = replace(
            contents,
            splits={name: _scaled(part, reading.range) for name, part in contents.splits.items()},
        )
    for name, examples in contents.splits.items():
        _check(source, name, examples, options.target, len(contents.class_names))
    if found.licence and contents.licence == Contents.licence:
        return replace(contents, licence=found.licence)
    return contents


def _scaled(examples: Examples, limits: tuple[float, float]) -> Examples:
    """Arrays as uint8; encoded images are scaled when they are read."""
    if not isinstance(examples, Arrays) or examples.images.dtype.kind not in "biuf":
        return examples
    images = np.empty(examples.images.shape, "uint8")
    for start in range(0, len(images), 256):
        images[start : start + 256] = eight_bits(examples.images[start : start + 256], limits)
    return Arrays(images, examples.labels)


def find_source(source: str) -> tuple[DataSource, str]:
    """The source behind `NAME`, `NAME:ARGUMENT` or `NAME?OPTIONS`, and what follows the name.

    Raises:
        DataError, UnknownNameError, DuplicateNameError, BrokenPluginError: see `load`.
    """
    name = re.split("[:?]", source)[0]
    mark, argument = source[len(name) :][:1], source[len(name) :].removeprefix(":")
    try:
        found = registry.load(registry.DATASETS, name, DataSource)
    except UnknownNameError:
        if not os.path.exists(source):
            raise
        ending = os.path.splitext(source)[1].lower().removeprefix(".")
        kind = "folder" if os.path.isdir(source) else ENDINGS.get(ending, "npz")
        raise UnknownNameError(
            f"There is no dataset {source!r}. Did you mean {kind}:{source}?"
        ) from None
    if mark == "?" and found.options:
        return found, argument
    if bool(found.argument) != bool(argument) or mark == "?" or (mark and not argument):
        options = "&".join(f"{option}=…" for option in found.options)
        expected = f"{name}:{found.argument}" if found.argument else name
        expected += f" or {name}?{options}" if options else ""
        raise DataError(f"Expected {expected}. Received: {source!r}.")
    return found, argument


def best_target(source: str, wanted: str | None = None) -> str:
    """The kind of targets that is wanted, if a source has it; else the best of what it has.

    Raises:
        DataError, UnknownNameError, DuplicateNameError, BrokenPluginError: see `load`.
    """
    found, argument = find_source(source)
    if wanted in found.targets:
        return wanted
    return found.best(common(argument)[0]) if found.best else found.targets[0]


def _check_arguments(
    input_shape: Shape | None, validation: float, test: float, split: str | None
) -> None:
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
    if split not in (None, ALL, OWN, *SPLITS):
        raise ArgumentError(
            f"split must be {', '.join(SPLITS)}, {ALL}, {OWN} or None. Received: {split!r}."
        )


def _check(source: str, split: str, examples: Examples, target: str, classes: int) -> None:
    """Refuse targets of another kind than is wanted, and arrays that are not as documented."""
    labels = examples.labels
    kind = labels.kind if isinstance(labels, Targets) else Labels.kind
    if kind != target:
        raise DataError(
            f"{source}: expected {split} images with {many(target)}. Received: {many(kind)}. The "
            "source says otherwise: tell its authors."
        )
    if isinstance(labels, Labels):
        labels = labels.labels
    if not isinstance(labels, Targets):
        labels = np.asarray(labels)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise DataError(
                f"{source}: the {split} labels must be integers [n]. "
                f"Received: {labels.dtype} {list(labels.shape)}."
            )
    if isinstance(examples, Arrays):
        images, count = examples.images, len(labels)
        if images.ndim != 4 or images.dtype != np.uint8 or len(images) != count:
            raise DataError(
                f"{source}: the {split} images must be uint8 [n, height, width, channels] with "
                f"values in 0..255, one for each label. Received: {images.dtype} "
                f"{list(images.shape)} and {count} labels.{_range_of(images)}"
            )
    if isinstance(labels, np.ndarray):
        _check_range(source, split, labels, classes)


def _check_range(source: str, split: str, labels: np.ndarray, classes: int) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise DataError(
            f"{source}: {len(wrong)} {split} labels are out of range: expected 0 to "
            f"{classes - 1}. Received: {labels[wrong[0]]} at position {wrong[0]}."
        )


def _range_of(images: np.ndarray) -> str:
    """What to do about images of another dtype."""
    if images.dtype == np.uint8 or images.dtype.kind not in "biuf" or not images.size:
        return ""
    return (
        f" To have them scaled, add ?range=BLACK:WHITE to the source; their values are "
        f"{np.nanmin(images):g} to {np.nanmax(images):g}."
    )


def _has(contents: Contents, split: str) -> bool:
    return split in contents.splits and len(contents.splits[split].labels) > 0


def _chosen(source: str, contents: Contents, split: str | None) -> dict[str, Examples]:
    """Only what is wanted: the splits to train with, one, or all that have an image.

    Raises:
        DataError: there is no such image.
    """
    filled = {name: contents.splits[name] for name in SPLITS if _has(contents, name)}
    if split is None and filled and "train" not in filled:
        held = " and ".join(f"{len(part.labels)} for {name}" for name, part in filled.items())
        raise DataError(
            f"{source} has no training image, only {held}, so nothing can be trained on it. A "
            f"trained run can be tested on it: kerascnn evaluate RUN --data {source}"
        )
    wanted = "train" if split is None else split
    if not filled or wanted not in (ALL, *filled):
        what = {"train": "training image", ALL: "image"}.get(wanted, f"{wanted} image")
        had = f", only of {' and '.join(filled)}" if filled else ""
        raise DataError(f"{source}: there is no {what}{had}.")
    return {split: filled[split]} if split in SPLITS else filled


def _lacking(targets: Mapping[str, Targets], class_names: tuple[str, ...]) -> list[str]:
    """A note for each split that has no image of some classes, as far as that is known."""
    notes = []
    for name, part in targets.items():
        missing = np.flatnonzero(~part.used(len(class_names))).tolist()
        if missing:
            what = "training" if name == "train" else name
            some = ", ".join(class_names[label] for label in missing[:5])
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            classes = counted(len(missing), "class", "classes")
            notes.append(f"No {what} image of {classes}: {some}{more}.")
    return notes


def _fingerprint(contents: Contents, shape: Shape) -> str:
    digest = hashlib.sha256(json.dumps([contents.class_names, shape]).encode())
    for name in SPLITS:
        digest.update(name.encode())
        if name in contents.splits:
            contents.splits[name].digest(digest.update)
    return digest.hexdigest()
