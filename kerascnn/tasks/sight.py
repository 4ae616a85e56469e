"""How a network sees images: what a task needs to know of a run's config."""

from __future__ import annotations

from typing import Protocol

from kerascnn.card import Preprocessing
from kerascnn.data.fitting import Shape
from kerascnn.data.images import Reading
from kerascnn.recipes.recipe import Recipe


class Sight(Protocol):
    """How a trained network sees images; a `kerascnn.runs.config.RunConfig` is one."""

    @property
    def name(self) -> str:
        """The network's."""

    @property
    def input_shape(self) -> Shape:
        """`(height, width, channels)` of its input, as it was trained."""

    @property
    def canvas(self) -> Shape:
        """`(height, width, channels)` of the images that its input was cut from."""

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""

    @property
    def named_classes(self) -> tuple[str, ...]:
        """Names of the classes; their numbers, if they have none."""

    @property
    def preprocessing(self) -> Preprocessing:
        """From pixels to its input."""

    @property
    def recipe(self) -> Recipe:
        """How it was trained."""

    @property
    def reading(self) -> Reading:
        """How the files of its data are read."""
