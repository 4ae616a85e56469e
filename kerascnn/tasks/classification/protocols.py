"""Evaluation protocols: which views of an image a network is shown, and how its answers are joined.

Each is one sentence of a paper, which stands beside its function. The probabilities of all views at
all scales are averaged. What a paper crops from all of a rectangular image, or slides over it, is
cropped from all of it here: `kerascnn.data.fitting.uncut`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data import Split
from kerascnn.data.fitting import fit, uncut
from kerascnn.data.threads import threads
from kerascnn.errors import ArgumentError
from kerascnn.features import convolutionalize
from kerascnn.preprocessing import float_of_pixels
from kerascnn.recipes.recipe import Protocol

Size = tuple[int, int]  # height and width


def _room(images: np.ndarray, size: Size) -> Size:
    """How far a window of this size can be moved down and to the right."""
    return images.shape[1] - size[0], images.shape[2] - size[1]


def _cut(images: np.ndarray, size: Size, places: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """The windows whose upper left corners are at these places."""
    height, width = size
    return [images[:, top : top + height, left : left + width] for top, left in places]


def _centre(images: np.ndarray, canvas: Size, size: Size) -> list[np.ndarray]:
    down, right = _room(images, size)
    return _cut(images, size, [(down // 2, right // 2)])


def _corners_and_centre(images: np.ndarray, canvas: Size, size: Size) -> list[np.ndarray]:
    """AlexNet, 4.1: "five 224 × 224 patches (the four corner patches and the center patch)"."""
    down, right = _room(images, size)
    corners = [(0, 0), (0, right), (down, 0), (down, right)]
    return _cut(images, size, corners) + _centre(images, canvas, size)


def _grid(images: np.ndarray, canvas: Size, size: Size) -> list[np.ndarray]:
    """VGG, 3.2: "50 crops per scale (5 × 5 regular grid with 2 flips)"."""
    down, right = _room(images, size)
    steps = [step / 4 for step in range(5)]
    return _cut(images, size, [(round(down * y), round(right * x)) for y in steps for x in steps])


def _squares(images: np.ndarray, canvas: Size, size: Size) -> list[np.ndarray]:
    """GoogLeNet, 7: "take the left, center and right square of these resized images (in the case of
    portrait images, we take the top, center and bottom squares). For each square, we then take the
    4 corners and the center 224×224 crop as well as the square resized to 224×224".

    Of a square image the three are one, which is used once: the average is the same.
    """
    down, right = _room(images, canvas)
    places = [(0, 0), (down // 2, right // 2), (down, right)]
    found = []
    for square in _cut(images, canvas, places if down or right else places[:1]):
        found += _corners_and_centre(square, canvas, size)
        found.append(fit(square, (*size, square.shape[3]))[0])
    return found


def _all(images: np.ndarray, canvas: Size, size: Size) -> list[np.ndarray]:
    """VGG, 3.2: the network is "applied to the whole (uncropped) image"."""
    return [images]


@dataclass(frozen=True)
class Views:
    """How a protocol looks at the images of one scale.

    Attributes:
        cut: from images, uint8 `[n, height, width, channels]`, the canvas' size, which they cover,
            and the network's input to the views, `[n, ., ., channels]` each.
        whole: whether all of a rectangular image is looked at, or only its middle of the canvas'
            size.
        many: whether they are crops at several places, which papers always mirror too.
    """

    cut: Callable[[np.ndarray, Size, Size], list[np.ndarray]]
    whole: bool
    many: bool


VIEWS = {
    "single": Views(_centre, whole=False, many=False),
    "10-crop": Views(_corners_and_centre, whole=False, many=True),
    "50-crop": Views(_grid, whole=True, many=True),
    "144-crop": Views(_squares, whole=True, many=True),
    "dense": Views(_all, whole=True, many=False),
}
"""By the names of `kerascnn.recipes.recipe.VIEWS`."""


def views(images: np.ndarray, protocol: Protocol, canvas: Size, size: Size) -> list[np.ndarray]:
    """What the network is shown of images at one scale, a batch `[n, ., ., channels]` for each.

    Args:
        images: uint8 `[n, height, width, channels]`, scaled to cover the canvas.
        protocol: which views.
        canvas: `(height, width)` at this scale.
        size: `(height, width)` of the network's input.
    """
    chosen = VIEWS[protocol.views]
    found = chosen.cut(images, canvas, size)
    if protocol.flip or chosen.many:
        found += [view[:, :, ::-1] for view in found]
    return found


def probabilities(
    model: keras.Model,
    split: Split,
    protocol: Protocol,
    *,
    is_logits: bool,
    prepare: Callable[[Any], Any],
    size: Size,
    batch_size: int,
) -> Iterator[np.ndarray]:
    """Class probabilities `[batch, classes]`, averaged over views and scales, in the split's order.

    Args:
        model: its first output is what counts: logits, or probabilities.
        split: the images. Without lengths in the protocol they are shown in its image's shape,
            else in those lengths' of `size`.
        protocol: the views.
        is_logits: what the model returns.
        prepare: from pixels to the network's input.
        size: `(height, width)` of the network's input.
        batch_size: images of the network's size in one step; of larger ones, fewer.

    Raises:
        ArgumentError: the network can't slide, or crops would all be the same.
        DataError: an image can't be read.
    """
    canvases = [
        (round(size[0] * length), round(size[1] * length)) for length in protocol.resize
    ] or [split.image_shape[:2]]
    _check(protocol, canvases, size)
    main = keras.Model(model.inputs, model.outputs[0], name=model.name)
    dense = protocol.views == "dense"
    if dense:
        main = convolutionalize(main)

    # One graph for any number of images, of any size where the network slides.
    shape = (None, *((None, None) if dense else size), split.image_shape[2])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8)], autograph=False)
    def shown_once(images: Any) -> Any:
        scores = main(prepare(images), training=False)
        if dense:
            # "The class score map is spatially averaged" (VGG, 3.2), then comes the softmax.
            scores = tf.reduce_mean(scores, axis=(1, 2))
        return tf.nn.softmax(scores) if is_logits else scores

    classes = main.outputs[0].shape[-1]
    largest = max(height * width for height, width in canvases)
    at_once = max(1, batch_size * size[0] * size[1] // largest)
    for start in range(0, split.size, at_once):
        positions = range(start, min(start + at_once, split.size))
        total = np.zeros((len(positions), classes), float_of_pixels())
        for canvas, members, images in _scaled(split, positions, canvases, protocol):
            shown = views(images, protocol, canvas, size)
            places = [position - start for position in members]
            total[places] += sum(shown_once(view).numpy() / len(shown) for view in shown)
        yield total / len(canvases)


def _check(protocol: Protocol, canvases: Sequence[Size], size: Size) -> None:
    if VIEWS[protocol.views].many and size in canvases:
        height, width = size
        raise ArgumentError(
            f"{protocol.views} needs images that are larger than the network's input of "
            f"{height}×{width}, for example --resize {round(min(size) * 256 / 224)}. "
            "Received: images of that size."
        )


def _scaled(
    split: Split, positions: Sequence[int], canvases: Sequence[Size], protocol: Protocol
) -> Iterator[tuple[Size, list[int], np.ndarray]]:
    """Each canvas, with positions of images that have one shape there, and these images."""
    channels = split.image_shape[2]
    whole = VIEWS[protocol.views].whole

    def read(position: int) -> list[np.ndarray]:
        image = split.original(position)
        shapes = [(*canvas, channels) for canvas in canvases]
        return [uncut(image, shape) if whole else fit(image[None], shape)[0][0] for shape in shapes]

    groups: dict[Any, list[tuple[int, np.ndarray]]] = defaultdict(list)
    for position, images in zip(positions, threads().map(read, positions)):
        for canvas, image in zip(canvases, images):
            groups[canvas, image.shape].append((position, image))
    for (canvas, _), members in groups.items():
        yield canvas, [position for position, _ in members], np.stack([im for _, im in members])
