"""A split of encoded images, of which TensorFlow reads the plain JPEG files: for training."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerascnn.data import jpeg
from kerascnn.data.examples import Encoded
from kerascnn.data.fitting import Shape
from kerascnn.data.images import decode
from kerascnn.data.splits import Crops, EncodedSplit
from kerascnn.data.threads import awaited, in_parallel
from kerascnn.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf

AT_A_TIME = 8  # files that one thread opens in a row: one by one, handing over would take longer
LATELY = 64  # batches that are looked through for a damaged file; a pipeline reads fewer ahead
FILLING = -1  # the position of what only fills up the last batch of an epoch


class Element(NamedTuple):
    """An image on its way through the pipeline, or a batch of them.

    Attributes:
        content: the file's bytes, a string; empty, if the image is not for TensorFlow.
        plan: int32 `[5]`, a `jpeg.Plan`.
        top, left, mirrored: int32, int32 and bool, which part of the image is wanted.
        position: int64, in the split, or `FILLING`.
        epoch: int64.
    """

    content: Any
    plan: Any
    top: Any
    left: Any
    mirrored: Any
    position: Any
    epoch: Any


class JpegSplit(EncodedSplit):
    """Encoded images, of which `kerascnn.data.jpeg` reads the plain JPEG files.

    Each image is an element of the pipeline, so that TensorFlow reads them in parallel, as many at
    a time as there are cores; `example`, and the other files, go the general way.
    """

    def __init__(self, examples: Encoded, image_shape: Shape) -> None:
        super().__init__(examples, image_shape)
        self._lately: collections.deque[np.ndarray] = collections.deque(maxlen=LATELY)

    def explain(self, error: BaseException) -> str | None:
        """See `Split.explain`.

        TensorFlow's own JPEG decoder doesn't say which file is damaged: those that it was given
        lately are read again, the last ones first.
        """
        message = super().explain(error)
        if message or "Invalid JPEG data" not in str(error):
            return message
        positions = itertools.chain.from_iterable(reversed(self._lately.copy()))
        return next(filter(None, map(self._fault, positions)), None)

    def _fault(self, position: int) -> str | None:
        """Why an image can't be read, if so."""
        import tensorflow as tf

        place = self.examples.place(position)
        try:
            content = self.examples.content(position)
            decode(place, None, content, self.examples.reading)
            if jpeg.plain(content):
                tf.io.decode_jpeg(content)
        except DataError as error:
            return str(error)
        except tf.errors.OpError:  # `jpeg.plain` should have told
            return (
                f"{place} can't be read as an image by TensorFlow; write it anew with another "
                "program."
            )
        return None

    def _read_all(
        self,
        data: tf.data.Dataset,
        batch_size: int,
        crops: Crops | None,
        complete: Callable[..., Any],
    ) -> tf.data.Dataset:
        import tensorflow as tf

        size = crops.size if crops else self.image_shape[:2]

        def elements(index: Any, epoch: Any) -> Element:
            return self.elements(index, epoch, batch_size, crops)

        def read(element: Element) -> tuple[Any, Any, Any]:
            return self.read(element, size), element.position, element.epoch

        def finish(images: Any, index: Any, epochs: Any) -> tuple[Any, ...]:
            count = tf.math.count_nonzero(index != FILLING)
            return complete(images[:count], index[:count], epochs[0])

        plain = tf.autograph.experimental.do_not_convert
        data = data.map(plain(elements)).prefetch(2).unbatch()
        data = data.map(plain(read), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        data = data.batch(batch_size, drop_remainder=True)
        # Labels are at hand; what has to be read is read for several batches at a time.
        at_once = tf.data.AUTOTUNE if self.targets.moves else None
        return data.map(plain(finish), num_parallel_calls=at_once)

    def elements(self, index: Any, epoch: Any, batch_size: int, crops: Crops | None) -> Element:
        """A batch of elements, filled up so that no batch spans two epochs.

        Args:
            index: int64 `[at most batch_size]`, positions in the split.
            epoch: int64 `[]`.
            batch_size: how many elements.
            crops: see `Split.batches`.
        """
        import tensorflow as tf

        missing = batch_size - tf.shape(index)[0]
        index = tf.pad(index, [[0, missing]], constant_values=FILLING)
        index = tf.ensure_shape(index, [batch_size])
        contents, plans = tf.numpy_function(
            awaited(self.planned), [index], (tf.string, tf.int32), stateful=False
        )
        epochs, nowhere = tf.fill([batch_size], epoch), tf.zeros([batch_size], tf.int32)
        parts = crops.choose(index, epochs) if crops else (nowhere, nowhere, nowhere > 0)
        return Element(
            tf.ensure_shape(contents, [batch_size]),
            tf.ensure_shape(plans, [batch_size, len(jpeg.NONE)]),
            *parts,
            index,
            epochs,
        )

    def planned(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The files at these positions and how to read them; nothing of what isn't for TensorFlow.

        Returns:
            bytes `[n]` and int32 `[n, 5]`; empty and `jpeg.NONE` where there is nothing.
        """
        contents = np.full(len(index), b"", object)
        plans = np.full((len(index), len(jpeg.NONE)), jpeg.NONE, "int32")
        index = index[index != FILLING] % self.size
        self._lately.append(index)
        parts = [index[at : at + AT_A_TIME] for at in range(0, len(index), AT_A_TIME)]
        found = itertools.chain.from_iterable(in_parallel(self._planned, parts))
        for place, (content, plan) in enumerate(found):
            contents[place], plans[place] = content, plan
        return contents, plans

    def _planned(self, index: np.ndarray) -> list[tuple[bytes, jpeg.Plan]]:
        contents = map(self.examples.content, index.tolist())
        most = self.examples.reading.pixels
        planned = ((content, jpeg.plan(content, self.image_shape, most)) for content in contents)
        return [(content, plan) if plan else (b"", jpeg.NONE) for content, plan in planned]

    def read(self, element: Element, size: tuple[int, int]) -> Any:
        """The wanted part of one image, uint8 `[*size, channels]`."""
        import tensorflow as tf

        part = (element.top, element.left, *size)
        image = tf.cond(
            element.plan[0] > 0,
            lambda: jpeg.decode(element.content, element.plan, self.image_shape, part),
            lambda: self._generally(element, size),
        )
        return tf.cond(element.mirrored, lambda: tf.reverse(image, [1]), lambda: image)

    def _generally(self, element: Element, size: tuple[int, int]) -> Any:
        import tensorflow as tf

        image = tf.numpy_function(
            awaited(self._image_or_filling), [element.position], tf.uint8, stateful=False
        )
        image = tf.ensure_shape(image, self.image_shape)
        part = image[element.top :, element.left :][: size[0], : size[1]]
        return tf.ensure_shape(part, (*size, self.image_shape[2]))

    def _image_or_filling(self, position: np.ndarray) -> np.ndarray:
        black = np.zeros(self.image_shape, "uint8")
        if position == FILLING:
            return black
        return next(in_parallel(self._image, [int(position) % self.size]), black)
