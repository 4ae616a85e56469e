"""For every feature map the images that excite it most: patch, and projection down to pixels.

Zeiler and Fergus (2014, section 4 and figure 2) show what a map has learned by the nine images of
a data set with its strongest activations: the patch of each that the unit saw, which tells what it
is invariant to, beside the unit's projection by a deconvnet, which tells what excited it.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.card import Preprocessing
from kerascnn.data import Split
from kerascnn.errors import ArgumentError
from kerascnn.explain import strongest as state
from kerascnn.explain.gradients import deconvnet, guided_backprop, saliency
from kerascnn.explain.graph import Replay, flat_calls, flat_profile
from kerascnn.explain.reading import Images, images_of
from kerascnn.explain.strongest import Strongest
from kerascnn.explain.targets import Target
from kerascnn.receptive_fields import ReceptiveField
from kerascnn.runs.config import RunConfig
from kerascnn.runs.forward import middle, preprocessed

Report = Callable[[int, int | None], None]
"""Is told how many images were seen so far, and of how many; None: that isn't known."""

SAVE_EVERY = 30.0  # seconds
# A winner's activation, computed again, may differ by its batch's rounding, in shares of the
# largest of all; more means that its image is another one.
SAME = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class TopPatches:
    """The k images with the strongest activation of each map of a layer, strongest first.

    A value of exactly 0 is a unit behind ReLU that doesn't fire. A map that fires for fewer than k
    images has such values at its end, with the first images of the data set in their places.

    Attributes:
        layer: its name, as it was asked for.
        method: what the projections were made with: "deconvnet", "guided_backprop" or "saliency".
        values: the activations, float32 `[maps, k]`; k is less than was asked for where there are
            fewer images.
        index: the images' numbers in the data, int64 `[maps, k]`.
        position: row and column of the strongest unit in its map, int64 `[maps, k, 2]`; 0, 0 in a
            vector.
        box: the unit's receptive field in pixels, cut at the image's borders: top, left, bottom,
            right, the last two exclusive, int64 `[maps, k, 4]`. The whole image where a unit sees
            all of it.
        field: the receptive field before it was cut; None: the whole image.
        image_shape: height, width and channels of the network's input.
        channels: which maps have patches and projections, int64 `[shown]`.
        patches: of these maps, `[shown][k]`, each `[height, width, channels]`: what lies in the
            box, as `pixels` gives it.
        projections: the same boxes of the projections to the network's input, float32.
    """

    layer: str
    method: str
    values: np.ndarray
    index: np.ndarray
    position: np.ndarray
    box: np.ndarray
    field: ReceptiveField | None
    image_shape: tuple[int, int, int]
    channels: np.ndarray
    patches: tuple[tuple[np.ndarray, ...], ...]
    projections: tuple[tuple[np.ndarray, ...], ...]


