"""Dataset and Split: labelled images as `tf.data` pipelines whose order can be resumed."""

from __future__ import annotations

import collections
import functools
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascnn.data import images as pixels
from kerascnn.data.images import Shape, decode
from kerascnn.data.index import Names
from kerascnn.data.threads import awaited, threads
from kerascnn.errors import ArgumentError, DataError

if TYPE_CHECKING:
    import tensorflow as tf

    from kerascnn.data.examples import Encoded, Files


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
        import tensorflow as tf

        height, width = self.size
        top, left, mirrored = (part[:, None] for part in self.choose(index, epoch))
        images = tf.gather(images, top + tf.range(height), axis=1, batch_dims=1)
        columns = tf.where(mirrored, width - 1 - tf.range(width), tf.range(width))
        return tf.gather(images, left + columns, axis=2, batch_dims=1)


AGAIN = (0x9E3779B9, 0)  # makes another key of one
AT_A_TIME = 8  # files that one thread reads in a row

# What TensorFlow was given to decode lately: examples and position. See `explain`.
_given: collections.deque[tuple[Encoded, int]] = collections.deque(maxlen=4096)


class Split:
    """Labelled images for training, validation or test.

    Attributes:
        labels: int32 `[size]`.
        image_shape: `(height, width, channels)`.
        files: behind the images, in their order; None: they are no files of their own.

    Args:
        original: from a position to the image before it was fitted to `image_shape`, see
            `original`; None: it was that from the start.
        names: makes `names`; None: the positions are the names.
    """

    files: Files | None = None

    def __init__(
        self,
        labels: np.ndarray,
        image_shape: Shape,
        original: Callable[[int], np.ndarray] | None = None,
        names: Callable[[], Names] | None = None,
    ) -> None:
        self.labels = np.ascontiguousarray(labels, "int32")
        self.image_shape = image_shape
        self._original = original
        self._names = names

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

    def take(self, index: np.ndarray) -> Split:
        """The images at these positions, int64 `[n]`, as a split of its own."""
        index = np.asarray(index, "int64")

        def original(position: int) -> np.ndarray:
            return self.original(int(index[position]))

        taken = ReadSplit(
            lambda position: self._image(int(index[position])),
            self.labels[index],
            self.image_shape,
            original,
            (lambda: self.names.take(index)) if self.has_names else None,
        )
        taken.files = self.files.take(index) if self.files else None
        return taken

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.labels)

    def example(self, index: int) -> tuple[np.ndarray, int]:
        """One image, uint8 `[height, width, channels]`, and its label.

        Raises:
            DataError: its file can't be read.
        """
        return self._image(index).copy(), int(self.labels[index])

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
        """Images uint8 `[batch, height, width, channels]` in 0..255 and labels int32 `[batch]`.

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
            ArgumentError: no batch would ever come.
        """
        import tensorflow as tf

        self._check(batch_size, drop_remainder, share)
        steps = self.steps(batch_size, drop_remainder=drop_remainder) // multiple * multiple
        last = first_epoch if not steps else tf.int64.max if epochs is None else epochs
        (worker, workers) = share
        part_size = batch_size // workers
        shape = [part_size if drop_remainder else None]

        def order(epoch: Any) -> Any:
            index = tf.range(self.size, dtype=tf.int64)
            if seed is not None:
                key = tf.stack([tf.constant(seed % 2**63, tf.int64), epoch])
                shuffle = tf.random.experimental.stateless_shuffle
                index = shuffle(index, key, alg="philox")
                if balance:
                    index = shuffle(_balanced(index, self.labels), key ^ AGAIN, alg="philox")

            def batch(step: Any) -> tuple[Any, Any]:
                start = step * batch_size + worker * part_size
                return tf.ensure_shape(index[start : start + part_size], shape), epoch

            first = tf.where(epoch == first_epoch, tf.constant(first_step, tf.int64), 0)
            return tf.data.Dataset.range(first, steps).map(batch)

        with tf.device("CPU:0"):
            labels = tf.constant(self.labels)

        size = crops.size if crops else self.image_shape[:2]

        def complete(images: Any, index: Any, epoch: Any) -> tuple[Any, ...]:
            images = tf.ensure_shape(images, [*shape, *size, self.image_shape[2]])
            known = images, tf.gather(labels, index % self.size)
            return (*known, index, tf.fill(tf.shape(index), epoch)) if with_index else known

        data = tf.data.Dataset.range(first_epoch, last).flat_map(order)
        data = self._read_all(data, part_size, crops, complete)
        endless = epochs is None and steps
        left = max(0, steps * max(0, last - first_epoch) - first_step)
        count = tf.data.INFINITE_CARDINALITY if endless else left
        data = data.apply(tf.data.experimental.assert_cardinality(count))
        return data.prefetch(tf.data.AUTOTUNE)

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

        return data.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def _image(self, index: int) -> np.ndarray:
        raise NotImplementedError

    def _fetch(self) -> Callable[[Any], Any]:
        """A TensorFlow function from positions, int64 `[batch]`, to their images."""
        raise NotImplementedError


