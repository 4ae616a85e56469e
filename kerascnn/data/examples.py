"""What a source of data hands over: labelled images as they are stored, and what is known of them.

All that the author of another source needs. An entry point of the group `kerascnn.datasets` names
a `DataSource`; the name is what users type, with what follows its colon as the argument:

    [project.entry-points."kerascnn.datasets"]
    svhn = "my_package:SVHN"
"""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from kerascnn.data import images as pixels
from kerascnn.data.fitting import Shape
from kerascnn.data.labels import Labels, targets_of
from kerascnn.data.names import Names, digests
from kerascnn.data.targets import Size, Targets, joined, taken
from kerascnn.errors import DataError
from kerascnn.files import require_inside
from kerascnn.words import printable


@dataclass(frozen=True, eq=False)
class Arrays:
    """Images in memory.

    Attributes:
        images: uint8 `[n, height, width, channels]`.
        labels: integers `[n]`, or other targets, one for each image.
    """

    images: np.ndarray
    labels: Any

    @classmethod
    def of(cls, images: np.ndarray, labels: np.ndarray) -> Arrays:
        """With an axis for channels, and labels `[n]`; the rest is left to the checks of `load`."""
        if images.ndim == 3:
            images = images[..., None]
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        return cls(images, labels)

    @property
    def targets(self) -> Targets:
        """What the images are labelled with."""
        height, width, _ = self.shape
        return targets_of(self.labels).beside(lambda position: (height, width))

    @property
    def shape(self) -> Shape:
        """`(height, width, channels)`."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def take(self, index: np.ndarray) -> Arrays:
        """The examples at these positions."""
        return Arrays(self.images[index], taken(self.labels, index))

    def names(self) -> Names:
        """A digest of each image, which stays the same when others are added or removed."""
        return digests(self.images)

    def digest(self, update: Callable[[Any], None]) -> None:
        """Feed everything that decides what is delivered into a hash: pixels and targets."""
        update(repr(self.images.shape).encode())
        update(np.ascontiguousarray(self.images))
        self.targets.digest(update)


class Encoded:
    """Images as encoded files hold them, in whatever container, read when they are needed.

    Attributes:
        labels: integers `[n]`, or other targets, one for each image.
        shape: `(height, width, channels)` to deliver when the user asks for no other.
        reading: how the user wants the images to be read.
        made: whether an image is made when its content is asked for, which then costs more than to
            look whether it is a JPEG file.
    """

    made: ClassVar[bool] = False
    labels: Any
    shape: Shape
    reading: pixels.Reading = pixels.AS_THEY_ARE

    @property
    def targets(self) -> Targets:
        """What the images are labelled with; each is compared with its image when it is used."""
        return targets_of(self.labels).beside(self.size)

    def name(self, position: int) -> str:
        """How messages call an example, such as "cat/1.jpg"."""
        raise NotImplementedError

    def place(self, position: int) -> str:
        """Where it is, so that a user finds it."""
        raise NotImplementedError

    def content(self, position: int) -> bytes:
        """The encoded image.

        Raises:
            DataError: it can't be read; the message names its place.
        """
        raise NotImplementedError

    def size(self, position: int) -> Size:
        """`(height, width)` of the upright image, for which its file's header does.

        Raises:
            DataError: see `content`; or it is no image.
        """
        return pixels.size(self.place(position), self.content(position), self.reading)

    def names(self) -> Names:
        """What identifies each example, whatever others there are: see `Split.names`."""
        raise NotImplementedError

    def digest(self, update: Callable[[Any], None]) -> None:
        """Feed what identifies the examples into a hash, without reading them all."""
        raise NotImplementedError

    def take(self, index: np.ndarray) -> Self:
        """The examples at these positions."""
        raise NotImplementedError

    def delivering(self, shape: Shape, reading: pixels.Reading) -> Self:
        """The same examples, to be read so and delivered in this shape."""
        other = copy.copy(self)
        for name, value in (("shape", shape), ("reading", reading)):
            object.__setattr__(other, name, value)  # of a frozen dataclass, perhaps
        return other


@dataclass(frozen=True, eq=False)
class Files(Encoded):
    """Image files.

    Attributes:
        root: the folder that `paths` start from.
        paths: `[n]`, the files' names.
        sizes: int64 `[n]`, in bytes; -1: unknown.
        closed: whether a file that is a link out of the root is refused.
        labels, shape, reading: see `Encoded`.
    """

    root: str
    paths: Names
    sizes: np.ndarray
    labels: Any
    shape: Shape
    reading: pixels.Reading = pixels.AS_THEY_ARE
    closed: bool = False

    def name(self, position: int) -> str:
        """The file, below the root."""
        return printable(os.fsdecode(self.paths[position]))

    def place(self, position: int) -> str:
        """The file."""
        return os.path.join(printable(self.root), self.name(position))

    def content(self, position: int) -> bytes:
        """What the file holds; see `Encoded`."""
        path = os.path.join(os.fsencode(self.root), self.paths[position])
        if self.closed:
            require_inside(Path(os.fsdecode(path)), Path(self.root), error=DataError)
        try:
            return pixels.content_of(path, self.reading)
        except OSError as error:  # its own text has the path, which may be no text
            reason = ValueError(error.strerror or error)
            raise pixels.unreadable(self.place(position), reason) from error

    def take(self, index: np.ndarray) -> Files:
        """The examples at these positions."""
        return replace(
            self,
            paths=self.paths.take(index),
            sizes=self.sizes[index],
            labels=taken(self.labels, index),
        )

    def joined(self, others: Sequence[Files]) -> Files:
        """These files and others below the same root, one after the other."""
        parts = (self, *others)
        return replace(
            self,
            paths=Names.of(itertools.chain.from_iterable(part.paths for part in parts)),
            sizes=np.concatenate([part.sizes for part in parts]),
            labels=joined([part.labels for part in parts]),
        )

    def names(self) -> Names:
        """The paths below the root."""
        below = os.fsencode(os.path.join(os.path.abspath(self.root), ""))
        if not len(self.paths) or not (self.paths.text[self.paths.start] == below[0]).any():
            return self.paths
        return Names.of(path.removeprefix(below) for path in self.paths)

    def digest(self, update: Callable[[Any], None]) -> None:
        """Names and sizes of the files, not their content.

        Nor their times, which copying or unpacking changes, while the images stay the same.
        """
        for position, path in enumerate(self.paths):
            update(b"\0" + path if position else path)
        update(np.ascontiguousarray(self.sizes))
        self.targets.digest(update)


Examples = Arrays | Encoded


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a source found.

    Attributes:
        class_names: one for each class that a target may name, in the order of their numbers.
        splits: the examples of "train", "validation" and "test", as far as the source has them,
            one of them at least; where it has no validation or test set, a share of the training
            examples is taken.
        split_seed: seed of those shares; None: the user's.
        licence: under which the data may be used, as far as known.
        notes: what the user should know, in whole sentences.
        left_out: "file: reason" for each file that was left out.
        wrong: "file: reason" for each annotation that can't be used and belongs to no image of
            `splits`, so that no target says it; only where `Options.unread` asks for all.
    """

    class_names: tuple[str, ...]
    splits: Mapping[str, Examples]
    split_seed: int | None = None
    licence: str = "not stated"
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a source is told beside its argument; most sources need nothing of it.

    Attributes:
        target: the kind of targets that is wanted, one of those that the source has: "label",
            "mask", "boxes".
        input_shape: `(height, width, channels)` that will be delivered; None: the source's own.
        skip_corrupt: leave unreadable images out instead of raising.
        unread: hand over the files without reading any; whoever asks for it reads them.
        reading: how to read image files; `kerascnn.data.encoded.contents` heeds it.
        echo: where to say that something takes long.
    """

    target: str = Labels.kind
    input_shape: Shape | None = None
    skip_corrupt: bool = False
    unread: bool = False
    reading: pixels.Reading = pixels.AS_THEY_ARE
    echo: Callable[[str], None] = field(default=lambda line: None)

    @property
    def forbearing(self) -> bool:
        """Whether what is wrong with one image stops nothing: the image is left out, or listed."""
        return self.unread or self.skip_corrupt


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A source of data by name.

    Attributes:
        read: `read(argument, options) -> Contents`; raises DataError.
        argument: what has to follow the name and a colon, such as "PATH"; "": nothing may.
        options: of a source without an argument, what may follow its name and a question mark, such
            as ("size",) for `?size=96`.
        targets: the kinds of targets that it has, the best first: "label", "mask", "boxes".
        best: from an argument to the best of them, where that depends on what is there; None: it is
            the first.
        help: one line.
        licence: under which the data may be used, where it is known without reading them.
    """

    read: Callable[[str, Options], Contents]
    argument: str = ""
    options: tuple[str, ...] = ()
    targets: tuple[str, ...] = (Labels.kind,)
    best: Callable[[str], str] | None = None
    help: str = ""
    licence: str = ""
