"""`tfrecord:GLOB`: images in TensorFlow's record files, read one by one in any order.

    tfrecord:IMAGENET/*-of-*                           train-..., validation-... are the splits
    tfrecord:DATA/*.tfrecord?image=jpg&label=target    other names of the features

Each record is a `tf.train.Example` with the encoded image as bytes and its class as an integer,
`image/encoded` and `image/class/label` as ImageNet's converters write them, where
`image/class/text` names the class. The class numbers may start anywhere and have gaps: the classes
are the numbers of the training images in rising order.

A record file has no table of contents: it is read once, with all its checksums, and where each
record begins is kept in the user's cache, until the file's size or time changes. The framing of a
record (https://www.tensorflow.org/tutorials/load_data/tfrecord) is its length as uint64, a checksum
of that, the data, and a checksum of the data.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import json
import os
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerascnn import cache
from kerascnn.data import encoded
from kerascnn.data.arguments import SPLITS, parsed
from kerascnn.data.examples import Contents, Encoded, Options, Source
from kerascnn.data.images import AS_THEY_ARE, Reading, Shape
from kerascnn.data.index import Names
from kerascnn.errors import DataError

IMAGE, LABEL, TEXT = "image/encoded", "image/class/label", "image/class/text"
HEADER, FOOTER = 12, 4  # bytes before and behind the data of a record
AT_ONCE = 256  # records that are parsed together
VERSION = 2  # of the index in the cache
ARRAYS = ("offsets", "labels", "prints")  # of a shard
_MISSING = -(2**63)


@dataclass(frozen=True, eq=False)
class Shard:
    """What is in a record file.

    Attributes:
        path: the file.
        size: of the file, in bytes.
        offsets: int64 `[n]`, where each record begins.
        labels: int64 `[n]`, as they are stored.
        prints: uint64 `[n]`, FarmHash's fingerprint of each encoded image.
        texts: label → name of its class, where the records say it.
    """

    path: str
    size: int
    offsets: np.ndarray
    labels: np.ndarray
    prints: np.ndarray
    texts: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class Records(Encoded):
    """Images in record files.

    Attributes:
        paths: of the files.
        file: int32 `[n]`, in which of them each example is.
        number: int64 `[n]`, which of its records it is, from 0.
        offset: int64 `[n]`, where it begins.
        prints: uint64 `[n]`, FarmHash's fingerprint of the encoded image.
        feature: that holds the image.
        labels, shape, reading: see `Encoded`.
    """

    paths: tuple[str, ...]
    file: np.ndarray
    number: np.ndarray
    offset: np.ndarray
    prints: np.ndarray
    feature: str
    labels: np.ndarray
    shape: Shape
    reading: Reading = AS_THEY_ARE

    def name(self, position: int) -> str:
        """File and record, such as "train-00000-of-00010[12]"."""
        return f"{os.path.basename(self.paths[self.file[position]])}[{self.number[position]}]"

    def place(self, position: int) -> str:
        """The same with the whole path."""
        return f"{self.paths[self.file[position]]}, record {self.number[position]},"

    def content(self, position: int) -> bytes:
        """The encoded image; see `Encoded`."""
        from tensorflow.train import Example

        try:
            with open(self.paths[self.file[position]], "rb") as file:
                file.seek(int(self.offset[position]))
                (length,) = struct.unpack("<Q", file.read(HEADER)[:8])
                example = Example.FromString(file.read(length))
            return example.features.feature[self.feature].bytes_list.value[0]
        except Exception as error:  # the file has changed since it was indexed
            raise DataError(
                f"{self.place(position)} can't be read: {type(error).__name__} {error}"
            ) from error

    def names(self) -> Names:
        """A digest of each image: its record may get another number when others are added."""
        return Names.of(b"%016x" % print_ for print_ in self.prints.tolist())

    def digest(self, update: Callable[[Any], None]) -> None:
        """Names of the files, and where the records begin."""
        update("\0".join(map(os.path.basename, self.paths)).encode())
        update(np.ascontiguousarray(self.file))
        update(np.ascontiguousarray(self.offset))
        update(np.ascontiguousarray(self.labels, "int32"))

    def take(self, index: np.ndarray) -> Records:
        """The examples at these positions."""
        return replace(
            self,
            **{
                name: getattr(self, name)[index]
                for name in ("file", "number", "offset", "prints", "labels")
            },
        )


def records(shards: Sequence[Shard], feature: str, labels: Sequence[np.ndarray]) -> Records:
    """The records of some files as examples, with a label for each."""
    counts = [len(shard.offsets) for shard in shards]
    return Records(
        paths=tuple(shard.path for shard in shards),
        file=np.repeat(np.arange(len(shards), dtype="int32"), counts),
        number=np.concatenate([np.arange(count) for count in counts]),
        offset=np.concatenate([shard.offsets for shard in shards]),
        prints=np.concatenate([shard.prints for shard in shards]),
        feature=feature,
        labels=np.concatenate(labels).astype("int32"),
        shape=(0, 0, 0),
    )


def indexed(path: str, image: str, label: str) -> Shard:
    """A record file's index, from the cache if the file is as it was.

    Args:
        path: the file.
        image, label: names of the features.

    Raises:
        DataError: the file can't be read, or a record is damaged or lacks a feature; the message
            names both.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error}") from error
    state = [VERSION, status.st_size, status.st_mtime_ns, image, label]
    key = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32]
    kept = cache.directory() / "records" / f"{key}.npz"
    with contextlib.suppress(Exception), np.load(kept, allow_pickle=False) as archive:
        # A damaged archive raises anything, and is made anew.
        head = json.loads(archive["head"].tobytes())
        if head["state"] == state:
            texts = {int(number): text for number, text in head["texts"].items()}
            return Shard(path, status.st_size, *(archive[name] for name in ARRAYS), texts)
    shard = _read(path, status.st_size, image, label)
    head = json.dumps({"state": state, "texts": shard.texts}).encode()
    file = io.BytesIO()
    arrays = {name: getattr(shard, name) for name in ARRAYS}
    np.savez(file, head=np.frombuffer(head, "uint8"), **arrays)
    with contextlib.suppress(OSError):  # a cache that can't be written is none
        cache.write(kept, file.getvalue())
    return shard