class ArraySplit(Split):
    """Images in memory, uint8 `[n, height, width, channels]`, gathered a whole batch at a time."""

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
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

    A batch is one call from TensorFlow; its images are read in parallel by `threads`.
    """

    def __init__(
        self,
        read: Callable[[int], np.ndarray],
        labels: np.ndarray,
        image_shape: Shape,
        original: Callable[[int], np.ndarray] | None = None,
        names: Callable[[], Names] | None = None,
    ) -> None:
        super().__init__(labels, image_shape, original, names)
        self._read = read

    def _image(self, index: int) -> np.ndarray:
        return self._read(index)

    def _fetch(self) -> Callable[[Any], Any]:
        import tensorflow as tf

        @awaited
        def read(index: np.ndarray) -> np.ndarray:
            images = np.empty((len(index), *self.image_shape), "uint8")
            try:
                pending = threads().map(self._read, index.tolist())
            except RuntimeError:  # the interpreter is ending: nobody will see this batch
                return images
            for position, image in enumerate(pending):
                images[position] = image
            return images

        return lambda index: tf.numpy_function(read, [index], tf.uint8, stateful=False)


class EncodedSplit(ReadSplit):
    """Encoded images, of which `kerascnn.data.jpeg` reads the plain JPEG files.

    Each image is an element of the pipeline, so that TensorFlow reads them in parallel, as many at
    a time as there are cores; `example`, and the other files, go the general way.
    """

    def __init__(
        self,
        examples: Encoded,
        read: Callable[[int], np.ndarray],
        image_shape: Shape,
        original: Callable[[int], np.ndarray] | None = None,
    ) -> None:
        super().__init__(read, examples.labels, image_shape, original, examples.names)
        self.examples = examples

    def _read_all(
        self,
        data: tf.data.Dataset,
        batch_size: int,
        crops: Crops | None,
        complete: Callable[..., Any],
    ) -> tf.data.Dataset:
        import tensorflow as tf

        from kerascnn.data import jpeg

        shape = self.image_shape

        def prepared(positions: np.ndarray) -> list[tuple[bytes, jpeg.Plan]]:
            """The files' bytes and how to read them; nothing, if that is not for TensorFlow."""
            found = []
            for position in positions.tolist():
                content = self.examples.content(position)
                way = jpeg.plan(content, shape, self.examples.reading.pixels)
                found.append((content, way) if way else (b"", jpeg.NONE))
                _given.append((self.examples, position))
            return found

        @awaited
        def prepare(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            contents = np.full(batch_size, b"", object)
            ways = np.full((batch_size, len(jpeg.NONE)), jpeg.NONE, "int32")
            try:
                index = index % self.size
                # Some at a time: handing over one by one would take longer than reading it.
                parts = [index[at : at + AT_A_TIME] for at in range(0, len(index), AT_A_TIME)]
                found = threads().map(prepared, parts)
            except RuntimeError:  # the interpreter is ending: nobody will see this batch
                return contents, ways
            for place, (content, way) in enumerate(itertools.chain.from_iterable(found)):
                contents[place], ways[place] = content, way
            return contents, ways

        def one_by_one(index: Any, epoch: Any) -> dict[str, Any]:
            contents, ways = tf.numpy_function(
                prepare, [index], (tf.string, tf.int32), stateful=False
            )
            # The last batch of an epoch is filled up, so that no batch spans two epochs.
            index = tf.pad(index, [[0, batch_size - tf.shape(index)[0]]], constant_values=-1)
            index = tf.ensure_shape(index, [batch_size])
            epochs = tf.fill([batch_size], epoch)
            return {
                "content": tf.ensure_shape(contents, [batch_size]),
                "way": tf.ensure_shape(ways, [batch_size, len(jpeg.NONE)]),
                "part": crops.choose(index, epochs) if crops else (),
                "position": index,
                "epoch": epochs,
            }

        @awaited
        def general(position: np.ndarray) -> np.ndarray:
            if position < 0:
                return np.zeros(shape, "uint8")
            return self._read(int(position) % self.size)

        def generally(position: Any, part: tuple[Any, ...]) -> Any:
            image = tf.numpy_function(general, [position], tf.uint8, stateful=False)
            image = tf.ensure_shape(image, shape)
            return image[part[0] :, part[1] :][: crops.size[0], : crops.size[1]] if crops else image

        def read(of: dict[str, Any]) -> tuple[Any, Any, Any]:
            content, way, part = of["content"], of["way"], of["part"]
            size = crops.size if crops else shape[:2]
            top, left = part[:2] if crops else (0, 0)
            image = tf.cond(
                way[0] > 0,
                lambda: jpeg.decode(content, way, shape, (top, left, *size)),
                lambda: tf.ensure_shape(generally(of["position"], part), (*size, shape[2])),
            )
            if crops:
                image = tf.cond(part[2], lambda: tf.reverse(image, [1]), lambda: image)
            return image, of["position"], of["epoch"]

        def whole(batch: Any, index: Any, epochs: Any) -> tuple[Any, ...]:
            count = tf.math.count_nonzero(index >= 0)
            return complete(batch[:count], index[:count], epochs[0])

        data = data.map(one_by_one).prefetch(2).unbatch()
        data = data.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return data.batch(batch_size, drop_remainder=True).map(whole)


def _numbered(count: int) -> Names:
    return Names.of(str(position).encode() for position in range(count))


def digests(images: np.ndarray) -> Names:
    """A name for each image in memory, of 32 characters: it depends on its size and pixels alone.

    Args:
        images: uint8 `[n, height, width, channels]`.
    """
    return Names.of(pixels.digest(image).hex().encode() for image in images)


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
        return split.example(place)[0]

    def original(position: int) -> np.ndarray:
        split, place = at(position)
        return split.original(place)

    def names() -> Names:
        return Names.of(itertools.chain.from_iterable(split.names for split in splits))

    named = all(split.has_names for split in splits)
    labels = np.concatenate([split.labels for split in splits])
    whole = ReadSplit(image, labels, first.image_shape, original, names if named else None)
    files = [split.files for split in splits if split.files]
    if len(files) == len(splits):
        whole.files = files[0].joined(files[1:])
    return whole


def _balanced(shuffled: Any, labels: np.ndarray) -> Any:
    """As many positions as there are, the classes in turn, each class's in their shuffled order.

    When a class has been through, it begins again, with positions that are `len(labels)` larger.
    """
    import tensorflow as tf

    size = len(labels)
    grouped = tf.gather(shuffled, tf.argsort(tf.gather(labels, shuffled), stable=True))
    counts = np.bincount(labels).astype("int64")
    counts = counts[counts > 0]
    starts = tf.constant(np.cumsum(counts) - counts)
    turn, which = tf.range(size, dtype=tf.int64) // len(counts), np.arange(size) % len(counts)
    times, place = turn // counts[which], turn % counts[which]
    return tf.gather(grouped, tf.gather(starts, which) + place) + size * times


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Labelled images for training, validation and test, and what is known of them.

    Attributes:
        name: the source as the user typed it.
        classes, class_names: their number and names, in the order of the labels.
        image_shape: `(height, width, channels)` as delivered.
        licence: under which the data may be used, as far as known.
        notes: every conversion made.
        left_out: "file: reason" for each file that was left out.
        fingerprint: SHA-256 over all that decides what is delivered: pixels, or names and sizes
            of files; labels, split and shape.
        train, validation, test: the splits, each may be empty.
        split_rule: how images were taken for validation or test where the source has no such
            split of its own; "": nothing was taken. Runs of older versions were split by another.
    """

    name: str
    classes: int
    class_names: tuple[str, ...]
    image_shape: Shape
    licence: str
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    fingerprint: str
    train: Split
    validation: Split
    test: Split
    split_rule: str = ""


def explain(error: BaseException) -> str | None:
    """The message of the DataError behind an error of TensorFlow, if there is one.

    What is raised while a pipeline reads an image reaches the training loop as a
    `tf.errors.OpError` that holds a traceback in its text. TensorFlow's own JPEG decoder doesn't
    say which file is damaged: those that it was given lately are read again, the last one first.
    """
    if found := re.search(r"\bDataError: ([^\n]+)", str(error)):
        return found.group(1).strip()
    if "Invalid JPEG data" in str(error):
        judged = (_damage(*one) or _refused(*one) for one in reversed(list(_given)))
        return next(filter(None, judged), None)
    return None


def _damage(examples: Encoded, position: int) -> str | None:
    """Why an image can't be read, if so."""
    try:
        decode(examples.place(position), None, examples.content(position), examples.reading)
    except DataError as error:
        return str(error)
    return None


def _refused(examples: Encoded, position: int) -> str | None:
    """That TensorFlow alone can't read an image, if so: `jpeg.plain` should have told."""
    import tensorflow as tf

    from kerascnn.data import jpeg

    content = examples.content(position)
    if jpeg.plain(content):
        try:
            tf.io.decode_jpeg(content)
        except tf.errors.OpError:
            return (
                f"{examples.place(position)} can't be read as an image by TensorFlow; write it "
                "anew with another program."
            )
    return None