def top_patches(
    model: keras.Model,
    data: Any,
    layer: str,
    *,
    k: int = 9,
    channels: Sequence[int] | np.ndarray | None = None,
    preprocess: Callable[[Any], Any] | None = None,
    pixels: Callable[[Any], Any] | None = None,
    method: str | None = None,
    batch_size: int = 32,
    progress: str | os.PathLike[str] | None = None,
    report: Report | None = None,
) -> TopPatches:
    """The k images with the strongest activation of each map: figure 2 of Zeiler and Fergus (2014).

    The data is gone through once, and of what was seen only k numbers for each map are kept. Then
    the strongest images alone are read again, for their patches and projections. An image counts
    once for each map, with its strongest unit; of equal activations the first one wins, in the
    order of the data and of the map's rows.

    Args:
        model: a functional model, computed in float32, in inference mode.
        data: images `[n, height, width, channels]`, a `kerascnn.data` Split, or an iterable of
            batches, alone or in front of their labels, that gives the same images in the same order
            whenever it is gone through.
        layer: an endpoint such as "C3", or a layer's name, with maps or a vector.
        k: images for each map.
        channels: the maps that get patches and projections; default: all, which takes k projections
            for each.
        preprocess: from a batch of the data to the network's input; default: it is that.
        pixels: from a batch of the data to what patches are cut from, of the input's height and
            width; default: the data itself, or the network's input where that is of another size.
        method: of the projections: "deconvnet", "guided_backprop", or "saliency", which is the
            plain gradient of the unit's activation. Default: the first, or, where the network has
            other activations than ReLU, which that is not defined for, the last.
        batch_size: images in one step; an iterable comes as it is.
        progress: a file in which the search is kept, every half minute and at its end. If it is
            there already, the search goes on from it, or is not repeated. It is refused where the
            weights, the data, the layer, k or the first image's preprocessed values are others; of
            an iterable's images that first one is all that is compared.
        report: is called after each step of the search with the number of images seen so far, and
            of all, None where that isn't known.

    Raises:
        ArgumentError: an argument is not as above; the layer has neither maps nor a vector, or
            answers with no numbers; `progress` can't be used; or the data gave other images when it
            was read again.
        DataError: an image can't be read.
    """
    if k < 1 or batch_size < 1:
        raise ArgumentError(
            f"k and batch_size must be at least 1. Received: k={k}, batch_size={batch_size}."
        )
    images = images_of(data)
    first = next(images.batches(1), np.zeros(0))[:1]
    if not len(first):
        raise ArgumentError("data must have at least one image. Received: none.")
    view = _View.of(first, preprocess, pixels)
    given = view.input(first)
    maps = _Maps.of(model, layer, given)
    shown = chosen_maps(channels, maps.name, maps.count)
    method = _method(model, layer, method, given)
    strongest = Strongest(maps.count, k)

    def told() -> None:
        if report is not None:
            report(strongest.seen, images.size)

    if progress is None:
        _search(maps, view, images, strongest, batch_size, told)
    else:
        identity = {
            "network": _digest(model),
            "data": images.digest(),
            "preprocessing": hashlib.sha256(given.numpy().tobytes()).digest(),
            "layer": hashlib.sha256(maps.name.encode()).digest(),
            "k": hashlib.sha256(f"{k}".encode()).digest(),
        }
        path = Path(progress)
        state.restore(path, strongest, identity, units=maps.units, size=images.size)
        keep = functools.partial(state.save, path, strongest, identity)
        keep()  # where it can't be written, that is said before the search
        _search(maps, view, images, strongest, batch_size, told, keep)
    k = strongest.found()
    values, index, unit = (a[:, :k] for a in (strongest.values, strongest.index, strongest.unit))
    position = maps.positions(unit)
    height, width, depth = given.shape[1:]
    box = boxes(maps.field, position, (height, width))
    found = TopPatches(
        layer=layer,
        method=method,
        values=values,
        index=index,
        position=position,
        box=box,
        field=maps.field,
        image_shape=(height, width, depth),
        channels=shown,
        patches=(),
        projections=(),
    )
    patches, projections = _cut(model, maps, view, images, found, batch_size)
    return replace(found, patches=patches, projections=projections)


def patches_of_pixels(
    model: keras.Model,
    split: Split,
    layer: str,
    *,
    preprocessing: Preprocessing,
    cut: Callable[[Any], Any] = lambda images: images,
    k: int = 9,
    channels: Sequence[int] | np.ndarray | None = None,
    method: str | None = None,
    batch_size: int = 32,
    progress: str | os.PathLike[str] | None = None,
    report: Report | None = None,
) -> TopPatches:
    """`top_patches` of a model on images that aren't preprocessed yet.

    The patches are pixels. The projections' channels are in the pixels' order, too, where the
    network takes BGR.

    Args:
        model: see `top_patches`.
        split: pixels in [0, 255].
        preprocessing: from pixels to the network's input.
        cut: from a batch of the split to pixels of the network's size.
        layer, k, channels, method, batch_size, progress, report: as in `top_patches`.

    Raises:
        ArgumentError, DataError: see `top_patches`.
    """
    prepare = preprocessed(preprocessing)
    found = top_patches(
        model,
        split,
        layer,
        k=k,
        channels=channels,
        preprocess=lambda images: prepare(cut(images)),
        pixels=cut,
        method=method,
        batch_size=batch_size,
        progress=progress,
        report=report,
    )
    if preprocessing.order != "BGR" or split.image_shape[2] != 3:
        return found
    turned = tuple(tuple(p[..., ::-1] for p in row) for row in found.projections)
    return replace(found, projections=turned)


