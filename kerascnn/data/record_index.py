"""What a record file holds: read once, with all its checksums, and kept in the user's cache.

The index is kept until the file's size or time changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerascnn import cache
from kerascnn.data.record_files import data_at, decompressor, frames, unpacked
from kerascnn.errors import DataError

IMAGE, LABEL, TEXT = "image/encoded", "image/class/label", "image/class/text"
AT_ONCE = 256  # records that are parsed together
VERSION = 3  # of the index in the cache
ARRAYS = ("offsets", "labels", "prints")  # of a shard
_MISSING = -(2**63)


@dataclass(frozen=True, eq=False)
class Shard:
    """What is in a record file.

    Attributes:
        path: the file.
        size: of the file, in bytes.
        stored: where its records are: itself, or its unpacked copy in the cache.
        offsets: int64 `[n]`, where each record begins.
        labels: int64 `[n]`, as they are stored.
        prints: uint64 `[n]`, FarmHash's fingerprint of each encoded image.
        texts: label → name of its class, where the records say it.
        named: the labels are text: their numbers count the texts of this file, and mean nothing.
    """

    path: str
    size: int
    stored: str
    offsets: np.ndarray
    labels: np.ndarray
    prints: np.ndarray
    texts: Mapping[int, str]
    named: bool = False


def indexed(path: str, image: str, label: str) -> Shard:
    """A record file's index, from the cache if the file is as it was.

    Args:
        path: the file.
        image, label: names of the features; a label "": none is wanted, and all are 0.

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
        if head["state"] == state and (not head["unpacked"] or os.path.exists(head["stored"])):
            texts = {int(number): text for number, text in head["texts"].items()}
            arrays = {name: archive[name] for name in ARRAYS}
            return Shard(
                path,
                status.st_size,
                head["stored"] if head["unpacked"] else path,
                **arrays,
                texts=texts,
                named=head["named"],
            )
    shard = _read(path, status.st_size, image, label, kept.with_suffix(".tfrecord"))
    head = json.dumps(
        {
            "state": state,
            "texts": shard.texts,
            "named": shard.named,
            "stored": os.path.abspath(shard.stored),
            "unpacked": shard.stored != path,
        }
    ).encode()
    file = io.BytesIO()
    arrays = {name: getattr(shard, name) for name in ARRAYS}
    np.savez(file, head=np.frombuffer(head, "uint8"), **arrays)
    with contextlib.suppress(OSError):  # a cache that can't be written is none
        cache.write(kept, file.getvalue())
    return shard


def _read(path: str, size: int, image: str, label: str, target: Path) -> Shard:
    """Read a whole file; TensorFlow verifies the checksums."""
    stored = path
    try:
        offsets = frames(path, path)
    except DataError:
        # Only now: a record's length may look like the mark of a compressed file.
        if (packed := decompressor(path)) is None:
            raise
        stored = unpacked(path, target, packed)
        offsets = frames(stored, path)
    reader = _Reader(path, stored, offsets, image, label, _is_text(stored, offsets, label))
    labels, prints, texts = reader.parsed()
    return Shard(path, size, stored, offsets, labels, prints, texts, reader.named)


def _is_text(stored: str, offsets: np.ndarray, label: str) -> bool:
    """Whether the labels are text, as the first record says."""
    if not label:
        return False
    with contextlib.suppress(Exception):  # the reading of all records says what is wrong
        first = next(examples_in(stored, offsets[:1]))
        return first.features.feature[label].WhichOneof("kind") == "bytes_list"
    return False


def examples_in(stored: str, offsets: np.ndarray) -> Iterator[Any]:
    """The examples of a file, parsed one by one.

    Raises:
        google.protobuf.message.DecodeError: one is none.
    """
    from tensorflow.train import Example

    with open(stored, "rb") as file:
        for offset in offsets.tolist():
            yield Example.FromString(data_at(file, offset))


