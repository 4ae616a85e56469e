"""What a segmentation network is trained to make small, for each image: the mean over its pixels.

A loss is given masks as they are in a batch, uint8 `[batch, height, width]` with `VOID` where
nobody knows, and logits `[batch, rows, columns, classes]`. Where a network without padding answers
for less than the mask, it is the mask's middle that counts. An image without a pixel that counts
has the loss 0, with finite gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data import VOID
from kerascnn.errors import ArgumentError


def middle(masks: Any, size: Sequence[int]) -> Any:
    """The middle `[batch, rows, columns, ...]` of masks or other maps, which may be larger.

    Where what is cut off is odd, one more pixel goes below and on the right, as `Cropping2D` with
    half of it does.

    Args:
        masks: `[batch, height, width, ...]`, of TensorFlow or NumPy.
        size: `(rows, columns)`.

    Raises:
        ArgumentError: the network answers for more than the mask.
    """
    height, width = masks.shape[1:3]
    rows, columns = size
    if rows > height or columns > width:
        raise ArgumentError(
            "The network must answer for as many pixels as a mask has, or for fewer, its middle. "
            f"Received: answers of {rows}×{columns}, masks of {height}×{width}."
        )
    top, left = (height - rows) // 2, (width - columns) // 2
    return masks[:, top : top + rows, left : left + columns]


class PixelLoss(keras.losses.Loss):
    """A loss on the pixels of masks, which a recipe can name; it knows the weights of classes.

    A subclass has `parts`, and takes no arguments: what can be changed are its class attributes,
    by a subclass of one's own.
    """

    names: tuple[str, ...] = ()
    """Of the parts, if there are several."""

    def parts(
        self, masks: Any, logits: Any, class_weight: Sequence[float] | None
    ) -> dict[str, Any]:
        """The summands of each image's loss by name, each `[batch]`.

        Args:
            masks: uint8 `[batch, height, width]`.
            logits: `[batch, rows, columns, classes]`.
            class_weight: factors on the pixels of each class, `[classes]`; None: all 1.
        """
        raise NotImplementedError

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each image, `[batch]`, with all classes alike."""
        return tf.add_n(list(self.parts(y_true, y_pred, None).values()))


class CrossEntropy(PixelLoss):
    """The mean cross-entropy of an image's pixels, in nats.

    It is the sum of each pixel's, times the weight of its class, over the number of pixels that
    count; not over the sum of their weights: otherwise an image of one class would not feel them.

    Args:
        from_logits: whether it is given logits, or probabilities.
        label_smoothing: the share of a pixel's target that is spread over all classes.
    """

    names = ("cross_entropy",)

    def __init__(self, *, from_logits: bool = True, label_smoothing: float = 0.0) -> None:
        super().__init__(reduction="none", name="cross_entropy")
        self.from_logits, self.label_smoothing = from_logits, label_smoothing

    def parts(
        self, masks: Any, logits: Any, class_weight: Sequence[float] | None
    ) -> dict[str, Any]:
        """See `PixelLoss.parts`; there is one."""
        masks = middle(masks, logits.shape[1:3])
        each = _cross_entropy(masks, logits, self.from_logits, self.label_smoothing)
        return {"cross_entropy": _mean(each, masks, _of_classes(class_weight, masks, each.dtype))}


class BorderCrossEntropy(PixelLoss):
    """U-Net's cross-entropy, which weighs the gaps between neighbouring objects (section 3).

    A pixel's weight is that of its class and, in the background, `border_weights`. To give them
    other numbers, make a subclass with other attributes.

    Attributes:
        w0: of `border_weights`.
        sigma: in pixels.

    O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation", MICCAI 2015, equations 1 and 2.
    """

    names = ("cross_entropy",)
    w0: float = 10.0
    sigma: float = 5.0

    def __init__(self) -> None:
        super().__init__(reduction="none", name="border_cross_entropy")

    def parts(
        self, masks: Any, logits: Any, class_weight: Sequence[float] | None
    ) -> dict[str, Any]:
        """See `PixelLoss.parts`; there is one."""
        size = logits.shape[1:3]
        # Objects are looked for in the whole mask: the middle may cut them in two.
        border = middle(border_weights(masks, w0=self.w0, sigma=self.sigma), size)
        masks = middle(masks, size)
        each = _cross_entropy(masks, logits, True, 0.0)
        weights = _of_classes(class_weight, masks, each.dtype) + tf.cast(border, each.dtype)
        return {"cross_entropy": _mean(each, masks, weights)}


