"""Drawings of whatever is a network: a model, a Network or an Architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascnn.architecture import Architecture
from kerascnn.drawing.outline import outline
from kerascnn.drawing.page import page
from kerascnn.errors import ArgumentError
from kerascnn.network import Network

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from kerascnn.profiles import Profile


def draw(network: keras.Model | Network | Architecture, *, input_shape: Any = None) -> Figure:
    """The network on one page: volumes in order, parameters below, blocks unfolded once.

    A volume's front is as high as its map is large, and as wide as it has channels, both
    compressed. Below stand kernel and stride, the size of the map, and a bar for the trainable
    parameters, of layers on maps ("convolutional") and on vectors ("dense"). Blocks that repeat
    are folded into one volume ("×6"), and drawn once at the foot with their paths side by side.

    Args:
        network: any functional `keras.Model`, or a network or architecture, which is built without
            values for its weights.
        input_shape: `(height, width, channels)`, where the model leaves a size open.

    Returns:
        A `matplotlib.figure.Figure`, made without pyplot; `savefig` writes it, notebooks show it.

    Raises:
        ArgumentError: it is no model, has no graph, or a size is open and not given.
    """
    return page(outline(profile_of(network, input_shape)))


def draw_field(
    network: keras.Model | Network | Architecture,
    names: str | Sequence[str],
    *,
    image: np.ndarray | None = None,
    input_shape: Any = None,
) -> Figure:
    """The receptive field and stride of the middle unit of each map, over an image.

    Args:
        network: as for `draw`.
        names: endpoints such as "C4" (see `kerascnn.endpoints`) or layer names; one or several.
        image: uint8 `[height, width, 1 or 3]` of the network's input size; None: squares of 16
            pixels.
        input_shape: as for `draw`.

    Returns:
        A `matplotlib.figure.Figure`, a column for each map: above, the field in the image, those
        of the neighbours below and on the right dashed, and the centres of units around it as
        dots; below, the pixels that the unit sees.

    Raises:
        ArgumentError: a name is unknown, its units see the whole image, the image has another
            size, or as for `draw`.
    """
    from kerascnn.drawing.fields import field_page, fields

    model = model_of(network)
    wanted = [names] if isinstance(names, str) else list(names)
    if not wanted:
        raise ArgumentError(
            f"{model.name}: name at least one map, such as C3. Received: {names!r}."
        )
    found, (height, width, _) = fields(model, wanted, input_shape)
    shapes = (height, width, 1), (height, width, 3)
    if image is not None and (image.dtype != np.uint8 or image.shape not in shapes):
        raise ArgumentError(
            f"{model.name}: image must be uint8 [{height}, {width}, 1 or 3]. "
            f"Received: {image.dtype} {list(image.shape)}."
        )
    return field_page(model.name, found, (height, width), image)


def profile_of(network: Any, input_shape: Any = None) -> Profile:
    """Of what is drawn; a network or an architecture needn't be built for it.

    Raises:
        ArgumentError: it is none of these, has no graph, or a size is open and not given.
    """
    if isinstance(network, Architecture):
        network = network.network()
    if isinstance(network, Network):
        if input_shape is not None:
            network = replace(network, input_shape=tuple(input_shape))
        return network.profile()
    from kerascnn.profiling import profile

    return profile(model_of(network), input_shape)


def model_of(network: Any) -> keras.Model:
    """The model whose fields are drawn.

    Raises:
        ArgumentError: it is none.
    """
    import keras

    from kerascnn.keras_internals import without_values

    if isinstance(network, Architecture):
        network = network.network()
    if isinstance(network, Network):
        with without_values():
            return network.model()
    if isinstance(network, keras.Model):
        return network
    raise ArgumentError(
        "Expected a functional keras.Model, a kerascnn.Network or an architecture such as "
        f"kerascnn.get('resnet50'). Received: {type(network).__name__}."
    )
