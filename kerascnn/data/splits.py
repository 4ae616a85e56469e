"""Split: images and their targets as a `tf.data` pipeline whose order can be resumed."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascnn.data import images as pixels
from kerascnn.data import order
from kerascnn.data.examples import Encoded, Files
from kerascnn.data.fitting import Shape, cut_out
from kerascnn.data.labels import Labels, targets_of
from kerascnn.data.names import Names, digests
from kerascnn.data.targets import Targets, many
from kerascnn.data.threads import awaited, in_parallel
from kerascnn.errors import ArgumentError, DataError, OutOfMemoryError

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Crops:
    """A part of each image, perhaps mirrored, that is drawn anew in each epoch.

    Made while an image is read, this saves decoding and resizing what is cut off.

    Attributes:
        size: `(height, width)` of the part, at most the image's.
        choose: from positions and an epoch, int64 `[batch]` each, to top, left: int32, and
            mirrored: bool, `[batch]` each. A TensorFlow function, and a pure one.
    """

    size: tuple[int, int]
    choose: Callable[[Any, Any], tuple[Any, Any, Any]]

    def cut(self, images: Any, index: Any, epoch: Any) -> Any:
        """From images `[batch, height, width, channels]` to their parts."""
        return cut_out(images, *self.choose(index, epoch), self.size)


class Split:
    """Images for training, validation or test, and what they are labelled with.

    Attributes:
        targets: one for each image.
        image_shape: `(height, width, channels)`.
        files: behind the images, in their order; None: they are no files of their own.

    Args:
        labels: integers `[size]`, or other targets.
        original: from a position to the image before it was fitted to `image_shape`, see
            `original`; None: it was that from the start.
        names: makes `names`; None: the positions are the names.
    """

    files: Files | None = None

    def __init__(
        self,
        labels: np.ndarray | Targets,
        image_shape: Shape,
        original: Callable[[int], np.ndarray] | None = None,
        names: Callable[[], Names] | None = None,
    ) -> None:
        self.targets = targets_of(labels)
        self.image_shape = image_shape
        self._original = original
        self._names = names

    @property
    def labels(self) -> np.ndarray:
        """The class of each image, int32 `[size]`.

        Raises:
            ArgumentError: they are labelled with something else; see `targets`.
        """
        if isinstance(self.targets, Labels):
            return self.targets.labels
        raise ArgumentError(
            f"Expected images that are labelled with one class each. Received: "
            f"{many(self.targets.kind)}, which are in the split's targets."
        )

    @property
    def has_names(self) -> bool:
        """Whether the names say which image it is; without, they are its positions."""
        return self._names is not None

    @functools.cached_property
    def names(self) -> Names:
        """What identifies each image, whatever else there is: `[size]`, packed byte strings.

        The path of a file below the source's folder, such as `b"train/cat/1.jpg"`; of an image in
        an archive or a record, which has no name, a digest of its content. Two images have the same
        name only if they are the same. The names decide on which side of a seeded split an image
        is. They are made at the first use, which hashes all pixels of arrays.
        """
        return self._names() if self._names else _numbered(self.size)

    @functools.cached_property
    def ids(self) -> np.ndarray:
        """The names in 8 bytes each, to keep and compare those of millions: uint64 `[size]`."""
        return self.names.hashes()

    def explain(self, error: BaseException) -> str | None:
        """Why an image of this split can't be read, if that is behind an error of TensorFlow.

        What is raised while a pipeline reads an image reaches whoever iterates over it as a
        `tf.errors.OpError` that holds a traceback in its text.
        """
        found = re.search(r"\bDataError: ([^\n]+)", str(error))
        return found.group(1).strip() if found else None

    def take(self, index: np.ndarray) -> Split:
        """The images at these positions, int64 `[n]`, as a split of its own."""
        index = np.asarray(index, "int64")

        def original(position: int) -> np.ndarray:
            return self.original(int(index[position]))

        taken = ReadSplit(
            lambda position: self._image(int(index[position])),
            self.targets.take(index),
            self.image_shape,
            original,
            (lambda: self.names.take(index)) if self.has_names else None,
        )
        taken.files = self.files.take(index) if self.files else None
        return taken

    def relabelled(self, table: np.ndarray) -> Split:
        """The same images with the class numbers of another list of names.

        Args:
            table: int `[classes]`, see `Targets.relabelled`.
        """
        other = copy.copy(self)
        other.targets = self.targets.relabelled(table)
        return other

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.targets)

    def example(self, index: int) -> tuple[np.ndarray, Any]:
        """One image, uint8 `[height, width, channels]`, and its target as it stands in a batch.

        A label is an int.

        Raises:
            DataError: a file can't be read, or the target doesn't fit its image.
        """
        target = self.targets.fitted(index, self.image_shape)
        return self._image(index).copy(), target.copy() if target.ndim else target.item()

    def original(self, index: int) -> np.ndarray:
        """One image as it is stored, whole: uint8 `[its height, its width, its channels]`.

        Raises:
            DataError: its file can't be read.
        """
        return self._original(index) if self._original else self._image(index)

    def steps(self, batch_size: int, *, drop_remainder: bool = False) -> int:
        """Batches in one epoch."""
        return self.size // batch_size if drop_remainder else -(-self.size // batch_size)

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        first_epoch: int = 0,
        first_step: int = 0,
        epochs: int | None = 1,
        drop_remainder: bool = False,
        with_index: bool = False,
        share: tuple[int, int] = (0, 1),
        multiple: int = 1,
        crops: Crops | None = None,
        balance: bool = False,
    ) -> tf.data.Dataset:
        """Images uint8 `[batch, height, width, channels]` in 0..255, and their targets.

        Labels are int32 `[batch]`; what others are, `Targets.element` says.

        The epochs `first_epoch` to `epochs - 1` follow each other in one iterator; no batch spans
        two epochs. The order of an epoch is a pure function of `seed` and its number, so that
        a pipeline that starts at epoch k goes on exactly as one that has passed k epochs.

        Args:
            batch_size: examples in a batch; the last of an epoch may be smaller.
            seed: of the order; None: the natural one.
            first_epoch, epochs: first epoch, and the one before which to stop; None: never.
            first_step: batches of the first epoch that are left out.
            drop_remainder: drop the examples that don't fill a batch, after the epoch's shuffle.
            with_index: add each image's position in the split and its epoch, int64 `[batch]`
                each, for random changes that are a function of seed, image and epoch.
            share: `(worker, workers)`: of each batch only this worker's part, of
                `batch_size / workers` examples; nothing else is read. In the last, smaller batch
                of an epoch a part may be smaller too, or empty.
            multiple: an epoch has a multiple of so many batches; those beyond it are dropped.
            crops: deliver a part of each image.
            balance: with `seed`, as many examples in an epoch from each class: of small ones each
                comes several times, with a position of its own each time, `size` further on, so
                that random changes differ; of large ones not all come in each epoch.

        Raises:
            ArgumentError: no batch would ever come; or `balance` of images without a class.
        """
        import tensorflow as tf

        self._check(batch_size, drop_remainder, share)
        classes = self._classes() if balance else None
        steps = self.steps(batch_size, drop_remainder=drop_remainder) // multiple * multiple
        last = first_epoch if not steps else tf.int64.max if epochs is None else epochs
        (worker, workers) = share
        part_size = batch_size // workers
        shape = [part_size if drop_remainder else None]

        def steps_of(epoch: Any) -> Any:
            index = order.positions(self.size, seed, epoch, classes=classes)

            def batch(step: Any) -> tuple[Any, Any]:
                start = step * batch_size + worker * part_size
                return tf.ensure_shape(index[start : start + part_size], shape), epoch

            first = tf.where(epoch == first_epoch, tf.constant(first_step, tf.int64), 0)
            return tf.data.Dataset.range(first, steps).map(batch)

        fetch = self.targets.fetch(self.image_shape)
        size = crops.size if crops else self.image_shape[:2]
        element, _ = self.targets.element(size)

        def complete(images: Any, index: Any, epoch: Any) -> tuple[Any, ...]:
            images = tf.ensure_shape(images, [*shape, *size, self.image_shape[2]])
            targets = fetch(index % self.size)
            epochs = tf.fill(tf.shape(index), epoch)
            if crops and self.targets.moves:  # the same draw as the images': a function of these
                targets = self.targets.cut(targets, *crops.choose(index, epochs), crops.size)
            targets = tf.ensure_shape(targets, [*shape, *element])
            return (images, targets, index, epochs) if with_index else (images, targets)

        plain = tf.autograph.experimental.do_not_convert
        data = tf.data.Dataset.range(first_epoch, last).flat_map(plain(steps_of))
        data = self._read_all(data, part_size, crops, complete)
        endless = epochs is None and steps
        left = max(0, steps * max(0, last - first_epoch) - first_step)
        count = tf.data.INFINITE_CARDINALITY if endless else left
        data = data.apply(tf.data.experimental.assert_cardinality(count))
        return data.prefetch(tf.data.AUTOTUNE)

    def _classes(self) -> np.ndarray:
        """The class of each image, to balance them."""
        if isinstance(self.targets, Labels):
            return self.targets.labels
        raise ArgumentError(
            "balance takes as many images of each class, so each must have one label. Received: "
            f"{many(self.targets.kind)}. Leave it out of the recipe; class_weight may do instead."
        )

    def _check(self, batch_size: int, drop_remainder: bool, share: tuple[int, int]) -> None:
        if batch_size < 1:
            raise ArgumentError(f"batch_size must be at least 1. Received: {batch_size}.")
        worker, workers = share
        if not 0 <= worker < workers or batch_size % workers:
            raise ArgumentError(
                "share must be (worker, workers) with 0 ≤ worker < workers, and the batch a "
                f"multiple of workers. Received: {share} of a batch of {batch_size}."
            )
        if drop_remainder and 0 < self.size < batch_size:
            raise ArgumentError(
                f"With drop_remainder a batch must not be larger than the {self.size} images. "
                f"Received: batch_size={batch_size}."
            )

    def _read_all(
        self,
        data: tf.data.Dataset,
        batch_size: int,
        crops: Crops | None,
        complete: Callable[..., Any],
    ) -> tf.data.Dataset:
        """From positions `[batch]` and an epoch to `complete(images, positions, epoch)`."""
        import tensorflow as tf

        fetch = self._fetch()

        def read(index: Any, epoch: Any) -> tuple[Any, ...]:
            images = fetch(index % self.size)
            if crops:
                images = crops.cut(images, index, tf.fill(tf.shape(index), epoch))
            return complete(images, index, epoch)

        return data.map(
            tf.autograph.experimental.do_not_convert(read),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _fetch(self) -> Callable[[Any], Any]:
        """A TensorFlow function from positions, int64 `[batch]`, to their images."""
        import tensorflow as tf

        read = awaited(self._read)
        return lambda index: tf.numpy_function(read, [index], tf.uint8, stateful=False)

    def _read(self, index: np.ndarray) -> np.ndarray:
        """The images at these positions, read in parallel."""
        images = np.empty((len(index), *self.image_shape), "uint8")
        for place, image in enumerate(in_parallel(self._image, index.tolist())):
            images[place] = image
        return images

    def _image(self, index: int) -> np.ndarray:
        raise NotImplementedError


class ArraySplit(Split):
    """Images in memory, uint8 `[n, height, width, channels]`, gathered a whole batch at a time."""

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray | Targets,
        original: Callable[[int], np.ndarray] | None = None,
        names: Callable[[], Names] | None = None,
    ) -> None:
        height, width, channels = images.shape[1:]
        super().__init__(
            labels, (height, width, channels), original, names or (lambda: digests(images))
        )
        self.images = images

    def _image(self, index: int) -> np.ndarray:
        return self.images[index]

    def _fetch(self) -> Callable[[Any], Any]:
        import tensorflow as tf

        # Without the device TensorFlow would put the whole set into the memory of the first GPU.
        with tf.device("CPU:0"):
            images = tf.constant(self.images)
        return lambda index: tf.gather(images, index)


class ReadSplit(Split):
    """Images that `read(position) -> uint8 [height, width, channels]` brings when needed.

    A batch is one call from TensorFlow; its images are read in parallel.
    """

    def __init__(
        self,
        read: Callable[[int], np.ndarray],
        labels: np.ndarray | Targets,
        image_shape: Shape,
        original: Callable[[int], np.ndarray] | None = None,
        names: Callable[[], Names] | None = None,
    ) -> None:
        super().__init__(labels, image_shape, original, names)
        self._read_one = read

    def _image(self, index: int) -> np.ndarray:
        return self._read_one(index)


class EncodedSplit(Split):
    """Encoded images, decoded and adapted whenever they are needed."""

    def __init__(self, examples: Encoded, image_shape: Shape) -> None:
        super().__init__(examples.targets, image_shape, names=examples.names)
        self.examples = examples
        self.files = examples if isinstance(examples, Files) else None

    def original(self, index: int) -> np.ndarray:
        """See `Split.original`."""
        examples = self.examples
        return pixels.original(examples.place(index), examples.content(index), examples.reading)

    def _image(self, index: int) -> np.ndarray:
        examples = self.examples
        content = examples.content(index)
        return pixels.read(examples.place(index), self.image_shape, content, examples.reading)[0]


def joined(splits: Sequence[Split]) -> Split:
    """All images of these splits, of one shape, one after the other."""
    first, *others = splits
    if not others:
        return first
    ends = np.cumsum([split.size for split in splits])

    def at(position: int) -> tuple[Split, int]:
        which = int(np.searchsorted(ends, position, side="right"))
        return splits[which], position - int(ends[which] - splits[which].size)

    def image(position: int) -> np.ndarray:
        split, place = at(position)
        return split._image(place)

    def original(position: int) -> np.ndarray:
        split, place = at(position)
        return split.original(place)

    def names() -> Names:
        return Names.of(itertools.chain.from_iterable(split.names for split in splits))

    named = all(split.has_names for split in splits)
    targets = first.targets.joined([split.targets for split in others])
    whole = ReadSplit(image, targets, first.image_shape, original, names if named else None)
    files = [split.files for split in splits if split.files]
    if len(files) == len(splits):
        whole.files = files[0].joined(files[1:])
    return whole


def _numbered(count: int) -> Names:
    return Names.of(str(position).encode() for position in range(count))


# In TensorFlow's messages: the node of a graph, and the long way to a device.
_PLACES = re.compile(r"\{\{[^}]*\}+\s*|/job:\S*/(?=device:)")


@contextlib.contextmanager
def readable_errors(*splits: Split) -> Iterator[None]:
    """Turn an error from deep inside TensorFlow at work on these into the message behind it.

    Raises:
        DataError: an image can't be read; the message names its file.
        OutOfMemoryError: the device has too little memory.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        what = _PLACES.sub("", error.message or "").partition("\n")[0][:200]
        raise OutOfMemoryError(
            f"There is too little memory: {what}. Fewer images at a time need less "
            "(--batch-size). In training, --accumulation 2 keeps the size of an update, "
            "--precision mixed_bfloat16 halves the maps, and a DenseNet needs less with "
            "--memory-efficient."
        ) from None
    except tf.errors.OpError as error:
        for split in splits:
            if message := split.explain(error):
                raise DataError(message) from None
        raise