class Dice(PixelLoss):
    """One minus the soft Dice coefficient, the mean over the classes that an image has.

    Of a class with truth t and probability p in each pixel the coefficient is
    2 Σ t p / (Σ t + Σ p): overlap over size, so a small object counts as much as a large one.
    Classes that an image lacks have no coefficient of their own: what is taken for them is missing
    elsewhere. The weights of classes are those of this mean.

    F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: Fully Convolutional Neural Networks for Volumetric
    Medical Image Segmentation", 3DV 2016, section 3; there the denominator has squares.
    """

    names = ("dice",)

    def __init__(self) -> None:
        super().__init__(reduction="none", name="dice")

    def parts(
        self, masks: Any, logits: Any, class_weight: Sequence[float] | None
    ) -> dict[str, Any]:
        """See `PixelLoss.parts`; there is one."""
        classes = logits.shape[-1]
        masks = middle(masks, logits.shape[1:3])
        valid = tf.cast(masks != VOID, logits.dtype)[..., None]
        truth = tf.one_hot(tf.cast(masks, tf.int32), classes, dtype=logits.dtype)  # of VOID zeros
        chances = tf.nn.softmax(logits) * valid
        overlap, there, taken = (
            tf.reduce_sum(maps, axis=(1, 2)) for maps in (truth * chances, truth, chances)
        )
        # What is there has at least one pixel; what isn't divides by 1, and counts nothing.
        known = tf.cast(there > 0, logits.dtype)
        loss = 1 - 2 * overlap / tf.where(there > 0, there + taken, 1)
        weights = known * (1.0 if class_weight is None else tf.constant(class_weight, known.dtype))
        whole = tf.maximum(tf.reduce_sum(known, axis=-1), 1)
        return {"dice": tf.reduce_sum(loss * weights, axis=-1) / whole}


class DiceCrossEntropy(PixelLoss):
    """Cross-entropy and Dice, one to one: the first says where, the second how much."""

    names = ("cross_entropy", "dice")

    def __init__(self) -> None:
        super().__init__(reduction="none", name="dice_cross_entropy")
        self._both = CrossEntropy(), Dice()

    def parts(
        self, masks: Any, logits: Any, class_weight: Sequence[float] | None
    ) -> dict[str, Any]:
        """See `PixelLoss.parts`; there are two."""
        first, second = (loss.parts(masks, logits, class_weight) for loss in self._both)
        return first | second


LOSSES = (CrossEntropy, BorderCrossEntropy, Dice, DiceCrossEntropy)


def _cross_entropy(masks: Any, scores: Any, from_logits: bool, smoothing: float) -> Any:
    """Of each pixel, `[batch, rows, columns]`; where the mask is `VOID` it means nothing."""
    classes = scores.shape[-1]
    labels = tf.where(masks == VOID, 0, tf.cast(masks, tf.int32))
    if from_logits and not smoothing:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
    if from_logits:
        logarithms = tf.nn.log_softmax(scores)
    else:
        logarithms = tf.math.log(tf.maximum(scores, tf.constant(1e-7, scores.dtype)))
    each = -tf.gather(logarithms, labels, batch_dims=3)
    if not smoothing:
        return each
    return (1 - smoothing) * each - smoothing / classes * tf.reduce_sum(logarithms, axis=-1)


def _of_classes(class_weight: Sequence[float] | None, masks: Any, dtype: Any) -> Any:
    """The weight of each pixel by its class, `[batch, rows, columns]`, or 1 for all."""
    if class_weight is None:
        return tf.ones([], dtype)
    labels = tf.where(masks == VOID, 0, tf.cast(masks, tf.int32))
    return tf.gather(tf.constant(class_weight, dtype), labels)


def _mean(each: Any, masks: Any, weights: Any) -> Any:
    """Over the pixels that count, `[batch]`; 0 where there are none."""
    valid = masks != VOID
    total = tf.reduce_sum(tf.where(valid, each * weights, 0), axis=(1, 2))
    count = tf.reduce_sum(tf.cast(valid, each.dtype), axis=(1, 2))
    return total / tf.maximum(count, 1)


# A weight that the window leaves out is below w0 * exp(-12.5) = w0 * 4e-6.
_REACH = 5.0  # in units of sigma


def border_weights(masks: Any, *, w0: float, sigma: float) -> Any:
    """How much background pixels between objects weigh on top: U-Net's second summand, equation 2.

    w0 exp(-(d1 + d2)² / 2σ²), with the distances d1 to the nearest and d2 to the second nearest
    object, in pixels. Objects are what `components` finds, class 0 is the background. Pixels in an
    object have no such weight, nor where there aren't two objects within 5σ.

    It is made of a few tensor operations, in the training step: from the mask as augmentation has
    left it, on whatever device trains, under XLA too. The two nearest objects of a pixel are among
    the two nearest of each row, so rows come first, and then columns.

    Args:
        masks: uint8 `[batch, height, width]`.
        w0: the largest weight.
        sigma: in pixels.

    Returns:
        float32 `[batch, height, width]`, without gradient.
    """
    objects = components(masks)
    reach = int(np.ceil(_REACH * sigma))
    none = tf.fill(tf.shape(objects), tf.constant(np.inf, tf.float32))
    here = tf.where(objects > 0, 0.0, none)
    nearest = (here, objects), (none, tf.zeros_like(objects))
    nearest = _two_nearest(_two_nearest(nearest, reach, axis=2), reach, axis=1)
    (first, _), (second, _) = nearest
    far = tf.sqrt(first) + tf.sqrt(second)  # infinite without two
    weights = w0 * tf.exp(-(far**2) / (2 * sigma**2))
    return tf.stop_gradient(tf.where(masks == 0, weights, 0.0))


