"""Targets: what images are labelled with, one for each, and how it follows its image.

A class, a mask or boxes. A source hands them over as they are stored; from there on a target goes
the way of its image: `fitted` follows `kerascnn.data.fitting.fit` onto the canvas, `cut` the crops
that are made while reading, and `moved` the geometric part of augmentation. All three draw nothing
themselves, so that image and target move alike.

In a batch all targets have one shape, and a sentinel for what is not there: `VOID` for a pixel of a
mask that is not to be judged, `ABSENT` for the label of a row without a box.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np

from kerascnn.data.fitting import Placement, Shape
from kerascnn.data.names import Names, digests
from kerascnn.data.threads import awaited, in_parallel, threads
from kerascnn.errors import ArgumentError, DataError
from kerascnn.words import counted, printable

if TYPE_CHECKING:
    from kerascnn.data.motion import Motion

VOID = 255  # in a mask: a pixel of no class, which is neither learnt nor judged
ABSENT = -1  # label of a row of boxes in which there is none
COLUMNS = 6  # of boxes: x1, y1, x2, y2, label, difficult
SAMPLE = 200  # masks whose pixels are counted

T = TypeVar("T")
Size = tuple[int, int]
MANY = {"label": "labels", "mask": "masks", "boxes": "boxes"}


def many(kind: str) -> str:
    """How messages call targets of a kind: of other packages' kinds nothing more is known."""
    return MANY.get(kind, kind)


class Targets:
    """What the images of a split are labelled with, one target for each.

    Attributes:
        kind: what sources and tasks call it: "label", "mask", "boxes".
        moves: whether it follows its image; a label doesn't.
        bends: whether it can follow an elastic deformation, too.
    """

    kind: ClassVar[str]
    moves: ClassVar[bool] = True
    bends: ClassVar[bool] = True

    def __len__(self) -> int:
        """Number of images."""
        raise NotImplementedError

    def take(self, index: np.ndarray) -> Self:
        """The targets at these positions, int64 `[n]`."""
        raise NotImplementedError

    def joined(self, others: Sequence[Self]) -> Self:
        """These targets and others, one after the other."""
        raise NotImplementedError

    def digest(self, update: Callable[[Any], None]) -> None:
        """Feed what identifies them into a hash; of files their names and sizes."""
        raise NotImplementedError

    def beside(self, image_size: Callable[[int], Size]) -> Self:
        """The same, and each is compared with its image before it is used.

        Args:
            image_size: from a position to the image's `(height, width)`, upright.
        """
        return self

    def stored(self, position: int) -> np.ndarray:
        """One target as the source has it.

        Raises:
            DataError: it can't be read, or there is no such class; the message names its file.
        """
        raise NotImplementedError

    def checked(self, position: int) -> np.ndarray:
        """The same, after it was compared with its image, if that is known; see `beside`.

        Raises:
            DataError: see `stored`; or it was made for an image of another size.
        """
        return self.stored(position)

    def element(self, size: Size) -> tuple[tuple[int, ...], str]:
        """Shape and dtype of one target in a batch of images on a canvas of this size."""
        raise NotImplementedError

    def fitted(self, position: int, shape: Shape) -> np.ndarray:
        """One target as it stands in a batch, moved as `fitting.fit` moves its image.

        Args:
            position: of the image.
            shape: `(height, width, channels)` of the canvas.

        Raises:
            DataError: see `checked`.
        """
        raise NotImplementedError

    def fetch(self, shape: Shape) -> Callable[[Any], Any]:
        """A TensorFlow function from positions, int64 `[batch]`, to their targets as a batch."""
        import tensorflow as tf

        element, dtype = self.element(shape[:2])

        def read(index: np.ndarray) -> np.ndarray:
            batch = np.empty((len(index), *element), dtype)
            found = in_parallel(lambda position: self.fitted(position, shape), index.tolist())
            for place, target in enumerate(found):
                batch[place] = target
            return batch

        def fetch(index: Any) -> Any:
            found = tf.numpy_function(awaited(read), [index], tf.as_dtype(dtype), stateful=False)
            return tf.ensure_shape(found, [index.shape[0], *element])

        return fetch

    def relabelled(self, table: np.ndarray) -> Self:
        """The same targets with the class numbers of another list of names.

        Args:
            table: int `[classes]`, the new number of each class; -1: it has none, and becomes
                `VOID` in a mask and `ABSENT` in boxes.
        """
        raise NotImplementedError

    def counts(self, classes: int) -> np.ndarray:
        """How often each class is there, float64 `[classes]`: images, pixels, or objects.

        Pixels are those of `SAMPLE` masks that are evenly spread over all.
        """
        raise NotImplementedError

    def used(self, classes: int) -> np.ndarray:
        """Which classes are there, bool `[classes]`; of masks all, as they are not read for it."""
        return self.counts(classes) > 0

    @classmethod
    def cut(cls, batch: Any, top: Any, left: Any, mirrored: Any, size: Size) -> Any:
        """A batch of targets, as `kerascnn.data.splits.Crops.cut` cuts their images.

        Args:
            batch: `[batch, ...]` of the canvas.
            top, left, mirrored: int32, int32 and bool `[batch]`.
            size: `(height, width)` of the part.
        """
        return batch

    @classmethod
    def moved(cls, batch: Any, motion: Motion) -> Any:
        """A batch of targets, as `kerascnn.data.augmentation` moves their images.

        Args:
            batch: `[batch, ...]` of the canvas.
            motion: where each pixel of the results comes from.

        Raises:
            ArgumentError: such targets can't be moved in this way.
        """
        return batch


