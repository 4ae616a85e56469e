"""`tfds:NAME`: image sets of TensorFlow Datasets; needs the extra `tfds`.

    tfds:beans        tfds:cats_vs_dogs:4.0.1        tfds:my_set?data_dir=FOLDER

The package fetches and prepares the set; its record files are then read as
`kerascnn.data.tfrecord` reads them, so that the order is shuffled over all images.

A set has masks if one of its features is an image of classes. What its numbers mean is known of a
`LabeledImage`, and of the sets in `KNOWN`; of others it is to be said:

    tfds:my_set?mask=segmentation&classes=pet,background,border&offset=1

The offset is the number of the first class; what is below it is void, and so is 255.

A set has boxes if one of its features is a sequence of objects, each with a box and a class, as
`objects` of `voc/2007` and `coco/2017`; of several it is to be said which: `?boxes=objects`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import numpy as np

from kerascnn.data import encoded, record_boxes
from kerascnn.data.arguments import named_classes, parsed
from kerascnn.data.boxes import Boxes
from kerascnn.data.examples import Contents, DataSource, Encoded, Options
from kerascnn.data.labels import Labels
from kerascnn.data.mask_files import decoded_mask
from kerascnn.data.masks import Masks
from kerascnn.data.names import Names
from kerascnn.data.record_index import indexed
from kerascnn.data.sentinels import VOID
from kerascnn.data.split_names import SPLIT_WORDS
from kerascnn.data.tfrecord import Records, records
from kerascnn.errors import DataError
from kerascnn.words import listed


class Meaning(NamedTuple):
    """What the numbers in the masks of a set mean.

    Attributes:
        feature: that holds the mask.
        classes: their names.
        offset: the number of the first.
    """

    feature: str
    classes: tuple[str, ...]
    offset: int


KNOWN = {
    "oxford_iiit_pet": Meaning("segmentation_mask", ("pet", "background", "border"), 1),
}

DIFFICULT = ("is_difficult", "is_crowd", "is_group_of")  # of objects, in any set


def _tfds(argument: str, options: Options) -> Contents:
    known = ("data_dir", "image", "label", "mask", "classes", "offset", "boxes")
    name, given = parsed(argument, *known)
    builder = _builder(name, given.get("data_dir"), options)
    if options.target == Masks.kind:
        image, label = _image(name, builder, given), ""
        meaning = _meaning(name, builder, given, image)
        names, notes = meaning.classes, [_said(meaning)]
    elif options.target == Boxes.kind:
        image, label = _image(name, builder, given), ""
        held = _objects(name, builder, given)
        names, notes = held.classes, []
    else:
        image, label = _image(name, builder, given), _label(name, builder, given)
        names, notes = tuple(builder.info.features[label].names), []
    splits: dict[str, Encoded] = {}
    for split, info in builder.info.splits.items():
        if split not in SPLIT_WORDS or SPLIT_WORDS[split] in splits:
            options.echo(f"tfds:{name}: the split {split} is not used.")
            continue
        shards = [indexed(str(path), image, label) for path in info.filepaths]
        found = records(shards, image, [shard.labels for shard in shards])
        if options.target == Masks.kind:
            found = replace(found, labels=_masks(found, meaning, options))
        elif options.target == Boxes.kind:
            options.echo(f"tfds:{name}: reading the boxes of {split} …")
            found = replace(found, labels=record_boxes.read(shards, image, held, options))
        splits[SPLIT_WORDS[split]] = found
    if not splits:
        raise DataError(
            f"tfds:{name} has no split that is for training, validation or test: "
            f"{', '.join(builder.info.splits)}."
        )
    return encoded.contents(f"tfds:{name}", names, splits, options, notes=notes)


def _builder(name: str, data_dir: str | None, options: Options) -> Any:
    """The set's builder, after what has to be fetched is there.

    Raises:
        DataError: the package is missing, it knows no such set, or fetching failed.
    """
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise DataError(
            f"tfds:{name} needs TensorFlow Datasets: pip install 'kerascnn[tfds]'. ({error})"
        ) from error
    try:
        builder = tensorflow_datasets.builder(name, data_dir=data_dir, try_gcs=False)
        if not builder.is_prepared():
            _require_connection(name, builder)
            options.echo(f"tfds:{name}: fetching and preparing …")
            with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
                builder.download_and_prepare(file_format="tfrecord")
    except DataError:
        raise
    except Exception as error:  # each set's own code fetches and reads what its authors publish
        reason = " ".join(str(error).split())[:500]
        raise DataError(f"tfds:{name} can't be had: {type(error).__name__}: {reason}") from error
    if builder.info.file_format.value != "tfrecord":
        raise DataError(
            f"tfds:{name} was prepared as {builder.info.file_format.value} files; expected "
            f"tfrecord. Delete {builder.data_path}, or prepare it in another data_dir."
        )
    return builder


def _require_connection(name: str, builder: Any) -> None:
    """Find out in a moment what the package's own downloads find out in minutes of retries.

    Raises:
        DataError: a host of the set's files has no address, and no proxy is asked.
    """
    hosts = {urlsplit(url).hostname for url in builder.url_infos or ()}
    for host in sorted(filter(None, hosts)):
        if getproxies() and not proxy_bypass(host):
            continue
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            raise DataError(
                f"tfds:{name} is not in {builder.data_path} yet, and can't be fetched without a "
                f"connection to {host}: {error.strerror}. Connect, or prepare it elsewhere and "
                f"say where it is: tfds:{name}?data_dir=FOLDER."
            ) from None


def _feature(
    name: str,
    builder: Any,
    option: str,
    given: dict[str, str],
    usual: str,
    known: Callable[[Any], bool],
) -> str:
    """The one feature of a kind, the one with the usual name of several, or the one that is given.

    Raises:
        DataError: there is none, or it is in doubt.
    """
    features = builder.info.features
    found = [key for key, feature in features.items() if known(feature)]
    wanted = given.get(option) or (found[0] if len(found) == 1 else usual)
    if wanted in found:
        return wanted
    say = f", or say which as in ?{option}={found[0]}" if len(found) > 1 else ""
    raise DataError(
        f"tfds:{name} must have one feature that is the {option}{say}. "
        f"Received: {given.get(option) or listed(found) or 'none'} of {', '.join(features)}."
    )


def _image(name: str, builder: Any, given: dict[str, str]) -> str:
    import tensorflow_datasets

    kind = tensorflow_datasets.features.Image
    return _feature(name, builder, "image", given, "image", lambda found: type(found) is kind)


def _label(name: str, builder: Any, given: dict[str, str]) -> str:
    import tensorflow_datasets

    kind = tensorflow_datasets.features.ClassLabel
    return _feature(name, builder, "label", given, "label", lambda found: type(found) is kind)


def _meaning(name: str, builder: Any, given: dict[str, str], image: str) -> Meaning:
    """Which feature is the mask, and what it means.

    Raises:
        DataError: there is none, or its meaning is not known.
    """
    import tensorflow_datasets

    features, kinds = builder.info.features, tensorflow_datasets.features
    known = KNOWN.get(builder.name)

    def is_mask(feature: Any) -> bool:
        grey = isinstance(feature, kinds.Image) and feature.shape[-1] == 1
        of_classes = isinstance(feature, kinds.LabeledImage)
        return of_classes or (grey and feature is not features[image])

    usual = known.feature if known else "segmentation_mask"
    key = _feature(name, builder, "mask", given, usual, is_mask)
    offset = given.get("offset", "0")
    if not re.fullmatch(r"\d{1,3}", offset) or int(offset) >= VOID:
        raise DataError(f"offset must be the number of the first class. Received: {offset[:80]!r}.")
    if "classes" in given:
        return Meaning(key, named_classes(given["classes"]), int(offset))
    if isinstance(features[key], kinds.LabeledImage):
        return Meaning(key, tuple(features[key].names), 0)
    if known and known.feature == key:
        return known
    raise DataError(
        f"tfds:{name} doesn't say what the numbers in {key} mean. Name the classes, and the number "
        f"of the first: tfds:{name}?classes=NAME,NAME&offset=1."
    )


def _objects(name: str, builder: Any, given: dict[str, str]) -> record_boxes.Objects:
    """Which feature is the objects, and what they hold.

    Raises:
        DataError: there is none, or it is in doubt.
    """
    import tensorflow_datasets

    kinds = tensorflow_datasets.features

    def inside(feature: Any, kind: type) -> list[str]:
        parts = getattr(feature, "feature", None)
        if not isinstance(feature, kinds.Sequence) or not isinstance(parts, kinds.FeaturesDict):
            return []
        return [key for key, part in parts.items() if isinstance(part, kind)]

    def are_objects(feature: Any) -> bool:
        return bool(inside(feature, kinds.BBoxFeature) and inside(feature, kinds.ClassLabel))

    key = _feature(name, builder, "boxes", given, "objects", are_objects)
    feature = builder.info.features[key]
    labels = inside(feature, kinds.ClassLabel)
    label = "label" if "label" in labels else labels[0]
    return record_boxes.Objects(
        box=f"{key}/{inside(feature, kinds.BBoxFeature)[0]}",
        label=f"{key}/{label}",
        difficult=tuple(f"{key}/{one}" for one in DIFFICULT if one in feature.feature),
        classes=tuple(feature.feature[label].names),
    )


def _said(meaning: Meaning) -> str:
    last = meaning.offset + len(meaning.classes) - 1
    return (
        f"The masks are those of {meaning.feature}, where {meaning.offset} to {last} are "
        f"{listed(meaning.classes)}; other numbers below are void, as is {VOID}."
        if meaning.offset
        else f"The masks are those of {meaning.feature}, where 0 to {last} are "
        f"{listed(meaning.classes)}; {VOID} is void."
    )


def _masks(images: Records, meaning: Meaning, options: Options) -> Masks:
    def read(position: int) -> np.ndarray:
        place = f"{images.place(position)} {meaning.feature}"
        content = images.feature_of(position, meaning.feature)
        found = decoded_mask(place, content, reading=options.reading)
        if found.ndim > 2:
            raise DataError(f"{place}: a mask must have numbers for classes. Received: colours.")
        below = (found < meaning.offset) | (found == VOID)
        return np.where(below, VOID, found - np.uint8(meaning.offset)).astype("uint8")

    return Masks(
        read=read,
        names=Names.of(f"{meaning.feature}-{n:016x}".encode() for n in images.prints.tolist()),
        sizes=np.full(len(images.prints), -1, "int64"),
        classes=len(meaning.classes),
    )


TFDS = DataSource(
    read=_tfds,
    argument="NAME",
    targets=(Labels.kind, Masks.kind, Boxes.kind),
    help="Labels, masks and boxes of TensorFlow Datasets (extra tfds), fetched at first use.",
)
