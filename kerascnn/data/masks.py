"""Masks: a class for each pixel of an image."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascnn.data.fitting import Placement, Shape, cut_out
from kerascnn.data.names import Names, digests
from kerascnn.data.sentinels import VOID
from kerascnn.data.targets import Size, Targets, at, in_parts, sizes_in_parts
from kerascnn.errors import DataError
from kerascnn.words import counted, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kerascnn.data.motion import Motion


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
    unit = "pixels"
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
            read=at(self.read, index),
            names=self.names.take(index),
            sizes=self.sizes[index],
            image_size=self.image_size and at(self.image_size, index),
        )

    def joined(self, others: Sequence[Masks]) -> Masks:
        """See `Targets.joined`."""
        parts = (self, *others)
        return replace(
            self,
            read=in_parts(parts, [part.read for part in parts]),
            names=Names.of(name for part in parts for name in part.names),
            sizes=np.concatenate([part.sizes for part in parts]),
            classes=max(part.classes for part in parts),
            image_size=sizes_in_parts(parts, [part.image_size for part in parts]),
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

    @classmethod
    def count(cls, target: np.ndarray, classes: int) -> tuple[np.ndarray, int]:
        """Pixels of each class, and those that are `VOID`."""
        pixels = np.bincount(target.ravel(), minlength=VOID + 1)
        return pixels[:classes], int(pixels[VOID])

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
        """See `Targets.draw`, and `kerascnn.overlays.mask_on`."""
        from kerascnn.overlays import mask_on

        mask_on(axes, target, class_names, left=left, top=top, pixel=pixel)
        return np.unique(target).tolist()

    @classmethod
    def cut(cls, batch: Any, top: Any, left: Any, mirrored: Any, size: Size) -> Any:
        """See `Targets.cut`."""
        return cut_out(batch, top, left, mirrored, size)

    @classmethod
    def moved(cls, batch: Any, motion: Motion) -> Any:
        """See `Targets.moved`."""
        return motion.labels(batch, VOID)