def targets_of(labels: Any) -> Targets:
    """What the `labels` of examples are: integers `[n]` are `Labels`, `Targets` stay."""
    return labels if isinstance(labels, Targets) else Labels(labels)


def taken(labels: Any, index: np.ndarray) -> Any:
    """The `labels` of examples at some positions, of the same kind: integers or `Targets`."""
    return labels.take(index) if isinstance(labels, Targets) else labels[index]


def joined(labels: Sequence[Any]) -> Any:
    """The `labels` of several examples, one after the other: integers or `Targets`."""
    first, *others = labels
    if isinstance(first, Targets):
        return first.joined(others)
    return np.concatenate([first, *others])


class Labels(Targets):
    """One class for each image.

    Attributes:
        labels: int32 `[n]`.
    """

    kind = "label"
    moves = False

    def __init__(self, labels: Any) -> None:
        self.labels = np.ascontiguousarray(labels, "int32")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> Labels:
        """See `Targets.take`."""
        return Labels(self.labels[index])

    def joined(self, others: Sequence[Labels]) -> Labels:
        """See `Targets.joined`."""
        return Labels(np.concatenate([self.labels, *(other.labels for other in others)]))

    def digest(self, update: Callable[[Any], None]) -> None:
        """The labels."""
        update(self.labels)

    def stored(self, position: int) -> np.ndarray:
        """int32 `[]`."""
        return np.asarray(self.labels[position])

    def element(self, size: Size) -> tuple[tuple[int, ...], str]:
        """int32 `[]`."""
        return (), "int32"

    def fitted(self, position: int, shape: Shape) -> np.ndarray:
        """int32 `[]`, whatever the canvas."""
        return self.stored(position)

    def fetch(self, shape: Shape) -> Callable[[Any], Any]:
        """See `Targets.fetch`; without a way through Python."""
        import tensorflow as tf

        with tf.device("CPU:0"):
            labels = tf.constant(self.labels)
        return lambda index: tf.gather(labels, index)

    def relabelled(self, table: np.ndarray) -> Labels:
        """See `Targets.relabelled`."""
        return Labels(table[self.labels])

    def counts(self, classes: int) -> np.ndarray:
        """Images of each class."""
        return np.bincount(self.labels, minlength=classes).astype("float64")