def patches_of_run(
    model: keras.Model,
    config: RunConfig,
    split: Split,
    layer: str,
    *,
    k: int = 9,
    channels: Sequence[int] | np.ndarray | None = None,
    method: str | None = None,
    batch_size: int = 32,
    progress: str | os.PathLike[str] | None = None,
    report: Report | None = None,
) -> TopPatches:
    """`patches_of_pixels` of a run's model on images as its evaluation sees them.

    Args:
        model, config: the run's.
        split: of the run's canvas, whose middle is taken.
        layer, k, channels, method, batch_size, progress, report: as in `top_patches`.

    Raises:
        ArgumentError, DataError: see `top_patches`.
    """
    return patches_of_pixels(
        model,
        split,
        layer,
        preprocessing=config.preprocessing,
        cut=middle(config),
        k=k,
        channels=channels,
        method=method,
        batch_size=batch_size,
        progress=progress,
        report=report,
    )


def chosen_maps(channels: Sequence[int] | np.ndarray | None, layer: str, count: int) -> np.ndarray:
    """The numbers of the maps that are asked for, int64 `[chosen]`; None: all.

    Raises:
        ArgumentError: the layer, which has `count` of them, lacks one.
    """
    chosen = np.arange(count) if channels is None else np.asarray(channels)
    whole = chosen.ndim == 1 and (chosen.dtype.kind in "iu" or not chosen.size)
    if not whole or not ((chosen >= 0) & (chosen < count)).all():
        raise ArgumentError(
            f"channels must be numbers of maps of {layer}, from 0 to {count - 1}. "
            f"Received: {channels!r}."
        )
    return chosen.astype("int64")


