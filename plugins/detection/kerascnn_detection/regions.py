"""From a map and boxes to a small map for each box: three layers, one for each step of the story.

- `SpatialPyramidPooling` (SPPNet): the largest of each part of a pyramid;
- `RoIPool` (Fast R-CNN): the same of one grid, its corners rounded to the map's cells;
- `RoIAlign` (Mask R-CNN): nothing is rounded, the map is interpolated.

Each takes a map `[batch, height, width, channels]` and boxes float32 `[batch, n, 4]` in pixels of
the network's input, as `kerascnn_detection.boxes` has them, of any number and place: what lies
outside of the map counts nothing. Further columns, as rows of proposals have them, aren't read.
Boxes keep their float32 under every precision. Gradients go to the map, none to the boxes.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from kerascnn.errors import ArgumentError
from kerascnn_detection.rounding import ceiled, floored

CLASSIFIERS = 224  # pixels of the sides of the images that a classifier was trained with
FARTHEST = 1e6  # pixels from the image's corner; a box that reaches further ends there

Size = tuple[int, int]


class Regions(keras.layers.Layer):
    """What the three have in common.

    Attributes:
        stride: of the map, in pixels of the network's input.
    """

    maps_read = 1  # of the inputs, the other are boxes

    def __init__(self, *, stride: float, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.stride = stride

    @property
    def parts(self) -> int:
        """How many there are of each box."""
        raise NotImplementedError

    def _read(self, inputs: Any) -> tuple[Any, Any]:
        """The map in the dtype of the layer, and the boxes' corners in float32."""
        maps, boxes = inputs
        return ops.cast(maps, self.compute_dtype), read_corners(boxes)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "stride": self.stride}


def read_corners(boxes: Any) -> Any:
    """The corners in float32 and without a gradient, `[..., 4]`, whatever a network has said.

    One that has diverged says NaN, which is no place in a map: kernels would fail on it.
    """
    corners = ops.stop_gradient(ops.cast(boxes[..., :4], "float32"))
    return ops.clip(ops.nan_to_num(corners), -FARTHEST, FARTHEST)


class _OfKnownSize(Regions):
    """Those that read the largest of cells."""

    def build(self, input_shape: Any) -> None:
        """Refuse a map whose size isn't known: it decides how many powers of two there are."""
        *every, _ = input_shape
        for maps in every:
            if None in maps[1:3]:
                raise ArgumentError(
                    f"{self.name}: the map's height and width must be known. Pass "
                    "input_shape=(height, width, channels), or read points between cells by "
                    'RoIAlign, as faster_rcnn does with roi="align". '
                    f"Received: a map of shape {tuple(maps)}."
                )


class _Oblongs:
    """The largest of each oblong of cells whose sides are powers of two.

    Any rectangle is covered by four equal ones of them, so that four values are read for it. Of a
    map of 38×50 there are 36 maps of such. A mask for each rectangle, as is done otherwise, takes
    3.5 GB for the 128 boxes of a step of Fast R-CNN.

    Args:
        maps: `[batch, height, width, channels]`.
    """

    def __init__(self, maps: Any) -> None:
        batch = ops.shape(maps)[0]
        _, self.height, self.width, channels = maps.shape
        tables = [table for line in _doubled(maps, axis=1) for table in _doubled(line, axis=2)]
        self.flat = ops.reshape(ops.stack(tables, axis=1), (-1, channels))
        self.image = ops.arange(batch, dtype="int32")[:, None, None, None] * len(tables)

    def largest(self, rows: tuple[Any, Any], columns: tuple[Any, Any]) -> Any:
        """The largest of each rectangle, 0 where it is empty, `[batch, n, h, w, channels]`.

        Args:
            rows: the first row and the one after the last, int32 `[batch, n, h]` each.
            columns: the same, `[batch, n, w]` each.
        """
        high, tops = _two_powers(rows, self.height)
        wide, lefts = _two_powers(columns, self.width)
        table = self.image + high[..., :, None] * self.width.bit_length() + wide[..., None, :]

        def at(top: Any, left: Any) -> Any:
            place = (table * self.height + top[..., :, None]) * self.width + left[..., None, :]
            return ops.take(self.flat, place, axis=0)

        upper, lower = (ops.maximum(at(top, lefts[0]), at(top, lefts[1])) for top in tops)
        down, across = (ops.greater(beyond, first) for first, beyond in (rows, columns))
        there = ops.logical_and(down[..., :, None], across[..., None, :])
        return ops.where(there[..., None], ops.maximum(upper, lower), 0)


