"""Dataset: images and targets for training, validation and test, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kerascnn.data.fitting import Shape
from kerascnn.data.labels import Labels
from kerascnn.data.split_names import SPLITS
from kerascnn.data.splits import Split


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

    @property
    def splits(self) -> Mapping[str, Split]:
        """The three splits by their names."""
        return {name: getattr(self, name) for name in SPLITS}