@dataclass(frozen=True, eq=False, kw_only=True)
class Masks(Targets):
    """A class for each pixel; `VOID` is none. In a batch uint8 `[height, width]`.

    Outside of the image a mask is `VOID`. Where it is scaled or turned the nearest pixel counts.

    Attributes:
        read: from a position to the mask, uint8 `[its height, its width]`; raises DataError.
        names: `[n]`, what identifies the masks: of files their paths below `root`.
        sizes: int64 `[n]`, of the files in bytes; -1: unknown.
        classes: how many there are; a pixel of another one, `VOID` excepted, is refused.
        root: the folder that the names start from; "": they are no files.
        image_size: see `beside`.
    """

    kind = "mask"
    read: Callable[[int], np.ndarray]
    names: Names
    sizes: np.ndarray
    classes: int
    root: str = ""
    image_size: Callable[[int], Size] | None = None

    @classmethod
    def of(cls, masks: np.ndarray, classes: int) -> Masks:
        """Masks in memory, uint8 `[n, height, width]`."""
        return cls(
            read=lambda position: masks[position],
            names=digests(masks[..., None]),
            sizes=np.full(len(masks), masks[:1].nbytes, "int64"),
            classes=classes,
        )

    def __len__(self) -> int:
        return len(self.names)

    def place(self, position: int) -> str:
        """How messages call a mask: its file, if it is one."""
        if not self.root:
            return f"mask {position}"
        return os.path.join(printable(self.root), printable(os.fsdecode(self.names[position])))

    def take(self, index: np.ndarray) -> Masks:
        """See `Targets.take`."""
        return replace(
            self,
            read=_at(self.read, index),
            names=self.names.take(index),
            sizes=self.sizes[index],
            image_size=self.image_size and _at(self.image_size, index),
        )

    def joined(self, others: Sequence[Masks]) -> Masks:
        """See `Targets.joined`."""
        parts = (self, *others)
        return replace(
            self,
            read=_in_parts(parts, [part.read for part in parts]),
            names=Names.of(name for part in parts for name in part.names),
            sizes=np.concatenate([part.sizes for part in parts]),
            classes=max(part.classes for part in parts),
            image_size=_size_in_parts(parts, [part.image_size for part in parts]),
        )

    def digest(self, update: Callable[[Any], None]) -> None:
        """Names and sizes of the files, not their content, as of images."""
        update(self.kind.encode())
        for name in self.names:
            update(b"\0" + name)
        update(np.ascontiguousarray(self.sizes, "int64"))

    def beside(self, image_size: Callable[[int], Size]) -> Masks:
        """See `Targets.beside`."""
        return replace(self, image_size=image_size)

    def stored(self, position: int) -> np.ndarray:
        """uint8 `[its height, its width]`."""
        mask = self.read(position)
        beyond = mask[mask >= self.classes]
        if (beyond := beyond[beyond != VOID]).size:
            pixels = counted(len(beyond), "pixel", "pixels")
            raise DataError(
                f"{self.place(position)}: a mask's pixels must be 0 to {self.classes - 1}, one of "
                f"the {self.classes} classes, or {VOID} where they are none. "
                f"Received: {pixels} of others, such as {beyond[0]}."
            )
        return mask

    def checked(self, position: int) -> np.ndarray:
        """See `Targets.checked`."""
        mask = self.stored(position)
        if self.image_size and mask.shape != (size := self.image_size(position)):
            raise DataError(
                f"{self.place(position)}: a mask must be as large as its image, "
                f"{size[0]}×{size[1]} (height×width, upright). "
                f"Received: {mask.shape[0]}×{mask.shape[1]}."
            )
        return mask

    def element(self, size: Size) -> tuple[tuple[int, ...], str]:
        """uint8 `[height, width]`."""
        return size, "uint8"

    def fitted(self, position: int, shape: Shape) -> np.ndarray:
        """See `Targets.fitted`."""
        mask = self.checked(position)
        if mask.shape == shape[:2]:
            return mask
        rows, columns = Placement.of((mask.shape[0], mask.shape[1]), shape).nearest(shape[:2])
        found = mask[np.clip(rows, 0, mask.shape[0] - 1)][:, np.clip(columns, 0, mask.shape[1] - 1)]
        found[(rows < 0) | (rows >= mask.shape[0])] = VOID
        found[:, (columns < 0) | (columns >= mask.shape[1])] = VOID
        return found

    def relabelled(self, table: np.ndarray) -> Masks:
        """See `Targets.relabelled`."""
        numbers = np.full(VOID + 1, VOID, "uint8")
        numbers[: len(table)] = np.where(table < 0, VOID, table)
        return replace(self, read=lambda position: numbers[self.stored(position)], classes=VOID)

    def counts(self, classes: int) -> np.ndarray:
        """Pixels of each class in some masks, those without a class left out."""
        some = np.unique(np.linspace(0, len(self) - 1, min(SAMPLE, len(self))).astype(int))

        def pixels(position: int) -> np.ndarray:
            return np.bincount(self.stored(position).ravel(), minlength=VOID + 1)

        total = np.zeros(VOID + 1)
        for found in threads().map(pixels, some.tolist()):
            total += found
        return total[:classes]

    def used(self, classes: int) -> np.ndarray:
        """See `Targets.used`."""
        return np.ones(classes, bool)

    @classmethod
    def cut(cls, batch: Any, top: Any, left: Any, mirrored: Any, size: Size) -> Any:
        """See `Targets.cut`."""
        return cut_out(batch, top, left, mirrored, size)

    @classmethod
    def moved(cls, batch: Any, motion: Motion) -> Any:
        """See `Targets.moved`."""
        return motion.labels(batch, VOID)


