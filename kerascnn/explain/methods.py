"""The methods that explain a class for one photo, by name: what people read of them. No TensorFlow.

Captions say what is to be seen, and whose method it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kerascnn.errors import ArgumentError
from kerascnn.words import did_you_mean

HEAT = "heat"
"""0 and more, laid over the photo."""
SIGNED = "signed"
"""Above and below 0, laid over the photo."""
STRENGTH = "strength"
"""0 and more, by itself: black is 0."""
PIXELS = "pixels"
"""Above and below 0, with the photo's channels, by itself: grey is 0."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A function of `kerascnn.explain` as a panel of a picture.

    Attributes:
        title, caption: {layer}, where it looks at one, and {window} are filled in.
        kind: how its values become colours: one of the above.
        low, high: what the ends of the colour scale mean; {most}, the largest absolute value, is
            filled in; "": it has no scale.
        layered: whether it looks at a layer.
    """

    title: str
    caption: str
    kind: str
    low: str = ""
    high: str = ""
    layered: bool = False


METHODS: dict[str, Method] = {
    "guided_backprop": Method(
        title="Guided back-projection",
        caption="What led to the class, through ReLUs that fired for it; grey: nothing. "
        "Springenberg et al., 2014",
        kind=PIXELS,
    ),
    "deconvnet": Method(
        title="Deconvnet",
        caption="What led to the class, back through switches and filters; grey: nothing. Zeiler "
        "and Fergus, 2014",
        kind=PIXELS,
    ),
    "saliency": Method(
        title="Saliency",
        caption="Bright: pixels on which its score depends most. Simonyan et al., 2013",
        kind=STRENGTH,
    ),
}
DEFAULT = ("guided_backprop",)
# What stands in for a method that is defined by ReLU where an activation is none.
INSTEAD = {"guided_backprop": "saliency"}


def check(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once, if all are methods'.

    Raises:
        ArgumentError: one isn't; the message lists them.
    """
    for name in names:
        if name not in METHODS:
            raise ArgumentError(
                f"A method must be one of {', '.join(METHODS)}. Received: {name!r}."
                f"{did_you_mean(name, METHODS)}"
            )
    return tuple(dict.fromkeys(names))