def _read(path: str, size: int, image: str, label: str) -> Shard:
    """Read a whole file; TensorFlow verifies the checksums."""
    import tensorflow as tf

    spec = {
        image: tf.io.FixedLenFeature([], tf.string, ""),
        label: tf.io.FixedLenFeature([], tf.int64, _MISSING),
        TEXT: tf.io.FixedLenFeature([], tf.string, ""),
    }

    def parse(content: Any) -> tuple[Any, ...]:
        found = tf.io.parse_example(content, spec)
        lengths = tf.strings.length(content)
        prints = tf.fingerprint(found[image][:, None])
        has_image = tf.strings.length(found[image]) > 0
        return lengths, has_image, found[label], prints, found[TEXT]

    lengths: list[int] = []
    labels: list[int] = []
    prints: list[int] = []
    texts: dict[int, str] = {}
    data = tf.data.TFRecordDataset(path).batch(AT_ONCE).map(parse, tf.data.AUTOTUNE)
    try:
        for length, has_image, number, print_, text in data.as_numpy_iterator():
            if (lacking := ~has_image | (number == _MISSING)).any():
                position = int(lacking.argmax())
                name, kind = (label, "int64") if has_image[position] else (image, "bytes")
                raise DataError(
                    f"{path}, record {len(labels) + position}, has no feature {name!r} with one "
                    f"value of the type {kind}. Name the features, as in "
                    "tfrecord:GLOB?image=image/encoded&label=image/class/label."
                )
            lengths += length.tolist()
            labels += number.tolist()
            prints += print_.view("<u8")[:, 0].tolist()
            for one in np.unique(number, return_index=True)[1]:
                texts.setdefault(int(number[one]), text[one].decode(errors="replace"))
    except tf.errors.OpError as error:
        number = _damaged(path)
        reason = re.sub(r"\{\{.*?\}\} ?| \[Op.*", "", str(error.message).split("\n")[0])
        raise DataError(f"{path} is damaged at record {number}: {reason}") from error
    steps = np.array(lengths, "int64") + HEADER + FOOTER
    return Shard(
        path,
        size,
        np.cumsum(steps) - steps,
        np.array(labels, "int64"),
        np.array(prints, "uint64"),
        texts if all(texts.values()) else {},
    )


def _damaged(path: str) -> int:
    """The first record that TensorFlow can't read or parse."""
    import tensorflow as tf

    count = 0
    anything = {LABEL: tf.io.VarLenFeature(tf.int64)}
    with contextlib.suppress(tf.errors.OpError):
        for content in tf.data.TFRecordDataset(path).as_numpy_iterator():
            tf.io.parse_single_example(content, anything)
            count += 1
    return count


def _split_of(path: str) -> str | None:
    """The split that a file's name says, as in train-00000-of-00010 or birds-test.tfrecord."""
    for word in re.split(r"[^a-z]+", os.path.basename(path).lower()):
        if word in SPLITS:
            return SPLITS[word]
    return None


def _tfrecord(argument: str, options: Options) -> Contents:
    pattern, given = parsed(argument, "image", "label")
    image, label = given.get("image", IMAGE), given.get("label", LABEL)
    paths = sorted(filter(os.path.isfile, glob.glob(pattern, recursive=True)))
    if not paths:
        raise DataError(f"There is no file that matches {pattern}.")
    named = {path: _split_of(path) for path in paths}
    if None in named.values():
        if set(named.values()) != {None}:
            odd = next(path for path, split in named.items() if split is None)
            raise DataError(
                f"{pattern}: some files are named after a split, and {odd} is not. Rename it, or "
                "choose others by the pattern."
            )
        named = dict.fromkeys(paths, "train")
    options.echo(f"Looking for the records of {len(paths)} files …")
    shards: dict[str, list[Shard]] = {}
    for path, split in named.items():
        shards.setdefault(split or "train", []).append(indexed(path, image, label))
    return _contents(pattern, shards, image, options)


def _contents(
    pattern: str, shards: Mapping[str, list[Shard]], image: str, options: Options
) -> Contents:
    """Examples whose labels are the places of the stored numbers among the training images'."""
    known = shards.get("train") or [shard for part in shards.values() for shard in part]
    stored = np.unique(np.concatenate([shard.labels for shard in known]))
    if not len(stored):
        raise DataError(f"{pattern}: the files have no record.")
    splits: dict[str, Encoded] = {}
    for split in ("train", "validation", "test"):
        if split not in shards:
            continue
        for shard in shards[split]:
            if (unknown := ~np.isin(shard.labels, stored)).any():
                position = int(unknown.argmax())
                raise DataError(
                    f"{shard.path}, record {position}: no training image has its label "
                    f"{shard.labels[position]}."
                )
        labels = [np.searchsorted(stored, shard.labels) for shard in shards[split]]
        splits[split] = records(shards[split], image, labels)
    texts = {number: text for shard in known for number, text in shard.texts.items()}
    names = [texts.get(number, str(number)) for number in stored.tolist()]
    return encoded.contents(pattern, names, splits, options)


TFRECORD = Source(
    read=_tfrecord,
    argument="GLOB",
    licence="yours",
    help="Record files with encoded images and labels, as ImageNet's converters write them.",
)
