"""`tfrecord:GLOB`: images in TensorFlow's record files, read one by one in any order.

    tfrecord:IMAGENET/*-of-*                           train-..., validation-... are the splits
    tfrecord:DATA/*.tfrecord?image=jpg&label=target    other names of the features

The files may be compressed with gzip or zlib; they are then unpacked into the user's cache. Each
record is a `tf.train.Example` with the encoded image as bytes and its class as an integer or text,
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
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerascnn import cache
from kerascnn.data import encoded
from kerascnn.data.arguments import parsed
from kerascnn.data.examples import Contents, DataSource, Encoded, Options
from kerascnn.data.fitting import Shape
from kerascnn.data.images import AS_THEY_ARE, Reading
from kerascnn.data.names import Names
from kerascnn.data.split_names import SPLIT_WORDS, SPLITS
from kerascnn.errors import DataError

IMAGE, LABEL, TEXT = "image/encoded", "image/class/label", "image/class/text"
HEADER, FOOTER = 12, 4  # bytes before and behind the data of a record
MOST_RATIO = 100  # of an unpacked file's size to the packed one's; images hardly shrink
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


@dataclass(frozen=True, eq=False)
class Records(Encoded):
    """Images in record files.

    Attributes:
        paths: of the files.
        stored: where their records are, see `Shard`.
        file: int32 `[n]`, in which of them each example is.
        number: int64 `[n]`, which of its records it is, from 0.
        offset: int64 `[n]`, where it begins.
        prints: uint64 `[n]`, FarmHash's fingerprint of the encoded image.
        feature: that holds the image.
        labels, shape, reading: see `Encoded`.
    """

    paths: tuple[str, ...]
    stored: tuple[str, ...]
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
            with open(self.stored[self.file[position]], "rb") as file:
                file.seek(int(self.offset[position]))
                (length,) = struct.unpack("<Q", file.read(HEADER)[:8])
                if length > os.fstat(file.fileno()).st_size:
                    raise ValueError("the record goes beyond the end of the file")
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
        stored=tuple(shard.stored for shard in shards),
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


def _frames(path: str, name: str) -> np.ndarray:
    """Where each record begins, int64 `[n]`: what they declare is compared with the file's size.

    Args:
        path: the file.
        name: how messages call it.

    Raises:
        DataError: a record goes beyond the end of the file.
    """
    size = os.path.getsize(path)
    offsets: list[int] = []
    at = 0
    with open(path, "rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(HEADER)
            length = struct.unpack("<Q", head[:8])[0] if len(head) == HEADER else None
            if length is None or length > size - at - HEADER - FOOTER:
                says = "its header is cut off" if length is None else f"it says {length:,} bytes"
                for number, before in enumerate(offsets):
                    file.seek(before)
                    if not _checked(file.read(HEADER)):
                        raise DataError(
                            f"{name} is damaged at record {number}: its length has another checksum"
                        )
                raise DataError(
                    f"{name} is damaged at record {len(offsets)}: {says}, and the file has "
                    f"{size - at:,} left."
                )
            offsets.append(at)
            at += HEADER + length + FOOTER
    return np.array(offsets, "int64")


def _checked(header: bytes) -> bool:
    """Whether a record's length has the checksum behind it: a masked CRC-32C, here bit by bit."""
    value = 0xFFFFFFFF
    for byte in header[:8]:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    masked = ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return header[8:HEADER] == struct.pack("<I", masked)


def _compression(path: str) -> Any:
    """A decompressor for what the file begins like: gzip's or zlib's; None: neither."""
    with open(path, "rb") as file:
        head = file.read(2)
    if head == b"\x1f\x8b":
        return zlib.decompressobj(wbits=31)
    if len(head) == 2 and head[0] == 0x78 and int.from_bytes(head, "big") % 31 == 0:
        return zlib.decompressobj()
    return None


