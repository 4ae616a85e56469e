"""Anchors: the boxes that a region proposal network starts from (Faster R-CNN, section 3.1.1).

At each place of a map lie the same few, of several sizes and shapes. They come in two ways, which
differ in where they lie and how they are rounded; weights fit those that they were trained with:

- the authors' (`generate_anchors.py`): corners are pixels, so that a base of 16 is 0, 0, 15, 15
  with its centre at 7.5 and a width of 15 + 1. As edges, which is what a box is here, that is
  0, 0, 16, 16, and the centre 8: the middle of the cell. Widths and heights are whole, and so is
  the scale, by which they are multiplied afterwards;
- torchvision's: centred at the cell's corner, the edges rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

RATIOS = (0.5, 1.0, 2.0)
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Anchors:
    """The anchors of one map.

    Attributes:
        cell: those of the first place, x1, y1, x2, y2 in pixels; shape by shape, and within one by
            size. At other places they are moved by a multiple of the map's stride.
    """

    cell: tuple[Box, ...]

    @classmethod
    def papers(
        cls,
        scales: Sequence[float] = (8, 16, 32),
        ratios: Sequence[float] = RATIOS,
        *,
        base: int = 16,
    ) -> Anchors:
        """The authors' way.

        Args:
            scales: sides in bases: 8, 16, 32 are 128², 256² and 512² pixels.
            ratios: heights / widths.
            base: the side of the square that is stretched, the stride of VGG-16's last map.
        """
        widths = np.round(np.sqrt(base**2 / np.asarray(ratios)))
        heights = np.round(widths * ratios)
        sides = np.stack([widths, heights], axis=-1)[:, None] * np.asarray(scales)[:, None] / 2
        return cls._around(base / 2, sides)

    @classmethod
    def torchvision(cls, sizes: Sequence[float], ratios: Sequence[float] = RATIOS) -> Anchors:
        """torchvision's way.

        Args:
            sizes: square roots of the areas, in pixels.
            ratios: heights / widths.
        """
        stretch = np.sqrt(np.asarray(ratios, "float32"))
        sides = np.stack([1 / stretch, stretch], axis=-1)[:, None]
        sides = np.round(sides * np.asarray(sizes, "float32")[:, None] / 2)
        return cls._around(0, sides)

    @classmethod
    def _around(cls, centre: float, halves: np.ndarray) -> Anchors:
        halves = halves.reshape(-1, 2)
        edges = np.concatenate([centre - halves, centre + halves], axis=1)
        return cls(tuple(map(tuple, edges.tolist())))

    def __len__(self) -> int:
        """How many lie at a place."""
        return len(self.cell)

    def over(self, rows: Any, columns: Any, strides: tuple[Any, Any]) -> Any:
        """All anchors of a map: row by row, place by place, as a convolution's channels lie.

        Args:
            rows, columns: of the map.
            strides: pixels between two places, down and across. torchvision divides the image's
                side by the map's and drops the remainder.

        Returns:
            float32 `[rows * columns * len(self), 4]`, many of them beyond the image's border.
        """
        down, across = strides
        y = ops.cast(ops.arange(rows) * down, "float32")[:, None]
        x = ops.cast(ops.arange(columns) * across, "float32")[None, :]
        x, y = x + ops.zeros_like(y), y + ops.zeros_like(x)
        shifts = ops.stack([x, y, x, y], axis=-1)[:, :, None, :]
        return ops.reshape(shifts + ops.convert_to_tensor(self.cell, "float32"), (-1, 4))
