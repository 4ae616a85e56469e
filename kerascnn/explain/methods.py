"""The methods that explain a class for one photo, by name: what each is called, and how it is run.

Captions are for pictures: what is to be seen, and whose method it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerascnn.errors import ArgumentError
from kerascnn.explain import pictures
from kerascnn.explain.gradients import deconvnet, guided_backprop, saliency
from kerascnn.words import did_you_mean

WINDOWS = 6  # so many occluding windows side by side, of which neighbours overlap by half


@dataclass(frozen=True, kw_only=True)
class Question:
    """Why does the network say this about this photo?

    Attributes:
        model: the network.
        image: one, as the network takes it, `[1, height, width, channels]`.
        target: the index of the class.
        layer: the layer that Grad-CAM looks at: its endpoint's name, or its own.
    """

    model: keras.Model
    image: np.ndarray
    target: int
    layer: str

    @property
    def window(self) -> int:
        """Side of the square that occlusion covers, in pixels."""
        return max(2, round(min(self.image.shape[1:3]) / WINDOWS))

    @property
    def colour(self) -> float:
        """What it is covered with, the mean of the image."""
        return float(self.image.mean())


@dataclass(frozen=True, kw_only=True)
class Method:
    """A function of `kerascnn.explain` as a panel of a picture.

    Attributes:
        title, caption: for people; {layer} and {window} are filled in.
        kind: see `kerascnn.explain.pictures.Panel`.
        low, high: what the ends of the colour scale mean; {most} is filled in.
        run: gives the values of one image: `[rows, columns]`, of PIXELS `[height, width,
            channels]`.
        layered: whether it looks at a layer.
    """

    title: str
    caption: str
    kind: str
    low: str = ""
    high: str = ""
    run: Callable[[Question], np.ndarray]
    layered: bool = False


METHODS: dict[str, Method] = {
    "guided_backprop": Method(
        title="Guided back-projection",
        caption="Grey: no change; else what of the pixels led to the class. Springenberg et al., "
        "2014.",
        kind=pictures.PIXELS,
        run=lambda q: guided_backprop(q.model, q.image, q.target)[0],
    ),
    "deconvnet": Method(
        title="Deconvnet",
        caption="Grey: nothing; else back through the network, by its switches. Zeiler, Fergus, "
        "2014.",
        kind=pictures.PIXELS,
        run=lambda q: deconvnet(q.model, q.image, q.target)[0],
    ),
    "saliency": Method(
        title="Saliency",
        caption="Bright: pixels on which the score depends most. Simonyan et al., 2013.",
        kind=pictures.STRENGTH,
        run=lambda q: saliency(q.model, q.image, q.target)[0],
    ),
}

# Where a network has other activations than ReLU, by which these two are defined, the one after.
DEFAULT = ("grad_cam", "occlusion", "guided_backprop")
INSTEAD = {"guided_backprop": "saliency"}


def check(names: Sequence[str]) -> tuple[str, ...]:
    """The names, if each is a method's.

    Raises:
        ArgumentError: one isn't; the message lists them.
    """
    for name in names:
        if name not in METHODS:
            raise ArgumentError(
                f"A method must be one of {', '.join(METHODS)}.{did_you_mean(name, METHODS)} "
                f"Received: {name!r}."
            )
    return tuple(dict.fromkeys(names))


def panel(name: str, question: Question, values: np.ndarray) -> pictures.Panel:
    """A method's values with its words."""
    method = METHODS[name]
    words: dict[str, Any] = {
        "layer": question.layer,
        "window": f"{question.window}×{question.window}",
        "most": f"{float(np.abs(values).max(initial=0)):.3g}",
    }
    return pictures.Panel(
        title=method.title.format(**words),
        caption=method.caption.format(**words),
        kind=method.kind,
        values=values,
        low=method.low.format(**words),
        high=method.high.format(**words),
    )
