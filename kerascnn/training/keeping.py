"""Which epoch is the best, and when none better is to be expected: pure functions of the history.

So a resumed run and all workers agree, as they do on the schedule "plateau".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kerascnn.errors import ArgumentError, DataError
from kerascnn.recipes.recipe import KEEP_BEST, Recipe, monitored

Rows = Sequence[Mapping[str, float]]

# What a row of the history says beside measures of the network.
NO_MEASURES = ("epoch", "learning_rate", "images_per_second", "seconds", "input_wait")


def need_best(recipe: Recipe) -> bool:
    """Whether the recipe asks which epoch is the best."""
    return recipe.keep == KEEP_BEST or recipe.early_stopping is not None


def require_monitored(recipe: Recipe, validation_images: int, source: str) -> None:
    """Refuse to compare epochs by validation images where there are none.

    Raises:
        DataError: names the field, and what can be done.
    """
    metric, _ = monitored(recipe.monitor)
    if not need_best(recipe) or validation_images or not metric.startswith("val_"):
        return
    asked = "keep = best" if recipe.keep == KEEP_BEST else f"--patience {recipe.early_stopping}"
    raise DataError(
        f"{asked} compares epochs by {metric}, and {source} has no validation images. Compare by "
        "the training images (--keep best:error, or --with monitor=error), keep the last epoch "
        "(--keep last, without --patience), or choose data with a validation part."
    )


def best_epoch(rows: Rows, recipe: Recipe) -> int:
    """The first epoch, counted from 1, than which none was better; 0 if none has the measure.

    Args:
        rows: the history, one row for each epoch.
        recipe: its `monitor`.

    Raises:
        ArgumentError: no epoch has such a measure.
    """
    metric, sign = monitored(recipe.monitor)
    found = [sign * row[metric] if metric in row else math.nan for row in rows]
    if rows and not any(metric in row for row in rows):
        logged = ", ".join(key for key in rows[-1] if key not in NO_MEASURES)
        raise ArgumentError(
            f"monitor: nothing logs {metric!r}, neither the training nor a callback. "
            f"Logged: {logged}."
        )
    best, least = 0, math.inf
    for epoch, value in enumerate(found, 1):
        if value < least:
            best, least = epoch, value
    return best


def out_of_patience(rows: Rows, recipe: Recipe) -> bool:
    """Whether the last `early_stopping` epochs have all been no better than the best before."""
    if recipe.early_stopping is None:
        return False
    return len(rows) - best_epoch(rows, recipe) >= recipe.early_stopping


def measures_of(row: Mapping[str, float]) -> dict[str, float]:
    """What a row of the history says about the network, and not about the training of it."""
    return {key: value for key, value in row.items() if key not in NO_MEASURES}
