"""Boxes: objects in an image, each with its class and whether it is difficult."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascnn.data.fitting import Placement, Shape
from kerascnn.data.names import Names
from kerascnn.data.sentinels import ABSENT
from kerascnn.data.targets import Size, Targets, at, sizes_in_parts
from kerascnn.errors import ArgumentError, DataError
from kerascnn.words import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kerascnn.data.motion import Motion

COLUMNS = 6  # x1, y1, x2, y2, label, difficult


@dataclass(frozen=True, eq=False, kw_only=True)
class Boxes(Targets):
    """Objects in boxes, any number for each image. In a batch float32 `[most, 6]`.

    The columns are x1, y1, x2, y2, the label, and 1 where an object is marked as difficult, else 0.
    Corners are edges in pixels: a box around a whole image is 0, 0, width, height. A row without an
    object has the label `ABSENT` and zeros; nothing but that says so.

    Where an image is cut or moved, a box stays if its middle stays, and is cut at the border: what
    SSD keeps of a patch (Liu et al. 2016, section 2.2). So at least a quarter of it is left. One
    whose middle is outside is dropped: a sliver at the border teaches nothing of the object.

    Attributes:
        boxes: float32 `[m, 6]`, those of the first image, then those of the second, and so on.
        starts: int64 `[n + 1]`, where those of each image begin, and `m`.
        sizes: int32 `[n, 2]`, `(height, width)` of the images.
        most: objects in an image at most, which a batch has room for; default: as there are.
        names: `[n]`, what messages call the annotations; None: a number.
        wrong: `[n]`, why the boxes of an image can't be used, with the file's name, for whoever
            asks for them; an empty text: they can. None: all can.
        ids: int64 `[n]`, the annotations' own number of each image, as COCO's have; None: none.
        class_ids: a label → the annotations' own number of the class; None: none.
        areas: float32 `[m]`, of the objects themselves in pixels, by which COCO's measures call
            them small or large; None: none but the boxes' is known.
        image_size: see `beside`.
    """

    kind = "boxes"
    unit = "objects"
    bends = False
    boxes: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    most: int = 0
    names: Names | None = None
    wrong: Names | None = None
    ids: np.ndarray | None = None
    class_ids: Mapping[int, int] | None = None
    areas: np.ndarray | None = None
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
            ids=None if self.ids is None else self.ids[index],
            areas=None if self.areas is None else self.areas[rows],
            image_size=self.image_size and at(self.image_size, index),
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
            ids=_joined([part.ids for part in parts]),
            areas=_joined([part.areas for part in parts]),
            image_size=sizes_in_parts(parts, [part.image_size for part in parts]),
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

    def areas_of(self, position: int) -> np.ndarray:
        """The areas of the objects of an image, float32 `[k]`: their own, or their boxes'."""
        mine = slice(self.starts[position], self.starts[position + 1])
        if self.areas is not None:
            return self.areas[mine]
        return (self.boxes[mine, 2:4] - self.boxes[mine, :2]).prod(axis=1)

    def element(self, size: Size) -> tuple[tuple[int, ...], str]:
        """float32 `[most, 6]`."""
        return (self.most, COLUMNS), "float32"

    def fitted(self, position: int, shape: Shape) -> np.ndarray:
        """See `Targets.fitted`."""
        boxes = self.checked(position)
        height, width = self.sizes[position].tolist()
        place = Placement.of((height, width), shape)
        corners = boxes[:, :4] * np.tile(place.scale[::-1], 2) + np.tile(place.offset[::-1], 2)
        middle = (corners[:, :2] + corners[:, 2:]) / 2
        left = ((middle > 0) & (middle < shape[1::-1])).all(axis=1)
        left &= boxes[:, 4] != ABSENT  # of a class that is no more: see `relabelled`
        corners = np.clip(corners, 0, np.tile(shape[1::-1], 2))
        found = np.zeros((self.most, COLUMNS), "float32")
        found[:, 4] = ABSENT
        found[: left.sum()] = np.concatenate([corners, boxes[:, 4:]], axis=1)[left]
        return found

    def relabelled(self, table: np.ndarray) -> Boxes:
        """See `Targets.relabelled`."""
        boxes = self.boxes.copy()
        labels = boxes[:, 4].astype(int)
        boxes[:, 4] = np.where(labels == ABSENT, ABSENT, table[labels])
        numbers = self.class_ids and {
            int(table[label]): number
            for label, number in self.class_ids.items()
            if table[label] != ABSENT
        }
        return replace(self, boxes=boxes, class_ids=numbers)

    @classmethod
    def count(cls, target: np.ndarray, classes: int) -> tuple[np.ndarray, int]:
        """Objects of each class, and 1 if there is no object."""
        labels = target[:, 4].astype(int)
        found = np.bincount(labels[labels != ABSENT], minlength=classes)
        return found, int(not found.any())

    def counts(self, classes: int) -> np.ndarray:
        """Objects of each class."""
        return self.count(self.boxes, classes)[0].astype("float64")

    def spread(self, others: Sequence[Boxes] = ()) -> dict[str, tuple[float, float, float]]:
        """Objects in an image, and sides of boxes in pixels of the stored images."""
        every = self.joined(others)
        right = np.ones(len(every), bool) if every.wrong is None else every.wrong.length == 0
        part = every.take(np.flatnonzero(right))
        figures = {
            "objects in an image": np.diff(part.starts),
            "width of a box, in pixels": part.boxes[:, 2] - part.boxes[:, 0],
            "height of a box, in pixels": part.boxes[:, 3] - part.boxes[:, 1],
        }
        return {
            name: (float(found.min()), float(np.median(found)), float(found.max()))
            for name, found in figures.items()
            if len(found)
        }

    def used(self, classes: int) -> np.ndarray:
        """See `Targets.used`."""
        return self.counts(classes) > 0

    @classmethod
    def draw(
        cls,
        axes: Axes,
        target: np.ndarray,
        class_names: Sequence[str],
        *,
        left: float = 0.0,
        top: float = 0.0,
        pixel: float = 1.0,
    ) -> Sequence[int]:
        """See `Targets.draw`, and `kerascnn.overlays.boxes_on`, which writes names beside them."""
        from kerascnn.overlays import boxes_on

        boxes_on(axes, target, class_names, left=left, top=top, pixel=pixel)
        return ()

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


def _joined(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """What is known of all parts, one after the other; None: it isn't."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def _clipped(x1: Any, y1: Any, x2: Any, y2: Any, rest: Any, size: Size) -> Any:
    """Boxes cut at the border of the image, `[batch, most, 6]`; those whose middle is inside."""
    import tensorflow as tf

    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    there = (x > 0) & (x < size[1]) & (y > 0) & (y < size[0]) & (rest[..., 0] != ABSENT)
    x1, x2 = (tf.clip_by_value(x, 0.0, float(size[1])) for x in (x1, x2))
    y1, y2 = (tf.clip_by_value(y, 0.0, float(size[0])) for y in (y1, y2))
    found = tf.concat([tf.stack([x1, y1, x2, y2], axis=-1), rest], axis=-1)
    absent = tf.constant([0, 0, 0, 0, ABSENT, 0], tf.float32)
    return tf.where(there[..., None], found, absent)
