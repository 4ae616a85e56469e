"""Values as colours: a method's answer as a picture, by itself or over the photo."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image

from kerascnn.explain.methods import HEAT, PIXELS, STRENGTH
from kerascnn.pictures import rgb
from kerascnn.style import TRAIN

# The ends of both scales differ in lightness or hue for everyone.
FOR, AGAINST = "#c8420a", TRAIN
_HEAT = LinearSegmentedColormap.from_list("heat", ["#fff2b0", "#f6a21b", FOR, "#7d0f0f"])
_SIGNED = LinearSegmentedColormap.from_list("signed", [AGAINST, "#f4f4f2", FOR])
SHARP = 384  # pixels that the longer side of a small image is enlarged to, at least
STRONG = 99.5  # the percentile of the absolute values that has the full colour


def coloured(kind: str, values: np.ndarray, photo: np.ndarray, smooth: bool = True) -> np.ndarray:
    """Values as a picture, floats in [0, 1] `[height, width, 3]`.

    Args:
        kind: how they become colours: see `kerascnn.explain.methods`.
        values: `[rows, columns]`, or `[height, width, channels]` of PIXELS.
        photo: below them, floats in [0, 1] `[height, width, 3]`.
        smooth: whether coarse values are laid over it without steps.
    """
    values = np.nan_to_num(np.asarray(values, "float32"))
    if kind == PIXELS:
        return large(rgb(0.5 + 0.5 * _scaled(values)))
    if kind == STRENGTH:
        return large(rgb(_scaled(values)[..., None]))
    below = large(photo.mean(axis=-1, keepdims=True).repeat(3, axis=-1))
    laid = _enlarged(_scaled(values), below.shape[:2], smooth)
    if kind == HEAT:
        colors, cover = _HEAT(laid), np.clip(laid * 1.6, 0, 0.82)
    else:
        colors, cover = _SIGNED(0.5 + 0.5 * laid), np.clip(np.abs(laid) * 1.4, 0, 0.82)
    # A pale photo below: colours on black can't be told apart.
    mixed = (1 - cover[..., None]) * (0.25 + 0.75 * below) + cover[..., None] * colors[..., :3]
    return np.clip(mixed, 0, 1)


def _scaled(values: np.ndarray) -> np.ndarray:
    """In [-1, 1], zero stays zero; single extreme pixels don't make the others invisible."""
    sizes = np.abs(values)
    largest = (
        float(np.percentile(sizes, STRONG)) if sizes.size > 2000 else float(sizes.max(initial=0))
    )
    largest = largest or float(sizes.max(initial=0)) or 1.0
    return np.clip(values / largest, -1, 1)


def strip(kind: str) -> np.ndarray:
    """The colours from the lowest value to the highest, as they are seen on middle grey."""
    values = np.linspace(0 if kind in (HEAT, STRENGTH) else -1, 1, 256)[None]
    return coloured(kind, values, np.full((1, 256, 3), 0.75, "float32"))[:1]


def _enlarged(values: np.ndarray, size: tuple[int, int], smooth: bool) -> np.ndarray:
    """`[rows, columns]` at another size: smoothly, or unit by unit."""
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    found = Image.fromarray(values.astype("float32")).resize((size[1], size[0]), how)
    return np.clip(np.asarray(found), -1 if values.min() < 0 else 0, 1)


def large(image: np.ndarray) -> np.ndarray:
    """Small images enlarged pixel by pixel, so that no viewer blurs them."""
    factor = math.ceil(SHARP / max(image.shape[:2])) if max(image.shape[:2]) < SHARP else 1
    return image.repeat(factor, axis=0).repeat(factor, axis=1)