def _doubled(maps: Any, axis: int) -> list[Any]:
    """The maps, and the largest of each 2, 4, 8, ... cells in a row from each cell on.

    What would reach out of the map is wrong, and never read.
    """
    found = [maps]
    for power in range(maps.shape[axis].bit_length() - 1):
        begin, rest = ops.split(found[-1], [2**power], axis=axis)
        found.append(ops.maximum(found[-1], ops.concatenate([rest, begin], axis=axis)))
    return found


def _two_powers(span: tuple[Any, Any], size: int) -> tuple[Any, tuple[Any, Any]]:
    """Two equal powers of two that cover a span of cells: their exponent, and where they begin."""
    first, beyond = span
    length = beyond - first
    power, side = ops.zeros_like(length), ops.ones_like(length)
    for larger in range(1, size.bit_length()):
        power = power + ops.cast(length >= 2**larger, "int32")
        side = ops.where(length >= 2**larger, 2**larger, side)
    second = beyond - side
    return power, (ops.clip(first, 0, size - 1), ops.clip(second, 0, size - 1))


@keras.saving.register_keras_serializable("kerascnn_detection")
class RoIPool(_OfKnownSize):
    """The largest of each part of a box, on a grid of fixed size (Fast R-CNN, section 2.1).

    Corners are rounded to cells of the map, and the cell of the last corner belongs to the box. A
    part reaches from the floor of its beginning to the ceiling of its end, so that neighbours
    overlap, and one that is empty, because it lies outside of the map, is 0: as the authors'
    `roi_pooling_layer.cpp` and `torchvision.ops.roi_pool`. Those divide in float32, and err by a
    cell where that rounds a whole number up; of seven parts, first in a box of 57 cells.

    Input: the map `[batch, height, width, channels]`, its size known, and boxes `[batch, n, 4]`;
    output `[batch, n, *size, channels]`.

    Args:
        size: parts down and across.
        stride: of the map, in pixels.

    Raises:
        ArgumentError: the map's size isn't known.

    R. Girshick, "Fast R-CNN", ICCV 2015.
    """

    def __init__(self, size: Size, *, stride: float, **kwargs: Any) -> None:
        super().__init__(stride=stride, **kwargs)
        self.size = tuple(size)

    def call(self, inputs: Any) -> Any:
        """Pool each box."""
        maps, boxes = self._read(inputs)
        cells = _rounded(boxes, self.stride)
        rows = _parts(cells[..., 1], cells[..., 3], self.size[0], maps.shape[1])
        columns = _parts(cells[..., 0], cells[..., 2], self.size[1], maps.shape[2])
        return _Oblongs(maps).largest(rows, columns)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, n, *size, channels]` of the output."""
        maps, boxes = input_shape
        return (maps[0], boxes[1], *self.size, maps[-1])

    @property
    def parts(self) -> int:
        """See `Regions.parts`."""
        return math.prod(self.size)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "size": self.size}


def _rounded(x: Any, by: float) -> Any:
    """x / by as the next whole number, halves away from zero, as C does."""
    return ops.sign(x) * floored(ops.abs(x) + by / 2, by)


def _parts(first: Any, last: Any, parts: int, size: int) -> tuple[Any, Any]:
    """The cells of each part of a span: the first, and the one after the last, `[..., parts]`.

    Args:
        first, last: cells of each box, the last one included, float32 `[...]`.
        parts: how many.
        size: cells of the map.
    """
    length = ops.maximum(last - first + 1, 1)[..., None]
    number = ops.arange(parts, dtype="float32")
    begin = floored(number * length, parts) + first[..., None]
    end = ceiled((number + 1) * length, parts) + first[..., None]
    return _cells(begin, size), _cells(end, size)


def _cells(x: Any, size: int) -> Any:
    """Whole numbers from 0 to the size, int32."""
    return ops.cast(ops.clip(x, 0, size), "int32")


@keras.saving.register_keras_serializable("kerascnn_detection")
class SpatialPyramidPooling(_OfKnownSize):
    """The largest of each part of a box, on grids of several sizes (SPPNet, section 3 and A).

    Its windows aren't those of `RoIPool`: a box is taken to the cells whose own windows' middles
    lie in it, both corners move inward, and where they cross they meet in the middle. Part `i` of
    `n` reaches from `floor(i w / n)` to `ceil((i + 1) w / n)`.

    In pixels that count from 1 the left cell is
    `floor((x1 - offset0 + offset) / stride + 1/2) + 1` and the right one
    `ceil((x2 - offset0 - offset) / stride - 1/2) + 1`, as in the authors' `spm_pool_caffe_mex.cpp`.
    The offsets that they used are in a file that isn't public; here they are 0 unless given.

    There may be maps of one image at several scales. Each box is pooled from that at which its area
    is nearest to that of a classifier's image, 224² (section 4.1).

    Input: a map `[batch, height, width, channels]`, its size known, of each scale, and boxes
    `[batch, n, 4]`; output `[batch, n, parts, channels]`, grid by grid, and each row by row.

    Args:
        grids: parts on each side, one for each grid: 6, 3, 2, 1 are 50 parts.
        stride: of the maps, in pixels of the scaled image.
        offset0: where the first cell lies, in pixels.
        offset: how much smaller boxes are taken on each side, in pixels.
        scales: by which the image was scaled for each map.
        frozen: whether the maps are no more learned, as the authors train the dense layers alone:
            no gradient goes to them in training.

    Raises:
        ArgumentError: the map's size isn't known.

    K. He, X. Zhang, S. Ren, J. Sun, "Spatial Pyramid Pooling in Deep Convolutional Networks for
    Visual Recognition", ECCV 2014.
    """

    def __init__(
        self,
        grids: tuple[int, ...] = (6, 3, 2, 1),
        *,
        stride: float,
        offset0: float = 0.0,
        offset: float = 0.0,
        scales: tuple[float, ...] = (1.0,),
        frozen: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(stride=stride, **kwargs)
        self.grids = tuple(grids)
        self.offset0 = offset0
        self.offset = offset
        self.scales = tuple(scales)
        self.frozen = frozen

    @property
    def maps_read(self) -> int:  # type: ignore[override]
        """See `Regions.maps_read`."""
        return len(self.scales)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Pool each box."""
        *maps, boxes = inputs
        corners = read_corners(boxes)
        if self.frozen and training:  # who explains a network goes back to the image
            maps = [ops.stop_gradient(one) for one in maps]
        pooled = [self._pooled(*one) for one in zip(maps, self.scales, [corners] * len(maps))]
        if len(pooled) == 1:
            return pooled[0]
        sides = corners[..., 2:] - corners[..., :2]
        areas = (sides[..., 0] * sides[..., 1])[..., None] * ops.square(self._factors())
        nearest = ops.argmin(ops.abs(areas - CLASSIFIERS**2), axis=-1)[..., None, None]
        return sum(ops.where(nearest == place, one, 0) for place, one in enumerate(pooled))

    def _factors(self) -> Any:
        return ops.convert_to_tensor(self.scales, "float32")

    def _pooled(self, maps: Any, scale: float, boxes: Any) -> Any:
        """The parts of boxes in the image from the maps of one scale."""
        maps, boxes = ops.cast(maps, self.compute_dtype), boxes * scale
        left, right = self._span(boxes[..., 0], boxes[..., 2], maps.shape[2])
        top, bottom = self._span(boxes[..., 1], boxes[..., 3], maps.shape[1])
        oblongs, found = _Oblongs(maps), []
        for grid in self.grids:
            rows = _parts(top, bottom, grid, maps.shape[1])
            columns = _parts(left, right, grid, maps.shape[2])
            pooled = oblongs.largest(rows, columns)
            shape = (*ops.shape(pooled)[:2], grid * grid, maps.shape[-1])
            found.append(ops.reshape(pooled, shape))
        return ops.concatenate(found, axis=2)

    def _span(self, x1: Any, x2: Any, size: int) -> tuple[Any, Any]:
        """The first and the last cell of each box, float32."""
        half = self.stride / 2
        first = floored(x1 + 1 - self.offset0 + self.offset + half, self.stride)
        last = ceiled(x2 - self.offset0 - self.offset - half, self.stride)
        middle = ops.floor((first + last) / 2)
        crossed = first > last
        first, last = (ops.where(crossed, middle, cell) for cell in (first, last))
        return ops.clip(first, 0, size - 1), ops.clip(last, 0, size - 1)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, n, parts, channels]` of the output."""
        maps, boxes = input_shape[0], input_shape[-1]
        return (maps[0], boxes[1], self.parts, maps[-1])

    @property
    def parts(self) -> int:
        """See `Regions.parts`."""
        return sum(grid**2 for grid in self.grids)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {k: getattr(self, k) for k in ("grids", "offset0", "offset", "scales", "frozen")}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("kerascnn_detection")
class RoIAlign(Regions):
    """The mean of interpolated points in each part of a box (Mask R-CNN, section 3).

    The points of a part lie evenly. One that is more than a cell outside of the map is 0, one
    nearer takes the value of the border: as `torchvision.ops.roi_align`. Rows, then columns, are
    products with a matrix of shares, in float32 at least, whatever the dtype of the map.

    Input: the map `[batch, height, width, channels]` and boxes `[batch, n, 4]`; output
    `[batch, n, *size, channels]`. The map's size may be unknown until it is called.

    Args:
        size: parts down and across.
        stride: of the map, in pixels.
        samples: points on each side of a part; 0: as many as there are cells, rounded up.
        aligned: whether cells are squares with their values in the middle, so that boxes are half
            a cell further to the left and above. False is the older way, with which torchvision's
            detectors were trained; it takes boxes to be a cell wide and high at least.

    K. He, G. Gkioxari, P. Dollár, R. Girshick, "Mask R-CNN", ICCV 2017.
    """

    def __init__(
        self, size: Size, *, stride: float, samples: int = 2, aligned: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(stride=stride, **kwargs)
        self.size = tuple(size)
        self.samples = samples
        self.aligned = aligned

    def call(self, inputs: Any) -> Any:
        """Interpolate and average for each box."""
        maps, boxes = self._read(inputs)
        exact = "float64" if self.compute_dtype == "float64" else "float32"
        boxes = boxes * (1 / self.stride) - (0.5 if self.aligned else 0.0)
        _, height, width, _ = ops.shape(maps)
        rows = self._shares(boxes[..., 1], boxes[..., 3], self.size[0], height)
        columns = self._shares(boxes[..., 0], boxes[..., 2], self.size[1], width)
        found = ops.einsum("bnhy,byxc->bnhxc", ops.cast(rows, exact), ops.cast(maps, exact))
        found = ops.einsum("bnwx,bnhxc->bnhwc", ops.cast(columns, exact), found)
        return ops.cast(found, self.compute_dtype)

    def _shares(self, first: Any, last: Any, parts: int, size: Any) -> Any:
        """Each cell's share in each part of a side, float32 `[batch, n, parts, cells]`.

        Args:
            first, last: where the side of each box begins and ends, in cells, `[batch, n]`.
            parts: how many.
            size: cells of the map.
        """
        length = last - first
        if not self.aligned:
            length = ops.maximum(length, 1)
        part = (length / parts)[..., None, None]
        begin = first[..., None, None] + part * ops.arange(parts, dtype="float32")[:, None]
        cells = ops.arange(size, dtype="int32")
        cells = ops.cast(cells, "float32")
        count = ceiled(length, parts)[..., None, None] if self.samples == 0 else self.samples
        count = count + ops.zeros_like(part)
        count = ops.maximum(count, 0)
        step = part / ops.maximum(count, 1)
        border = ops.cast(size, "float32")

        def share(number: Any) -> Any:
            """Of one point, where there is such a one."""
            place = begin + (number + 0.5) * step
            there = (number >= 0) & (number < count) & (place >= -1) & (place <= border)
            inside = ops.clip(place, 0, border - 1)
            return ops.where(there, ops.maximum(1 - ops.abs(inside - cells), 0), 0)

        if self.samples:
            numbers = [ops.full_like(begin, number) for number in range(self.samples)]
        else:
            # Two points are more than half a cell apart, so that at most four are near a cell.
            first = ops.floor((cells - 1 - begin) / ops.where(step > 0, step, 1) - 0.5)
            numbers = [ops.maximum(first, 0) + further for further in range(6)]
        total = share(numbers[0])
        for number in numbers[1:]:
            total = total + share(number)
        return total / ops.maximum(count, 1)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, n, *size, channels]` of the output."""
        maps, boxes = input_shape
        return (maps[0], boxes[1], *self.size, maps[-1])

    @property
    def parts(self) -> int:
        """See `Regions.parts`."""
        return math.prod(self.size)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {k: getattr(self, k) for k in ("size", "samples", "aligned")}
        return {**super().get_config(), **own}
