"""How features came about: their strongest patches and projections after some epochs of a run.

Zeiler and Fergus (2014, section 4 and figure 4) show for some maps of each layer the strongest
activation over the training images, projected to pixels, after 1, 2, 5, 10, 20, 30, 40 and 64
epochs. Lower layers settle within a few, upper ones late; where a picture jumps, another image has
become the one that excites the map most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerascnn.data import Split
from kerascnn.errors import ArgumentError, RunError
from kerascnn.explain.arguments import evenly, map_count, require_whole
from kerascnn.explain.methods import FOLLOWED
from kerascnn.explain.patches import TopPatches, patches_of_run
from kerascnn.explain.search import Report
from kerascnn.receptive_fields import ReceptiveField
from kerascnn.runs.choosing import choose
from kerascnn.runs.run import Run

IMAGES = 1_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Evolution:
    """The strongest activation of each map of a layer after some epochs, over the same images.

    A value of exactly 0 is a unit behind ReLU that doesn't fire for any image; the first image is
    in its place.

    Attributes:
        layer: its name, as it was asked for.
        method: what the projections were made with: "deconvnet", "guided_backprop" or "saliency".
        epochs: after which, rising, int64 `[epochs]`; 0: before training.
        images: how many were looked at.
        values: the strongest activations, float32 `[epochs, maps]`.
        index: the number of its image in the data, int64 `[epochs, maps]`.
        position: row and column of its unit in the map, int64 `[epochs, maps, 2]`.
        box: the unit's receptive field in pixels, cut at the image's borders: top, left, bottom,
            right, the last two exclusive, int64 `[epochs, maps, 4]`.
        field: the receptive field before it was cut; None: the whole image.
        channels: which maps have patches and projections, int64 `[shown]`.
        patches: of these maps, `[epochs][shown]`, each `[height, width, channels]`: the image's
            pixels in the box, uint8.
        projections: the same boxes of the projections to the network's input, float32.
    """

    layer: str
    method: str
    epochs: np.ndarray
    images: int
    values: np.ndarray
    index: np.ndarray
    position: np.ndarray
    box: np.ndarray
    field: ReceptiveField | None
    channels: np.ndarray
    patches: tuple[tuple[np.ndarray, ...], ...]
    projections: tuple[tuple[np.ndarray, ...], ...]


def evolution(
    run: Run | Path | str,
    layer: str,
    *,
    channels: Sequence[int] | None = None,
    maps: int = FOLLOWED,
    epochs: Sequence[int] | None = None,
    data: Split | None = None,
    images: int = IMAGES,
    method: str | None = None,
    batch_size: int = 32,
    report: Report | None = None,
) -> Evolution:
    """How a layer's features changed over the epochs of a run: figure 4 of Zeiler and Fergus, 2014.

    Of each epoch that the run has kept (`kerascnn train --keep-epochs 1,2,5,10`) the strongest
    activation of each map over the same images is found, with the patch that its unit saw and its
    projection down to pixels.

    Args:
        run: with kept epochs, see `Run.kept_epochs`.
        layer: an endpoint such as "C3", or a layer's name, with maps or a vector.
        channels: the maps that get patches and projections; default: `maps` of them.
        maps: how many that are, evenly spaced over the layer's.
        epochs: some of those that are kept; default: all.
        data: images of the run's canvas, `run.config.canvas`; default: those that the run was
            trained on, as in the paper.
        images: how many of them, evenly spaced; fewer where there are fewer.
        method, batch_size: see `top_patches`.
        report: is called after each step with the number of images seen so far, over all epochs,
            and with how many that will be.

    Returns:
        Arrays, the first axis of which is the epoch.

    Raises:
        RunError: the run has kept no epoch, or not one of these, or a file is damaged.
        ArgumentError: an argument is not as above, or the network can't be explained.
        DataError: the data can't be read.
    """
    require_whole("images", images, 1)
    require_whole("maps", maps, 0)
    run = run if isinstance(run, Run) else Run.open(run)
    wanted = _wanted(run, epochs)
    first = run.model(epoch=wanted[0])
    chosen = evenly(map_count(first, layer), maps) if channels is None else channels
    whole = training_images(run) if data is None else data
    numbers = evenly(whole.size, images)
    some, every = whole.take(numbers), len(wanted) * len(numbers)

    def so_far(number: int) -> Report | None:
        if report is None:
            return None
        return lambda seen, _: report(number * len(numbers) + seen, every)

    found = [
        patches_of_run(
            run.model(epoch=epoch) if number else first,
            run.config,
            some,
            layer,
            k=1,
            channels=chosen,
            method=method,
            batch_size=batch_size,
            report=so_far(number),
        )
        for number, epoch in enumerate(wanted)
    ]
    return _joined(wanted, found, numbers)


def training_images(run: Run) -> Split:
    """The images that a run was trained on, as far as they are still there.

    Raises:
        DataError: they can't be read, or none is.
    """
    kind = run.task.targets.kind
    return choose(run.path, run.config, None, "train", lambda line: None, target=kind).images


def require_kept(run: Run) -> tuple[int, ...]:
    """The epochs that a run has kept.

    Raises:
        RunError: there are none.
    """
    if kept := run.kept_epochs:
        return kept
    raise RunError(
        f"The run {run.path} has kept no epochs. Train with `--keep-epochs 0,1,2,5`, or "
        "keep_epochs=(0, 1, 2, 5), to see later how its features came about."
    )


def _wanted(run: Run, epochs: Sequence[int] | None) -> list[int]:
    """The epochs to look at, in their order."""
    kept = require_kept(run)
    wanted = sorted(set(kept if epochs is None else epochs))
    if not wanted or not set(wanted) <= set(kept):
        raise ArgumentError(
            f"epochs must be some of those that {run.path} has kept: "
            f"{', '.join(map(str, kept))}. Received: {epochs!r}."
        )
    return wanted


def _joined(epochs: Sequence[int], found: Sequence[TopPatches], numbers: np.ndarray) -> Evolution:
    first = found[0]
    return Evolution(
        layer=first.layer,
        method=first.method,
        epochs=np.array(epochs, "int64"),
        images=len(numbers),
        values=np.stack([each.values[:, 0] for each in found]),
        index=numbers[np.stack([each.index[:, 0] for each in found])],
        position=np.stack([each.position[:, 0] for each in found]),
        box=np.stack([each.box[:, 0] for each in found]),
        field=first.field,
        channels=first.channels,
        patches=tuple(tuple(row[0] for row in each.patches) for each in found),
        projections=tuple(tuple(row[0] for row in each.projections) for each in found),
    )