def _unpacked(path: str, target: Path, decompressor: Any) -> str:
    """A compressed file unpacked into the cache, as its records must be reached one by one.

    Raises:
        DataError: it is damaged, there is no room, or it becomes far larger than images do.
    """
    most = os.path.getsize(path) * MOST_RATIO + 2**20
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "rb") as packed, open(temporary, "wb") as file:
            while chunk := packed.read(2**20):
                while chunk:
                    file.write(decompressor.decompress(chunk, 2**24))
                    chunk = decompressor.unconsumed_tail
                    if file.tell() > most:
                        raise ValueError(f"it unpacks to more than {MOST_RATIO} times its size")
                    if decompressor.eof and (chunk := decompressor.unused_data):
                        decompressor = zlib.decompressobj(wbits=31)  # gzip files may follow another
            if not decompressor.eof:
                raise ValueError("it is cut off")
        os.replace(temporary, target)
    except (OSError, ValueError, zlib.error) as error:
        raise DataError(f"{path} can't be unpacked into {target.parent}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return str(target)


def _read(path: str, size: int, image: str, label: str, target: Path) -> Shard:
    """Read a whole file; TensorFlow verifies the checksums."""
    stored = path
    try:
        offsets = _frames(path, path)
    except DataError:
        # Only now: a record's length may look like the mark of a compressed file.
        if (decompressor := _compression(path)) is None:
            raise
        stored = _unpacked(path, target, decompressor)
        offsets = _frames(stored, path)
    named = _is_text(stored, offsets, label)
    labels, prints, texts = _parsed(path, stored, offsets, image, label, named)
    return Shard(path, size, stored, offsets, labels, prints, texts, named)


def _records_of(stored: str, offsets: np.ndarray) -> Iterator[Any]:
    """The examples of a file, parsed one by one.

    Raises:
        google.protobuf.message.DecodeError: one is none.
    """
    from tensorflow.train import Example

    with open(stored, "rb") as file:
        for offset in offsets.tolist():
            file.seek(offset)
            (length,) = struct.unpack("<Q", file.read(HEADER)[:8])
            yield Example.FromString(file.read(length))


def _is_text(stored: str, offsets: np.ndarray, label: str) -> bool:
    """Whether the labels are text, as the first record says."""
    with contextlib.suppress(Exception):  # the reading of all records says what is wrong
        first = next(_records_of(stored, offsets[:1]))
        return first.features.feature[label].WhichOneof("kind") == "bytes_list"
    return False


def _parsed(
    path: str, stored: str, offsets: np.ndarray, image: str, label: str, named: bool
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Labels, fingerprints of the images, and the name for each label."""
    import tensorflow as tf

    missing: Any = b"" if named else _MISSING
    spec = {
        image: tf.io.FixedLenFeature([], tf.string, ""),
        label: tf.io.FixedLenFeature([], tf.string if named else tf.int64, missing),
    }
    if label != TEXT:
        spec[TEXT] = tf.io.VarLenFeature(tf.string)

    def parse(content: Any) -> tuple[Any, ...]:
        found = tf.io.parse_example(content, spec)
        prints = tf.fingerprint(found[image][:, None])
        text = found[label] if named else tf.sparse.to_dense(found[TEXT])[:, :1]
        return tf.strings.length(found[image]) > 0, found[label], prints, text

    labels: list[int] = []
    prints: list[int] = []
    texts: dict[int, str] = {}
    numbers: dict[bytes, int] = {}
    data = tf.data.TFRecordDataset(stored).batch(AT_ONCE).map(parse, tf.data.AUTOTUNE)
    try:
        for has_image, given, print_, text in data.as_numpy_iterator():
            if (~has_image | (given == missing)).any():
                raise _fault(path, stored, offsets, image, label, named)
            if named:
                given = np.array([numbers.setdefault(name, len(numbers)) for name in given])
            labels += given.tolist()
            prints += print_.view("<u8")[:, 0].tolist()
            for one in np.unique(given, return_index=True)[1]:
                name = text[one] if named else b"".join(text[one])
                texts.setdefault(int(given[one]), name.decode(errors="backslashreplace"))
    except (tf.errors.OpError, ValueError) as error:
        raise _fault(path, stored, offsets, image, label, named, error) from error
    return (
        np.array(labels, "int64"),
        np.array(prints, "uint64"),
        texts if all(texts.values()) else {},
    )


def _fault(
    path: str,
    stored: str,
    offsets: np.ndarray,
    image: str,
    label: str,
    named: bool,
    error: Exception | None = None,
) -> DataError:
    """What is wrong with the first record that can't be used."""
    text = str(getattr(error, "message", error)).split("\n")[0]
    if found_at := re.search(r"corrupted record at (\d+)", text):  # a checksum
        number = int(np.searchsorted(offsets, int(found_at[1]), side="right")) - 1
        return DataError(f"{path} is damaged at record {number}: {text.split(' (')[0]}")
    kinds = {image: "bytes_list", label: "bytes_list" if named else "int64_list"}
    number = -1
    try:
        for number, example in enumerate(_records_of(stored, offsets)):
            for name, kind in kinds.items():
                feature = example.features.feature[name]
                found = feature.WhichOneof("kind")
                count = len(getattr(feature, found).value) if found else 0
                if found == kind and count == 1 and getattr(feature, kind).value[0] != b"":
                    continue
                what = {"bytes_list": "text or bytes", "int64_list": "whole numbers"}
                held = f"{count} of {what.get(found or '', 'floating-point numbers')}"
                expected = "an encoded image" if name == image else "one whole number or text"
                return DataError(
                    f"{path}, record {number}: expected a feature {name!r} with {expected}, of one "
                    f"kind in all records. Received: {held if count else 'none'}. Name the "
                    "features, as in tfrecord:GLOB?image=image/encoded&label=image/class/label."
                )
    except Exception as unreadable:  # protobuf's own, and what a changed file raises
        return DataError(
            f"{path} is damaged at record {number + 1}: {type(unreadable).__name__} {unreadable}"
        )
    reason = re.sub(r"\{\{.*?\}\} ?| \[Op.*", "", text)
    return DataError(f"{path} can't be read as records: {reason}")


def _split_of(path: str) -> str | None:
    """The split that a file's name says, as in train-00000-of-00010 or birds-test.tfrecord."""
    for word in re.split(r"[^a-z]+", os.path.basename(path).lower()):
        if word in SPLIT_WORDS:
            return SPLIT_WORDS[word]
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


def _by_name(shards: Mapping[str, list[Shard]]) -> dict[str, list[Shard]]:
    """The same with labels that count the texts of all files, in alphabetical order.

    Raises:
        DataError: the labels of some files are numbers.
    """
    every = [shard for part in shards.values() for shard in part]
    for shard in every:
        if not shard.named and len(shard.labels):
            raise DataError(f"{shard.path}: the labels are numbers, and text in other files.")
    texts = sorted({text for shard in every for text in shard.texts.values()})
    place = {text: number for number, text in enumerate(texts)}

    def renumbered(shard: Shard) -> Shard:
        number = np.array([place[shard.texts[old]] for old in range(len(shard.texts))], "int64")
        labels = number[shard.labels] if len(shard.labels) else shard.labels
        return replace(shard, labels=labels, texts=dict(enumerate(texts)))

    return {split: [renumbered(shard) for shard in part] for split, part in shards.items()}


def _contents(
    pattern: str, shards: Mapping[str, list[Shard]], image: str, options: Options
) -> Contents:
    """Examples whose labels are the places of the stored numbers among the training images'."""
    if any(shard.named for part in shards.values() for shard in part):
        shards = _by_name(shards)
    known = shards.get("train") or [shard for part in shards.values() for shard in part]
    stored = np.unique(np.concatenate([shard.labels for shard in known]))
    if not len(stored):
        raise DataError(f"{pattern}: the files have no record.")
    splits: dict[str, Encoded] = {}
    for split in SPLITS:
        if split not in shards:
            continue
        for shard in shards[split]:
            if (unknown := ~np.isin(shard.labels, stored)).any():
                position = int(unknown.argmax())
                number = int(shard.labels[position])
                raise DataError(
                    f"{shard.path}, record {position}: no training image has its label "
                    f"{shard.texts[number] if shard.named else number}."
                )
        labels = [np.searchsorted(stored, shard.labels) for shard in shards[split]]
        splits[split] = records(shards[split], image, labels)
    texts = {number: text for shard in known for number, text in shard.texts.items()}
    names = [texts.get(number, str(number)) for number in stored.tolist()]
    return encoded.contents(pattern, names, splits, options)


TFRECORD = DataSource(
    read=_tfrecord,
    argument="GLOB",
    licence="yours",
    help="Record files with encoded images and labels, as ImageNet's converters write them.",
)
