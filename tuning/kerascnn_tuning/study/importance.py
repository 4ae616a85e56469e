"""How much each hyperparameter explains of a study's scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerascnn_tuning.study.rows import Row
from kerascnn_tuning.study.study import Study

FEWEST = 8
"""With fewer trials a forest has nothing to tell about importance."""
ENOUGH = 10
"""With so many trials for each hyperparameter, importance is more than a hint."""


def importance(study: Study, rows: list[Row]) -> dict[str, float]:
    """How much each varied hyperparameter explains of the score, in [0, 1], by a random forest.

    With few trials it is a hint, not a measurement.
    """
    from sklearn.ensemble import RandomForestRegressor

    names = varied(study, rows)
    x = np.array([places([row.values.get(name) for row in rows]) for name in names]).T
    y = np.array([row.metrics[study.plan.objectives[0]] for row in rows])
    forest = RandomForestRegressor(200, random_state=0).fit(x, y)
    return dict(sorted(zip(names, map(float, forest.feature_importances_)), key=lambda p: -p[1]))


def importance_note(study: Study, rows: list[Row]) -> str:
    """How much the importances of so many trials can say."""
    trials, hyperparameters = len(rows), len(varied(study, rows))
    count = f"{trials} trials for {hyperparameters} hyperparameters"
    if trials < FEWEST:
        return f"{trials} trials are too few to tell importances: at least {FEWEST} are needed."
    if trials < ENOUGH * hyperparameters:
        return f"{count}: few, so this is a hint and no measurement"
    return count


def varied(study: Study, rows: list[Row]) -> list[str]:
    """Searched hyperparameters of which the trials have more than one value."""
    names = [hp.name for hp in study.problem.hyperparameters().space]
    return [name for name in names if len({row.values.get(name) for row in rows}) > 1]


def places(column: list[Any]) -> list[float]:
    """Values on a line from 0 to 1: numbers by size, others by name; inactive ones at -0.1."""
    present = [value for value in column if value is not None]
    if all(isinstance(value, (int, float)) for value in present):
        low, high = min(present, default=0), max(present, default=0)
        span = (high - low) or 1
        return [-0.1 if value is None else (value - low) / span for value in column]
    order = sorted({str(value) for value in present})
    last = max(1, len(order) - 1)
    return [-0.1 if value is None else order.index(str(value)) / last for value in column]
