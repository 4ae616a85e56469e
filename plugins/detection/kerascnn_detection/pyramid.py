"""A pyramid of maps for objects of all sizes (Lin et al., "Feature Pyramid Networks", 2017).

The coarse maps of a classifier know what is there, its fine ones where. From the coarsest on, each
map is made twice as large and added to the next finer one, so that all know both; small objects are
then looked for in the fine ones, and large ones in the coarse ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from kerascnn import blocks
from kerascnn_detection import boxes as _boxes
from kerascnn_detection.regions import Size, read_corners

CANONICAL = 224  # the side of a box, as of ImageNet's images, that is read from level 4
LEVEL = 4


def feature_pyramid(maps: Sequence[Any], *, width: int = 256, first: int = 2) -> list[Any]:
    """The pyramid on maps of a classifier (section 3), in torchvision's form.

    Args:
        maps: `[batch, height, width, channels]`, the finest first, each half as large as the one
            before: C2, C3, C4, C5.
        width: channels of the pyramid.
        first: the number of the finest, for names.

    Returns:
        P2 to P5, and P6, every second pixel of P5, for the largest anchors.
    """
    numbers = range(first, first + len(maps))
    sides = [_conv(x, width, 1, name=f"fpn_c{n}") for n, x in zip(numbers, maps)]
    whole = [sides[-1]]
    for number, side in zip(reversed(numbers[:-1]), reversed(sides[:-1])):
        resize = NearestResizing(name=f"fpn_p{number}_resize")
        larger = blocks.apply(whole[0], resize, side)
        whole.insert(0, blocks.add(side, larger, name=f"fpn_p{number}_add"))
    found = [_conv(x, width, 3, name=f"fpn_p{n}") for n, x in zip(numbers, whole)]
    return [*found, blocks.max_pool(found[-1], 1, strides=2, name=f"fpn_p{numbers[-1] + 1}")]


def _conv(x: Any, width: int, kernel: int, *, name: str) -> Any:
    return blocks.conv(x, width, kernel, initializer="he_uniform", name=name)


@keras.saving.register_keras_serializable("kerascnn_detection")
class NearestResizing(layers.Layer):
    """A map made as large as another one, of which nothing but its size is read.

    New pixel `i` is old pixel `floor(i * size / wanted)`, as torch's `interpolate`.

    Input: the map `[batch, height, width, channels]`, and one whose height and width it gets.
    """

    maps_read = 1

    def call(self, inputs: Any) -> Any:
        """Repeat its pixels."""
        x, like = inputs
        for axis in (1, 2):
            size, wanted = ops.shape(x)[axis], ops.shape(like)[axis]
            x = ops.take(x, ops.arange(wanted, dtype="int32") * size // wanted, axis=axis)
        return x

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, height, width, channels]` of the output."""
        (batch, *_, channels), like = input_shape
        return (batch, like[1], like[2], channels)


