"""The methods by name: what people read of them, and how much is shown. No TensorFlow.

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
    "grad_cam": Method(
        title="Grad-CAM at {layer}",
        caption="Red: where maps of {layer} speak for the class. Selvaraju et al., 2017",
        kind=HEAT,
        low="nothing",
        high="most",
        layered=True,
    ),
    "grad_cam_plus_plus": Method(
        title="Grad-CAM++ at {layer}",
        caption="Red: where maps of {layer} speak for the class, small things as much as large "
        "ones. Chattopadhay et al., 2018",
        kind=HEAT,
        low="nothing",
        high="most",
        layered=True,
    ),
    "occlusion": Method(
        title="Occlusion",
        caption="Red: what the class loses by a {window} square over it, in its mean colour. "
        "Zeiler and Fergus, 2014",
        kind=SIGNED,
        low="gains {most}",
        high="loses {most}",
    ),
    "guided_backprop": Method(
        title="Guided back-projection",
        caption="What led to the class, through ReLUs that fired for it; grey: nothing. "
        "Springenberg et al., 2014",
        kind=PIXELS,
    ),
    "guided_grad_cam": Method(
        title="Guided Grad-CAM",
        caption="Guided back-projection where Grad-CAM at {layer} is high; grey: nothing. "
        "Selvaraju et al., 2017",
        kind=PIXELS,
        layered=True,
    ),
    "deconvnet": Method(
        title="Deconvnet",
        caption="What led to the class, back through switches and filters; grey: nothing. Zeiler "
        "and Fergus, 2014",
        kind=PIXELS,
    ),
    "saliency": Method(
        title="Saliency",
        caption="Bright: pixels on which the class depends most. Simonyan et al., 2013",
        kind=STRENGTH,
    ),
    "smooth_grad": Method(
        title="SmoothGrad",
        caption="Saliency, averaged over the photo with noise. Smilkov et al., 2017",
        kind=STRENGTH,
    ),
    "integrated_gradients": Method(
        title="Integrated gradients",
        caption="Red: pixels that raise the class, on the way from the network's zero to the "
        "photo. Sundararajan et al., 2017",
        kind=SIGNED,
        low="lowers",
        high="raises",
    ),
}
PROJECTING = {
    "deconvnet": "projected by deconvnet",
    "guided_backprop": "projected by guided backpropagation",
    "saliency": "gradients",
}
"""The methods that go back from a unit of a map to pixels, with words for what they give."""

# How much is shown, unless one says otherwise.
MAPS, TOP = 3, 5  # of a photo: maps of each layer, classes
MOST_MAPS, STRONGEST = 24, 9  # of a data set: maps of a layer, images of each map
FOLLOWED = 8  # over the epochs of a run: maps of a layer

DEFAULT = ("grad_cam", "occlusion", "guided_backprop")
# What stands in for a method of a map where there is none, and of ReLU where an activation is none.
INSTEAD = {"grad_cam": "saliency", "guided_backprop": "saliency"}


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