@dataclass(frozen=True, eq=False)
class _Reader:
    """Reads the records of a file.

    Attributes:
        path: the file.
        stored: where its records are, see `Shard`.
        offsets: int64 `[n]`, where each record begins.
        image, label: names of the features.
        named: the labels are text.
    """

    path: str
    stored: str
    offsets: np.ndarray
    image: str
    label: str
    named: bool

    def parsed(self) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
        """Labels, fingerprints of the images, and the name for each label.

        Raises:
            DataError: a record is damaged or lacks a feature.
        """
        import tensorflow as tf

        missing: Any = b"" if self.named else _MISSING
        labels: list[int] = []
        prints: list[int] = []
        texts: dict[int, str] = {}
        numbers: dict[bytes, int] = {}
        data = tf.data.TFRecordDataset(self.stored).batch(AT_ONCE)
        data = data.map(self._parser(missing), tf.data.AUTOTUNE)
        try:
            for has_image, given, print_, text in data.as_numpy_iterator():
                if (~has_image | (given == missing)).any():
                    raise self.fault()
                if self.named:
                    given = np.array([numbers.setdefault(name, len(numbers)) for name in given])
                labels += given.tolist()
                prints += print_.view("<u8")[:, 0].tolist()
                for one in np.unique(given, return_index=True)[1]:
                    name = text[one] if self.named else b"".join(text[one])
                    texts.setdefault(int(given[one]), name.decode(errors="backslashreplace"))
        except (tf.errors.OpError, ValueError) as error:
            raise self.fault(error) from error
        return (
            np.array(labels, "int64"),
            np.array(prints, "uint64"),
            texts if all(texts.values()) else {},
        )

    def _parser(self, missing: Any) -> Callable[[Any], tuple[Any, ...]]:
        """From records to whether they have an image, labels, fingerprints and names of classes."""
        import tensorflow as tf

        kind = tf.string if self.named else tf.int64
        spec = {
            self.image: tf.io.FixedLenFeature([], tf.string, ""),
        }
        if self.label:
            spec[self.label] = tf.io.FixedLenFeature([], kind, missing)
        if self.label != TEXT:
            spec[TEXT] = tf.io.VarLenFeature(tf.string)

        def parse(content: Any) -> tuple[Any, ...]:
            found = tf.io.parse_example(content, spec)
            images = found[self.image]
            labels = found[self.label] if self.label else tf.zeros(tf.shape(images), tf.int64)
            text = labels if self.named else tf.sparse.to_dense(found[TEXT])[:, :1]
            return tf.strings.length(images) > 0, labels, tf.fingerprint(images[:, None]), text

        return parse

    def fault(self, error: Exception | None = None) -> DataError:
        """What is wrong with the first record that can't be used."""
        text = str(getattr(error, "message", error)).split("\n")[0]
        if found := re.search(r"corrupted record at (\d+)", text):  # a checksum
            number = int(np.searchsorted(self.offsets, int(found[1]), side="right")) - 1
            return DataError(f"{self.path} is damaged at record {number}: {text.split(' (')[0]}")
        number = -1
        try:
            for number, example in enumerate(examples_in(self.stored, self.offsets)):
                if wrong := self._wrong(example):
                    return DataError(f"{self.path}, record {number}: {wrong}")
        except Exception as unreadable:  # protobuf's own, and what a changed file raises
            return DataError(
                f"{self.path} is damaged at record {number + 1}: {type(unreadable).__name__} "
                f"{unreadable}"
            )
        reason = re.sub(r"\{\{.*?\}\} ?| \[Op.*", "", text)
        return DataError(f"{self.path} can't be read as records: {reason}")

    def _wrong(self, example: Any) -> str | None:
        """What is wrong with the features of an example, if anything."""
        kinds = {self.image: "bytes_list", self.label: "bytes_list" if self.named else "int64_list"}
        for name, kind in kinds.items():
            if not name:
                continue
            feature = example.features.feature[name]
            found = feature.WhichOneof("kind")
            count = len(getattr(feature, found).value) if found else 0
            if found == kind and count == 1 and getattr(feature, kind).value[0] != b"":
                continue
            what = {"bytes_list": "text or bytes", "int64_list": "whole numbers"}
            held = f"{count} of {what.get(found or '', 'floating-point numbers')}"
            expected = "an encoded image" if name == self.image else "one whole number or text"
            return (
                f"expected a feature {name!r} with {expected}, of one kind in all records. "
                f"Received: {held if count else 'none'}. Name the features, as in "
                "tfrecord:GLOB?image=image/encoded&label=image/class/label."
            )
        return None