_Two = tuple[tuple[Any, Any], tuple[Any, Any]]
"""Squared distance and number of the nearest object, and of the second nearest."""


def _two_nearest(known: _Two, reach: int, axis: int) -> _Two:
    """The two nearest objects of each pixel among those known in its row or column.

    Args:
        known: of each pixel, `[batch, height, width]`; 0 is no object.
        reach: how far to look.
        axis: 1 along columns, 2 along rows.
    """
    shape, size = known[0][0].shape, tf.shape(known[0][0])
    around = [[reach, reach] if place == axis else [0, 0] for place in range(3)]
    padded = [
        (tf.pad(square, around, constant_values=np.inf), tf.pad(number, around))
        for square, number in known
    ]

    def look(place: Any, *found: Any) -> tuple[Any, ...]:
        """At the pixel `place - reach` further on."""
        begin = tf.one_hot(axis, 3, place, 0)
        step = tf.cast((place - reach) ** 2, tf.float32)
        for maps in padded:
            square, number = (tf.ensure_shape(tf.slice(one, begin, size), shape) for one in maps)
            found = _with(found, (square + step, number))
        return place + 1, *found

    start = (known[0][0], known[0][1], known[1][0], known[1][1])
    _, *found = tf.while_loop(
        lambda place, *_: place <= 2 * reach,
        look,
        (tf.constant(0), *start),
        maximum_iterations=2 * reach + 1,
        parallel_iterations=1,
    )
    return (found[0], found[1]), (found[2], found[3])


def _with(found: tuple[Any, ...], seen: tuple[Any, Any]) -> tuple[Any, ...]:
    """The two nearest objects of two and one more, which may be one of them."""
    first, one, second, two = found
    square, number = seen
    same, nearer = number == one, square < first
    moved = nearer & ~same  # what was first becomes second
    better = ~same & ~nearer & (square < second)
    return (
        tf.minimum(first, square),
        tf.where(moved, number, one),
        tf.where(moved, first, tf.where(better, square, second)),
        tf.where(moved, one, tf.where(better, number, two)),
    )


def components(masks: Any) -> Any:
    """The objects of masks: pixels of one class that are connected, side by side or one above.

    Corners alone don't connect, so that a border of one pixel separates along a diagonal, too.

    Args:
        masks: uint8 `[batch, height, width]`; 0 is the background and 255 unknown.

    Returns:
        int32 `[batch, height, width]`: a number above 0 for each object of an image; elsewhere 0.
    """
    height, width = masks.shape[1:]
    pixels = height * width
    numbers = tf.reshape(tf.range(1, pixels + 1), [1, height, width])
    is_object = (masks != 0) & (masks != VOID)
    start = tf.where(is_object, numbers, 0)
    classes = tf.cast(masks, tf.int32)
    same = [_shifted(classes, *step, -1) == classes for step in _STEPS]

    def spread(labels: Any, _: Any) -> tuple[Any, Any]:
        """Take over the largest number around, and what that pixel has taken over itself."""
        new = labels
        for step, alike in zip(_STEPS, same):
            new = tf.maximum(new, tf.where(alike & is_object, _shifted(labels, *step, 0), 0))
        flat = tf.reshape(new, [-1, pixels])
        further = tf.gather(flat, tf.maximum(flat - 1, 0), batch_dims=1)
        new = tf.where(is_object, tf.reshape(further, [-1, height, width]), 0)
        return tf.ensure_shape(new, masks.shape), tf.reduce_any(new != labels)

    return tf.while_loop(
        lambda _, changed: changed, spread, (start, tf.constant(True)), parallel_iterations=1
    )[0]


_STEPS = ((1, 0), (-1, 0), (0, 1), (0, -1))


def _shifted(maps: Any, down: int, right: int, outside: int) -> Any:
    """Maps `[batch, height, width]` moved by a pixel, with a number where nothing comes from."""
    height, width = maps.shape[1:]
    padded = tf.pad(maps, [[0, 0], [1, 1], [1, 1]], constant_values=outside)
    return padded[:, 1 - down :, 1 - right :][:, :height, :width]
