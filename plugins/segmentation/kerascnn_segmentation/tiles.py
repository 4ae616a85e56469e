"""Masks of images of any size in bounded memory: tile by tile, as if it were one pass.

A pixel of an answer depends on the pixels that its receptive field reaches, and on where the
pooling windows lie. So tiles begin at multiples of the network's stride, overlap by what the fields
reach, and of each answer only what has seen no border of its tile is kept.

- A network without padding answers for the middle of its input alone. The tiles' answers adjoin,
  and what a tile needs from outside of the image is "extrapolated by mirroring" (U-Net, section 2,
  figure 2): d c b a | a b c d | d c b a, again and again where the image is smaller than that. It
  is the same as one pass over the mirrored image.
- A network with padding answers for every pixel. Its tiles lie inside the image and those at the
  border end there, so that its own padding is where it is in one pass: the same as one pass, too,
  as long as the network treats an image's size and that size less a multiple of the stride alike.
  `unet_same` does, and FCN in its authors' form. What resizes its answer to the size of the image,
  as FCN on other classifiers and torchvision's, does where the stride divides that size.

"The same" is in exact arithmetic: libraries may add up in another order for another size of tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn import any_size, profile
from kerascnn.errors import ArgumentError, RunError
from kerascnn.preprocessing import preprocess
from kerascnn.tasks import Sight

LARGEST = 512
"""The side of tiles in pixels, unless the network was trained on larger images or sees further."""

Answer = Callable[[np.ndarray], np.ndarray]
"""From tiles `[batch, *tile, channels]` to what stands at each pixel of theirs that is answered
for, `[batch, rows, columns, ...]`: class numbers, scores, or anything else."""


@dataclass(frozen=True)
class Piece:
    """What one tile contributes along one side of the image, in pixels.

    Attributes:
        start: of the image, where the tile begins; negative before the image.
        first: of the tile's answer, the first row or column that is kept.
        at: of the image, where that one belongs.
        count: how many are kept.
    """

    start: int
    first: int
    at: int
    count: int


def adjoining(size: int, *, tile: int, answered: int, stride: int) -> list[Piece]:
    """The tiles of a network that answers for the middle of its input, along one side.

    Args:
        size: of the image.
        tile, answered: of the network's input and of its answer.
        stride: of the network's deepest map; tiles begin at multiples of it.

    Raises:
        ArgumentError: a tile answers for less than a stride.
    """
    step = answered // stride * stride
    if step < 1:
        raise ArgumentError(
            f"A tile must answer for at least as many pixels as the network's stride, {stride}. "
            f"Received: tiles of {tile}, which answer for {answered}."
        )
    before = (tile - answered) // 2
    return [Piece(at - before, 0, at, min(step, size - at)) for at in range(0, size, step)]


def overlapping(size: int, *, tile: int, margin: int, stride: int) -> list[Piece]:
    """The tiles of a network that answers for all of its input, along one side.

    Args:
        size: of the image.
        tile: of the network's input; the image's size, or less by a multiple of `stride`.
        margin: how far a pixel's answer looks to each side.
        stride: of the network's deepest map; tiles begin at multiples of it.

    Raises:
        ArgumentError: a tile has no middle to keep.
    """
    step = (tile - 2 * margin) // stride * stride
    if size > tile and step < 1:
        raise ArgumentError(
            f"A tile must be larger than twice the margin, {margin}, by the network's stride, "
            f"{stride}, at least. Received: {tile}."
        )
    pieces: list[Piece] = []
    done = 0
    while done < size:
        start = min(len(pieces) * step, size - tile)
        end = size if start == size - tile else start + tile - margin
        pieces.append(Piece(start, done - start, done, end - done))
        done = end
    return pieces


def strips(
    answer: Answer,
    image: Any,
    down: Sequence[Piece],
    across: Sequence[Piece],
    *,
    tile: tuple[int, int],
    batch: int = 1,
) -> Iterator[np.ndarray]:
    """Answers for an image, in strips of rows from above; no more than one strip is in memory.

    Args:
        answer: what is asked, always for `batch` tiles.
        image: `[height, width, channels]`: an array, or anything that has a `shape` and gives an
            array for a slice of rows, such as `np.memmap` and the datasets of h5py.
        down, across: the tiles along height and width.
        tile: their height and width.
        batch: tiles in one call.

    Returns:
        An iterator of `[rows, width, ...]`.
    """
    height, width = image.shape[:2]
    columns = [_mirrored(piece.start, tile[1], width) for piece in across]
    for row in down:
        rows = _mirrored(row.start, tile[0], height)
        above = int(rows.min())
        read = np.asarray(image[above : int(rows.max()) + 1])[rows - above]
        parts = []
        for begin in range(0, len(across), batch):
            chosen = columns[begin : begin + batch]
            filled = [*chosen, *chosen[-1:] * (batch - len(chosen))]
            found = answer(np.stack([read[:, wanted] for wanted in filled]))
            for column, part in zip(across[begin : begin + batch], found):
                kept = part[row.first :, column.first :][: row.count, : column.count]
                parts.append(np.array(kept))
        yield np.concatenate(parts, axis=1)


def _mirrored(start: int, count: int, size: int) -> np.ndarray:
    """Pixels of a side from `start` on, int64 `[count]`, mirrored at its ends again and again."""
    place = np.arange(start, start + count) % (2 * size)
    return np.minimum(place, 2 * size - 1 - place)


class Tiled:
    """A segmentation network that finds the mask of an image of any size.

    Attributes:
        stride: of its deepest map, in pixels.
        margin: how far a pixel's answer looks; None: everywhere, so images can't be divided.
        lost: how much smaller than its input its answer is, along each side.
    """

    def __init__(
        self,
        model: keras.Model,
        sight: Sight,
        *,
        batch_size: int = 1,
        largest: int | None = None,
        margin: int | None = None,
    ) -> None:
        """Find out how a network sees.

        Args:
            model: from images to scores `[batch, rows, columns, classes]`; of several outputs the
                first one counts.
            sight: how it sees images; its `input_shape` and its `preprocessing` count.
            batch_size: images of the trained size that may be looked at in one step.
            largest: side of the tiles; None: as `batch_size` allows, up to `LARGEST`.
            margin: of a network with padding, how far an answer is taken to look; None: as far as
                it does. Less is faster, and no longer the same as one pass.

        Raises:
            ArgumentError: the network needs to know how large its images are.
        """
        height, width, channels = sight.input_shape
        self._own = height, width
        self._pixels = batch_size * height * width
        self._largest = largest or min(LARGEST, math.isqrt(self._pixels))
        self._answer = _indices(any_size(model), sight, channels)
        measured = profile(model, sight.input_shape)
        last = measured[measured.outputs[0]]
        strides = [max(layer.stride) for layer in measured.layers if layer.stride]
        self.stride = math.ceil(max(strides))
        self.lost = tuple(a - b for a, b in zip(self._own, last.output_shape))
        field = last.receptive_field
        if margin is None and field is not None:
            ends = (first + size - 1 for first, size in zip(field.start, field.size))
            margin = max(0, *(-first for first in field.start), *ends)
        self.margin = margin

    def rows(self, image: Any) -> Iterator[np.ndarray]:
        """The mask of an image in strips from above, each uint8 `[rows, width]`.

        Args:
            image: uint8 `[height, width, channels]`; see `strips`.

        Raises:
            ArgumentError: the image is too large to be looked at in one piece, and the network
                sees all of it at every pixel.
            RunError: the network's answers are not numbers.
        """
        sizes = image.shape[:2]
        if any(self.lost):
            tile, pieces = self._without_padding(sizes)
        else:
            tile, pieces = self._with_padding(sizes)
        batch = max(1, self._pixels // math.prod(tile))
        return strips(self._answer, image, *pieces, tile=tile, batch=batch)

    def mask(self, image: Any) -> np.ndarray:
        """The mask of an image, uint8 `[height, width]`; see `rows`."""
        return np.concatenate(list(self.rows(image)))

    def _without_padding(self, sizes: Sequence[int]) -> tuple[Any, Any]:
        """The tile, and the pieces along both sides."""
        tile, pieces = [], []
        for size, own, lost in zip(sizes, self._own, self.lost):
            # Every stride-th size is as legal as the network's own.
            wanted = min(max(self._largest, own), size + lost)
            wanted = max(wanted, lost + self.stride)
            side = wanted + (own - wanted) % self.stride
            answered = side - lost
            tile.append(side)
            pieces.append(adjoining(size, tile=side, answered=answered, stride=self.stride))
        return tuple(tile), pieces

    def _with_padding(self, sizes: Sequence[int]) -> tuple[Any, Any]:
        largest = max(self._largest, *self._own)
        if self.margin is None:
            if max(sizes) > largest:
                raise ArgumentError(
                    "Each pixel of this network's answer depends on the whole image, which can't "
                    f"be divided into tiles. Largest image in one piece: {largest}×{largest}. "
                    f"Received: {sizes[0]}×{sizes[1]}."
                )
            margin = 0
        else:
            margin = self.margin
            largest = max(largest, 4 * margin, 2 * margin + 2 * self.stride)
        tile = tuple(size - self._steps(size - largest) for size in sizes)
        pieces = [
            overlapping(size, tile=side, margin=margin, stride=self.stride)
            for size, side in zip(sizes, tile)
        ]
        return tile, pieces

    def _steps(self, missing: int) -> int:
        """At least so many pixels, a multiple of the stride; 0 for none."""
        return max(0, -(-missing // self.stride) * self.stride)


def _indices(model: keras.Model, sight: Sight, channels: int) -> Answer:
    """From uint8 tiles of any size to the likeliest class of each pixel, one graph for all."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, channels], tf.uint8)])
    def indices(images: Any) -> tuple[Any, Any]:
        outputs = model(preprocess(images, sight.preprocessing), training=False)
        first = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
        likeliest = tf.cast(tf.argmax(first, axis=-1, output_type=tf.int32), tf.uint8)
        return likeliest, tf.reduce_any(tf.math.is_nan(first))

    def answer(images: np.ndarray) -> np.ndarray:
        likeliest, damaged = indices(images)
        if damaged:  # the class of such a pixel would be the first one
            raise RunError(
                "The model answers an image with scores that are not numbers (NaN), so its answers "
                "mean nothing: its weights are damaged, or training diverged."
            )
        return likeliest.numpy()

    return answer
