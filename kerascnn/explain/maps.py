"""What layers make of images, and what their filters look for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerascnn.errors import ArgumentError
from kerascnn.explain.arguments import chosen_maps
from kerascnn.explain.graph import Replay, flat_calls
from kerascnn.explain.patches import TopPatches, top_patches

BATCH = 32  # images whose maps are computed at a time


def feature_maps(
    model: keras.Model, images: Any, layers: str | Sequence[str]
) -> dict[str, np.ndarray]:
    """What layers give for images, in float32 whatever the model computes in.

    Args:
        model: functional, or a built Sequential; in inference mode.
        images: as the network takes them, `[batch, height, width, channels]`.
        layers: endpoints such as "C3", or layers' names; one or several.

    Returns:
        Each layer's output under the name that was asked for: `[batch, rows, columns, maps]`, or
        `[batch, units]` of a vector.

    Raises:
        ArgumentError: there is no such layer; or the images don't fit the model.
    """
    asked = [layers] if isinstance(layers, str) else list(layers)
    if not asked:
        raise ArgumentError("layers must name at least one layer. Received: none.")
    replay = Replay(model)
    names = [replay.layer(name) for name in asked]
    pixels = replay.images(images)
    parts = [
        [maps.numpy() for maps in replay.play(pixels[at : at + BATCH], names)]
        for at in range(0, len(pixels), BATCH)
    ]
    return {name: np.concatenate(maps) for name, maps in zip(asked, zip(*parts))}


def filters(
    model: keras.Model,
    layer: str | None = None,
    *,
    data: Any = None,
    channels: Sequence[int] | np.ndarray | None = None,
    preprocess: Callable[[Any], Any] | None = None,
    method: str | None = None,
    batch_size: int = 32,
    progress: str | os.PathLike[str] | None = None,
) -> np.ndarray:
    """What the filters of a layer look for, in the colours of the network's input.

    The first convolution's are its weights. A deeper one's have no colours of their own, and are
    shown by what they found: of each map the projection of the strongest patch in `data` (Zeiler
    and Fergus, 2014, section 4), as `top_patches` finds it.

    Args:
        model: functional, or a built Sequential.
        layer: an endpoint's or a layer's name; None: the first convolution.
        data: images to look in, where it isn't the first convolution: see `top_patches`.
        channels: which filters; default: all.
        preprocess, method, batch_size, progress: as in `top_patches`, with `data`.

    Returns:
        float32 `[filters, height, width, channels]`. Of the first convolution height and width are
        the kernel's, of others the receptive field's, with zeros where it reaches beyond the
        image; or the image's, where the field is larger or isn't known. A map that never fires is
        zero.

    Raises:
        ArgumentError: there is no such layer, filter or convolution; a deeper layer has no `data`;
            and see `top_patches`.
        DataError: an image can't be read.
    """
    first = _first_convolution(model)
    name = None if layer is None else Replay(model).layer(layer)
    if first is not None and name in (None, first.name):
        kernel = keras.ops.convert_to_numpy(keras.ops.cast(first.kernel, "float32"))
        chosen = chosen_maps(channels, first.name, kernel.shape[-1])
        return np.moveaxis(kernel, -1, 0)[chosen].copy()
    if layer is None:
        raise ArgumentError(
            f"{model.name} has no convolution, whose weights could be shown; name a layer, and "
            "images to look in as data. Received: layer=None."
        )
    if data is None:
        raise ArgumentError(
            f"The weights of {layer} have no colours: give images as data, in which what its "
            "filters look for is found. Received: data=None."
        )
    found = top_patches(
        model,
        data,
        layer,
        k=1,
        channels=channels,
        preprocess=preprocess,
        method=method,
        batch_size=batch_size,
        progress=progress,
    )
    return _of_one_size(found)


def _first_convolution(model: keras.Model) -> Any | None:
    operations = (call.operation for call in flat_calls(model))
    return next((each for each in operations if isinstance(each, keras.layers.Conv2D)), None)


def _of_one_size(found: TopPatches) -> np.ndarray:
    """Each map's strongest projection, where it lies in the field, or in the image."""
    *image, depth = found.image_shape
    size, offset = np.array(image), np.zeros((len(found.channels), 2), "int64")
    if found.field is not None:
        stride = np.array(found.field.stride)
        # Between two pixels a field begins and ends in the middle of one.
        extent = np.array(found.field.size) + (stride % 1 > 0)
        begin = np.floor(found.field.start + found.position[found.channels, 0] * stride)
        offset = np.where(extent < size, begin, 0).astype("int64")
        size = np.minimum(extent, size)
    placed = np.zeros((len(found.channels), *size, depth), "float32")
    corners = found.box[found.channels, 0, :2] - offset
    for canvas, (projection,), (top, left) in zip(placed, found.projections, corners):
        height, width = projection.shape[:2]
        canvas[top : top + height, left : left + width] = projection
    return placed