def boxes(field: ReceptiveField | None, position: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The pixels that units see, within the image.

    Args:
        field: of the layer; None: the whole image.
        position: row and column in the map, int64 `[..., 2]`.
        size: height and width of the image.

    Returns:
        int64 `[..., 4]`: top, left, bottom, right, the last two exclusive.
    """
    if field is None:
        whole = np.array([0, 0, *size], "int64")
        return np.broadcast_to(whole, (*position.shape[:-1], 4)).copy()
    begin = np.asarray(field.start) + position * np.asarray(field.stride)
    end = np.ceil(begin + np.asarray(field.size))  # fractions where a layer enlarges its map
    both = np.concatenate([np.floor(begin), end], axis=-1)
    return np.clip(both, 0, [*size, *size]).astype("int64")


# --- The network, and what it is given -------------------------------------------------------


@dataclass(frozen=True)
class _View:
    """From a batch of the data to the network's input, and to what a person sees of it."""

    preprocess: Callable[[Any], Any]
    pixels: Callable[[Any], Any] | None

    @classmethod
    def of(
        cls,
        first: np.ndarray,
        preprocess: Callable[[Any], Any] | None,
        pixels: Callable[[Any], Any] | None,
    ) -> _View:
        view = cls(preprocess or (lambda images: images), pixels)
        given = view.input(first).shape
        if len(given) != 4:
            raise ArgumentError(
                "preprocess must give images [batch, height, width, channels]. Received: "
                f"{tuple(given)} of {first.shape}."
            )
        if pixels is None:
            same = first.shape[1:3] == tuple(given[1:3])
            return cls(view.preprocess, (lambda images: images) if same else None)
        if view.seen(first).shape[:3] != tuple(given[:3]):
            raise ArgumentError(
                f"pixels must give images of the network's input's height and width, {given[1]}×"
                f"{given[2]}. Received: {view.seen(first).shape}."
            )
        return view

    def input(self, images: np.ndarray) -> tf.Tensor:
        """`[batch, height, width, channels]`, float32."""
        return tf.cast(tf.convert_to_tensor(self.preprocess(images)), tf.float32)

    def seen(self, images: np.ndarray) -> np.ndarray:
        """`[batch, height, width, any channels]`, of the input's size."""
        return np.asarray(self.pixels(images) if self.pixels else self.input(images))


@dataclass(frozen=True)
class _Maps:
    """The maps of a layer for images of one size; a vector is maps of one unit.

    Attributes:
        name: the layer's own.
        sides: rows and columns; empty for a vector.
        count: of the maps.
        field: of a unit; None: the whole image.
        strongest: from images to the strongest activation of each map, its unit, row by row,
            `[batch, maps]` each, and whether all activations are finite.
    """

    name: str
    sides: tuple[int, ...]
    count: int
    field: ReceptiveField | None
    strongest: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]

    @property
    def units(self) -> int:
        """Of one map."""
        return math.prod(self.sides)

    def positions(self, unit: np.ndarray) -> np.ndarray:
        """Row and column of units, `[..., 2]`."""
        return np.stack(np.divmod(unit, self.sides[1] if self.sides else 1), axis=-1)

    @classmethod
    def of(cls, model: keras.Model, layer: str, image: tf.Tensor) -> _Maps:
        """See above; `image` is the first of those to come, as the network takes it."""
        replay = Replay(model)
        name = replay.layer(layer)
        _require_numbers(model)
        # Played once as it is: what a graph is made of must be there before.
        (maps,) = replay.play(replay.images(image), [name])
        if len(maps.shape) not in (2, 4):
            raise ArgumentError(
                f"{layer} must have maps [batch, rows, columns, channels] or a vector [batch, "
                f"channels]. Received: {list(maps.shape)}."
            )
        *sides, count = maps.shape[1:]
        measured = flat_profile(model, tuple(image.shape[1:]))

        def strongest(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            (maps,) = replay.play(pixels, [name])
            units = tf.reshape(maps, (-1, math.prod(sides), count))
            finite = tf.reduce_all(tf.math.is_finite(units))
            return tf.reduce_max(units, axis=1), tf.argmax(units, axis=1), finite

        spec = tf.TensorSpec((None, *image.shape[1:]), tf.float32)
        return cls(
            name=name,
            sides=tuple(sides),
            count=count,
            field=measured[name].receptive_field if sides else None,
            strongest=tf.function(strongest, input_signature=[spec]),
        )

    def require_finite(self, finite: tf.Tensor) -> None:
        """Refuse what can't be ordered."""
        if not finite:
            raise ArgumentError(
                f"{self.name} answers with values that are not finite numbers, so that none is the "
                "strongest. Expected a model whose training did not diverge."
            )


def _require_numbers(model: keras.Model) -> None:
    """A network that has diverged answers with zeros behind a ReLU, as if no map ever fired."""
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(keras.ops.cast(weight, "float32"))).all():
            raise ArgumentError(
                f"{model.name}: the weights must be finite numbers; training has diverged. "
                f"Received: {weight.path} with others."
            )


METHODS: dict[str, Callable[[keras.Model, Any, Any], np.ndarray]] = {
    "deconvnet": deconvnet,
    "guided_backprop": guided_backprop,
    "saliency": functools.partial(saliency, signed=True),
}


def _method(model: keras.Model, layer: str, method: str | None, image: tf.Tensor) -> str:
    """The method, which can project from this layer: what can't be done is said before the search.

    Raises:
        ArgumentError: it is unknown, or isn't defined for the network's activations.
    """
    if method is not None and method not in METHODS:
        raise ArgumentError(f"method must be one of {', '.join(METHODS)}. Received: {method!r}.")
    try:
        METHODS[method or "deconvnet"](model, image, (layer, 0))
    except ArgumentError:
        if method is not None:
            raise
        return _method(model, layer, "saliency", image)
    return method or "deconvnet"


def _digest(model: keras.Model) -> bytes:
    """Of a network's calls and weights."""
    found = hashlib.sha256()
    for call in flat_calls(model):
        found.update(f"{type(call.operation).__name__}\n".encode())
    for weight in model.weights:
        value = keras.ops.convert_to_numpy(weight)
        found.update(f"{value.shape}".encode() + value.tobytes())
    return found.digest()


