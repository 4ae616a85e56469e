"""`tfrecord:GLOB`: images in TensorFlow's record files, read one by one in any order.

    tfrecord:IMAGENET/*-of-*                           train-..., validation-... are the splits
    tfrecord:DATA/*.tfrecord?image=jpg&label=target    other names of the features

The files may be compressed with gzip or zlib; they are then unpacked into the user's cache. Each
record is a `tf.train.Example` with the encoded image as bytes and its class as an integer or text,
`image/encoded` and `image/class/label` as ImageNet's converters write them, where
`image/class/text` names the class. The class numbers may start anywhere and have gaps: the classes
are the numbers of the training images in rising order.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerascnn.data import encoded
from kerascnn.data.arguments import parsed
from kerascnn.data.examples import Contents, DataSource, Encoded, Options
from kerascnn.data.fitting import Shape
from kerascnn.data.images import AS_THEY_ARE, Reading
from kerascnn.data.names import Names
from kerascnn.data.record_files import data_at
from kerascnn.data.record_index import IMAGE, LABEL, Shard, indexed
from kerascnn.data.split_names import SPLIT_WORDS, SPLITS
from kerascnn.data.targets import taken
from kerascnn.errors import DataError


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
    labels: Any
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
        return self.feature_of(position, self.feature)

    def feature_of(self, position: int, name: str) -> bytes:
        """A feature of a record that holds bytes.

        Raises:
            DataError: there is none, or the record can't be read; the message names it.
        """
        from tensorflow.train import Example

        try:
            with open(self.stored[self.file[position]], "rb") as file:
                example = Example.FromString(data_at(file, int(self.offset[position])))
            return example.features.feature[name].bytes_list.value[0]
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
        self.targets.digest(update)

    def take(self, index: np.ndarray) -> Records:
        """The examples at these positions."""
        return replace(
            self,
            **{name: getattr(self, name)[index] for name in ("file", "number", "offset", "prints")},
            labels=taken(self.labels, index),
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
