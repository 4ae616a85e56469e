"""For every feature map the images that excite it most: patch, and projection down to pixels.

Zeiler and Fergus (2014, section 4 and figure 2) show what a map has learned by the nine images of
a data set with its strongest activations: the patch of each that the unit saw, which tells what it
is invariant to, beside the unit's projection by a deconvnet, which tells what excited it.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from kerascnn.explain.arguments import chosen_maps, require_whole
from kerascnn.explain.gradients import deconvnet, guided_backprop, saliency
from kerascnn.explain.methods import PROJECTING, STRONGEST
from kerascnn.explain.reading import Images, images_of
from kerascnn.explain.search import Maps, Report, View, digest, search
from kerascnn.explain.strongest import Strongest
from kerascnn.explain.targets import Target
from kerascnn.receptive_fields import ReceptiveField
from kerascnn.runs.config import RunConfig
from kerascnn.tasks.forward import middle, preprocessed

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
    k: int = STRONGEST,
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
    require_whole("k", k, 1)
    require_whole("batch_size", batch_size, 1)
    images = images_of(data)
    first = next(images.batches(1), np.zeros(0))[:1]
    if not len(first):
        raise ArgumentError("data must have at least one image. Received: none.")
    view = View.of(first, preprocess, pixels)
    given = view.input(first)
    maps = Maps.of(model, layer, given)
    shown = chosen_maps(channels, maps.name, maps.count)
    method = _method(model, layer, method, given)
    strongest = Strongest(maps.count, k)

    def told() -> None:
        if report is not None:
            report(strongest.seen, images.size)

    keep = None
    if progress is not None:
        identity = {
            "network": digest(model),
            "data": images.digest(),
            "preprocessing": hashlib.sha256(given.numpy().tobytes()).digest(),
            "layer": hashlib.sha256(maps.name.encode()).digest(),
            "k": hashlib.sha256(f"{k}".encode()).digest(),
        }
        keep = _begun(Path(progress), strongest, identity, units=maps.units, size=images.size)
    search(maps, view, images, strongest, batch_size, told, keep)
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


def _begun(
    path: Path,
    strongest: Strongest,
    identity: Mapping[str, bytes],
    *,
    units: int,
    size: int | None,
) -> Callable[[], None]:
    """Go on from what a file has, if it is there; what comes back writes it again."""
    state.restore(path, strongest, identity, units=units, size=size)
    keep = functools.partial(state.save, path, strongest, identity)
    keep()  # where it can't be written, that is said before the search
    return keep


def patches_of_pixels(
    model: keras.Model,
    split: Split,
    layer: str,
    *,
    preprocessing: Preprocessing,
    cut: Callable[[Any], Any] = lambda images: images,
    k: int = STRONGEST,
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
    k: int = STRONGEST,
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


def spans(field: ReceptiveField | None, position: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The pixels that units see, as far as they go, in the zeros around the image too.

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
    return np.concatenate([np.floor(begin), end], axis=-1).astype("int64")


def boxes(field: ReceptiveField | None, position: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """As `spans`, cut at the image's borders."""
    return np.clip(spans(field, position, size), 0, [*size, *size])


# --- Patches and projections: the second look at the winners -------------------------------------


_PROJECT: dict[str, Callable[[keras.Model, Any, Any], np.ndarray]] = {  # as `PROJECTING`
    "deconvnet": deconvnet,
    "guided_backprop": guided_backprop,
    "saliency": functools.partial(saliency, signed=True),
}


def _method(model: keras.Model, layer: str, method: str | None, image: tf.Tensor) -> str:
    """The method, which can project from this layer: what can't be done is said before the search.

    Raises:
        ArgumentError: it is unknown, or isn't defined for the network's activations.
    """
    if method is not None and method not in PROJECTING:
        raise ArgumentError(f"method must be one of {', '.join(PROJECTING)}. Received: {method!r}.")
    try:
        _PROJECT[method or "deconvnet"](model, image, (layer, 0))
    except ArgumentError:
        if method is not None:
            raise
        return _method(model, layer, "saliency", image)
    return method or "deconvnet"


@dataclass(frozen=True)
class _Winner:
    """An image in its place among the strongest of a map that is shown."""

    image: np.ndarray
    slot: int
    rank: int


def _cut(
    model: keras.Model,
    maps: Maps,
    view: View,
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
        back = _PROJECT[found.method](model, given, targets)
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
    maps: Maps, images: tf.Tensor, channels: np.ndarray, found: TopPatches, ranks: Sequence[int]
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