# --- The search, and the second look at the winners ------------------------------------------


def _search(
    maps: _Maps,
    view: _View,
    images: Images,
    strongest: Strongest,
    batch_size: int,
    told: Callable[[], None],
    keep: Callable[[], None] = lambda: None,
) -> None:
    """Go through the images that `strongest` has not seen yet.

    `told` is called after each batch, `keep` now and then.
    """
    kept, before = time.monotonic(), strongest.seen
    for batch in images.batches(batch_size, strongest.seen):
        values, unit, finite = maps.strongest(view.input(batch))
        maps.require_finite(finite)
        strongest.add(values.numpy(), unit.numpy())
        told()
        if time.monotonic() - kept >= SAVE_EVERY:
            keep()
            kept = time.monotonic()
    if strongest.seen > before:
        keep()


@dataclass(frozen=True)
class _Winner:
    """An image in its place among the strongest of a map that is shown."""

    image: np.ndarray
    slot: int
    rank: int


def _cut(
    model: keras.Model,
    maps: _Maps,
    view: _View,
    images: Images,
    found: TopPatches,
    batch_size: int,
) -> tuple[tuple[tuple[np.ndarray, ...], ...], tuple[tuple[np.ndarray, ...], ...]]:
    """Patches and projections, `[shown][k]`."""
    k = found.values.shape[1]
    places = [(slot, rank) for slot in range(len(found.channels)) for rank in range(k)]
    patches, projections = {}, {}
    for batch in _batched(_winners(images, found, places), batch_size):
        pixels = np.stack([winner.image for winner in batch])
        given, seen = view.input(pixels), view.seen(pixels)
        slots, ranks = [w.slot for w in batch], [w.rank for w in batch]
        chosen = found.channels[slots]
        _require_same(maps, given, chosen, found, ranks)
        targets = [
            Target(maps.name, int(channel), tuple(position[: len(maps.sides)]))
            for channel, position in zip(chosen, found.position[chosen, ranks].tolist())
        ]
        back = METHODS[found.method](model, given, targets)
        for image, projection, place, box in zip(
            seen, back, zip(slots, ranks), found.box[chosen, ranks]
        ):
            top, left, bottom, right = box
            patches[place] = image[top:bottom, left:right].copy()
            projections[place] = projection[top:bottom, left:right].copy()

    def rows(cut: dict[tuple[int, int], np.ndarray]) -> tuple[tuple[np.ndarray, ...], ...]:
        return tuple(
            tuple(cut[slot, rank] for rank in range(k)) for slot in range(len(found.channels))
        )

    return rows(patches), rows(projections)


def _winners(
    images: Images, found: TopPatches, places: Sequence[tuple[int, int]]
) -> Iterator[_Winner]:
    """The images that won these places, each read once, in the order of the data."""
    won: dict[int, list[tuple[int, int]]] = {}
    for slot, rank in places:
        won.setdefault(int(found.index[found.channels[slot], rank]), []).append((slot, rank))
    numbers = sorted(won)
    for number, image in zip(numbers, images.chosen(numbers)):
        for slot, rank in won[number]:
            yield _Winner(image, slot, rank)


def _batched(winners: Iterator[_Winner], size: int) -> Iterator[list[_Winner]]:
    while batch := list(itertools.islice(winners, size)):
        yield batch


def _require_same(
    maps: _Maps, images: tf.Tensor, channels: np.ndarray, found: TopPatches, ranks: Sequence[int]
) -> None:
    """Refuse data that isn't what it was when the search saw it."""
    again = maps.strongest(images)[0].numpy()[np.arange(len(channels)), channels]
    largest = np.abs(found.values).max()
    wrong = np.flatnonzero(np.abs(again - found.values[channels, ranks]) > SAME * largest)
    if len(wrong):
        number = found.index[channels, ranks][wrong[0]]
        raise ArgumentError(
            "data must give the same images in the same order whenever it is gone through; a "
            f"shuffled tf.data.Dataset doesn't. Received: another image {number:,} in place of "
            "the one that was found."
        )
