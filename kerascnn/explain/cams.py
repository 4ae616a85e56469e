"""Class activation maps: which places of the last map speak for a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from kerascnn.errors import ArgumentError
from kerascnn.explain.gradients import for_each_layer, guided_backprop
from kerascnn.explain.graph import Replay
from kerascnn.explain.targets import Target, units

Upsample = Literal["bilinear", "nearest"]


def grad_cam(
    model: keras.Model,
    images: Any,
    target: Any,
    *,
    layer: str | None = None,
    upsample: Upsample | None = None,
    signed: bool = False,
) -> np.ndarray:
    """Which places of a layer's maps speak for the target.

    The maps are added up, each weighted by the mean of the target's gradient over it (Selvaraju et
    al., 2017, "Grad-CAM", section 3, equations 1 and 2).

    Args:
        model: functional, or a built Sequential, with any activations.
        images: as the network takes them, `[batch, height, width, channels]`.
        target: as in `deconvnet`; it must be computed from the layer.
        layer: an endpoint's or a layer's name, its output `[batch, rows, columns, channels]`.
            Default: the network's last map before any pooling that ends it, as in the paper.
        upsample: to the size of the images, "bilinear" (between the centres of the units) or
            "nearest" (row r of `height` is row r · rows // height of the map).
        signed: also what speaks against the target, negative; the paper leaves it out by a ReLU.

    Returns:
        `[batch, rows, columns]`, or `[batch, height, width]` upsampled; float32, in the unit of
        the target (per unit of the map). Not scaled: each image has its own largest value.

    Raises:
        ArgumentError: images or target don't fit the model; the layer is unknown, has no map, or
            lies behind the target.
    """
    weigh = _mean_gradients
    return _cam(model, images, target, weigh, layer=layer, upsample=upsample, signed=signed)


def grad_cam_plus_plus(
    model: keras.Model,
    images: Any,
    target: Any,
    *,
    layer: str | None = None,
    upsample: Upsample | None = None,
    signed: bool = False,
) -> np.ndarray:
    """As `grad_cam`, with weights that also find the second and the smaller of several objects.

    A map's weight is the sum of its positive gradients, each times a factor α that makes up for how
    many units an object has (Chattopadhay et al., 2018, "Grad-CAM++", section 3). With exp(S) of
    the score S in place of the score, as in the paper, and a score that is piecewise linear in the
    map, α is g² / (2 g² + Σ A · g³), g being the gradient of S and A the map (equation 19). The
    factor exp(S) of all weights of an image is left out: it would overflow.

    No weight is negative, so the map follows the sum of the activations, and a class shows less
    than in `grad_cam`: other weights in the upper layers change it little.

    Args, returns and raises: as `grad_cam`. The paper's maps are those behind a ReLU; in another
    map a unit whose α isn't positive counts nothing.
    """
    weigh = _plus_plus
    return _cam(model, images, target, weigh, layer=layer, upsample=upsample, signed=signed)


def guided_grad_cam(
    model: keras.Model,
    images: Any,
    target: Any,
    *,
    layer: str | None = None,
    upsample: Upsample = "bilinear",
) -> np.ndarray:
    """What in the places that speak for the target has led to it.

    The product of `guided_backprop` and the upsampled `grad_cam` (Selvaraju et al., 2017, section
    3): details of the one, at places where the other tells classes apart.

    Args: as `grad_cam`; the activations must be ReLU, as in `guided_backprop`.

    Returns:
        `[batch, height, width, channels]`, float32.

    Raises:
        ArgumentError: as `grad_cam` and `guided_backprop`.
    """
    _check_upsample(upsample, (*_UPSAMPLE,))
    places = grad_cam(model, images, target, layer=layer, upsample=upsample)
    return guided_backprop(model, images, target) * places[..., None]


def _cam(
    model: keras.Model,
    images: Any,
    target: Any,
    weigh: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    layer: str | None,
    upsample: str | None,
    signed: bool,
) -> np.ndarray:
    """The sum of a layer's maps, each weighted by what `weigh` makes of maps and gradients."""
    _check_upsample(upsample, (None, *_UPSAMPLE))

    def look(
        replay: Replay, pixels: tf.Tensor, of: str | None, targets: Sequence[Target]
    ) -> np.ndarray:
        at = replay.last_map() if layer is None else replay.layer(layer)
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            maps, outputs = replay.play(pixels, [at, of])
        if len(maps.shape) != 4:
            raise ArgumentError(
                f"layer must be one whose output is a map, [batch, rows, columns, channels]. "
                f"Received: {at!r}, with {len(maps.shape)} axes."
            )
        gradients = tape.gradient(outputs, maps, units(targets, outputs.numpy()))
        if gradients is None:
            raise ArgumentError(
                f"{targets[0]} isn't computed from {at}: pass a layer before the target's. "
                f"Received: layer={layer!r}."
            )
        weights = weigh(maps.numpy(), gradients.numpy())
        found = np.einsum("nrck,nk->nrc", maps.numpy(), weights)
        found = found if signed else np.maximum(found, 0)
        return found if upsample is None else _UPSAMPLE[upsample](found, pixels.shape[1:3])

    return for_each_layer(model, images, target, look)


def _check_upsample(upsample: str | None, legal: tuple[str | None, ...]) -> None:
    if upsample not in legal:
        expected = " or ".join(map(repr, legal))
        raise ArgumentError(f"upsample must be {expected}. Received: {upsample!r}.")


def _mean_gradients(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Equation 1 of Grad-CAM: `[batch, rows, columns, channels]` twice → `[batch, channels]`."""
    return gradients.mean(axis=(1, 2))


def _plus_plus(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Equation 19 of Grad-CAM++, g² cancelled: a zero gradient has no weight anyway."""
    below = 2 + maps.sum(axis=(1, 2), keepdims=True) * gradients
    alpha = np.divide(1, below, out=np.zeros_like(below), where=below > 0)
    return (alpha * np.maximum(gradients, 0)).sum(axis=(1, 2))


def _bilinear(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return tf.image.resize(maps[..., None], size, method="bilinear")[..., 0].numpy()


def _nearest(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows, columns = (
        np.arange(pixels) * units // pixels for pixels, units in zip(size, maps.shape[1:])
    )
    return maps[:, rows[:, None], columns]


_UPSAMPLE: dict[str, Callable[[np.ndarray, tuple[int, int]], np.ndarray]] = {
    "bilinear": _bilinear,
    "nearest": _nearest,
}