@keras.saving.register_keras_serializable("kerascnn_detection")
class PyramidAlign(layers.Layer):
    """`kerascnn_detection.regions.RoIAlign` of each box on the map for boxes of its size.

    That is level `floor(4 + log2(√area / 224))` (equation 1), or the nearest one that there is, as
    in torchvision's `MultiScaleRoIAlign`. All maps are read at once: of each box only the cells
    that its points lie between.

    Input: maps `[batch, height, width, channels]`, the finest first, and boxes `[batch, n, 4]`, of
    which further columns aren't read; output `[batch, n, *size, channels]`. Sizes may be unknown
    until it is called. Gradients go to the maps, none to the boxes.

    Args:
        size: parts down and across.
        strides: of the maps, in pixels, each twice the one before.
        samples: points on each side of a part.
        aligned: see `kerascnn_detection.regions.RoIAlign`.
    """

    def __init__(
        self,
        size: Size,
        *,
        strides: Sequence[int] = (4, 8, 16, 32),
        samples: int = 2,
        aligned: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.size = tuple(size)
        self.strides = tuple(strides)
        self.samples = samples
        self.aligned = aligned

    @property
    def parts(self) -> int:
        """How many there are of each box."""
        return self.size[0] * self.size[1]

    def levels(self, boxes: Any) -> Any:
        """The number of each box's map, from 0, int32 `[batch, n]`."""
        side = ops.sqrt(ops.maximum(_boxes.area(boxes), 1e-6))
        level = ops.floor(LEVEL + ops.log2(side / CANONICAL) + 1e-6)
        first = self.strides[0].bit_length() - 1
        return ops.cast(ops.clip(level - first, 0, len(self.strides) - 1), "int32")

    def call(self, inputs: Any) -> Any:
        """Interpolate and average for each box."""
        *maps, boxes = inputs
        exact = "float64" if self.compute_dtype == "float64" else "float32"
        boxes = read_corners(boxes)
        level = self.levels(boxes)
        shapes = [ops.shape(one) for one in maps]
        channels = maps[0].shape[-1]
        lines = [(shape[0], shape[1] * shape[2], channels) for shape in shapes]
        flat = ops.concatenate([ops.reshape(*pair) for pair in zip(maps, lines)], axis=1)
        cells = ops.shape(flat)[1]
        flat = ops.reshape(ops.cast(flat, exact), (-1, channels))

        def of_level(values: Sequence[Any], dtype: str = "int32") -> Any:
            """Of each box the value of its map, `[batch, n]`."""
            return ops.take(ops.stack([ops.cast(v, dtype) for v in values]), level, axis=0)

        begins, total = [], 0
        for shape in shapes:
            begins.append(total)
            total = total + shape[1] * shape[2]
        image = ops.arange(shapes[0][0], dtype="int32")[:, None]
        start = image * cells + of_level(begins)
        height, width = (of_level([shape[axis] for shape in shapes]) for axis in (1, 2))
        boxes = boxes / of_level(self.strides, "float32")[..., None]
        boxes = boxes - (0.5 if self.aligned else 0.0)
        rows = self._points(boxes[..., 1], boxes[..., 3], self.size[0], height)
        columns = self._points(boxes[..., 0], boxes[..., 2], self.size[1], width)
        start, width = (part[..., None, None] for part in (start, width))
        found = 0.0
        for row, down in rows:
            for column, across in columns:
                place = start + row[..., :, None] * width + column[..., None, :]
                share = ops.cast(down[..., :, None] * across[..., None, :], exact)
                found = found + ops.take(flat, place, axis=0) * share[..., None]
        return ops.cast(found / self.samples**2, self.compute_dtype)

    def _points(self, first: Any, last: Any, parts: int, size: Any) -> list[tuple[Any, Any]]:
        """Where the points of one side are read, cell by cell, and each cell's share.

        Args:
            first, last: where the side of each box begins and ends, in cells, `[batch, n]`.
            parts: how many.
            size: cells of each box's map, int32 `[batch, n]`.

        Returns:
            Cells, int32, and shares, float32, `[batch, n, parts]` each, twice for each sample.
        """
        length = last - first
        if not self.aligned:
            length = ops.maximum(length, 1)
        part = (length / parts)[..., None]
        begin = first[..., None] + part * ops.arange(parts, dtype="float32")
        border = ops.cast(size, "float32")[..., None]
        found = []
        for sample in range(self.samples):
            place = begin + (sample + 0.5) / self.samples * part
            there = ops.cast((place >= -1) & (place <= border), "float32")
            inside = ops.clip(place, 0, border - 1)
            low = ops.floor(inside)
            high = ops.minimum(low + 1, border - 1)
            found.append((ops.cast(low, "int32"), there * (1 - (inside - low))))
            found.append((ops.cast(high, "int32"), there * (inside - low)))
        return found

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, n, *size, channels]` of the output."""
        maps, boxes = input_shape[0], input_shape[-1]
        return (maps[0], boxes[1], *self.size, maps[-1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {k: getattr(self, k) for k in ("size", "strides", "samples", "aligned")}
        return {**super().get_config(), **own}
