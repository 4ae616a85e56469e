"""Which of many anchors or proposals a step learns from (Fast R-CNN, section 2.3).

The draw is a pure function of the run's seed, the epoch and the image's number. So a run that
resumes draws what it would have drawn, and an image's sample is the same on any number of replicas;
those of two images, and of an image in two epochs, are different ones.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def draws(numbers: Any, count: int) -> Any:
    """Random numbers for each candidate of each image: a hash, as no generator is one of images.

    The mixing is the finalizer of MurmurHash3 (A. Appleby, 2011), on wrapping 32-bit integers.

    Args:
        numbers: int32 `[batch, 3]`: the run's seed, the epoch, and the image's number.
        count: candidates of an image.

    Returns:
        int32 `[batch, count]`, evenly from 0 to 2³¹ - 2.
    """
    seed, epoch, image = ops.unstack(ops.cast(numbers, "uint32"), 3, axis=1)
    state = _mixed(image + _mixed(seed))
    state = _mixed(state + epoch * _whole(0x9E3779B9))
    each = ops.cast(ops.arange(count, dtype="int32"), "uint32") * _whole(0x85157AF5)
    bits = _mixed(_mixed(state[..., None] + each))
    return ops.minimum(ops.cast(ops.right_shift(bits, _whole(1)), "int32"), _LAST)


_LAST = 2**31 - 2


def sample(draws: Any, positive: Any, negative: Any, *, count: int, share: float) -> Any:
    """As many candidates as asked for, at most a share of them positive, at random.

    If there are fewer positive ones, negative ones take their places.

    Args:
        draws: int32 `[..., n]`, see `draws`.
        positive, negative: bool `[..., n]`, which candidates are which; some may be neither.
        count: candidates of an image. There are fewer only if there aren't enough negative ones.
        share: of positive ones, at most.

    Returns:
        The positive and the negative ones that were drawn, bool `[..., n]` each.
    """
    first = ops.logical_and(positive, _ranks(draws, positive) < int(count * share))
    left = count - ops.sum(ops.cast(first, "int32"), axis=-1, keepdims=True)
    return first, ops.logical_and(negative, _ranks(draws, negative) < left)


def chosen(marked: Any, count: int) -> tuple[Any, Any]:
    """The places of what is marked, in a shape that doesn't depend on how much that is.

    Args:
        marked: bool `[..., n]`, at most `count` of each image; n may be unknown.
        count: room.

    Returns:
        int32 `[..., count]`, places in their order, then any; and which are marked, bool.
    """
    room = [(0, 0)] * (len(marked.shape) - 1) + [(0, count)]
    found, places = ops.top_k(ops.pad(ops.cast(marked, "int32"), room), count)
    last = ops.cast(ops.shape(marked)[-1], "int32") - 1
    return ops.minimum(ops.cast(places, "int32"), last), found > 0


def _ranks(draws: Any, among: Any) -> Any:
    """The place of each in the order of the draws of those that are marked, int32 `[..., n]`."""
    order = ops.argsort(ops.where(among, draws, _LAST + 1), axis=-1)
    return ops.cast(ops.argsort(order, axis=-1), "int32")


def _mixed(state: Any) -> Any:
    """Each bit of uint32 numbers moved into all others."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        state = ops.bitwise_xor(state, ops.right_shift(state, _whole(shift))) * _whole(factor)
    return ops.bitwise_xor(state, ops.right_shift(state, _whole(16)))


def _whole(number: int) -> Any:
    return ops.convert_to_tensor(number, "uint32")
