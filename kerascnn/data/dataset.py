"""Dataset: images and targets for training, validation and test, and what is known of them."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascnn import tables
from kerascnn.data.fitting import Shape
from kerascnn.data.labels import Labels
from kerascnn.data.split_names import SPLITS
from kerascnn.data.splits import Split
from kerascnn.style import INK, PAPER
from kerascnn.words import listed, printable, without_middle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES = 8  # that a notebook shows
CLASSES = 20  # that are named
LONGEST = 16  # characters of a class's name below its image


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Images and their targets for training, validation and test, and what is known of them.

    Attributes:
        name: the source as the user typed it.
        classes, class_names: their number and names, in the order of their numbers in targets.
        image_shape: `(height, width, channels)` as delivered.
        licence: under which the data may be used, as far as known.
        notes: every conversion made.
        left_out: "file: reason" for each file that was left out.
        fingerprint: SHA-256 over all that decides what is delivered: pixels, or names and sizes
            of files; targets, split and shape.
        train, validation, test: the splits, each may be empty.
        split_rule: how images were taken for validation or test where the source has no such
            split of its own; "": nothing was taken. Runs of older versions were split by another.
        target: what the images are labelled with: "label", "mask", "boxes".
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
    target: str = Labels.kind

    def _repr_html_(self) -> str:
        """Classes and splits, and some training images, as notebooks show them."""
        facts = [
            ("classes", f"{self.classes:,}: {listed(map(printable, self.class_names), CLASSES)}"),
            ("images", "×".join(map(str, self.image_shape))),
            *((name, f"{split.size:,}") for name, split in self.splits.items()),
            ("target", self.target),
            ("licence", self.licence),
            *(("note", note) for note in self.notes),
        ]
        title = f"<b>{html.escape(printable(self.name))}</b>"
        if not any(split.size for split in self.splits.values()):
            return title + tables.html(("", ""), facts)
        content = io.BytesIO()
        self._some_images().savefig(content, format="png", facecolor=PAPER)
        picture = tables.picture(content.getvalue(), "some images")
        return title + tables.html(("", ""), facts) + picture

    def _some_images(self) -> Figure:
        """A few training images, evenly over all, each with its class, mask or boxes.

        Raises:
            DataError: an image can't be read.
        """
        from kerascnn import pictures

        split = next(split for split in self.splits.values() if split.size)
        chosen = np.linspace(0, split.size - 1, min(IMAGES, split.size)).astype(int).tolist()
        examples = [split.example(number) for number in chosen]
        shown = pictures.rgb(np.stack([image for image, _ in examples]))
        figure, axes, places = pictures.mosaic(shown, IMAGES, cell=1.25, caption=0.3)
        pixel, kind = 1 / self.image_shape[1], type(split.targets)
        look: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 8, "color": INK}
        for number, (_, target), (left, top, bottom) in zip(chosen, examples, places):
            kind.draw(axes, target, self.class_names, left=left, top=top, pixel=pixel)
            name = printable(split.targets.named(number, self.class_names) or "")
            axes.text(left + 0.5, bottom + 0.05, without_middle(name, LONGEST), **look)
        return figure

    @property
    def splits(self) -> Mapping[str, Split]:
        """The three splits by their names."""
        return {name: getattr(self, name) for name in SPLITS}