def cut_out(batch: Any, top: Any, left: Any, mirrored: Any, size: Size) -> Any:
    """A part of each image or mask, perhaps mirrored: `[batch, height, width, ...]`.

    Arguments as those of `Targets.cut`.
    """
    import tensorflow as tf

    height, width = size
    top, left, mirrored = (part[:, None] for part in (top, left, mirrored))
    batch = tf.gather(batch, top + tf.range(height), axis=1, batch_dims=1)
    columns = tf.where(mirrored, width - 1 - tf.range(width), tf.range(width))
    return tf.gather(batch, left + columns, axis=2, batch_dims=1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Boxes(Targets):
    """Objects in boxes, any number for each image. In a batch float32 `[most, 6]`.

    The columns are x1, y1, x2, y2, the label, and 1 where an object is marked as difficult, else 0.
    Corners are edges in pixels: a box around a whole image is 0, 0, width, height. A row without an
    object has the label `ABSENT` and zeros; nothing but that says so. A box is cut at the border,
    and one of which nothing is left is dropped.

    Attributes:
        boxes: float32 `[m, 6]`, those of the first image, then those of the second, and so on.
        starts: int64 `[n + 1]`, where those of each image begin, and `m`.
        sizes: int32 `[n, 2]`, `(height, width)` of the images.
        most: objects in an image at most, which a batch has room for; default: as there are.
        names: `[n]`, what messages call the annotations; None: a number.
        wrong: `[n]`, why the boxes of an image can't be used, with the file's name, for whoever
            asks for them; an empty text: they can. None: all can.
        image_size: see `beside`.
    """

    kind = "boxes"
    bends = False
    boxes: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    most: int = 0
    names: Names | None = None
    wrong: Names | None = None
    image_size: Callable[[int], Size] | None = None

    def __post_init__(self) -> None:
        if not self.most:
            most = int(np.diff(self.starts).max(initial=1))
            object.__setattr__(self, "most", max(1, most))  # a batch has one row at least

    @classmethod
    def of(
        cls,
        boxes: Sequence[np.ndarray],
        sizes: Any,
        names: Names | None = None,
        wrong: Names | None = None,
    ) -> Boxes:
        """From an array `[k, 6]` for each image, and the images' `(height, width)`."""
        rows = [np.asarray(one, "float32").reshape(-1, COLUMNS) for one in boxes]
        return cls(
            boxes=np.concatenate([np.zeros((0, COLUMNS), "float32"), *rows]),
            starts=np.cumsum([0, *map(len, rows)], dtype="int64"),
            sizes=np.asarray(sizes, "int32").reshape(-1, 2),
            names=names,
            wrong=wrong,
        )

    def __len__(self) -> int:
        return len(self.sizes)

    def place(self, position: int) -> str:
        """How messages call the boxes of an image."""
        if self.names is None:
            return f"boxes of image {position}"
        return printable(os.fsdecode(self.names[position]))

    def take(self, index: np.ndarray) -> Boxes:
        """See `Targets.take`; a batch has as much room as before."""
        index = np.asarray(index, "int64")
        counts = np.diff(self.starts)[index]
        starts = np.cumsum([0, *counts], dtype="int64")
        rows = np.repeat(self.starts[index] - starts[:-1], counts) + np.arange(starts[-1])
        return replace(
            self,
            boxes=self.boxes[rows],
            starts=starts,
            sizes=self.sizes[index],
            names=self.names and self.names.take(index),
            wrong=self.wrong and self.wrong.take(index),
            image_size=self.image_size and _at(self.image_size, index),
        )

    def joined(self, others: Sequence[Boxes]) -> Boxes:
        """See `Targets.joined`."""
        parts = (self, *others)
        counts = np.concatenate([np.diff(part.starts) for part in parts])
        named = [part.names for part in parts if part.names is not None]
        whole = len(named) == len(parts)
        return replace(
            self,
            boxes=np.concatenate([part.boxes for part in parts]),
            starts=np.cumsum([0, *counts], dtype="int64"),
            sizes=np.concatenate([part.sizes for part in parts]),
            most=max(part.most for part in parts),
            names=Names.of(name for names in named for name in names) if whole else None,
            wrong=_joined_reasons(parts),
            image_size=_size_in_parts(parts, [part.image_size for part in parts]),
        )

    def digest(self, update: Callable[[Any], None]) -> None:
        """The boxes."""
        update(self.kind.encode())
        update(np.ascontiguousarray(self.boxes, "float32"))
        update(np.ascontiguousarray(self.starts, "int64"))
        update(np.ascontiguousarray(self.sizes, "int32"))

    def beside(self, image_size: Callable[[int], Size]) -> Boxes:
        """See `Targets.beside`."""
        return replace(self, image_size=image_size)

    def stored(self, position: int) -> np.ndarray:
        """float32 `[k, 6]`."""
        if self.wrong is not None and (reason := self.wrong[position]):
            raise DataError(os.fsdecode(reason))
        return self.boxes[self.starts[position] : self.starts[position + 1]]

    def checked(self, position: int) -> np.ndarray:
        """See `Targets.checked`."""
        boxes = self.stored(position)
        height, width = self.sizes[position].tolist()
        if self.image_size and (height, width) != (size := self.image_size(position)):
            raise DataError(
                f"{self.place(position)}: the boxes were drawn in an image of {height}×{width} "
                f"(height×width). Received: one of {size[0]}×{size[1]}, upright."
            )
        return boxes

    def element(self, size: Size) -> tuple[tuple[int, ...], str]:
        """float32 `[most, 6]`."""
        return (self.most, COLUMNS), "float32"

    def fitted(self, position: int, shape: Shape) -> np.ndarray:
        """See `Targets.fitted`."""
        boxes = self.checked(position)
        height, width = self.sizes[position].tolist()
        place = Placement.of((height, width), shape)
        corners = boxes[:, :4] * np.tile(place.scale[::-1], 2) + np.tile(place.offset[::-1], 2)
        corners = np.clip(corners, 0, np.tile(shape[1::-1], 2))
        left = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
        left &= boxes[:, 4] != ABSENT  # of a class that is no more: see `relabelled`
        found = np.zeros((self.most, COLUMNS), "float32")
        found[:, 4] = ABSENT
        found[: left.sum()] = np.concatenate([corners, boxes[:, 4:]], axis=1)[left]
        return found

    def relabelled(self, table: np.ndarray) -> Boxes:
        """See `Targets.relabelled`."""
        boxes = self.boxes.copy()
        labels = boxes[:, 4].astype(int)
        boxes[:, 4] = np.where(labels == ABSENT, ABSENT, table[labels])
        return replace(self, boxes=boxes)

    def counts(self, classes: int) -> np.ndarray:
        """Objects of each class."""
        labels = self.boxes[:, 4].astype(int)
        return np.bincount(labels[labels != ABSENT], minlength=classes).astype("float64")

    @classmethod
    def cut(cls, batch: Any, top: Any, left: Any, mirrored: Any, size: Size) -> Any:
        """See `Targets.cut`."""
        import tensorflow as tf

        top, left = (tf.cast(part, tf.float32)[:, None] for part in (top, left))
        x1, x2 = batch[..., 0] - left, batch[..., 2] - left
        mirrored = mirrored[:, None]
        x1, x2 = tf.where(mirrored, size[1] - x2, x1), tf.where(mirrored, size[1] - x1, x2)
        return _clipped(x1, batch[..., 1] - top, x2, batch[..., 3] - top, batch[..., 4:], size)

    @classmethod
    def moved(cls, batch: Any, motion: Motion) -> Any:
        """See `Targets.moved`: the box around where the four corners come to be."""
        import tensorflow as tf

        if motion.displacement is not None:
            raise ArgumentError(
                "Boxes can't follow an elastic deformation, which leaves no box a box. "
                "Received: an augmentation with elastic. Leave it out of the recipe."
            )
        corners = tf.gather(batch[..., :4], [0, 1, 2, 1, 0, 3, 2, 3], axis=2)
        points = tf.reshape(corners, [-1, 4 * batch.shape[1], 2])
        # Motions are of the middles of pixels, which are half a pixel beside the edges.
        found = tf.reshape(motion.landed(points - 0.5) + 0.5, [-1, batch.shape[1], 4, 2])
        low, high = tf.reduce_min(found, axis=2), tf.reduce_max(found, axis=2)
        x1, y1, x2, y2 = low[..., 0], low[..., 1], high[..., 0], high[..., 1]
        return _clipped(x1, y1, x2, y2, batch[..., 4:], motion.size)


def _joined_reasons(parts: Sequence[Boxes]) -> Names | None:
    """What is wrong with the boxes of each image in the whole; None: nothing."""
    if all(part.wrong is None for part in parts):
        return None
    return Names.of(text for part in parts for text in (part.wrong or [b""] * len(part)))


def _clipped(x1: Any, y1: Any, x2: Any, y2: Any, rest: Any, size: Size) -> Any:
    """Boxes cut at the border of the image, `[batch, most, 6]`; without those that are outside."""
    import tensorflow as tf

    x1, x2 = (tf.clip_by_value(x, 0.0, float(size[1])) for x in (x1, x2))
    y1, y2 = (tf.clip_by_value(y, 0.0, float(size[0])) for y in (y1, y2))
    found = tf.concat([tf.stack([x1, y1, x2, y2], axis=-1), rest], axis=-1)
    there = (x2 > x1) & (y2 > y1) & (rest[..., 0] != ABSENT)
    absent = tf.constant([0, 0, 0, 0, ABSENT, 0], tf.float32)
    return tf.where(there[..., None], found, absent)


def _at(read: Callable[[int], T], index: np.ndarray) -> Callable[[int], T]:
    """A function of positions, as one of the positions of a part."""
    return lambda position: read(int(index[position]))


def _in_parts(parts: Sequence[Targets], reads: Sequence[Callable[[int], T]]) -> Callable[[int], T]:
    """Functions of positions in each part, as one of those in the whole."""
    ends = np.cumsum([len(part) for part in parts])

    def read(position: int) -> T:
        which = int(np.searchsorted(ends, position, side="right"))
        return reads[which](position - int(ends[which] - len(parts[which])))

    return read


def _size_in_parts(
    parts: Sequence[Targets], sizes: Sequence[Callable[[int], Size] | None]
) -> Callable[[int], Size] | None:
    """The same of what is perhaps not known."""
    known = [size for size in sizes if size is not None]
    return _in_parts(parts, known) if len(known) == len(parts) else None
