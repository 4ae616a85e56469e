"""Targets: what images are labelled with, one for each, and how it follows its image.

A class (`labels`), a mask (`masks`), boxes (`boxes`), or what another package makes of it. A source
hands them over as they are stored; from there on a target goes the way of its image: `fitted`
follows `kerascnn.data.fitting.fit` onto the canvas, `cut` the crops that are made while reading,
and `moved` the geometric part of augmentation. All three draw no random numbers themselves, so that
image and target move alike.

In a batch all targets have one shape, and one of `sentinels` for what is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np

from kerascnn.data.fitting import Shape
from kerascnn.data.threads import awaited, in_parallel, threads

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kerascnn.data.motion import Motion

SAMPLE = 200  # targets that are looked at to count classes

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
        bends: whether it can follow an elastic deformation and a mirrored border, too.
        unit: what `count` counts: "images", "pixels", "objects"; "": nothing.
    """

    kind: ClassVar[str]
    moves: ClassVar[bool] = True
    bends: ClassVar[bool] = True
    unit: ClassVar[str] = ""

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

    @classmethod
    def count(cls, target: np.ndarray, classes: int) -> tuple[np.ndarray, int]:
        """How often each class is in one target; see `unit`.

        Args:
            target: as `stored` gives it.
            classes: how many there are.

        Returns:
            Integers `[classes]`, and how much is of no class: pixels, or else 1 of an image that
            has nothing. By default nothing is counted.
        """
        return np.zeros(classes, "int64"), 0

    def counts(self, classes: int) -> np.ndarray:
        """How often each class is in `SAMPLE` targets, evenly over all: float64 `[classes]`.

        Kinds that know it of all targets say it of all.
        """
        some = np.unique(np.linspace(0, len(self) - 1, min(SAMPLE, len(self))).astype(int))
        total = np.zeros(classes)
        for found in threads().map(lambda n: self.count(self.stored(n), classes), some.tolist()):
            total += found[0]
        return total

    def spread(self, others: Sequence[Self] = ()) -> dict[str, tuple[float, float, float]]:
        """What `kerascnn data check` says of these targets and others: least, median, most of it.

        By default nothing is known.
        """
        return {}

    def used(self, classes: int) -> np.ndarray:
        """Which classes are there, bool `[classes]`; by default all: not all targets are read."""
        return np.ones(classes, bool)

    def named(self, position: int, class_names: Sequence[str]) -> str:
        """One target in a word; "": it is too much for one."""
        return ""

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
        """Draw one target over its image; by default nothing is drawn.

        Args:
            axes: that the image is drawn on.
            target: as it stands in a batch.
            class_names: of the classes.
            left, top: where the image begins.
            pixel: its width there.

        Returns:
            The classes that a legend is to explain, `VOID` perhaps among them.
        """
        return ()

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


def taken(labels: Any, index: np.ndarray) -> Any:
    """The `labels` of examples at some positions, of the same kind: integers or `Targets`."""
    return labels.take(index) if isinstance(labels, Targets) else labels[index]


def joined(labels: Sequence[Any]) -> Any:
    """The `labels` of several examples, one after the other: integers or `Targets`."""
    first, *others = labels
    if isinstance(first, Targets):
        return first.joined(others)
    return np.concatenate([first, *others])


def at(read: Callable[[int], T], index: np.ndarray) -> Callable[[int], T]:
    """A function of positions, as one of the positions of a part."""
    return lambda position: read(int(index[position]))


def in_parts(parts: Sequence[Targets], reads: Sequence[Callable[[int], T]]) -> Callable[[int], T]:
    """Functions of positions in each part, as one of those in the whole."""
    ends = np.cumsum([len(part) for part in parts])

    def read(position: int) -> T:
        which = int(np.searchsorted(ends, position, side="right"))
        return reads[which](position - int(ends[which] - len(parts[which])))

    return read


def sizes_in_parts(
    parts: Sequence[Targets], sizes: Sequence[Callable[[int], Size] | None]
) -> Callable[[int], Size] | None:
    """The same of what is perhaps not known."""
    known = [size for size in sizes if size is not None]
    return in_parts(parts, known) if len(known) == len(parts) else None
