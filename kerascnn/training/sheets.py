"""What the last layers of a trained network have learned, drawn into its run directory.

It comes last: model and figures are saved, so that what can't be drawn loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
from matplotlib.figure import Figure

from kerascnn.data import Dataset, Split
from kerascnn.errors import RunError
from kerascnn.explain.arguments import evenly, map_count
from kerascnn.explain.graph import Replay
from kerascnn.explain.methods import MOST_MAPS, STRONGEST
from kerascnn.explain.patches import patches_of_run
from kerascnn.explain.sheets import sheet
from kerascnn.features import MAP, endpoints
from kerascnn.runs.run import Run
from kerascnn.writing import replacing

DIRECTORY = "explain"  # in the run's
LAYERS = 2
IMAGES = 1_000  # that are searched, at most
# Of all layers: searching images and projecting patches. An image is counted as one of training,
# which goes forward and back too, so that the pace of the last epoch says how many that are.
SECONDS = 60.0
FEWEST_IMAGES, FEWEST_MAPS = 100, 4  # however slow the training was


def draw_sheets(run: Run, dataset: Dataset, say: Callable[[str], None]) -> dict[str, Figure]:
    """Write a sheet of the strongest patches of each of the last layers: `explain/layer-C4.png`.

    Args:
        run: with its model.
        dataset: its validation images are searched, or without any its training images.
        say: is called with what is drawn, and with what can't be.

    Returns:
        The figures by the layers' names; those that could be drawn.
    """
    figures: dict[str, Figure] = {}
    try:
        model = run.model()
        layers = last_layers(model)
        pace = (run.history or [{}])[-1].get("images_per_second", 0.0)
        images, maps = amounts(pace, len(layers))
        held = dataset.validation if dataset.validation.size else dataset.train
        some = held.take(evenly(held.size, images))
        names = " and ".join(layers)
        say(f"Drawing what the maps of {names} respond to among {some.size:,} images.")
        if (run.path / DIRECTORY).is_symlink():
            raise RunError("it is a link, and pictures go into the run itself")
        for layer in layers:
            figures[layer] = _sheet(run, model, some, layer, maps)
            with replacing(file_of(run.path, layer)) as temporary:
                figures[layer].savefig(temporary)
    except Exception as error:  # the training is complete, whatever happens here
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        say(f"The run is complete, but not all could be drawn in {run.path / DIRECTORY}: {reason}.")
    return figures


def file_of(run: Path, layer: str) -> Path:
    """Where a run has the sheet of a layer."""
    return run / DIRECTORY / f"layer-{layer.replace('/', '-')}.png"


def last_layers(model: keras.Model) -> list[str]:
    """The deepest of the endpoints `C1`, `C2`, ... that aren't pooling layers, or the last map.

    What is pooled shows the same as the map before it.
    """
    known = endpoints(model)
    maps = [name for name in known if MAP.fullmatch(name)]
    pooled = {point.layer for name, point in known.items() if name not in maps}
    found = [name for name in maps if known[name].layer not in pooled]
    return found[-LAYERS:] or [Replay(model).last_map()]


def amounts(pace: float, layers: int) -> tuple[int, int]:
    """How many images are searched, and how many maps shown, of each of some layers.

    Args:
        pace: images that the training has done in a second.
        layers: how many.
    """
    each = int(pace * SECONDS / layers / 2)
    images = min(max(each, FEWEST_IMAGES), IMAGES)
    return images, min(max(each // STRONGEST, FEWEST_MAPS), MOST_MAPS)


def _sheet(run: Run, model: keras.Model, images: Split, layer: str, maps: int) -> Figure:
    found = patches_of_run(
        model,
        run.config,
        images,
        layer,
        k=STRONGEST,
        channels=evenly(map_count(model, layer), maps).tolist(),
    )
    return sheet(found)
